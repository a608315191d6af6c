"""What the switch does on each message: one row a message.

Each function gets the connection, the message and its transaction id; it answers through the
connection, or raises the refusal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from ovsct.agent.clock import nanoseconds
from ovsct.agent.meters import BAND_TYPES, FLAGS, MAX_BANDS, MAX_METERS
from ovsct.agent.rules import N_TABLES, Filter, Rule
from ovsct.agent.tables import MAX_FLOWS
from ovsct.openflow.actions import OFPP_ALL, OFPP_LOCAL, OFPP_MAX, OFPP_NONE
from ovsct.openflow.wire import messages as m
from ovsct.openflow.wire import multipart as s
from ovsct.openflow.wire.errors import WireError
from ovsct.openflow.wire.numbers import COOKIE_NONE, GROUP_ALL, GROUP_MAX, OF10, OF14

if TYPE_CHECKING:
    from ovsct.agent.session import Session
    from ovsct.openflow.group import Group

_FLOW_STATS, _TABLE_STATS, _PORT_STATS, _GROUP_STATS = 1, 2, 4, 8
_QUEUE_STATS, _ARP_MATCH_IP, _BUNDLES = 64, 128, 512
_ACTIONS10: Final = 0xFFF
_ACTIONS13: Final = 1 | sum(1 << bit for bit in (15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25))
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
            capabilities=capabilities
            | (_ARP_MATCH_IP if old else _GROUP_STATS)
            | (_BUNDLES if session.spoken >= OF14 else 0),
            actions=_ACTIONS10 if old else 0,
            ports=_all_ports(session) if old else (),
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
        session.wants.add("packet_in", 4)
    session.miss_send_len = message.miss_send_len


def _resume(session: Session, message: m.Resume, _: int) -> None:
    session.model.resume(message)


def _barrier(session: Session, _: m.BarrierRequest, xid: int) -> None:
    session.say(m.BarrierReply(), xid)


def _role(session: Session, message: m.RoleRequest, xid: int) -> None:
    session.take_role(message)
    session.say(
        m.RoleReply(session.role, session.generation_id(), message.variant), xid
    )


def _get_async(session: Session, _: m.AsyncRequest, xid: int) -> None:
    session.say(m.Async(**session.wants.bits), xid)


def _set_async(session: Session, message: m.SetAsync, _: int) -> None:
    session.wants.change(message, session.spoken)
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


def _group_mod(session: Session, message: m.GroupMod, xid: int) -> None:
    _refuse_secondary(session)
    told = session.change_group(message)
    session.forward(told, "group", xid)


def _meter_mod(session: Session, message: m.MeterMod, xid: int) -> None:
    _refuse_secondary(session)
    session.model.meter_mod(message)
    session.forward(message, "meter", xid)


def _table_mod(session: Session, message: m.TableMod, _: int) -> None:
    _refuse_secondary(session)
    session.model.tables.mod(message, session.spoken)


def _options(session: Session, _: m.TlvTableRequest, xid: int) -> None:
    session.say(session.model.options.reply(), xid)


def _options_mod(session: Session, message: m.TlvTableMod, _: int) -> None:
    _refuse_secondary(session)
    session.model.options.mod(message)


def _flush_zone(session: Session, message: m.FlushZone, _: int) -> None:
    session.model.flush_zone(message.zone)


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
    session.bundles.add(session, message, xid)


def _port_mod(session: Session, message: m.PortMod, _: int) -> None:
    _refuse_secondary(session)
    session.port_mod(message)


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


def _all_ports(session: Session) -> tuple[m.PortDesc, ...]:
    ports = session.model.ports
    return tuple(ports.desc(number) for number in ports.numbers())


def _local_first(ports: list[int]) -> list[int]:
    """As OVS lists the counters of ports."""
    return sorted(ports, key=lambda port: port != OFPP_LOCAL)


def _port_stats(session: Session, message: s.PortStatsRequest, xid: int) -> None:
    ports = session.model.ports
    chosen = _local_first(ports.chosen(message.port_no, everything=(OFPP_NONE,)))
    entries = tuple(ports.stats(number, session.model.now) for number in chosen)
    session.reply(s.PortStatsReply(entries), xid)


def _port_desc(session: Session, message: s.PortDescRequest, xid: int) -> None:
    ports = session.model.ports
    chosen = ports.chosen(message.port_no, everything=(OFPP_NONE,))
    session.reply(s.PortDescReply(tuple(ports.desc(number) for number in chosen)), xid)


# Queues ----------------------------------------------------------------------------------------


def _queued_ports(session: Session, port: int, queue: int) -> list[int]:
    """The ports whose queues a request means; raises WireError. A dummy port has but queue 0."""
    everything = (OFPP_NONE, OFPP_ALL) if session.spoken == OF10 else (OFPP_NONE,)
    chosen = session.model.ports.chosen(port, everything=everything)
    if not chosen:
        raise WireError("OFPQOFC_BAD_PORT", f"port {port}")
    if queue not in (0, _QUEUE_ALL):
        raise WireError("OFPQOFC_BAD_QUEUE", f"queue {queue}")
    return chosen


def _queues(session: Session, message: s.QueueStatsRequest, xid: int) -> None:
    unknown = COOKIE_NONE
    entries = tuple(
        s.QueueStats(
            port_no=number, queue_id=0, tx_bytes=unknown, tx_packets=unknown, tx_errors=unknown,
            duration=None,
        )
        for number in _local_first(_queued_ports(session, message.port_no, message.queue_id))
    )  # fmt: skip
    session.reply(s.QueueStatsReply(entries), xid)


def _queue_config(session: Session, message: m.QueueConfigRequest, xid: int) -> None:
    port = message.port_no
    if port >= OFPP_MAX and not (port == OFPP_NONE and session.spoken != OF10):
        raise WireError("OFPQOFC_BAD_PORT", f"port {port:#x}")
    chosen = _queued_ports(session, port, _QUEUE_ALL)
    queues = tuple(m.QueueDesc(port_no=number, queue_id=0) for number in chosen)
    session.say(m.QueueConfig(port, queues), xid)


def _queue_desc(session: Session, message: s.QueueDescRequest, xid: int) -> None:
    chosen = _queued_ports(session, message.port_no, message.queue_id)
    entries = tuple(m.QueueDesc(port_no=number, queue_id=0) for number in chosen)
    session.reply(s.QueueDescReply(entries), xid)


# Tables, groups, meters --------------------------------------------------------------------------


def _tables(session: Session, _: s.TableStatsRequest, xid: int) -> None:
    model = session.model
    counts = model.datapath.table_counts(model.bridge.place)
    entries = tuple(
        s.TableStats(
            table=number,
            name=model.tables.name(number),
            wildcards=_WILDCARDS10,
            max_entries=MAX_FLOWS,
            active_count=model.rules.table_size(number),
            lookup_count=counts.get(number, (0, 0))[0],
            matched_count=counts.get(number, (0, 0))[1],
        )
        for number in range(N_TABLES)
    )
    session.reply(s.TableStatsReply(entries), xid)


def _table_features(session: Session, message: s.TableFeaturesRequest, xid: int) -> None:
    tables = session.model.tables
    if message.entries:
        tables.change(message.entries, session.spoken)
    session.reply(s.TableFeaturesReply(tuple(tables.features(session.spoken))), xid)


def _table_desc(session: Session, _: s.TableDescRequest, xid: int) -> None:
    session.reply(s.TableDescReply(tuple(session.model.tables.descs())), xid)


def _chosen_groups(session: Session, ident: int) -> list[Group]:
    groups = session.model.bridge.groups
    wanted = list(groups) if ident == GROUP_ALL else [ident]
    return [groups[each] for each in wanted if each in groups]


def _group_desc(session: Session, message: s.GroupDescRequest, xid: int) -> None:
    entries = tuple(
        s.GroupDesc(
            group_id=group.group_id, type=group.type, buckets=group.buckets,
            selection_method=group.selection_method,
            selection_method_param=group.selection_method_param, fields=group.fields,
        )
        for group in _chosen_groups(session, message.group_id)
    )  # fmt: skip
    session.reply(s.GroupDescReply(entries), xid)


def _group_stats(session: Session, message: s.GroupStatsRequest, xid: int) -> None:
    model = session.model
    entries = tuple(
        model.groups.stats(group, model.now) for group in _chosen_groups(session, message.group_id)
    )
    session.reply(s.GroupStatsReply(entries), xid)


def _group_features(session: Session, _: s.GroupFeaturesRequest, xid: int) -> None:
    actions = _ACTIONS10 if session.spoken == OF10 else _ACTIONS13
    session.reply(s.GroupFeatures(0b1111, 0b0111, (GROUP_MAX,) * 4, (actions,) * 4), xid)


def _meter_features(session: Session, _: s.MeterFeaturesRequest, xid: int) -> None:
    session.reply(
        s.MeterFeatures(
            max_meter=MAX_METERS, band_types=BAND_TYPES, capabilities=FLAGS, max_bands=MAX_BANDS
        ),
        xid,
    )


def _meter_config(session: Session, message: s.MeterConfigRequest, xid: int) -> None:
    meters = session.model.meters
    entries = tuple(meters.configs[ident] for ident in meters.chosen(message.meter_id))
    session.reply(s.MeterConfigReply(entries), xid)


def _meter_stats(session: Session, message: s.MeterStatsRequest, xid: int) -> None:
    model = session.model
    chosen = model.meters.chosen(message.meter_id)
    entries = tuple(model.meters.stats(ident, model.now) for ident in chosen)
    session.reply(s.MeterStatsReply(entries), xid)


def _monitor(session: Session, message: s.FlowMonitorRequest, xid: int) -> None:
    session.monitor(message, xid)


def _cancel(session: Session, message: m.MonitorCancel, _: int) -> None:
    session.cancel_monitor(message.monitor_id)


def _ipfix(_session: Session, _: s.IpfixRequest, _xid: int) -> None:
    raise WireError("NXST_NOT_CONFIGURED", "there is no IPFIX")


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
    m.MeterMod: _meter_mod,
    m.TableMod: _table_mod,
    m.FlushZone: _flush_zone,
    m.TlvTableRequest: _options,
    m.TlvTableMod: _options_mod,
    m.QueueConfigRequest: _queue_config,
    m.PacketOut: _packet_out,
    m.Resume: _resume,
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
    s.QueueDescRequest: _queue_desc,
    s.TableDescRequest: _table_desc,
    s.MeterConfigRequest: _meter_config,
    s.MeterStatsRequest: _meter_stats,
    s.GroupStatsRequest: _group_stats,
    s.GroupDescRequest: _group_desc,
    s.GroupFeaturesRequest: _group_features,
    m.MonitorCancel: _cancel,
    s.FlowMonitorRequest: _monitor,
    s.IpfixRequest: _ipfix,
    s.MeterFeaturesRequest: _meter_features,
}
"""What is done on each message; one that is not here is no request."""
