"""The real programs, driven as lanes: they judge the models.

A real ovs-vswitchd with the dummy datapath runs here as an ordinary user, in a private directory
and over unix sockets only.
"""
