"""The bridge: what is configured. Tables, groups, ports, and the options that translation reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from ovsct.bridge.bridges import Bridges, Changes
from ovsct.bridge.eviction import Limit
from ovsct.bridge.flow_tables import FlowTables
from ovsct.bridge.mac_learning import MacTable
from ovsct.bridge.recirculate import RecircIds
from ovsct.errors import InputError
from ovsct.openflow.actions import OFPP_LOCAL
from ovsct.openflow.flow import Flow
from ovsct.openflow.tlv import TlvMap, fit_flow

if TYPE_CHECKING:
    from ovsct.openflow.group import Group
    from ovsct.openflow.meter import Meter

_STP = 0x0180C2000000
"""Where switches send spanning tree's frames."""

FRAG_MODES = ("normal", "drop", "nx-match")


class Bridge:
    """An Open vSwitch bridge as configured.

    Args:
        ports: OpenFlow port numbers. The datapath's numbers are the same, unless the bridge is
            joined with others (:func:`ovsct.bridge.bridges.join`).
        flows: the OpenFlow flows; of two with the same match and priority the later one stays.
        groups: the groups.
        meters: the meters; the datapath numbers them from 0 as they come.
        name: its name.
        frag_mode: ``normal``, ``drop`` or ``nx-match`` (``ovs-ofctl set-frags``).
        zone_timeouts: names of timeout policies by conntrack zone.
        limits: how many flows tables hold, and whether they evict.
        tlv_map: the Geneve options that tun_metadata0 to 63 are (``ovs-ofctl add-tlv-map``).

    Of `meters` one that is gone leaves a None. `ports_down` holds ports without a link (see
    :meth:`set_port_state`), `deaf`, `deaf_to_stp`, `mute` and `not_flooded` those that do not do
    what :meth:`configure_port` says. `max_hash_algorithm` is the last of the algorithms for dp_hash
    that the datapath has (0: L4, 1: symmetric L4). `backer` are the bridges of the same datapath,
    this one included; `peers` are the ends of its patch ports, and `numbers` the datapath's numbers
    of its other ports where they are others; `place` says the how many'th it is, from 0.

    Raises:
        InputError: a flow overlaps another and asks not to; an unknown fragment mode.
    """

    def __init__(
        self,
        ports: Iterable[int],
        flows: Iterable[Flow] = (),
        groups: Iterable[Group] = (),
        *,
        meters: Iterable[Meter] = (),
        name: str = "br0",
        frag_mode: str = "normal",
        zone_timeouts: Mapping[int, str] | None = None,
        limits: Mapping[int, Limit] | None = None,
        tlv_map: TlvMap | None = None,
    ) -> None:
        if frag_mode not in FRAG_MODES:
            raise InputError(
                "unknown fragment mode", token=frag_mode, expected=", ".join(FRAG_MODES)
            )
        self.name = name
        self.ports = sorted(set(ports))
        self._outputs = frozenset((*self.ports, OFPP_LOCAL))
        self.frag_mode = frag_mode
        self.zone_timeouts: dict[int, str] = dict(zone_timeouts or {})
        self.tlv_map: TlvMap = dict(tlv_map or {})
        self.changes = Changes()
        self.flow_tables = FlowTables(self.changes)
        self.tables = self.flow_tables.tables
        self.groups: dict[int, Group] = {group.group_id: group for group in groups}
        self.meters: list[Meter | None] = list(meters)
        self.recirc = RecircIds()
        self.kernel_queues = False
        self.kernel_masks = False
        """Whether the kernel's datapath takes the flows, with its own idea of masks of nothing."""
        self.max_hash_algorithm = 1
        self.ports_down: set[int] = set()
        self.deaf: set[int] = set()
        self.deaf_to_stp: set[int] = set()
        self.mute: set[int] = set()
        self.not_flooded: set[int] = set()
        self.fdb = MacTable(self.changes)
        self.numbers: dict[int, int] = {}
        self.peers: dict[int, tuple[Bridge, int]] = {}
        self.own_number = OFPP_LOCAL
        self.place = 0
        self.backer = Bridges((self,))
        self.flow_tables.limits.update(limits or {})
        for flow in flows:
            self.add_flow(flow)

    def share(self, other: Bridge) -> None:
        """Have recirculation ids, and the count of changes, in common with `other`."""
        self.recirc = other.recirc
        self.changes = self.flow_tables.shared = self.fdb.shared = other.changes

    def add_flow(self, flow: Flow) -> None:
        """Add a flow, in place of one with the same match and priority if there is one.

        Raises:
            InputError: it overlaps another and asks not to (``check_overlap``), its table is full,
                or it names a Geneve option that is not mapped.
        """
        tables = self.flow_tables
        flow = fit_flow(flow, self.tlv_map)
        if "check_overlap" in flow.flags and tables.overlaps(flow):
            raise InputError(
                "the flow overlaps another (OFPFMFC_OVERLAP)", file=flow.file, line=flow.line,
                token=flow.text or None,
            )  # fmt: skip
        tables.add(flow)

    def has_port(self, port: int) -> bool:
        """Whether an output to `port` goes anywhere."""
        return port in self._outputs

    def datapath_port(self, port: int) -> int:
        """The datapath's number of a port that is no patch port."""
        return self.own_number if port == OFPP_LOCAL else self.numbers.get(port, port)

    def set_port_state(self, port: int, up: bool) -> None:
        """Take the link of a port up or down: who watches it decides again."""
        if up:
            self.ports_down.discard(port)
        else:
            self.ports_down.add(port)
        self.changes.tables += 1

    def datapath_meter(self, meter_id: int) -> int | None:
        """The datapath's number of a meter, None if there is no such meter."""
        for number, meter in enumerate(self.meters):
            if meter is not None and meter.meter_id == meter_id:
                return number
        return None

    def is_alive(self, port: int) -> bool:
        """Whether `port` is there and up: what group buckets and bundles ask.

        The controller is alive while one is connected; here none ever is.
        """
        return port in self._outputs and port not in self.ports_down

    def configure_port(
        self, port: int, *, receives: bool, receives_stp: bool, floods: bool, forwards: bool
    ) -> None:
        """What a port does (OFPPC_NO_RECV, _NO_RECV_STP, _NO_FLOOD, _NO_FWD)."""
        for does, those_not in (
            (receives, self.deaf), (receives_stp, self.deaf_to_stp), (floods, self.not_flooded),
            (forwards, self.mute),
        ):  # fmt: skip
            if does:
                those_not.discard(port)
            else:
                those_not.add(port)
        self.changes.tables += 1

    def may_receive(self, port: int, address: int) -> bool:
        """Whether a frame to `address` is taken on `port` (OVS may_receive())."""
        return port not in (self.deaf_to_stp if address == _STP else self.deaf)

    def all_order(self) -> tuple[int, ...]:
        """The ports in the order in which ALL reaches them."""
        return (*self.ports, OFPP_LOCAL)

    def flood_order(self) -> tuple[int, ...]:
        """The ports in the order in which FLOOD reaches them."""
        if not self.not_flooded:
            return (*self.ports, OFPP_LOCAL)
        return tuple(port for port in self.all_order() if port not in self.not_flooded)

    def queue_priority(self, queue: int) -> int | None:
        """The skb priority that stands for a queue; None if there is no such queue.

        OVS ``dpif_netdev_queue_to_priority()`` and ``dpif_netlink_queue_to_priority()``: in a
        kernel it is a class of the qdisc 1:.
        """
        if not self.kernel_queues:
            return queue
        return 0x10000 | (queue + 1) if queue < 0xF000 else None
