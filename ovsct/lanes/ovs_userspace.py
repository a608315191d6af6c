"""The lane ``ovs-userspace``: pipeline, megaflows, and OVS's own conntrack."""

from __future__ import annotations

from ovsct.bridge.bridge import Bridge
from ovsct.bridge.datapath import MAX_IDLE
from ovsct.conntrack.userspace import UserspaceTracker
from ovsct.conntrack.userspace_table import SWEEP_SECONDS
from ovsct.lanes.ovs import OvsLane


class OvsUserspace(OvsLane):
    """The userspace datapath of ovs-vswitchd (netdev, dummy), version 3.1.

    `sweep` is in seconds, from one sweep of conntrack to the next.
    """

    def __init__(
        self,
        bridge: Bridge,
        *,
        trace: bool = False,
        vlan_limit: int = 1,
        max_idle: float = MAX_IDLE,
        sweep: float = SWEEP_SECONDS,
    ) -> None:
        super().__init__(
            "ovs-userspace",
            bridge,
            UserspaceTracker(sweep=sweep),
            "userspace",
            trace=trace,
            vlan_limit=vlan_limit,
            max_idle=max_idle,
        )
