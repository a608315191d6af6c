"""OpenFlow: matches, actions, tables and the classifier.

The ovs-ofctl text is one face of these objects; every token keeps its place in it, so that an
error or the author of a mask bit can underline the user's own line.
"""
