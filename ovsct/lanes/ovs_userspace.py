"""The lane ``ovs-userspace``: pipeline, megaflows, and OVS's own conntrack."""

from __future__ import annotations

from ovsct.bridge.bridge import Bridge
from ovsct.bridge.datapath import MAX_IDLE
from ovsct.conntrack.userspace import UserspaceTracker
from ovsct.conntrack.userspace_state import MAX_CONNECTIONS
from ovsct.conntrack.userspace_table import SWEEP_SECONDS
from ovsct.lanes.control import Policies, ZoneLimits, set_up
from ovsct.lanes.ovs import OvsLane


class OvsUserspace(OvsLane):
    """The userspace datapath of ovs-vswitchd (netdev, dummy), version 3.1.

    `sweep` is in seconds, from one sweep of conntrack to the next; `maxconns` the limit on all
    connections (``dpctl/ct-set-maxconns``); `zone_limits` those by zone or ``default``
    (``dpctl/ct-set-limits``); `timeout_policies` what zones may have in ``zone_timeouts``: name
    to attribute to seconds (``ovs-vsctl add-zone-tp``).
    """

    def __init__(
        self,
        bridge: Bridge,
        *,
        trace: bool = False,
        vlan_limit: int = 1,
        max_idle: float = MAX_IDLE,
        sweep: float = SWEEP_SECONDS,
        maxconns: int = MAX_CONNECTIONS,
        zone_limits: ZoneLimits | None = None,
        timeout_policies: Policies | None = None,
    ) -> None:
        tracker = UserspaceTracker(sweep=sweep, max_connections=maxconns)
        set_up(tracker, zone_limits, timeout_policies)
        super().__init__(
            "ovs-userspace",
            bridge,
            tracker,
            "userspace",
            trace=trace,
            vlan_limit=vlan_limit,
            max_idle=max_idle,
        )
