"""Lowering: datapath flow to TC filter, TC filter to NIC rule.

Whatever cannot be lowered is refused with a member of one closed list of reasons.
"""
