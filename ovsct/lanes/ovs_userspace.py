"""The lane ``ovs-userspace``: pipeline, megaflows, and OVS's own conntrack."""

from __future__ import annotations

from ovsct.bridge.bridge import Bridge
from ovsct.conntrack.userspace import UserspaceTracker
from ovsct.lanes.ovs import OvsLane


class OvsUserspace(OvsLane):
    """The userspace datapath of ovs-vswitchd (netdev, dummy), version 3.1."""

    def __init__(self, bridge: Bridge, *, trace: bool = False, vlan_limit: int = 1) -> None:
        super().__init__(
            "ovs-userspace",
            bridge,
            UserspaceTracker(),
            "userspace",
            trace=trace,
            vlan_limit=vlan_limit,
        )
