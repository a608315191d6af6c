"""The agent: a modelled bridge behind OpenFlow and control sockets, as ovs-vswitchd is."""
