"""The lane ``ovs-kernel``: the same pipeline over openvswitch.ko and netfilter's conntrack."""

from __future__ import annotations

from ovsct.bridge.bridge import Bridge
from ovsct.bridge.datapath import MAX_IDLE
from ovsct.conntrack.netfilter.core import Netfilter
from ovsct.conntrack.ovs_kernel import OvsKernelTracker
from ovsct.lanes.ovs import OvsLane


class OvsKernel(OvsLane):
    """The kernel datapath; `netfilter` is the conntrack that it shares with others, if given."""

    def __init__(
        self,
        bridge: Bridge,
        *,
        kernel: str = "6.1",
        netfilter: Netfilter | None = None,
        trace: bool = False,
        vlan_limit: int = 1,
        max_idle: float = MAX_IDLE,
    ) -> None:
        self.netfilter = netfilter if netfilter is not None else Netfilter(kernel=kernel)
        super().__init__(
            "ovs-kernel",
            bridge,
            OvsKernelTracker(self.netfilter),
            "kernel",
            trace=trace,
            vlan_limit=vlan_limit,
            max_idle=max_idle,
        )
