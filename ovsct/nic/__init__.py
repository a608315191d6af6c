"""A NIC that offloads TC chains.

Its tables, the life of an offloaded connection (inserted after a delay, aged by counters, sent
back to software by FIN and RST), and profiles of what a NIC can do.
"""
