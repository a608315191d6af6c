"""What ``tc -s filter show`` and ``tc -s -j filter show`` print (iproute2 6.1).

The JSON is the model of both: each part of a filter gives its JSON members and its words. Where the
two differ in iproute2 (a mask that is hex in one, a rate that only one of them has) they differ
here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from ovsct.tc import actions as act
from ovsct.tc.filters import FLOWER, Counter, Filter, Installed, Shared
from ovsct.tc.text.match import keys_of, protocol_of
from ovsct.tc.text.show_actions import Json, say


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
