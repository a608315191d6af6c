"""The ovs-ofctl text of flows and groups, to and from objects."""
