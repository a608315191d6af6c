"""The lane ``ovs-kernel``: the same pipeline over openvswitch.ko and netfilter's conntrack."""

from __future__ import annotations

from collections.abc import Mapping

from ovsct.bridge.bridge import Bridge
from ovsct.bridge.datapath import MAX_IDLE
from ovsct.conntrack.netfilter.core import Netfilter
from ovsct.conntrack.ovs_kernel import OvsKernelTracker
from ovsct.lanes.control import Policies, ZoneLimits, set_up
from ovsct.lanes.ovs import OvsLane


class OvsKernel(OvsLane):
    """The kernel datapath; `netfilter` is the conntrack that it shares with others, if given.

    `sysctls` are those of netfilter that are not at their default (:mod:`.sysctls`), such as
    ``max``; `zone_limits` and `timeout_policies` as for the lane ``ovs-userspace``.
    """

    def __init__(
        self,
        bridge: Bridge,
        *,
        kernel: str = "6.1",
        netfilter: Netfilter | None = None,
        trace: bool = False,
        vlan_limit: int = 1,
        max_idle: float = MAX_IDLE,
        sysctls: Mapping[str, int] | None = None,
        zone_limits: ZoneLimits | None = None,
        timeout_policies: Policies | None = None,
    ) -> None:
        if netfilter is None:
            netfilter = Netfilter(kernel, None, **(sysctls or {}))
        self.netfilter = netfilter
        tracker = OvsKernelTracker(netfilter)
        set_up(tracker, zone_limits, timeout_policies)
        super().__init__(
            "ovs-kernel",
            bridge,
            tracker,
            "kernel",
            trace=trace,
            vlan_limit=vlan_limit,
            max_idle=max_idle,
        )

    def conntrack_statistics(self) -> list[str]:
        """What netfilter counted of its own work, as ``conntrack -S`` prints it."""
        return [self.netfilter.stat.line()]
