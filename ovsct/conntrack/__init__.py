"""Connection tracking in two dialects: OVS's own (userspace) and netfilter's.

Tuples, zones, state tables, TCP windows, NAT and timeouts. The tracker opens nothing and knows
no clock: time is an argument, and what happens is returned as events.
"""
