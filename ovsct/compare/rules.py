"""From evidence to cause: one rule a cause, tried in the order of :data:`RULES`.

A rule says in words why it holds, or None. The order goes from what the outcomes themselves show,
over what the packet is, to what the lanes remember; within that from the special to the general.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from ovsct.compare.cause import Cause
from ovsct.compare.evidence import Evidence, Side, matched
from ovsct.lane import STACK, Connection, Drop, EventKind, Via
from ovsct.packet.checksum import ipv4_header_ok, l4_checksum_ok
from ovsct.packet.fields import SLOTS
from ovsct.packet.packet import ETH_IPV4, VLAN_TYPES, parse


class Finding(NamedTuple):
    """Why two lanes differ, and the words for it."""

    lanes: tuple[str, str]
    cause: Cause
    because: str


def find_cause(evidence: Evidence) -> Finding:
    """The first cause whose rule holds; `UNEXPLAINED` if none does."""
    lanes = (evidence.a.lane, evidence.b.lane)
    for cause, rule in RULES:
        because = rule(evidence)
        if because is not None:
            return Finding(lanes, cause, because)
    return Finding(lanes, Cause.UNEXPLAINED, "no rule explains it; the steps of both lanes may")


# -- what the outcomes show ---------------------------------------------------------------------


def _output_order(e: Evidence) -> str | None:
    if e.a.out and sorted(e.a.out, key=repr) == sorted(e.b.out, key=repr):
        return f"the same frames leave, by ports {e.a.ports} and {e.b.ports}"
    return None


def _padding(e: Evidence) -> str | None:
    if e.a.ports != e.b.ports or not e.a.out:
        return None
    for one, other in zip(e.a.out, e.b.out, strict=True):
        short, long = sorted((one.frame, other.frame), key=len)
        if short != long and not (long.startswith(short) and _ends_at(long) <= len(short)):
            return None
    (x, y) = (e.a, e.b) if len(e.a.out[0].frame) > len(e.b.out[0].frame) else (e.b, e.a)
    return (
        f"{x.lane} keeps the padding ({len(x.out[0].frame)} bytes leave),"
        f" {y.lane} trims it ({len(y.out[0].frame)} bytes)"
    )


def _ends_at(frame: bytes) -> int:
    """Length of a frame up to the end of its IP packet."""
    return parse(frame, 0, 2).end


def _nat_choice(e: Evidence) -> str | None:
    if e.a.ports != e.b.ports or not e.a.out:
        return None
    slots = ("nw_src", "nw_dst", "ipv6_src", "ipv6_dst", "tp_src", "tp_dst")
    if not all(one.frame[14:] and len(one.frame) > 34 for one in (*e.a.out, *e.b.out)):
        return None
    differ = sum(SLOTS[name].mask for name in slots)
    names = set()
    for one, other in zip(e.a.out, e.b.out, strict=True):
        keys = parse(one.frame, 0, 2).key, parse(other.frame, 0, 2).key
        if (keys[0] ^ keys[1]) & ~differ or len(one.frame) != len(other.frame):
            return None
        names |= {name for name in slots if (keys[0] ^ keys[1]) & SLOTS[name].mask}
    if not names:
        return None
    nats = {side.lane: _nat_of(side) for side in (e.a, e.b)}
    if not any(nats.values()):
        return None
    return f"both lanes translate addresses, and choose another {', '.join(sorted(names))}"


def _nat_of(side: Side) -> bool:
    return any("nat" in text for text in (step.text for step in side.steps))


def _dropped(e: Evidence, *reasons: Drop) -> tuple[Side, Side] | None:
    """(the side that dropped the packet for one of `reasons`, the other), if just one did."""
    for x, y in e.both_ways():
        if x.drop in reasons and y.drop not in reasons:
            return x, y
    return None


def _did(side: Side) -> str:
    if side.out:
        return f"sends it to {', '.join(map(str, side.ports))}"
    return f"drops it ({side.drop})" if side.drop else "does nothing"


def _fragments(e: Evidence) -> str | None:
    if not e.get("nw_frag"):
        return None
    held = _dropped(e, Drop.HELD)
    what = "a later fragment" if e.get("nw_frag") & 2 else "a first fragment"
    if held is not None:
        holder, other = held
        return f"{what}: {holder.lane} holds it for reassembly, {other.lane} {_did(other)}"
    return f"{what}: {e.a.lane} {_did(e.a)}, {e.b.lane} {_did(e.b)}"


def _qinq(e: Evidence) -> str | None:
    frame = e.arrival.frame if e.arrival is not None else b""
    tags = (int.from_bytes(frame[at : at + 2], "big") for at in (12, 16))
    if len(frame) < 22 or not all(tag in VLAN_TYPES for tag in tags):
        return None
    return f"two VLAN tags: {e.a.lane} {_did(e.a)}, {e.b.lane} {_did(e.b)}"


def _non_ip_ct(e: Evidence) -> str | None:
    found = _dropped(e, Drop.NOT_IP)
    if found is None:
        return None
    dropper, other = found
    return f"the ct action of {dropper.lane} drops what is not IP, {other.lane} {_did(other)}"


def _hardware_lost(e: Evidence) -> str | None:
    found = _dropped(e, Drop.LOST)
    if found is None:
        return None
    return f"{found[0].lane} could not restore in software what the hardware had begun"


def _refused(e: Evidence) -> tuple[Side, Side, bool] | None:
    found = _dropped(e, Drop.CONNTRACK)
    if found is None:
        return None
    return (*found, any("nat(" in t or "nat src" in t or "nat dst" in t for t in _words(found[0])))


def _words(side: Side) -> list[str]:
    return [step.text for step in side.steps]


def _nat_exhausted(e: Evidence) -> str | None:
    found = _refused(e)
    if found is None or not found[2]:
        return None
    dropper, other, _ = found
    return f"{dropper.lane} drops it: no address and port is left; {other.lane} {_did(other)}"


def _table_full(e: Evidence) -> str | None:
    found = _refused(e)
    if found is None:
        return None
    return f"conntrack of {found[0].lane} refuses the packet, {found[1].lane} {_did(found[1])}"


def _recirculation_depth(e: Evidence) -> str | None:
    found = _dropped(e, Drop.RECIRCULATION, Drop.CHAINS, Drop.TRANSLATION)
    if found is None:
        return None
    return f"{found[0].lane} gives up ({found[0].drop}), {found[1].lane} {_did(found[1])}"


def _hairpin(e: Evidence) -> str | None:
    if e.arrival is None:
        return None
    for x, y in e.both_ways():
        back = e.arrival.port
        if back in x.ports and back not in y.ports:
            return f"{x.lane} sends it back out of port {back}, {y.lane} does not"
    return None


def _no_filter(e: Evidence) -> str | None:
    for x, y in e.both_ways():
        if STACK in x.ports and STACK not in y.ports:
            return f"no filter of {x.lane} matches, so the host gets it; {y.lane} {_did(y)}"
    return None


# -- what the hardware and the connections are like ------------------------------------------------


def _stale_hardware_entry(e: Evidence) -> str | None:
    for x, y in e.both_ways():
        if Via.HW not in x.via or Via.HW in y.via:
            continue
        theirs = y.ct_states
        if x.ct_states == theirs and theirs:
            return None
        held = ", ".join(_said(x.ct_states)) or "established"
        seen = ", ".join(_said(theirs))
        return (
            f"{x.lane} forwards by the hardware's entry ({held})"
            + (f", conntrack in {y.lane} says {seen}" if seen else f"; {y.lane} {_did(y)}")
            + _states_of(x, y)
        )
    return None


def _said(states: Sequence[frozenset[str]]) -> list[str]:
    order = ("trk", "new", "est", "rel", "rpl", "inv", "snat", "dnat")
    return ["".join(f"+{name}" for name in order if name in state) for state in states]


def _states_of(x: Side, y: Side) -> str:
    for one, other in matched(x.connections, y.connections):
        if one is not None and other is not None and one.state != other.state:
            return f"; it is {one.state} in {x.lane}, {other.state} in {y.lane}"
    return ""


def _mark_stale(e: Evidence) -> str | None:
    for one, other in matched(e.a.connections, e.b.connections):
        if one is None or other is None:
            continue
        for name in ("mark", "label"):
            mine, theirs = getattr(one, name), getattr(other, name)
            if mine != theirs:
                return f"ct_{name} is {mine:#x} in {e.a.lane} and {theirs:#x} in {e.b.lane}"
    return next((text for side in (e.a, e.b) for text in _written_before(side)), None)


def _written_before(side: Side) -> Iterator[str]:
    """What hardware wrote down of a connection, where the connection has moved on."""
    for entry in side.in_hardware:
        for connection in side.connections:
            for name in ("mark", "label"):
                now = getattr(connection, name)
                if connection.zone == entry["zone"] and now != entry[name]:
                    yield (
                        f"the NIC of {side.lane} wrote down ct_{name} {entry[name]:#x};"
                        f" the connection has {now:#x} by now"
                    )


def _checksum(e: Evidence) -> str | None:
    packet = e.packet
    if packet is None or not e.is_ip or not packet.l4:
        return None
    wrong = []
    if e.get("dl_type") == ETH_IPV4 and not ipv4_header_ok(packet):
        wrong.append("IP header")
    if not l4_checksum_ok(packet):
        wrong.append("transport")
    if not wrong:
        return None
    return f"wrong {' and '.join(wrong)} checksum: {e.a.lane} {_did(e.a)}, {e.b.lane} {_did(e.b)}"


def _ttl_or_options(e: Evidence) -> str | None:
    packet = e.packet
    if packet is None or not e.is_ip:
        return None
    found = _dropped(e, Drop.TTL)
    if found is not None:
        return f"{found[0].lane} drops it for its TTL, {found[1].lane} {_did(found[1])}"
    options = packet.l4 - packet.l3 > (20 if e.get("dl_type") == ETH_IPV4 else 40)
    if not options and e.get("nw_ttl") > 1:
        return None
    what = "IP options" if options and packet.l4 else f"TTL {e.get('nw_ttl')}"
    return f"{what}: no fast path takes it; {e.a.lane} {_did(e.a)}, {e.b.lane} {_did(e.b)}"


_OFFLOADED: Final = frozenset({"offload", "hw-offload"})


def _flow_table_bypass(e: Evidence) -> str | None:
    for x, y in e.both_ways():
        offloaded = [each for each in x.connections if each.status & _OFFLOADED]
        mine, theirs = x.ct_states, y.ct_states
        if not offloaded or any(each.status & _OFFLOADED for each in y.connections):
            continue
        if Via.TC not in x.via or (mine == theirs and mine):
            continue
        held = ", ".join(_said(mine)) or "established"
        seen = ", ".join(_said(theirs)) or "otherwise"
        return f"the flow table of {x.lane} says {held}, conntrack in {y.lane} says {seen}"
    return None


def _related(e: Evidence) -> str | None:
    pairs = list(zip(e.a.ct_states, e.b.ct_states, strict=False))
    for one, other in pairs:
        if one != other and "rel" in one | other:
            a, b = _said([one])[0], _said([other])[0]
            return f"a related packet is {a} in {e.a.lane} and {b} in {e.b.lane}"
    return None


def _timeout(e: Evidence) -> str | None:
    for x, y in e.both_ways():
        for one, other in matched(x.connections, y.connections):
            if one is None or other is not None:
                continue
            expired = [v for v in y.events if v.kind is EventKind.CONNECTION_EXPIRED]
            if not expired:
                continue
            return (
                f"{x.lane} still holds the connection ({one.state or 'alive'},"
                f" {one.timeout:.0f} s left), in {y.lane} it has expired"
            )
    return None


def _tcp_window(e: Evidence) -> str | None:
    if not e.is_tcp or not (e.a.connections and e.b.connections):
        return None
    for x, y in e.both_ways():
        for one, other in zip(x.ct_states, y.ct_states, strict=False):
            if "inv" in one and "inv" not in other and other & {"est", "rpl"}:
                return (
                    f"{x.lane} holds the segment for out of sequence or window (+inv),"
                    f" {y.lane} says {_said([other])[0]}"
                )
    return None


def _dialect_state(e: Evidence) -> str | None:
    for one, other in matched(e.a.connections, e.b.connections):
        if one is None or other is None:
            has, lacks = (e.b, e.a) if one is None else (e.a, e.b)
            held = one or other
            assert held is not None
            return f"{has.lane} has the connection ({_brief(held)}), {lacks.lane} does not"
        if one.state != other.state:
            return f"the connection is {one.state} in {e.a.lane}, {other.state} in {e.b.lane}"
        if one.reply != other.reply:
            return (
                f"its replies are expected from {one.reply.src} to {one.reply.dst} in {e.a.lane},"
                f" from {other.reply.src} to {other.reply.dst} in {e.b.lane}"
            )
    for mine, theirs in zip(e.a.ct_states, e.b.ct_states, strict=False):
        if mine != theirs:
            a, b = _said([mine])[0], _said([theirs])[0]
            return f"conntrack says {a} in {e.a.lane} and {b} in {e.b.lane}"
    return None


def _brief(connection: Connection) -> str:
    ends = connection.orig
    ports = (f":{ends.sport}", f":{ends.dport}") if ends.sport or ends.dport else ("", "")
    state = f", {connection.state}" if connection.state else ""
    return f"{ends.src}{ports[0]} > {ends.dst}{ports[1]}, zone {connection.zone}{state}"


RULES: Final[tuple[tuple[Cause, Callable[[Evidence], str | None]], ...]] = (
    (Cause.OUTPUT_ORDER, _output_order),
    (Cause.PADDING, _padding),
    (Cause.NAT_CHOICE, _nat_choice),
    (Cause.FRAGMENTS, _fragments),
    (Cause.QINQ, _qinq),
    (Cause.NON_IP_CT, _non_ip_ct),
    (Cause.HARDWARE_LOST, _hardware_lost),
    (Cause.NAT_EXHAUSTED, _nat_exhausted),
    (Cause.TABLE_FULL, _table_full),
    (Cause.RECIRCULATION_DEPTH, _recirculation_depth),
    (Cause.HAIRPIN, _hairpin),
    (Cause.NO_FILTER, _no_filter),
    (Cause.CHECKSUM, _checksum),
    (Cause.TTL_OR_OPTIONS, _ttl_or_options),
    (Cause.MARK_STALE, _mark_stale),
    (Cause.STALE_HARDWARE_ENTRY, _stale_hardware_entry),
    (Cause.TIMEOUT, _timeout),
    (Cause.FLOW_TABLE_BYPASS, _flow_table_bypass),
    (Cause.RELATED_STATE, _related),
    (Cause.TCP_WINDOW, _tcp_window),
    (Cause.DIALECT_STATE, _dialect_state),
)
"""The rules in the order in which they are tried. `UNEXPLAINED` is what is left."""
