"""Filters as the commands that the real ``tc`` takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final

from ovsct.conntrack.request import Nat, NatKind
from ovsct.errors import OvsctError
from ovsct.tc import actions as act
from ovsct.tc.filters import FLOWER, Filter
from ovsct.tc.text.match import colons, keys_of, label_text, protocol_of, type_name
from ovsct.tc.text.munge import PLACES, Place, words_of
from ovsct.tc.verdict import JUMP, OK, PIPE, STOLEN, spell


def write_command(entry: Filter, verb: str = "add") -> str:
    """``tc filter add dev p<n> ingress ...`` for a filter.

    Raises:
        OvsctError: ``tc`` has no words for something that the filter matches on or does.
    """
    hook = "egress" if entry.egress else "ingress"
    where = f"block {entry.block}" if entry.block else f"dev p{entry.port} {hook}"
    words = [f"tc filter {verb} {where}"]
    if entry.chain:
        words.append(f"chain {entry.chain}")
    if entry.prio:
        words.append(f"prio {entry.prio}")
    words.append(f"protocol {protocol_of(entry)}")
    if entry.handle:
        words.append(f"handle 0x{entry.handle:x}")
    words.append(entry.kind)
    words.extend(_flags(entry))
    if entry.kind == FLOWER:
        words.extend(
            f"{key.name} {key.text}".replace("\n", " ") for key in keys_of(entry) if key.name
        )
    for number, action in enumerate(entry.actions):
        words.append(f"action {_ACTIONS[type(action)](action)}")
        if entry.indexes and entry.indexes[number]:
            words.append(f"index {entry.indexes[number]}")
        if entry.cookie is not None:
            words.append(f"cookie {entry.cookie.hex()}")
    return " ".join(words)


def write_action(action: act.Action) -> str:
    """One action, without the word ``action``.

    Raises:
        OvsctError: ``tc`` has no words for it.
    """
    return _ACTIONS[type(action)](action)


def write_script(entries: Iterable[Filter]) -> Iterator[str]:
    """A whole script: the qdiscs that the filters need, then the filters in the order given."""
    known = list(entries)
    for index in sorted({entry.block for entry in known if entry.block}):
        yield f"# the ports that share it: tc qdisc add dev p<n> ingress_block {index} ingress"
    egress = {entry.port for entry in known if entry.egress}
    for port in sorted({entry.port for entry in known if not entry.block}):
        yield f"tc qdisc add dev p{port} {'clsact' if port in egress else 'ingress'}"
    for entry in known:
        yield write_command(entry)


def _flags(entry: Filter) -> list[str]:
    return [word for word, on in (("skip_hw", entry.skip_hw), ("skip_sw", entry.skip_sw)) if on]


def _tail(control: int, default: int) -> str:
    return "" if control == default else f" {spell(control)}"


def _gact(action: act.Gact) -> str:
    return spell(action.control)


def _mirred(action: act.Mirred) -> str:
    where = "ingress" if action.ingress else "egress"
    if not action.mirror:
        if action.control != STOLEN:
            raise OvsctError("tc has no word for a redirect that is not stolen")
        return f"mirred {where} redirect dev p{action.port}"
    return f"mirred {where} mirror dev p{action.port}{_tail(action.control, PIPE)}"


def _ct(action: act.Ct) -> str:
    track = action.track
    if track is None:
        return "ct clear" + _tail(action.control, PIPE)
    if track.helper is not None or track.timeout is not None:
        raise OvsctError("tc of iproute2 6.1 has no word for a ct helper or timeout policy")
    words = ["ct"]
    if track.commit:
        words.append("commit")
    if track.force:
        words.append("force")
    words.append(f"zone {track.zone}")
    if track.mark is not None:
        value, mask = track.mark
        words.append(f"mark 0x{value:x}" + ("" if mask == 0xFFFFFFFF else f"/0x{mask:x}"))
    if track.label is not None:
        words.append(f"label {label_text(*track.label)}")
    if track.nat is not None:
        if track.nat.kind is not NatKind.RESTORE and not track.nat.family:
            raise OvsctError("tc has no word for a nat without an address")
        # tc takes no bare "nat" as the last word, nor an index behind its verdict.
        words.insert(1 if track.nat.kind is NatKind.RESTORE else len(words), nat_text(track.nat))
    return " ".join(words) + _tail(action.control, PIPE)


def nat_text(nat: Nat) -> str:
    """The nat argument of ct, as ``tc`` prints it; it takes none without an address."""
    if nat.kind is NatKind.RESTORE:
        return "nat"
    if not nat.family:
        return f"nat {nat.kind.value}"
    make = IPv4Address if nat.family == 4 else IPv6Address
    text = f"nat {nat.kind.value} addr {make(nat.addr_min)}"
    if nat.addr_max != nat.addr_min:
        text += f"-{make(nat.addr_max)}"
    if nat.port_min:
        text += f" port {nat.port_min}"
        if nat.port_max != nat.port_min:
            text += f"-{nat.port_max}"
    return text


def _pedit(action: act.Pedit) -> str:
    munges = [each for each in action.munges if each.value or each.mask != 0xFFFFFFFF]
    parts = []
    while munges:
        if munges[0].header is act.Header.NETWORK:
            parts.append(_raw(munges.pop(0)))
            continue
        name, place, value, mask, add, used = _field_of(munges)
        parts.append(_munge(name, place, value, mask, add))
        del munges[:used]
    return "pedit ex " + " ".join(parts) + _tail(action.control, OK)


def _raw(munge: act.Munge) -> str:
    bits = ~munge.mask & 0xFFFFFFFF
    if munge.value and not bits:
        raise OvsctError("tc has no word for inverting a part of a word")
    how = "add" if munge.add else "set"
    retain = "" if bits == 0xFFFFFFFF else f" retain 0x{bits:x}"
    return f"munge offset {munge.offset} u32 {how} 0x{munge.value:x}{retain}"


def _field_of(
    munges: list[act.Munge],
) -> tuple[tuple[str, str], Place, int, int, bool, int]:
    """The field that the first words of `munges` write, and how many words that is."""
    first = munges[0]
    for name, place in PLACES.items():
        if place.header is not first.header:
            continue
        span = place.size * 8
        base = place.at & ~3
        count = (place.at + place.size + 3 - base) // 4
        words = munges[:count]
        bits = value = 0
        for word in words:
            shift = 8 * (base + 4 * count - 4 - word.offset)
            if word.header is not first.header or word.add != first.add or shift < 0:
                continue
            bits |= (~word.mask & 0xFFFFFFFF) << shift
            value |= word.value << shift
        low = 8 * (base + 4 * count - place.at - place.size)
        mask = bits >> low & ((1 << span) - 1)
        found = words_of(place, value >> low, mask, add=first.add)
        if found and tuple(munges[: len(found)]) == found:
            return name, place, value >> low & ((1 << span) - 1), mask, first.add, len(found)
    raise OvsctError(f"tc has no field for a pedit at {first.header}+{first.offset}")


def _munge(name: tuple[str, str], place: Place, value: int, mask: int, add: bool) -> str:
    ones = (1 << 8 * place.size) - 1
    if place.form == "mac":
        text = colons(value)
    elif place.form == "ip4":
        text = str(IPv4Address(value))
    elif place.form == "ip6":
        text = str(IPv6Address(value))
    else:
        text = f"0x{value:x}"
    retain = ""
    if mask != ones:
        if place.size > 4:
            raise OvsctError(f"tc cannot set a part of {' '.join(name)}")
        retain = f" retain 0x{mask:x}"
    return f"munge {name[0]} {name[1]} {'add' if add else 'set'} {text}{retain}"


def _csum(action: act.Csum) -> str:
    which = " ".join(each.value for each in act.Sum if each in action.which)
    return f"csum {which}{_tail(action.control, OK)}"


def _vlan(action: act.Vlan) -> str:
    words = f"vlan {action.op.value}"
    if action.op is act.VlanOp.PUSH_ETH:
        words += f" dst_mac {colons(action.dst)} src_mac {colons(action.src)}"
    elif action.op in (act.VlanOp.PUSH, act.VlanOp.MODIFY):
        words += f" id {action.vid} protocol {type_name(action.protocol)}"
        if action.prio is not None:
            words += f" priority {action.prio}"
    return words + _tail(action.control, PIPE)


def _mpls(action: act.Mpls) -> str:
    words = f"mpls {action.op.value}"
    if action.op in (act.MplsOp.PUSH, act.MplsOp.POP):
        words += f" protocol {type_name(action.protocol)}"
    for name in ("label", "tc", "bos", "ttl"):
        value = getattr(action, name)
        if value is not None:
            words += f" {name} {value}"
    return words + _tail(action.control, PIPE)


def _skbedit(action: act.Skbedit) -> str:
    words = "skbedit"
    if action.inherit:
        words += " inheritdsfield"
    if action.queue is not None:
        words += f" queue_mapping {action.queue}"
    if action.priority is not None:
        words += f" priority {action.priority >> 16:x}:{action.priority & 0xFFFF:x}"
    if action.mark is not None:
        value, mask = action.mark
        words += f" mark {value}" + ("" if mask == 0xFFFFFFFF else f"/0x{mask:x}")
    if action.ptype is not None:
        words += f" ptype {action.ptype}"
    return words + _tail(action.control, PIPE)


def _police(action: act.Police) -> str:
    words = "police"
    if action.rate:
        words += f" rate {8 * action.rate}bit burst {action.burst}"
    if action.pkts_rate:
        words += f" pkts_rate {action.pkts_rate} pkts_burst {action.pkts_burst}"
    if action.mtu:
        words += f" mtu {action.mtu}"
    for control in (action.control, action.conform):
        if control >= JUMP or control == STOLEN:
            raise OvsctError(f"tc has no word for a police with {spell(control)}")
    return f"{words} conform-exceed {spell(action.control)}/{spell(action.conform)}"


def _sample(action: act.Sample) -> str:
    trunc = f" trunc {action.trunc}" if action.trunc else ""
    return f"sample rate {action.rate} group {action.group}{trunc}{_tail(action.control, PIPE)}"


def _tunnel_key(action: act.TunnelKey) -> str:
    if not action.family:
        return "tunnel_key unset" + _tail(action.control, PIPE)
    make = IPv4Address if action.family == 4 else IPv6Address
    words = f"tunnel_key set src_ip {make(action.src)} dst_ip {make(action.dst)}"
    if action.key_id is not None:
        words += f" id {action.key_id}"
    for name in ("dst_port", "tos", "ttl"):
        if value := getattr(action, name):
            words += f" {name} {value}"
    if action.csum_given:
        words += " csum" if action.csum else " nocsum"
    return words + _tail(action.control, PIPE)


_ACTIONS: Final[dict[type[act.Action], Callable[[Any], str]]] = {
    act.Gact: _gact,
    act.Mirred: _mirred,
    act.Ct: _ct,
    act.Pedit: _pedit,
    act.Csum: _csum,
    act.Vlan: _vlan,
    act.Mpls: _mpls,
    act.Skbedit: _skbedit,
    act.Police: _police,
    act.Sample: _sample,
    act.TunnelKey: _tunnel_key,
}
