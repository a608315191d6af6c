"""One of each message, with numbers that differ from each other: a swap of two would show."""

from __future__ import annotations

from typing import Any

from ovsct.openflow.actions import OFPP_LOCAL, OFPP_NONE
from ovsct.openflow.group import Bucket, GroupType
from ovsct.openflow.text.flow_text import parse_flow
from ovsct.openflow.wire import messages as m
from ovsct.openflow.wire import multipart as s
from ovsct.openflow.wire.codec import encode
from ovsct.openflow.wire.continuation import Continuation, Stretch
from ovsct.openflow.wire.table_features import table_properties
from ovsct.packet.fields import FIELDS

FLOW = parse_flow(
    "table=3,priority=7,tcp,in_port=5,nw_src=10.0.0.0/8,reg0=0x7/0xff,actions=load:5->NXM_NX_REG1[],2"
)
OLD = parse_flow("tcp,in_port=5,nw_src=10.0.0.0/8,tp_dst=80,dl_vlan=9,actions=mod_nw_tos:8,3")
INSTRUCTIONS = parse_flow("tcp,actions=set_field:9->tcp_dst,2,write_actions(output:3),goto_table:9")
BESIDE = parse_flow("reg0=7,metadata=9,actions=drop").match
PORT = m.PortDesc(port_no=5, hw_addr=0x0123456789AB, name="p5", state=1, curr=0x41, supported=7)
FAST = m.PortDesc(port_no=OFPP_LOCAL, hw_addr=0x0123456789AB, name="br0", config=1,
                  curr_speed=99, max_speed=100)  # fmt: skip
BUCKETS = (
    Bucket(bucket_id=0, actions=OLD.actions[1:], weight=3),
    Bucket(bucket_id=1, actions=FLOW.actions[1:], weight=4, watch_port=2, watch_group=9),
)
BANDS = (
    m.MeterBand(type="drop", rate=5, burst_size=6),
    m.MeterBand(type="dscp_remark", rate=7, burst_size=8, prec_level=9),
)
COUNTERS = {
    "rx_packets": 1, "tx_packets": 2, "rx_bytes": 3, "tx_bytes": 4, "rx_dropped": 5,
    "tx_dropped": 6, "rx_errors": 7,
    "tx_errors": 8, "rx_frame_err": 9, "rx_over_err": 10, "rx_crc_err": 11, "collisions": 12,
}  # fmt: skip
FILTER: dict[str, Any] = {"table": 3, "match": FLOW.match, "out_port": 4, "cookie": 5,
"cookie_mask": 7}
REST = parse_flow("actions=resubmit(,5),2").actions
PAUSED = Continuation(
    bridge=bytes(range(16)), stack=(b"\x01", b"\x00\x07"), conntracked=True,
    actions=(Stretch(0, 5, REST), Stretch(3, 0x77, REST[1:])), action_set=REST[1:], port=6,
)  # fmt: skip
ECHO = bytes.fromhex("0102000800000001")
SECONDS = 5_250_000_000


OPTIONS = (m.TlvMapping(0xFFFF, 0, 4, 0), m.TlvMapping(0x102, 0x80, 124, 63))


def _flow_mods(version: int) -> list[Any]:
    common: dict[str, Any] = {
        "table": 3, "priority": 9, "idle_timeout": 11, "hard_timeout": 12, "out_port": 13,
        "flags": frozenset({"send_flow_rem"}),
    }  # fmt: skip
    if version == 1:
        return [
            m.FlowMod(command="modify", match=OLD.match, actions=OLD.actions, new_cookie=8,
                      modify_cookie=True, **common),
            m.FlowMod(command="delete_strict", match=FLOW.match, cookie=5, cookie_mask=7,
                      new_cookie=8, modify_cookie=True, variant="nx", **common),
            m.FlowMod(command="modify", match=FLOW.match, actions=FLOW.actions, new_cookie=8,
                      modify_cookie=True, variant="nx", **common),
        ]  # fmt: skip
    return [
        m.FlowMod(command="add", match=FLOW.match, actions=INSTRUCTIONS.actions, new_cookie=8,
                  importance=14 if version >= 5 else 0, **common),
        m.FlowMod(command="delete", match=FLOW.match, cookie=5, cookie_mask=7, out_group=3,
                  new_cookie=(1 << 64) - 1, **common),
    ]  # fmt: skip


def _packets(version: int) -> list[Any]:
    data = bytes(range(60))
    metadata = parse_flow("in_port=5,actions=drop").match
    rich = parse_flow("in_port=5,reg0=7,metadata=9,ct_state=+trk+new,ct_mark=6,actions=drop").match
    packet: dict[str, Any] = {"data": data, "total_len": 60}
    found: list[Any] = [
        m.PacketIn(match=rich, reason="no_match", table=4, cookie=9, variant="nx", **packet),
        m.PacketIn(match=rich, table=4, cookie=9, userdata=b"abc", variant="nx2", **packet),
        m.PacketIn(match=rich, continuation=PAUSED, variant="nx2", **packet),
        m.Resume(match=rich, table=4, cookie=9, continuation=PAUSED, **packet),
        m.PacketOut(in_port=OFPP_NONE, actions=OLD.actions[1:], data=data,
                    match=BESIDE if version >= 6 else m.Match()),
    ]  # fmt: skip
    if version == 1:
        return [*found, m.PacketIn(match=metadata, reason="invalid_ttl", **packet)]
    reason = "group" if version >= 5 else "invalid_ttl"
    return [*found, m.PacketIn(match=rich, reason=reason, table=4, cookie=9, **packet)]


def _removed(version: int) -> list[Any]:
    common: dict[str, Any] = {
        "priority": 9, "reason": "hard", "cookie": 7, "duration": SECONDS, "idle_timeout": 11,
        "packet_count": 3,
        "byte_count": 4,
    }  # fmt: skip
    nx = m.FlowRemoved(match=FLOW.match, table=3, variant="nx", **common)
    if version == 1:
        return [nx, m.FlowRemoved(match=OLD.match, **common)]
    return [nx, m.FlowRemoved(match=FLOW.match, table=3, hard_timeout=12, **common)]


def _stats(version: int) -> list[Any]:
    entry: dict[str, Any] = {
        "table": 3, "priority": 9, "duration": SECONDS, "idle_timeout": 11,
        "hard_timeout": 12, "cookie": 7,
        "packet_count": 3, "byte_count": 4,
    }  # fmt: skip
    port: dict[str, Any] = {"port_no": 5, **COUNTERS}
    if version >= 5:
        port.update(by_length=tuple(range(21)), custom=(("one", 1), ("another", 2)))
    unknown = 0 if version == 1 else None
    queue = s.QueueStats(port_no=5, queue_id=6, tx_bytes=7, tx_packets=8, tx_errors=9,
                         duration=unknown)  # fmt: skip
    group = s.GroupStats(group_id=3, ref_count=4, packet_count=5, byte_count=6, duration=SECONDS,
                         buckets=(s.Counter(7, 8),))  # fmt: skip
    found: list[Any] = [
        s.DescRequest(),
        s.DescReply(mfr_desc="a", hw_desc="b", sw_desc="c", serial_num="d", dp_desc="e"),
        s.TableStatsRequest(), s.PortStatsRequest(5),
        s.PortStatsReply((s.PortStats(duration=0 if version == 1 else SECONDS, **port),)),
        s.PortDescRequest(5) if version >= 6 else s.PortDescRequest(),
        s.PortDescReply((PORT, PORT)), s.QueueStatsRequest(5, 6), s.QueueStatsReply((queue,)),
        s.AggregateReply(1, 2, 3), s.IpfixRequest(), s.IpfixRequest("flow"),
        s.GroupStatsRequest(3), s.GroupStatsReply((group,)),
        s.GroupDescRequest(3) if version in (1, 6) else s.GroupDescRequest(),
        s.GroupDescReply((s.GroupDesc(group_id=3, type=GroupType.SELECT, buckets=BUCKETS,
                                      **_selection(version)),)),
        *_monitors(version),
        s.GroupFeaturesRequest(), s.GroupFeatures(5, 6, (7, 8, 9, 10), (11, 12, 13, 14)),
    ]  # fmt: skip
    return found + (_stats10(entry) if version == 1 else _stats13(version, entry))


def _monitors(version: int) -> list[Any]:
    wanted: dict[str, Any] = {"match": FLOW.match, "table": 3, "out_port": 4}
    flags = frozenset({"initial", "add", "delete", "own"})
    monitors = [s.FlowMonitor(monitor_id=5, flags=flags, **wanted),
                s.FlowMonitor(monitor_id=6, flags=frozenset({"modify", "actions"}))]
    flow = INSTRUCTIONS if version > 1 else FLOW
    what: dict[str, Any] = {
        "table": 3, "priority": 9, "idle_timeout": 11, "hard_timeout": 12, "cookie": 7,
        "match": flow.match,
    }  # fmt: skip
    updates = [
        s.FlowUpdate(event="added", actions=flow.actions, **what),
        s.FlowUpdate(event="removed", reason="hard", **what),
        s.FlowUpdate(event="modified", **what), s.FlowUpdate(event="abbreviated", xid=8),
    ]
    if version >= 5:
        monitors += [s.FlowMonitor(monitor_id=7, command="delete"),
                     s.FlowMonitor(monitor_id=8, command="modify", flags=flags, out_group=9)]
        updates += [s.FlowUpdate(event="initial", **what), s.FlowUpdate(event="paused"),
                    s.FlowUpdate(event="resumed")]
    return [s.FlowMonitorRequest(tuple(monitors)), s.FlowUpdates(tuple(updates))]


def _selection(version: int) -> dict[str, Any]:
    if version not in (1, 6):
        return {}
    fields = ((FIELDS["ip_src"], 0xFFFFFF00), (FIELDS["tcp_dst"], 0xFFFF))
    return {"selection_method": "hash", "selection_method_param": 5, "fields": fields}


def _stats10(entry: dict[str, Any]) -> list[Any]:
    old = s.FlowStats(match=OLD.match, actions=OLD.actions, **entry)
    ages = s.FlowStats(match=FLOW.match, actions=FLOW.actions, idle_age=5, hard_age=None, **entry)
    return [
        s.FlowStatsRequest(table=3, match=OLD.match, out_port=4),
        s.FlowStatsRequest(variant="nx", **FILTER),
        s.AggregateRequest(variant="nx", **FILTER), s.AggregateReply(1, 2, 3, "nx"),
        s.FlowStatsReply((old,)), s.FlowStatsReply((ages, ages), "nx"),
        s.TableStatsReply((s.TableStats(table=3, name="t", wildcards=5, max_entries=6,
                                        active_count=7, lookup_count=8, matched_count=9),)),
    ]  # fmt: skip


def _stats13(version: int, entry: dict[str, Any]) -> list[Any]:
    newer: dict[str, Any] = {"flags": frozenset({"reset_counts"})}
    if version >= 5:
        newer["importance"] = 15
    if version >= 6:
        newer["idle_age"] = 16
    new = s.FlowStats(match=INSTRUCTIONS.match, actions=INSTRUCTIONS.actions, **newer, **entry)
    meter = s.MeterStats(meter_id=3, flow_count=4, packet_count=5, byte_count=6, duration=SECONDS,
                         bands=(s.Counter(7, 8), s.Counter(9, 10)))  # fmt: skip
    table = s.TableFeatures(table=3, name="t", metadata_match=1, metadata_write=2, max_entries=4,
                            properties=table_properties(version, 3, 254))  # fmt: skip
    found: list[Any] = [
        s.FlowStatsRequest(out_group=9, **FILTER), s.AggregateRequest(out_group=9, **FILTER),
        s.FlowStatsReply((new, new)),
        s.TableStatsReply((s.TableStats(table=3, active_count=7, lookup_count=8,
                                        matched_count=9),)),
        s.MeterFeaturesRequest(), s.MeterFeatures(1, 2, 3, 4, 5), s.TableFeaturesRequest(),
        s.MeterStatsRequest(3), s.MeterStatsReply((meter, meter)), s.MeterConfigRequest(3),
        s.MeterConfigReply((s.MeterConfig(meter_id=3, flags=5, bands=BANDS),)),
        s.TableFeaturesReply((table,)),
    ]  # fmt: skip
    if version == 4:
        return found
    desc = m.TableMod(table=3, config=12, eviction=7, vacancy_down=20, vacancy_up=80, vacancy=50)
    return [
        *found, s.QueueDescRequest(5, 6), s.TableDescRequest(), s.TableDescReply((desc,)),
        s.QueueDescReply((m.QueueDesc(port_no=5, queue_id=6, min_rate=7, max_rate=8),)),
    ]  # fmt: skip


def _asked(version: int) -> list[Any]:
    """What a connection wants to be told, in each form."""
    some = ((None, 2), (3, 4), (5, None), (1, 2), (8, 16), (3, 1))
    if version == 1:
        # No match stands for more reasons inside, of which OpenFlow 1.0 knows none.
        return [m.SetAsync((2, 4), (3, 4), (5, 6), variant="nx"), m.SetAsync(*some, variant="nx2")]
    if version == 4:
        every_bit = ((2, 4), (3, 4), (5, 6))
        return [
            m.AsyncRequest(), m.Async(*every_bit), m.SetAsync(*every_bit),
            m.SetAsync((2, 4), (3, 4), (5, 6), variant="nx"), m.SetAsync(*some, variant="nx2"),
        ]  # fmt: skip
    return [
        m.AsyncRequest(), m.Async((2, 4), (3, 4), (5, 6), (1, 2), (8, 16), (3, 1)),
        m.SetAsync(*some), m.SetAsync((2, 4), (3, 4), (5, 6), variant="nx"),
    ]  # fmt: skip


def every(version: int) -> list[Any]:
    """One of each message of a version, and more of those with more forms."""
    group = m.GroupMod(command="add_or_mod", type=GroupType.SELECT, group_id=7, buckets=BUCKETS,
                       **_selection(version))  # fmt: skip
    queues = tuple(
        m.QueueDesc(port_no=OFPP_NONE if version == 1 else 5, queue_id=number, min_rate=7)
        for number in (6, 7)
    )
    found: list[Any] = [
        m.Hello(frozenset({1, 4})), m.Error("OFPBRC_BAD_LEN", ECHO), m.EchoRequest(b"x"),
        m.EchoReply(b"y"), m.FeaturesRequest(), m.ConfigRequest(), m.Config(1, 2),
        m.SetConfig(3, 4), m.PortStatus("modify", PORT), m.BarrierRequest(), m.BarrierReply(),
        m.PortMod(port_no=5, hw_addr=9, config=1, mask=5, advertise=6), group,
        m.RoleRequest("primary", variant="nx"), m.FlushZone(7),
        m.RequestForward(encode(group, version, 9)),
        m.RoleReply("secondary", variant="nx"), m.FlowModTableId(1), m.SetPacketInFormat(2),
        m.TlvTableMod("add", OPTIONS), m.TlvTableMod("clear"), m.TlvTableRequest(),
        m.TlvTableReply(256, 64, OPTIONS), m.SetControllerId(7), m.FlowAge(),
        m.Error("NXBRC_MUST_BE_ZERO", ECHO), *_asked(version),
        *_flow_mods(version), *_packets(version), *_removed(version), *_stats(version),
    ]  # fmt: skip
    if version < 5:
        found += [m.QueueConfigRequest(5), m.QueueConfig(5, queues)]
    if version < 5:
        found += [m.MonitorCancel(3), m.MonitorPaused(), m.MonitorResumed()]
    if version == 1:
        features = m.Features(datapath_id=1, n_buffers=2, n_tables=3, capabilities=4, actions=5,
                              ports=(PORT, PORT))  # fmt: skip
        return [*found, features, m.SetFlowFormat(2)]
    if version == 6:
        one = {"type": GroupType.ALL, "group_id": 7}
        found += [
            m.GroupMod(command="insert_bucket", buckets=BUCKETS[:1], command_bucket_id=4, **one),
            m.GroupMod(command="remove_bucket", command_bucket_id=0xFFFFFFFD, **one),
        ]
    table: dict[str, Any] = {"table": 3, "config": 12 if version >= 5 else 0}
    if version >= 5:
        # OVS 3.1 reads the flags of eviction as if they said whether there is any.
        table.update(eviction=1, vacancy_down=20, vacancy_up=80)
    return [
        *found,
        m.Features(datapath_id=1, n_buffers=2, n_tables=3, auxiliary_id=6, capabilities=4),
        m.BundleControl(9, "commit", 3),
        m.BundleAdd(9, 1, encode(_flow_mods(version)[0], version, 0x01020304)),
        m.RoleRequest("primary", 8), m.RoleReply("secondary", 9), m.PortStatus("add", FAST),
        m.RoleStatus("secondary", "request", 9), m.TableMod(**table),
        m.MeterMod(command="modify", flags=5, meter_id=3, bands=BANDS),
    ]  # fmt: skip
