"""What ``tc -s filter show`` and ``tc -s -j filter show`` print (iproute2 6.1).

The JSON is the model of both: each part of a filter gives its JSON members and its words. Where the
two differ in iproute2 (a mask that is hex in one, a rate that only one of them has) they differ
here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple, TypeAlias

from ovsct.tc import actions as act
from ovsct.tc.act_police import CELL_MTU
from ovsct.tc.filters import FLOWER, Counter, Filter, Installed, Shared
from ovsct.tc.text.match import colons, keys_of, label_text, protocol_of, type_name
from ovsct.tc.text.show_police import police_text
from ovsct.tc.text.write import nat_text, write_action
from ovsct.tc.verdict import EXT_MASK, GOTO_CHAIN, JUMP, OK, spell

Json: TypeAlias = dict[str, Any]


class Said(NamedTuple):
    """An action: its members in JSON (before and behind what all have), and its line of text;
    `blanks` are those before ``index``, None if that is elsewhere.
    """

    members: Json
    text: str
    blanks: str | None = "\t "
    after: Json | None = None


def show_text(installed: Iterable[Installed], now: float = 0.0) -> Iterator[str]:
    """The lines of ``tc -s filter show`` for one hook.

    Args:
        installed: its filters in the order of :meth:`TcIngress.filters`.
        now: seconds; how long ago an action was made and used is told from it.
    """
    place = None
    for each in installed:
        entry = each.filter
        head = _head(entry)
        if (entry.chain, entry.prio) != place:
            place = (entry.chain, entry.prio)
            yield head + " "
        yield f"{head} handle 0x{entry.handle:x} "
        yield from _options(each)
        for order, shared in enumerate(each.actions, 1):
            yield from _action_lines(order, shared, entry.cookie, now)
    if place is not None:
        yield ""


LISTINGS: Final = ("tc-show", "tc-json")
"""What :func:`listing` can be asked for, beside the commands (``tc``)."""


def listing(
    hooks: Iterable[tuple[str, Iterable[Installed]]], form: str, now: float = 0.0
) -> Iterator[str]:
    """All filters of a host as ``tc`` lists them, each hook below the command that asks for it.

    Args:
        hooks: what follows ``filter show`` (``dev p1 ingress``), and the filters there.
        form: one of :data:`LISTINGS`.
        now: seconds.
    """
    for where, installed in hooks:
        filters = list(installed)
        if not filters:
            continue
        if form == "tc-json":
            yield f"# tc -s -j filter show {where}"
            yield json.dumps(show_json(filters, now))
        else:
            yield f"# tc -s filter show {where}"
            yield from show_text(filters, now)


def _head(entry: Filter) -> str:
    block = f"block {entry.block} " if entry.block else ""
    return (
        f"filter {block}protocol {protocol_of(entry, shown=True)} pref {entry.prio} {entry.kind}"
        f" chain {entry.chain}"
    )


def _flags(entry: Filter) -> list[str]:
    return [word for word, on in (("skip_hw", entry.skip_hw), ("skip_sw", entry.skip_sw)) if on]


def _options(each: Installed) -> Iterator[str]:
    entry = each.filter
    if entry.kind == FLOWER:
        for key in keys_of(entry, shown=True):
            if key.shown == "mpls":
                yield "  mpls"
                yield from (f"    {line}" for line in key.text.split("\n"))
            else:
                yield f"  {key.shown} {key.text}"
    yield from (f"  {word}" for word in _flags(entry))
    hits = each.counters[0].packets if each.counters and entry.kind != FLOWER else None
    yield "  not_in_hw" if hits is None else f"  not_in_hw (rule hit {hits})"


def _action_lines(
    order: int, shared: Shared, cookie: bytes | None, now: float
) -> Iterator[str]:
    said = say(shared.action)
    counter = shared.counter
    used = counter.used if counter.used is not None else shared.since
    times = f"installed {int(now - shared.since)} sec used {int(now - used)} sec"
    first, *more = said.text.replace("{index}", f"0x{shared.index:x}").split("\n")
    count = f"ref {shared.refs} bind {shared.binds}"
    index = f"\t{count}  {times}"
    if said.blanks is not None:
        index = f"{said.blanks}index {shared.index} {count} {times}"
    behind = [index]
    yield f"\taction order {order}: {first}"
    # What pedit writes stands behind its index, all else before.
    yield from behind + more if isinstance(shared.action, act.Pedit) else more + behind
    yield "\tAction statistics:"
    yield (
        f"\tSent {counter.bytes} bytes {counter.packets} pkt "
        f"(dropped {counter.drops}, overlimits {counter.overlimits} requeues 0) "
    )
    yield "\tbacklog 0b 0p requeues 0"
    if cookie is not None:
        yield f"\tcookie {cookie.hex()}"
    yield ""


# -- JSON ------------------------------------------------------------------------------------------


def show_json(installed: Iterable[Installed], now: float = 0.0) -> list[Json]:
    """What ``tc -s -j filter show`` prints for one hook."""
    found: list[Json] = []
    place = None
    for each in installed:
        entry = each.filter
        head: Json = {"block": entry.block} if entry.block else {}
        head |= {
            "protocol": protocol_of(entry, shown=True), "pref": entry.prio, "kind": entry.kind,
            "chain": entry.chain,
        }  # fmt: skip
        if (entry.chain, entry.prio) != place:
            place = (entry.chain, entry.prio)
            found.append(head)
        found.append({**head, "options": _json_options(each, now)})
    return found


def _json_options(each: Installed, now: float) -> Json:
    entry = each.filter
    options: Json = {"handle": entry.handle}
    if entry.kind == FLOWER:
        keys: Json = {}
        for key in keys_of(entry, shown=True):
            if key.shown == "indev":
                options["indev"] = key.text
            else:
                keys |= _JSON_KEYS.get(key.shown, _plain_key)(key.shown, key.text)
        options["keys"] = keys
    options |= dict.fromkeys(_flags(entry), True) | {"not_in_hw": True}
    if entry.kind != FLOWER and each.counters:
        options["rule_hit"] = each.counters[0].packets
    if each.actions:
        options["actions"] = [
            _json_action(order, shared, entry.cookie, now)
            for order, shared in enumerate(each.actions, 1)
        ]
    return options


def _json_action(order: int, shared: Shared, cookie: bytes | None, now: float) -> Json:
    said = say(shared.action)
    counter: Counter = shared.counter
    used = counter.used if counter.used is not None else shared.since
    index = {} if said.blanks is None else {"index": shared.index}
    members = {
        name: shared.index if value == "{index}" else value
        for name, value in said.members.items()
    }
    found: Json = {"order": order, "kind": shared.action.kind, **members, **index}
    found |= {
        "ref": shared.refs, "bind": shared.binds, "installed": int(now - shared.since),
        "last_used": int(now - used), **(said.after or {}),
    }  # fmt: skip
    found["stats"] = {
        "bytes": counter.bytes, "packets": counter.packets, "drops": counter.drops,
        "overlimits": counter.overlimits, "requeues": 0, "backlog": 0, "qlen": 0,
    }  # fmt: skip
    if cookie is not None:
        found["cookie"] = cookie.hex()
    return found


def _plain_key(name: str, text: str) -> Json:
    return {name: text}


def _number_key(name: str, text: str) -> Json:
    value, slash, mask = text.partition("/")
    found: Json = {name: int(value)}
    if slash:
        found[f"{name}_mask"] = mask.removeprefix("0x")
    return found


def _port_key(name: str, text: str) -> Json:
    first, dash, last = text.partition("-")
    if dash:
        return {name: {"start": int(first), "end": int(last)}}
    return _number_key(name, text)


def _flags_key(name: str, text: str) -> Json:
    return {
        name: {word.removeprefix("no"): not word.startswith("no") for word in text.split("/")}
    }


def _mpls_key(name: str, text: str) -> Json:
    stack = []
    for line in text.split("\n"):
        words = line.split()[1:]
        parts = zip(words[::2], words[1::2], strict=True)
        stack.append({part: int(value) for part, value in parts})
    return {name: stack}


_JSON_KEYS: Final[dict[str, Callable[[str, str], Json]]] = {
    **dict.fromkeys(
        ("vlan_id", "vlan_prio", "cvlan_id", "cvlan_prio", "ip_tos", "ip_ttl", "ct_zone",
         "ct_mark", "mpls_label", "enc_key_id", "enc_dst_port", "enc_tos", "enc_ttl"),
        _number_key,
    ),
    "dst_port": _port_key,
    "src_port": _port_key,
    "ip_flags": _flags_key,
    "mpls": _mpls_key,
}  # fmt: skip


# -- actions ---------------------------------------------------------------------------------------


def control_json(control: int) -> Json:
    """The member ``control_action``."""
    if control >= GOTO_CHAIN:
        return {"type": "goto", "chain": control & EXT_MASK}
    if control >= JUMP:
        return {"type": "jump", "jump": control & EXT_MASK}
    return {"type": spell(control)}


def say(action: act.Action) -> Said:
    """An action in both forms."""
    return _SAY[type(action)](action)


def _ends(members: Json, control: int) -> Json:
    return {**members, "control_action": control_json(control)}


def _gact(a: act.Gact) -> Said:
    chance = {"random_type": "none", "control_action": {"type": "pass"}, "val": 0}
    return Said(
        {**_ends({}, a.control), "prob": chance},
        f"gact action {spell(a.control)}\n\t random type none pass val 0",
    )


def _mirred(a: act.Mirred) -> Said:
    how, where = "mirror" if a.mirror else "redirect", "ingress" if a.ingress else "egress"
    members = {"mirred_action": how, "direction": where, "to_dev": f"p{a.port}"}
    text = f"mirred ({where.title()} {how.title()} to device p{a.port}) {spell(a.control)}"
    return Said(_ends(members, a.control), text, "\t")


def _ct(a: act.Ct) -> Said:
    track = a.track
    if track is None:
        return Said(_ends({"action": "clear"}, a.control), f"ct clear {spell(a.control)}")
    members: Json = {}
    text = "ct"
    named = " ".join(
        word for word, on in (("commit", track.commit), ("force", track.force)) if on
    )
    if named:
        members["action"] = named
        text += f" {named}"
    if track.mark is not None:
        value, mask = track.mark
        members["mark"] = value
        text += f" mark {value}"
        if mask != 0xFFFFFFFF:
            members["mark_mask"] = f"{mask:x}"
            text += f"/0x{mask:x}"
    members["zone"] = track.zone
    text += f" zone {track.zone}"
    if track.label is not None:
        members["label"] = label_text(*track.label)
        text += f" label {members['label']}"
    if track.nat is not None:
        words = nat_text(track.nat)
        members["nat"] = words.removeprefix("nat").strip()
        text += f" {words}"
    return Said(_ends(members, a.control), f"{text} {spell(a.control)}")


def _pedit(a: act.Pedit) -> Said:
    lines, keys = [], []
    for number, munge in enumerate(a.munges):
        where = "" if munge.header is act.Header.NETWORK else f"{munge.header.value}+"
        how = "add" if munge.add else "val"
        lines.append(
            f"\t key #{number}  at {where}{munge.offset}: {how} {munge.value:08x}"
            f" mask {munge.mask:08x}"
        )
        keys.append({
            "htype": munge.header.value, "offset": munge.offset,
            "cmd": "add" if munge.add else "set", "val": f"{munge.value:x}",
            "mask": f"{munge.mask:x}",
        })  # fmt: skip
    text = f" pedit action {spell(a.control)} keys {len(keys)}"
    return Said(
        {**_ends({}, a.control), "nkeys": len(keys)}, "\n".join((text, *lines)), " \t ",
        {"keys": keys},
    )


def _csum(a: act.Csum) -> Said:
    which = ", ".join(each.value for each in act.Sum if each in a.which)
    text = f"csum ({which}) action {spell(a.control)}"
    return Said(_ends({"csum": which}, a.control), text, "\t")


def _vlan(a: act.Vlan) -> Said:
    members: Json = {"vlan_action": a.op.value}
    text = f"vlan  {a.op.value}"
    if a.op is act.VlanOp.PUSH_ETH:
        members |= {"dst_mac": colons(a.dst), "src_mac": colons(a.src)}
    elif a.op in (act.VlanOp.PUSH, act.VlanOp.MODIFY):
        members |= {"id": a.vid, "protocol": type_name(a.protocol, shown=True)}
        if a.prio is not None or a.op is act.VlanOp.PUSH:
            members["priority"] = a.prio or 0
    text += "".join(f" {name} {value}" for name, value in list(members.items())[1:])
    return Said(_ends(members, a.control), f"{text} {spell(a.control)}")


def _mpls(a: act.Mpls) -> Said:
    members: Json = {"mpls_action": a.op.value}
    if a.op in (act.MplsOp.PUSH, act.MplsOp.POP):
        members["protocol"] = type_name(a.protocol, shown=True)
    for name in ("label", "tc", "bos", "ttl"):
        if (value := getattr(a, name)) is not None:
            members[name] = value
    if a.op is act.MplsOp.PUSH and "ttl" not in members:
        members["ttl"] = 255
    text = "".join(f" {name} {value}" for name, value in list(members.items())[1:])
    return Said(_ends(members, a.control), f"mpls  {a.op.value}{text} {spell(a.control)}")


def _skbedit(a: act.Skbedit) -> Said:
    members: Json = {}
    text = ""
    if a.queue is not None:
        members["queue_mapping"] = a.queue
        text += f"queue_mapping {a.queue}"
    if a.priority is not None:
        members["priority"] = _class(a.priority)
        text += f" priority {members['priority']}"
    if a.mark is not None:
        members["mark"] = a.mark[0]
        text += f" mark {a.mark[0]}"
        if a.mark[1] != 0xFFFFFFFF:
            members["mask"] = f"{a.mark[1]:x}"
            text += f"/{a.mark[1]:#x}" if a.mark[1] else "/0"
    if a.ptype is not None:
        members["ptype"] = a.ptype
        text += f" ptype {a.ptype}"
    if a.inherit:
        members["inheritdsfield"] = None
        text += " inheritdsfield"
    return Said(_ends(members, a.control), f"skbedit {text} {spell(a.control)}")


def _class(number: int) -> str:
    """``print_tc_classid()``."""
    if number in (0, 0xFFFFFFFF):
        return "root" if number else "none"
    major, minor = number >> 16, number & 0xFFFF
    return f"{major:x}:" + (f"{minor:x}" if minor else "") if major else f":{minor:x}"


def _police(a: act.Police) -> Said:
    members: Json = {"index": "{index}"}
    if a.pkts_rate:
        members |= {"pkts_rate": a.pkts_rate, "pkts_burst": a.pkts_burst}
    # Both verdicts have the same name in the JSON of iproute2, and rate and burst have none.
    last = a.control if a.conform == OK else a.conform
    members = {**_ends(members, last), "overhead": 0}
    mtu = a.mtu or (CELL_MTU if a.rate else 0)
    return Said(members, police_text(a, mtu), None)


def _sample(a: act.Sample) -> Said:
    members: Json = {"rate": a.rate, "group": a.group}
    text = f"sample rate 1/{a.rate} group {a.group}"
    if a.trunc:
        members["trunc_size"] = a.trunc
        text += f" trunc_size {a.trunc}"
    return Said(_ends(members, a.control), f"{text} {spell(a.control)}")


def _tunnel_key(a: act.TunnelKey) -> Said:
    if not a.family:
        return Said(_ends({"mode": "unset"}, a.control), f"tunnel_key  unset {spell(a.control)}")
    words = write_action(a).split()
    at = {name: words[words.index(name) + 1] for name in ("src_ip", "dst_ip")}
    members: Json = {"mode": "set", **at}
    lines = [f"\tsrc_ip {at['src_ip']}", f"\tdst_ip {at['dst_ip']}"]
    for name, value in (("key_id", a.key_id), ("dst_port", a.dst_port or None)):
        if value is not None:
            members[name] = value
            lines.append(f"\t{name} {value}")
    flag = "csum" if a.csum else "nocsum"
    members["flag"] = flag
    lines.append(f"\t{flag}")
    for name, value, text in (
        ("tos", a.tos, f"{a.tos:#x}"), ("ttl", a.ttl, str(a.ttl)),
    ):  # fmt: skip
        if value:
            members[name] = value
            lines.append(f"\t{name} {text}")
    return Said(
        _ends(members, a.control),
        "\n".join(("tunnel_key  set", *lines)) + f" {spell(a.control)}",
    )


_SAY: Final[dict[type[act.Action], Callable[[Any], Said]]] = {
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
