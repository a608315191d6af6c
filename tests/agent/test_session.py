"""One connection in a process of its own thread of bytes: roles, timeouts, packet-ins, refusals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ovsct.agent.model import ModelBridge
from ovsct.agent.session import Closed, Session
from ovsct.bridge.bridge import Bridge
from ovsct.bridge.eviction import read_limits
from ovsct.lanes.ovs_userspace import OvsUserspace
from ovsct.openflow import actions as of
from ovsct.openflow.text.flow_text import parse_flow
from ovsct.openflow.wire import messages as m
from ovsct.openflow.wire import multipart as s
from ovsct.openflow.wire.codec import decode, encode, encode_reply, split
from ovsct.packet.fields import FIELDS

TCP = bytes.fromhex(
    "00000000000200000000000108004500002800010000400666cd0a0000010a00000203e80050"
    "00000000000000005002200077a80000"
)


class Peer:
    """The other side of a connection to `model`."""

    def __init__(self, model: ModelBridge, version: int = 1, *, service: bool = True) -> None:
        self.version = version
        self._stream = bytearray()
        self.session = Session(model, self._stream.extend, service=service)
        self.send(m.Hello(frozenset({version})))
        assert self.got()[0] == m.Hello(frozenset({1, 4, 5, 6}))
        if version == 1:
            self.send(m.FlowModTableId(1))
            self.session.table_ids = True

    def send(self, body: Any, xid: int = 7) -> None:
        self.session.feed(encode(body, self.version, xid, table_ids=self.session.table_ids))

    def got(self) -> list[Any]:
        return [decode(data).body for data in split(self._stream)]

    def ask(self, body: Any) -> Any:
        self.send(body)
        (answer,) = self.got()
        return answer

    def got_parts(self) -> tuple[Any, ...]:
        return tuple(entry for body in self.got() for entry in body.entries)

    def ask_parts(self, body: Any) -> tuple[Any, ...]:
        self.send(body)
        return self.got_parts()

    def add(self, line: str, **changed: Any) -> None:
        flow = parse_flow(line)
        self.send(
            m.FlowMod(
                command="add", table=flow.table, match=flow.match, priority=flow.priority,
                actions=flow.actions, idle_timeout=flow.idle_timeout, flags=flow.flags,
                hard_timeout=flow.hard_timeout, new_cookie=flow.cookie,
                variant="nx" if self.version == 1 else "", **changed,
            )
        )  # fmt: skip


def test_a_flow_that_ends_between_two_looks_is_told_at_the_second() -> None:
    model = ModelBridge(OvsUserspace(Bridge([1, 2])))
    peer = Peer(model, 4, service=False)
    model.tell = peer.session.told
    model.advance(0.0)
    peer.add("send_flow_rem,priority=1,hard_timeout=1,actions=drop")
    for moment in (0.9, 1.1):
        model.advance(moment)
        assert peer.got() == [] and len(list(model.rules)) == 1
    model.advance(1.2)
    (gone,) = peer.got()
    assert (gone.reason, gone.priority) == ("hard", 1)
    assert not list(model.rules)


def test_a_full_table_refuses_or_lets_another_flow_go() -> None:
    limits = read_limits(["1 limit 1", "2 limit 1 evict"])
    model = ModelBridge(OvsUserspace(Bridge([1, 2], limits=limits)))
    peer = Peer(model, 5, service=False)
    model.tell = peer.session.told
    peer.add("table=1,priority=1,hard_timeout=9,actions=drop")
    peer.add("table=1,priority=2,hard_timeout=9,actions=drop")
    (refused,) = peer.got()
    assert refused.name == "OFPFMFC_TABLE_FULL"
    peer.send(m.TableMod(table=1, config=1 << 2))
    peer.add("table=1,priority=2,actions=drop")
    assert peer.got() == []
    peer.add("table=2,send_flow_rem,priority=1,idle_timeout=9,actions=drop")
    peer.add("table=2,priority=2,actions=drop")
    (gone,) = peer.got()
    assert (gone.reason, gone.table, gone.priority) == ("eviction", 2, 1)
    assert peer.ask(s.TableStatsRequest()).entries[2].active_count == 1


@pytest.fixture
def model() -> ModelBridge:
    model = ModelBridge(OvsUserspace(Bridge([1, 2, 3])))
    model.sent = []  # type: ignore[attr-defined]
    model.deliver = lambda port, frame: model.sent.append((port, frame))  # type: ignore[attr-defined]
    return model


def _flows(peer: Peer) -> tuple[s.FlowStats, ...]:
    variant = "nx" if peer.version == 1 else ""
    return peer.ask(s.FlowStatsRequest(variant=variant)).entries


def test_the_newest_common_version_is_spoken(model: ModelBridge) -> None:
    for versions, spoken in (({1}, 1), ({1, 2, 3, 4}, 4), ({1, 2, 3, 4, 5, 6}, 6), ({1, 7}, 1)):
        stream = bytearray()
        session = Session(model, stream.extend)
        session.feed(encode(m.Hello(frozenset(versions)), max(versions), 1))
        assert session.version == spoken


def test_no_common_version_ends_the_connection(model: ModelBridge) -> None:
    stream = bytearray()
    session = Session(model, stream.extend)
    with pytest.raises(Closed):
        session.feed(encode(m.Hello(frozenset({7})), 7, 1))
    assert decode(split(stream)[-1]).body.name == "OFPHFC_INCOMPATIBLE"


@pytest.mark.parametrize("version", [1, 4])
def test_a_connection_lives_on_after_a_refusal(model: ModelBridge, version: int) -> None:
    peer = Peer(model, version)
    for data in (
        "0163000800000009", "010e000c0000000900000000", "01040010000000090000232000000063",
    ):  # fmt: skip
        peer.session.feed(bytes([version]) + bytes.fromhex(data)[1:])
        (refusal,) = peer.got()
        assert isinstance(refusal, m.Error)
        assert refusal.data[1:] == bytes.fromhex(data)[1:]
    assert peer.ask(m.EchoRequest(b"still here")) == m.EchoReply(b"still here")


def test_another_version_in_the_middle_is_refused(model: ModelBridge) -> None:
    peer = Peer(model, 4)
    peer.session.feed(encode(m.FeaturesRequest(), 1, 9))
    assert peer.got()[0].name == "OFPBRC_BAD_VERSION"
    assert peer.ask(m.BarrierRequest()) == m.BarrierReply()


@pytest.mark.parametrize("version", [1, 4])
def test_packets_are_counted_and_megaflows_follow(model: ModelBridge, version: int) -> None:
    peer = Peer(model, version)
    peer.add("table=0,in_port=1,actions=2")
    for at in (1.0, 2.0):
        model.advance(at)
        model.receive(1, TCP)
    assert model.sent == [(2, TCP), (2, TCP)]  # type: ignore[attr-defined]
    (flow,) = _flows(peer)
    assert (flow.packet_count, flow.byte_count) == (2, 2 * len(TCP))
    peer.add("table=0,in_port=1,actions=3")
    model.receive(1, TCP)
    assert model.sent[-1] == (3, TCP)  # type: ignore[attr-defined]
    (flow,) = _flows(peer)
    # An add of OpenFlow 1.0 resets the counters, one of 1.3 that does not ask for it does not.
    assert flow.packet_count == (1 if version == 1 else 3)
    ports = {port.port_no: port for port in peer.ask(s.PortStatsRequest()).entries}
    assert (ports[1].rx_packets, ports[3].tx_packets, ports[2].tx_packets) == (3, 1, 2)


def test_modified_flows_keep_their_counters_and_age(model: ModelBridge) -> None:
    peer = Peer(model, 4)
    peer.add("table=0,in_port=1,idle_timeout=20,actions=2")
    model.receive(1, TCP)
    model.advance(5.0)
    change = parse_flow("in_port=1,actions=3")
    peer.send(
        m.FlowMod(command="modify", table=0, match=change.match, actions=change.actions,
                  new_cookie=(1 << 64) - 1)
    )  # fmt: skip
    (flow,) = _flows(peer)
    assert (flow.packet_count, flow.duration, flow.actions) == (1, 5_000_000_000, change.actions)
    model.advance(20.5)
    assert _flows(peer) == ()


@pytest.mark.parametrize(("version", "service"), [(1, False), (4, False), (4, True)])
def test_timeouts_tell_the_controller(model: ModelBridge, version: int, service: bool) -> None:
    peer = Peer(model, version, service=service)
    model.tell = peer.session.told
    peer.add("table=0,tcp,in_port=1,idle_timeout=5,send_flow_rem,cookie=9,actions=2")
    peer.add("table=1,udp,hard_timeout=7,send_flow_rem,actions=drop")
    model.advance(3.0)
    model.receive(1, TCP)
    for at in (4.0, 7.5, 8.0, 8.5):
        model.advance(at)
    told = peer.got()
    if service:
        assert told == []  # who connects to us says first that he wants to be told
        return
    assert [(gone.reason, gone.packet_count) for gone in told] == [("hard", 0), ("idle", 1)]
    assert (told[1].cookie, told[1].duration) == (9, 8_500_000_000)


@pytest.mark.parametrize("version", [1, 4])
@pytest.mark.parametrize("variant", ["", "nx", "nx2"])
def test_packet_ins_in_all_forms(model: ModelBridge, version: int, variant: str) -> None:
    peer = Peer(model, version)
    model.tell = peer.session.told
    peer.add("table=0,tcp,in_port=1,actions=ct(table=1,zone=3)")
    peer.add("table=1,ct_state=+trk,tcp,cookie=5,actions=load:7->NXM_NX_REG2[],controller:50")
    model.receive(1, TCP)
    assert peer.got() == []  # no length was set
    peer.send(m.SetConfig(0, 128))
    peer.send(m.SetPacketInFormat(["", "nx", "nx2"].index(variant)))
    model.receive(1, TCP)
    (packet,) = peer.got()
    assert (packet.data, packet.reason, packet.variant) == (TCP, "action", variant)
    assert packet.match.get(FIELDS["in_port"])[0] == 1
    if variant or version == 4:
        assert (packet.table, packet.cookie) == (1, 5)
        assert packet.match.get(FIELDS["reg2"])[0] == 7
        assert packet.match.get(FIELDS["ct_state"])[0] == 0x21
        assert packet.match.get(FIELDS["ct_zone"])[0] == 3


def test_packet_ins_go_to_the_controller_that_is_named(model: ModelBridge) -> None:
    first, second = Peer(model, 4, service=False), Peer(model, 4, service=False)
    second.send(m.SetControllerId(9))
    model.tell = lambda what: [peer.session.told(what) for peer in (first, second)]  # type: ignore[assignment]
    first.add("table=0,in_port=1,actions=controller(id=9)")
    model.receive(1, TCP)
    assert (len(first.got()), len(second.got())) == (0, 1)


def test_table_misses_go_to_controllers_of_openflow_1_0(model: ModelBridge) -> None:
    peer = Peer(model, 1, service=False)
    model.tell, model.wants_misses = peer.session.told, lambda: peer.session.wants_misses
    model.receive(2, TCP)
    (packet,) = peer.got()
    assert (packet.reason, packet.data) == ("no_match", TCP)


@pytest.mark.parametrize("version", [1, 4])
def test_packet_outs(model: ModelBridge, version: int) -> None:
    peer = Peer(model, version)
    actions = parse_flow("actions=mod_dl_src:00:00:00:00:00:09,2,resubmit(,3)").actions
    peer.add("table=3,tcp,in_port=1,actions=3")
    peer.send(m.PacketOut(in_port=1, actions=actions, data=TCP))
    assert peer.got() == []
    changed = TCP[:6] + bytes(5) + b"\x09" + TCP[12:]
    assert model.sent == [(2, changed), (3, changed)]  # type: ignore[attr-defined]
    assert list(model.datapath.megaflows()) == []
    assert _flows(peer)[0].packet_count == 1
    assert peer.ask(m.PacketOut(in_port=1, actions=(), data=b"short")).name in (
        "OFPBRC_BAD_PACKET", "NXBRC_UNENCODABLE_ERROR",
    )  # fmt: skip
    refusal = peer.ask(m.PacketOut(in_port=1, actions=(), data=b"", buffer_id=5))
    assert refusal.name == "OFPBRC_BUFFER_UNKNOWN"


def test_groups_and_what_goes_with_them(model: ModelBridge) -> None:
    peer = Peer(model, 4, service=False)
    model.tell = peer.session.told
    bucket = s.Bucket(bucket_id=0, actions=parse_flow("actions=2").actions)
    kind = m.GROUP_TYPES[0]
    group: dict[str, Any] = {"type": kind, "group_id": 5}
    peer.send(m.GroupMod(command="add", buckets=(bucket,), **group))
    peer.add("table=0,in_port=1,send_flow_rem,actions=group:5")
    model.receive(1, TCP)
    assert model.sent == [(2, TCP)]  # type: ignore[attr-defined]
    (counted,) = peer.ask(s.GroupStatsRequest(5)).entries
    assert counted.buckets == (s.Counter(1, len(TCP)),)
    more = s.Bucket(bucket_id=1, actions=parse_flow("actions=3").actions)
    peer.send(m.GroupMod(command="modify", buckets=(bucket, more), **group))
    model.receive(1, TCP)
    assert model.sent[1:] == [(2, TCP), (3, TCP)]  # type: ignore[attr-defined]
    peer.send(m.GroupMod(command="delete", **group))
    (gone,) = peer.got()
    assert (gone.reason, gone.packet_count) == ("group_delete", 2)
    assert _flows(peer) == ()


def test_roles(model: ModelBridge) -> None:
    peer = Peer(model, 4, service=False)
    assert peer.ask(m.RoleRequest("primary", 5)) == m.RoleReply("primary", 5)
    assert peer.ask(m.RoleRequest("nochange")) == m.RoleReply("primary", 5)
    assert peer.ask(m.RoleRequest("secondary", 4)).name == "OFPRRFC_STALE"
    assert peer.ask(m.RoleRequest("secondary", 6)) == m.RoleReply("secondary", 6)
    peer.add("table=0,in_port=1,actions=2")
    assert peer.got()[0].name == "OFPBRC_IS_SECONDARY"
    assert peer.ask(m.BarrierRequest()) == m.BarrierReply()


def test_what_is_not_modelled_costs_the_packet_only(model: ModelBridge) -> None:
    peer = Peer(model, 4)
    peer.add("table=0,in_port=1,actions=controller(pause)")
    peer.add("table=0,in_port=2,actions=3")
    model.receive(1, TCP)
    model.receive(2, TCP)
    assert model.sent == [(3, TCP)]  # type: ignore[attr-defined]
    assert peer.ask(m.BarrierRequest()) == m.BarrierReply()


@pytest.mark.parametrize("version", [4, 6])
def test_a_meter_polices_and_takes_its_flows_along(model: ModelBridge, version: int) -> None:
    peer = Peer(model, version, service=False)
    model.tell = peer.session.told
    peer.add("table=0,in_port=1,actions=meter:3,2")
    assert peer.got()[0].name == "OFPMMFC_INVALID_METER"
    band = m.MeterBand(type="drop", rate=2)
    peer.send(m.MeterMod(command="add", flags=m.PKTPS, meter_id=3, bands=(band,)))
    peer.add("table=0,in_port=1,send_flow_rem,actions=meter:3,2")
    for _ in range(5):
        model.receive(1, TCP)
    assert model.sent == [(2, TCP)] * 2  # type: ignore[attr-defined]
    (counted,) = peer.ask(s.MeterStatsRequest(3)).entries
    assert (counted.flow_count, counted.packet_count) == (1, 5)
    assert counted.bands == (s.Counter(3, 3 * len(TCP)),)
    peer.send(m.MeterMod(command="delete", flags=0, meter_id=3))
    # A controller of OpenFlow 1.3 that did not ask for it is not told (OFPRR13_BITS).
    assert [gone.reason for gone in peer.got()] == ["meter_delete"] * (version > 4)
    assert _flows(peer) == ()


def test_a_band_without_a_rate_is_refused(model: ModelBridge) -> None:
    # OVS 3.1 divides by it.
    peer = Peer(model, 4)
    band = m.MeterBand(type="drop", rate=0)
    refusal = peer.ask(m.MeterMod(command="add", flags=m.KBPS, meter_id=3, bands=(band,)))
    assert refusal.name == "OFPMMFC_BAD_RATE"


def test_a_request_in_parts(model: ModelBridge) -> None:
    peer = Peer(model, 4)
    features = peer.ask_parts(s.TableFeaturesRequest())
    named = [replace(table, name=f"t{table.table}") for table in features]
    sent = encode_reply(s.TableFeaturesReply(tuple(named)), 4, 9)
    assert len(sent) > 1
    for data in sent:
        peer.session.feed(data[:1] + b"\x12" + data[2:])
    assert peer.got_parts() == tuple(named)
    # The next part of another request never comes.
    peer.session.feed(sent[0][:1] + b"\x12" + sent[0][2:])
    model.advance(5.0)
    peer.session.late()
    assert peer.got()[0].name == "OFPBRC_MULTIPART_REQUEST_TIMEOUT"


def test_a_port_that_does_not_do_everything(model: ModelBridge) -> None:
    peer = Peer(model, 1)
    peer.add("actions=FLOOD")
    port = {"port_no": 2, "hw_addr": model.ports.desc(2).hw_addr}

    def went(config: int, from_port: int) -> list[int]:
        peer.send(m.PortMod(config=config, mask=0x7F, **port))
        model.sent.clear()  # type: ignore[attr-defined]
        model.receive(from_port, TCP)
        return [number for number, _ in model.sent]  # type: ignore[attr-defined]

    assert went(0, 1) == [2, 3, 0xFFFE]
    assert went(1 << 4, 1) == [3, 0xFFFE]  # no-flood
    assert went(1 << 5, 1) == [3, 0xFFFE]  # no-forward
    assert went(1 << 2, 2) == []  # no-receive
    assert went(1, 2) == [1, 3, 0xFFFE]  # down: the dummy datapath goes on, and so does this


def test_tables_count_their_look_ups() -> None:
    model = ModelBridge(OvsUserspace(Bridge((1, 2))))
    peer = Peer(model, 4)
    peer.add("table=0,in_port=1,actions=resubmit(,3),resubmit(,4)")
    peer.add("table=3,udp,actions=2")
    peer.add("table=4,tcp,actions=2")
    for port in (1, 1, 2):
        model.receive(port, TCP)
    peer.send(m.FlowMod(command="delete", table=3))
    model.receive(1, TCP)
    tables = peer.ask(s.TableStatsRequest()).entries
    counted = {each.table: (each.lookup_count, each.matched_count) for each in tables}
    assert {table: pair for table, pair in counted.items() if pair != (0, 0)} == {
        0: (4, 3), 3: (3, 0), 4: (3, 3)
    }  # fmt: skip


def test_the_length_beside_a_port_comes_back() -> None:
    peer = Peer(ModelBridge(OvsUserspace(Bridge((1, 2)))), 4)
    peer.send(m.FlowMod(command="add", table=0, actions=(of.Output(2, miss_len=100),)))
    (entry,) = peer.ask(s.FlowStatsRequest()).entries
    assert entry.actions == (of.Output(2, miss_len=100),)
