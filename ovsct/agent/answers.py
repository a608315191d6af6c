"""What the switch does on each message: one row a message.

Each function gets the connection, the message and its transaction id; it answers through the
connection, or raises the refusal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from ovsct.agent.clock import nanoseconds
from ovsct.agent.rules import N_TABLES, Filter, Rule
from ovsct.openflow.actions import OFPP_ALL, OFPP_LOCAL, OFPP_NONE
from ovsct.openflow.wire import messages as m
from ovsct.openflow.wire import multipart as s
from ovsct.openflow.wire.errors import WireError
from ovsct.openflow.wire.numbers import COOKIE_NONE, GROUP_ALL, GROUP_MAX, OF10
from ovsct.openflow.wire.table_features import table_properties

if TYPE_CHECKING:
    from ovsct.agent.session import Session

_FLOW_STATS, _TABLE_STATS, _PORT_STATS, _GROUP_STATS = 1, 2, 4, 8
_QUEUE_STATS, _ARP_MATCH_IP = 64, 128
_ACTIONS10: Final = 0xFFF
_ACTIONS13: Final = 1 | sum(1 << bit for bit in (15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25))
_MAX_FLOWS: Final = 1_000_000
_WILDCARDS10: Final = (1 << 22) - 1
_QUEUE_ALL: Final = 0xFFFFFFFF

DESCRIPTION: Final = s.DescReply(
    mfr_desc="ovsct", hw_desc="modelled Open vSwitch", sw_desc="3.1.0", serial_num="None",
    dp_desc="None",
)  # fmt: skip


# The connection --------------------------------------------------------------------------------


def _nothing(_: Session, _message: Any, _xid: int) -> None:
    """There is nothing to do about it."""


def _echo(session: Session, message: m.EchoRequest, xid: int) -> None:
    session.say(m.EchoReply(message.data), xid)


def _features(session: Session, _: m.FeaturesRequest, xid: int) -> None:
    old = session.spoken == OF10
    capabilities = _FLOW_STATS | _TABLE_STATS | _PORT_STATS | _QUEUE_STATS
    session.say(
        m.Features(
            datapath_id=session.model.datapath_id,
            n_tables=N_TABLES,
            capabilities=capabilities | (_ARP_MATCH_IP if old else _GROUP_STATS),
            actions=_ACTIONS10 if old else 0,
            ports=session.model.ports() if old else (),
        ),
        xid,
    )


def _get_config(session: Session, _: m.ConfigRequest, xid: int) -> None:
    flags = session.model.config_flags
    if session.invalid_ttl and session.spoken == OF10:
        flags |= 4
    session.say(m.Config(flags, session.miss_send_len), xid)


def _set_config(session: Session, message: m.SetConfig, _: int) -> None:
    known = 7 if session.spoken == OF10 else 3
    if message.flags & ~known:
        raise WireError("OFPSCFC_BAD_FLAGS", f"configuration flags {message.flags:#x}")
    if session.role != "secondary":
        session.model.set_fragments(message.flags)
    session.invalid_ttl = bool(message.flags & 4)
    if session.invalid_ttl:
        session.packet_in_bits = (session.packet_in_bits[0] | 4, session.packet_in_bits[1])
    session.miss_send_len = message.miss_send_len


def _barrier(session: Session, _: m.BarrierRequest, xid: int) -> None:
    session.say(m.BarrierReply(), xid)


def _role(session: Session, message: m.RoleRequest, xid: int) -> None:
    session.take_role(message)
    session.say(
        m.RoleReply(session.role, session.generation_id(), message.variant), xid
    )


def _get_async(session: Session, _: m.AsyncRequest, xid: int) -> None:
    session.say(m.Async(session.packet_in_bits, session.port_bits, session.removed_bits), xid)


def _set_async(session: Session, message: m.SetAsync, _: int) -> None:
    session.packet_in_bits = message.packet_in
    session.port_bits = message.port_status
    session.removed_bits = message.flow_removed
    if not session.miss_send_len:
        session.miss_send_len = 128


def _set_flow_format(session: Session, message: m.SetFlowFormat, _: int) -> None:
    if message.format not in (0, 2):
        raise WireError("OFPBRC_EPERM", f"flow format {message.format}")
    session.nxm = message.format == 2


def _table_id(session: Session, message: m.FlowModTableId, _: int) -> None:
    session.table_ids = bool(message.on)


def _packet_in_format(session: Session, message: m.SetPacketInFormat, _: int) -> None:
    session.packet_in_format(message.format)


def _controller_id(session: Session, message: m.SetControllerId, _: int) -> None:
    session.controller_id = message.controller_id


# What changes the switch -----------------------------------------------------------------------


def _refuse_secondary(session: Session) -> None:
    if session.role == "secondary":
        raise WireError("OFPBRC_IS_SECONDARY", "a secondary controller only reads")


def _flow_mod(session: Session, message: m.FlowMod, _: int) -> None:
    _refuse_secondary(session)
    session.model.flow_mod(message, session.spoken)


def _group_mod(session: Session, message: m.GroupMod, _: int) -> None:
    _refuse_secondary(session)
    session.model.group_mod(message)


def _packet_out(session: Session, message: m.PacketOut, _: int) -> None:
    _refuse_secondary(session)
    session.model.packet_out(message)


def _bundle_control(session: Session, message: m.BundleControl, xid: int) -> None:
    _refuse_secondary(session)
    session.bundles.control(session, message)
    step = f"{message.step}_reply"
    session.say(m.BundleControl(message.bundle_id, step), xid)


def _bundle_add(session: Session, message: m.BundleAdd, xid: int) -> None:
    _refuse_secondary(session)
    session.bundles.add(message, session.spoken, xid)


def _port_mod(session: Session, message: m.PortMod, _: int) -> None:
    _refuse_secondary(session)
    if message.port_no not in session.model.port_numbers():
        raise WireError("OFPPMFC_BAD_PORT", f"port {message.port_no}")
    if message.hw_addr != session.model.port(message.port_no).hw_addr:
        raise WireError("OFPPMFC_BAD_HW_ADDR", f"port {message.port_no} has another address")
    if message.config & message.mask:
        raise WireError("OFPBRC_EPERM", "the configuration of ports is not modelled")


# Questions -------------------------------------------------------------------------------------


def _desc(session: Session, _: s.DescRequest, xid: int) -> None:
    session.reply(DESCRIPTION, xid)


def _filter(message: s.FlowStatsRequest | s.AggregateRequest) -> Filter:
    return Filter(
        message.table, message.match, None, message.cookie, message.cookie_mask,
        message.out_port, message.out_group,
    )  # fmt: skip


def _flow_entry(rule: Rule, packets: int, size: int, now: float) -> s.FlowStats:
    flow = rule.flow
    return s.FlowStats(
        table=flow.table,
        match=flow.match,
        priority=flow.priority,
        actions=flow.actions,
        duration=nanoseconds(now - rule.created),
        idle_timeout=flow.idle_timeout,
        hard_timeout=flow.hard_timeout,
        importance=flow.importance,
        flags=flow.flags,
        idle_age=int(max(now - rule.used, 0)),
        hard_age=int(max(now - rule.modified, 0)),
        cookie=flow.cookie,
        packet_count=packets,
        byte_count=size,
    )


def _flows(session: Session, message: s.FlowStatsRequest, xid: int) -> None:
    found = session.model.flows(_filter(message))
    now = session.model.now
    entries = tuple(_flow_entry(rule, packets, size, now) for rule, packets, size in found)
    session.reply(s.FlowStatsReply(entries, message.variant), xid)


def _aggregate(session: Session, message: s.AggregateRequest, xid: int) -> None:
    found = session.model.flows(_filter(message))
    packets, size = sum(each[1] for each in found), sum(each[2] for each in found)
    session.reply(s.AggregateReply(packets, size, len(found), message.variant), xid)


def _tables(session: Session, _: s.TableStatsRequest, xid: int) -> None:
    counts = session.model.datapath.table_counts()
    entries = tuple(
        s.TableStats(
            table=number,
            name="",
            wildcards=_WILDCARDS10,
            max_entries=_MAX_FLOWS,
            active_count=session.model.rules.table_size(number),
            lookup_count=counts.get(number, (0, 0))[0],
            matched_count=counts.get(number, (0, 0))[1],
        )
        for number in range(N_TABLES)
    )
    session.reply(s.TableStatsReply(entries), xid)


def _chosen_ports(session: Session, number: int, *, everything: tuple[int, ...]) -> list[int]:
    """The ports that a request means, LOCAL first as OVS lists them; none if there is no such."""
    ports = session.model.port_numbers()
    if number in everything:
        return [OFPP_LOCAL, *ports[:-1]]
    return [number] if number in ports else []


def _port_stats(session: Session, message: s.PortStatsRequest, xid: int) -> None:
    chosen = _chosen_ports(session, message.port_no, everything=(OFPP_NONE,))
    entries = tuple(session.model.port_stats(number) for number in chosen)
    session.reply(s.PortStatsReply(entries), xid)


def _port_desc(session: Session, _: s.PortDescRequest, xid: int) -> None:
    session.reply(s.PortDescReply(session.model.ports()), xid)


def _queues(session: Session, message: s.QueueStatsRequest, xid: int) -> None:
    everything = (OFPP_ALL, OFPP_NONE)
    chosen = _chosen_ports(session, message.port_no, everything=everything)
    if not chosen:
        raise WireError("OFPQOFC_BAD_PORT", f"port {message.port_no}")
    if message.queue_id not in (0, _QUEUE_ALL):
        raise WireError("OFPQOFC_BAD_QUEUE", f"queue {message.queue_id}")
    # A dummy port has one queue, of which nothing is known.
    unknown = COOKIE_NONE
    entries = tuple(
        s.QueueStats(
            port_no=number, queue_id=0, tx_bytes=unknown, tx_packets=unknown, tx_errors=unknown,
            duration=None,
        )
        for number in chosen
    )  # fmt: skip
    session.reply(s.QueueStatsReply(entries), xid)


def _table_features(session: Session, message: s.TableFeaturesRequest, xid: int) -> None:
    if message.data:
        raise WireError("OFPTFFC_EPERM", "tables are what they are")
    entries = tuple(
        s.TableFeatures(
            table=number,
            name="",
            properties=table_properties(session.spoken, number, N_TABLES),
        )
        for number in range(N_TABLES)
    )
    session.reply(s.TableFeaturesReply(entries), xid)


def _group_desc(session: Session, _: s.GroupDescRequest, xid: int) -> None:
    entries = tuple(
        s.GroupDesc(group.group_id, group.type, group.buckets)
        for group in session.model.bridge.groups.values()
    )
    session.reply(s.GroupDescReply(entries), xid)


def _group_stats(session: Session, message: s.GroupStatsRequest, xid: int) -> None:
    model = session.model
    wanted = list(model.bridge.groups) if message.group_id == GROUP_ALL else [message.group_id]
    users = [rule.flow for rule in model.rules]
    entries = []
    for ident in wanted:
        group = model.bridge.groups.get(ident)
        if group is None:
            continue
        entries.append(
            s.GroupStats(
                group_id=ident,
                ref_count=sum(ident in model.groups_named(flow) for flow in users),
                duration=nanoseconds(model.now - model.group_times[ident]),
                packet_count=COOKIE_NONE,
                byte_count=COOKIE_NONE,
                buckets=tuple(s.Counter(COOKIE_NONE, COOKIE_NONE) for _ in group.buckets),
            )
        )
    session.reply(s.GroupStatsReply(tuple(entries)), xid)


def _group_features(session: Session, _: s.GroupFeaturesRequest, xid: int) -> None:
    actions = _ACTIONS13
    session.reply(s.GroupFeatures(0b1111, 0b0111, (GROUP_MAX,) * 4, (actions,) * 4), xid)


def _meter_features(session: Session, _: s.MeterFeaturesRequest, xid: int) -> None:
    session.reply(s.MeterFeatures(), xid)


ANSWERS: Final[dict[type, Callable[[Any, Any, int], None]]] = {
    m.Hello: _nothing,
    m.Error: _nothing,
    m.EchoRequest: _echo,
    m.EchoReply: _nothing,
    m.FeaturesRequest: _features,
    m.ConfigRequest: _get_config,
    m.SetConfig: _set_config,
    m.FlowMod: _flow_mod,
    m.GroupMod: _group_mod,
    m.PacketOut: _packet_out,
    m.PortMod: _port_mod,
    m.BundleControl: _bundle_control,
    m.BundleAdd: _bundle_add,
    m.BarrierRequest: _barrier,
    m.RoleRequest: _role,
    m.AsyncRequest: _get_async,
    m.SetAsync: _set_async,
    m.SetFlowFormat: _set_flow_format,
    m.FlowModTableId: _table_id,
    m.SetPacketInFormat: _packet_in_format,
    m.SetControllerId: _controller_id,
    m.FlowAge: _nothing,
    s.DescRequest: _desc,
    s.FlowStatsRequest: _flows,
    s.AggregateRequest: _aggregate,
    s.TableStatsRequest: _tables,
    s.TableFeaturesRequest: _table_features,
    s.PortStatsRequest: _port_stats,
    s.PortDescRequest: _port_desc,
    s.QueueStatsRequest: _queues,
    s.GroupStatsRequest: _group_stats,
    s.GroupDescRequest: _group_desc,
    s.GroupFeaturesRequest: _group_features,
    s.MeterFeaturesRequest: _meter_features,
}
"""What is done on each message; one that is not here is no request."""
