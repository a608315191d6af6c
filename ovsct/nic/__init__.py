"""The hardware's tables, the life of an offloaded connection, profiles of what a NIC can do.

The way of a packet: frame -> rules of chain 0 -> ct tables -> rules of the next chain -> out of a
port; wherever nothing is found it misses, and TC in software takes it from there.
"""
