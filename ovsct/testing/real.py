"""The bridge of a test on a real ovs-vswitchd, where there is one: same words, same answers."""

from __future__ import annotations

from collections.abc import Sequence

from ovsct.lane import Change
from ovsct.openflow.flow import Flow
from ovsct.openflow.group import Group
from ovsct.openflow.text.flow_text import format_flow, read_flows
from ovsct.openflow.text.group_text import format_group
from ovsct.oracle.real_ovs import RealOvs
from ovsct.testing.bridge import OvsBridge


class RealOvsBridge(OvsBridge):
    """An :class:`OvsBridge` that a private ovs-vswitchd forwards, with its dummy datapath.

    It tells neither steps, nor engines, nor why a packet was dropped, nor what time brought.

    Args:
        real: the program; all that it holds goes.
    """

    def __init__(self, real: RealOvs) -> None:
        self._real = real
        self._groups: set[int] = set()
        real.reset()
        self._begin(real, real.ports)

    def _add(self, flows: Sequence[Flow]) -> None:
        self._real.add_flows([format_flow(flow) for flow in flows])

    def _change(self, change: Change) -> None:
        self._real.change(change)

    def _stats(self) -> list[tuple[Flow, int, int]]:
        self._real.settle()
        flows = read_flows(self._real.openflow("dump-flows"))
        return [
            (flow, flow.stats.n_packets, flow.stats.n_bytes)
            for flow in flows
            if flow.stats is not None
        ]

    def _group_numbers(self) -> set[int]:
        return self._groups

    def _put_groups(self, groups: Sequence[Group]) -> None:
        for group in groups:
            command = "mod-group" if group.group_id in self._groups else "add-group"
            self._real.openflow(command, format_group(group))
            self._groups.add(group.group_id)
        self._real.settle()

    def _remove_groups(self, numbers: set[int]) -> None:
        for number in numbers:
            self._real.openflow("del-groups", f"group_id={number}")
        self._groups -= numbers
        self._real.settle()

    def dump_datapath_flows(self) -> list[str]:
        """The megaflows, as ``ovs-appctl dpctl/dump-flows`` writes them."""
        return self._real.dump_flows()
