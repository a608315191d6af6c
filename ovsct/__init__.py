"""A packet-exact model of an Open vSwitch bridge, its TC chains and the NIC that offloads them.

The same packets run through several lanes (models, and the real programs where they can be had),
and ovsct says packet by packet where the lanes differ and why. The rooms of the house import in
one direction only; README.md lists them, and pyproject.toml holds the contract.
"""

__version__ = "0.1.0"
