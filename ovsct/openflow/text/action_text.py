"""Actions and instructions, text to objects.

One function a keyword, found by the table at the end; each takes the item of text and gives the
action with its span. Follows OVS lib/ofp-actions.c (``ofpacts_parse__``, ``parse_*``). What an
action may not do under the flow's match is checked in :mod:`ovsct.openflow.check`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ovsct.errors import InputError
from ovsct.openflow import actions as ofp
from ovsct.openflow.actions import Action, Span, Subfield
from ovsct.openflow.text.argument import (
    Reader,
    at_value,
    read_field_name,
    read_number,
    read_port,
    table_number,
    unknown_argument,
    whole_subfield,
    wrong,
)
from ovsct.openflow.text.encap_text import read_decap, read_encap
from ovsct.openflow.text.hash_text import (
    read_bundle,
    read_bundle_load,
    read_fin_timeout,
    read_multipath,
    read_sample,
)
from ovsct.openflow.text.learn_text import read_learn
from ovsct.openflow.text.lexer import Item, items, nearest
from ovsct.openflow.text.names import BY_NAME, BY_WIRE_NAME
from ovsct.openflow.text.nat_text import read_nat
from ovsct.openflow.text.set_text import SETTERS
from ovsct.openflow.text.values import NO_PORTS, Ports, integer, port

MAX_DEPTH: Final = 100
"""How deep actions may be nested (OVS: MAX_OFPACT_PARSE_DEPTH)."""

REASONS: Final = (
    "no_match", "action", "invalid_ttl", "action_set", "group", "packet_out",
)  # fmt: skip
"""Reasons of a packet-in (OVS ofputil_packet_in_reason_to_string)."""


@dataclass(frozen=True, slots=True)
class _NatInExec(Action):
    """A nat that stands inside exec(...), on its way to the ct around it."""

    nat: ofp.Nat


# Output ---------------------------------------------------------------------------------------


def _output(reader: Reader, item: Item) -> Action:
    if "port" in item.value and "max_len" in item.value:
        return _truncated_output(reader, item)
    try:
        number = port(item.value, reader.ports)
    except InputError as not_a_port:
        name = re.split(r"[\[-]", item.value, maxsplit=1)[0]
        if name not in BY_NAME and name not in BY_WIRE_NAME:
            raise at_value(not_a_port, item) from None
        return ofp.OutputField(whole_subfield(item.value, item.value_start), span=item.span)
    if number == ofp.OFPP_CONTROLLER:
        return ofp.Controller(span=item.span)
    return ofp.Output(number, span=item.span)


def _truncated_output(reader: Reader, item: Item) -> Action:
    number: int | None = None
    length: int | None = None
    for part in items(reader.text, item.value_start, item.value_end):
        if part.key == "port":
            number = read_port(reader, part.value, part.value_start)
            if number > ofp.OFPP_MAX and number not in (ofp.OFPP_LOCAL, ofp.OFPP_IN_PORT):
                raise wrong("a truncated packet cannot be sent to this port", part)
        elif part.key == "max_len":
            length = read_number(part, 0xFFFFFFFF, "length in bytes")
            if length < 14:
                raise wrong("this is shorter than an Ethernet header", part, "14 or more")
        else:
            raise unknown_argument(part, "output", ("port", "max_len"))
    if number is None or length is None:
        raise wrong("output(...) needs both port and max_len", item)
    return ofp.Output(number, length, span=item.span)


def _hex_bytes(part: Item) -> bytes:
    digits = part.value.replace(".", "")
    if len(digits) % 2 or re.fullmatch("[0-9a-fA-F]*", digits) is None:
        raise wrong("these are not bytes", part, "pairs of hexadecimal digits")
    return bytes.fromhex(digits)


def _controller(reader: Reader, item: Item) -> Action:
    if not item.value or item.value.isdecimal():
        length = read_number(item, 0xFFFF, "length in bytes") if item.value else 0xFFFF
        return ofp.Controller(length, span=item.span)
    max_len, reason, controller_id, userdata, pause = 0xFFFF, "action", 0, b"", False
    meter_id: int | None = None
    for part in items(reader.text, item.value_start, item.value_end):
        match part.key:
            case "reason":
                if part.value not in REASONS:
                    raise wrong("there is no such reason", part, ", ".join(REASONS))
                reason = part.value
            case "max_len":
                max_len = read_number(part, 0xFFFF, "length in bytes")
            case "id":
                controller_id = read_number(part, 0xFFFF, "controller id")
            case "userdata":
                userdata = _hex_bytes(part)
            case "pause":
                pause = True
            case "meter_id":
                meter_id = read_number(part, 0xFFFFFFFF, "meter")
            case _:
                known = ("reason", "max_len", "id", "userdata", "pause", "meter_id")
                raise unknown_argument(part, "controller", known)
    return ofp.Controller(
        max_len, reason, controller_id, userdata, pause, meter_id, span=item.span
    )


_ENQUEUE = re.compile(r"([^:q,]+)[:q,](.+)\Z")


def _enqueue(reader: Reader, item: Item) -> Action:
    found = _ENQUEUE.match(item.value)
    if found is None:
        raise wrong("enqueue needs a port and a queue", item, "enqueue:PORT:QUEUE")
    try:
        queue = integer(found[2], 0xFFFFFFFF, "queue")
    except InputError as error:
        raise error.at(column=item.value_start + found.start(2) + 1) from None
    return ofp.Enqueue(read_port(reader, found[1], item.value_start), queue, span=item.span)


def _resubmit(reader: Reader, item: Item) -> Action:
    parts = item.value.split(",")
    if len(parts) > 3:
        raise wrong("resubmit takes a port, a table and 'ct'", item)
    port_text, table_text, ct_text = (*parts, "", "")[:3]
    number = read_port(reader, port_text, item.value_start) if port_text else ofp.OFPP_IN_PORT
    table_start = item.value_start + len(port_text) + 1
    table = table_number(table_text, table_start) if table_text else 255
    if ct_text not in ("", "ct"):
        raise InputError(
            "resubmit has no such argument",
            column=table_start + len(table_text) + 2,
            token=ct_text,
            expected="ct",
        )
    if number == ofp.OFPP_IN_PORT and table == 255:
        raise wrong("resubmit needs a port or a table", item, "resubmit([PORT],[TABLE][,ct])")
    return ofp.Resubmit(
        None if number == ofp.OFPP_IN_PORT else number,
        None if table == 255 else table,
        bool(ct_text),
        span=item.span,
    )


# Tags -----------------------------------------------------------------------------------------


def _push_vlan(_: Reader, item: Item) -> Action:
    tpid = read_number(item, 0xFFFF, "Ethernet type")
    if tpid not in (0x8100, 0x88A8):
        raise wrong("this is not the Ethernet type of a VLAN tag", item, "0x8100 or 0x88a8")
    return ofp.PushVlan(tpid, span=item.span)


def _delete_field(_: Reader, item: Item) -> Action:
    return ofp.DeleteField(read_field_name(item.value, item.value_start), span=item.span)


def _push_mpls(reader: Reader, item: Item) -> Action:
    ethertype = read_number(item, 0xFFFF, "Ethernet type")
    if ethertype not in (0x8847, 0x8848):
        problem = "this is not the Ethernet type of a label (OFPBAC_BAD_ARGUMENT)"
        reader.late.append(wrong(problem, item, "0x8847 or 0x8848"))
    return ofp.PushMpls(ethertype, span=item.span)


def _dec_ttl(reader: Reader, item: Item) -> Action:
    if not item.value:
        return ofp.DecTtl(span=item.span)
    ids = re.split(r"[, ]+", item.value.strip(", "))
    if not all(part.isdecimal() and int(part) <= 0xFFFF for part in ids):
        error = wrong("these are not controller ids", item, "numbers, 0 to 65535")
        if not all(map(str.isdecimal, ids)):
            raise error
        reader.late.append(error)  # ovs-ofctl takes them modulo 65536
    return ofp.DecTtl(tuple(int(part) & 0xFFFF for part in ids), span=item.span)


# Conntrack ------------------------------------------------------------------------------------

_CT_KEYS: Final = ("commit", "force", "table", "zone", "alg", "nat", "exec")


def _zone(reader: Reader, part: Item) -> int | Subfield:
    if part.value[:1].isdecimal():
        return read_number(part, 0xFFFF, "zone")
    zone = whole_subfield(part.value, part.value_start)
    if zone.width != 16:
        reader.late.append(
            wrong(f"a zone is 16 bits wide and these are {zone.width} (OFPBAC_BAD_SET_LEN)", part)
        )
    return zone


def _ct(reader: Reader, item: Item) -> Action:
    zone: int | Subfield = 0
    table: int | None = None
    commit = force = False
    alg: str | None = None
    nat: ofp.Nat | None = None
    executed: list[Action] = []
    for part in items(reader.text, item.value_start, item.value_end):
        match part.key:
            case "commit":
                commit = True
            case "force":
                force = True
            case "table":
                table = table_number(part.value, part.value_start)
                if table == 255:
                    raise wrong("there is no such table", part, "0 to 254")
            case "zone":
                zone = _zone(reader, part)
            case "alg":
                if part.value not in ("ftp", "tftp"):
                    raise wrong("there is no such helper", part, "ftp or tftp")
                alg = part.value
            case "nat":
                nat = _only_nat(nat, read_nat(reader, part), part)
            case "exec":
                for nested in _nested(reader, part, "ct"):
                    if isinstance(nested, _NatInExec):
                        nat = _only_nat(nat, nested.nat, part)
                    else:
                        executed.append(nested)
            case _:
                raise unknown_argument(part, "ct", _CT_KEYS)
    if force and not commit:
        raise wrong("ct cannot force without commit", item, "commit,force")
    if not commit and (executed or (nat is not None and (nat.src or nat.dst))):
        reader.late.append(
            wrong("ct without commit takes no exec and only a bare nat (OFPBAC_BAD_ARGUMENT)", item)
        )
    return ofp.Ct(zone, table, commit, force, alg, nat, tuple(executed), span=item.span)


def _only_nat(before: ofp.Nat | None, nat: ofp.Nat, part: Item) -> ofp.Nat:
    if before is not None:
        raise InputError(
            "two nats in one ct are not modelled, of which OVS takes the last",
            column=part.start + 1, token=part.key,
        )  # fmt: skip
    return nat


# Other ----------------------------------------------------------------------------------------

_CONJUNCTION = re.compile(r"\s*(\w+)\s*,\s*(\w+)\s*/\s*(\w+)\s*\Z")


def _conjunction(_: Reader, item: Item) -> Action:
    found = _CONJUNCTION.match(item.value)
    if found is None:
        raise wrong("this is not a conjunction", item, "conjunction(ID,K/N)")
    try:
        conj_id = integer(found[1], 0xFFFFFFFF, "conjunction id")
        clause, n_clauses = integer(found[2], 255, "clause"), integer(found[3], 255, "number")
    except InputError as error:
        raise at_value(error, item) from None
    if not 2 <= n_clauses <= 64 or not 1 <= clause <= n_clauses:
        raise wrong("these clauses cannot be", item, "K/N with 1 <= K <= N and 2 <= N <= 64")
    return ofp.Conjunction(conj_id, clause, n_clauses, span=item.span)


_CHECKED_LENGTH = re.compile(r"\(?([^)]*)\)?->(.+)\Z")


def _check_pkt_larger(_: Reader, item: Item) -> Action:
    found = _CHECKED_LENGTH.match(item.value)
    if found is None:
        raise wrong("this is not a check", item, "check_pkt_larger(LENGTH)->FIELD[BIT]")
    dst = whole_subfield(found[2], item.value_start + found.start(2))
    if dst.width != 1:
        raise wrong("the result is one bit", item, "FIELD[BIT] after '->'")
    try:
        length = integer(found[1], 0xFFFF, "length in bytes")
    except InputError as error:
        raise at_value(error, item) from None
    return ofp.CheckPktLarger(length, dst, span=item.span)


def _write_metadata(_: Reader, item: Item) -> Action:
    value_text, slash, mask_text = item.value.partition("/")
    ones = (1 << 64) - 1
    try:
        mask = integer(mask_text, ones, "mask") if slash else ones
        value = integer(value_text, ones, "value of metadata")
    except InputError as error:
        raise at_value(error, item) from None
    return ofp.WriteMetadata(value, mask, span=item.span)


def _goto_table(_: Reader, item: Item) -> Action:
    return ofp.GotoTable(table_number(item.value, item.value_start), span=item.span)


def _nested(reader: Reader, item: Item, outer: str) -> tuple[Action, ...]:
    if reader.depth >= MAX_DEPTH:
        raise wrong("actions are nested too deeply here", item, f"at most {MAX_DEPTH} levels")
    inner = reader._replace(depth=reader.depth + 1, outer=outer)
    return _read_list(inner, item.value_start, item.value_end)


def _clone(reader: Reader, item: Item) -> Action:
    return ofp.Clone(_nested(reader, item, "clone"), span=item.span)


def _write_actions(reader: Reader, item: Item) -> Action:
    return ofp.WriteActions(_nested(reader, item, "write_actions"), span=item.span)


def _nat_in_exec(reader: Reader, item: Item) -> Action:
    return _NatInExec(read_nat(reader, item), span=item.span)


def _note(_: Reader, item: Item) -> Action:
    return ofp.Note(_hex_bytes(item), span=item.span)


def _plain(make: Callable[[Span], Action]) -> Callable[[Reader, Item], Action]:
    def function(_: Reader, item: Item) -> Action:
        return make(item.span)

    return function


def _numbered(
    make: Callable[[int, Span], Action], limit: int, what: str
) -> Callable[[Reader, Item], Action]:
    def function(_: Reader, item: Item) -> Action:
        return make(read_number(item, limit, what), item.span)

    return function


_U32: Final = 0xFFFFFFFF
_ACTIONS: Final[dict[str, Callable[[Reader, Item], Action]]] = {
    "output": _output,
    "group": _numbered(lambda n, s: ofp.Group(n, span=s), _U32, "group"),
    "controller": _controller,
    "enqueue": _enqueue,
    **SETTERS,
    "strip_vlan": _plain(lambda s: ofp.StripVlan(span=s)),
    "pop_vlan": _plain(lambda s: ofp.StripVlan("pop_vlan", span=s)),
    "push_vlan": _push_vlan,
    "push_mpls": _push_mpls,
    "pop_mpls": _numbered(lambda n, s: ofp.PopMpls(n, span=s), 0xFFFF, "Ethernet type"),
    "dec_ttl": _dec_ttl,
    "delete_field": _delete_field,
    "encap": read_encap,
    "decap": read_decap,
    "dec_nsh_ttl": _plain(lambda s: ofp.DecNshTtl(span=s)),
    "set_mpls_ttl": _numbered(lambda n, s: ofp.SetMplsTtl(n, span=s), 0xFF, "time to live"),
    "dec_mpls_ttl": _plain(lambda s: ofp.DecMplsTtl(span=s)),
    "set_queue": _numbered(lambda n, s: ofp.SetQueue(n, span=s), _U32, "queue"),
    "pop_queue": _plain(lambda s: ofp.PopQueue(span=s)),
    "resubmit": _resubmit,
    "learn": read_learn,
    "multipath": read_multipath,
    "bundle": read_bundle,
    "bundle_load": read_bundle_load,
    "fin_timeout": read_fin_timeout,
    "sample": read_sample,
    "debug_recirc": _plain(lambda s: ofp.DebugRecirc(span=s)),
    "debug_slow": _plain(lambda s: ofp.DebugSlow(span=s)),
    "conjunction": _conjunction,
    "note": _note,
    "exit": _plain(lambda s: ofp.Exit(span=s)),
    "ct": _ct,
    "ct_clear": _plain(lambda s: ofp.CtClear(span=s)),
    "nat": _nat_in_exec,
    "clone": _clone,
    "check_pkt_larger": _check_pkt_larger,
    "meter": _numbered(lambda n, s: ofp.Meter(n, span=s), _U32, "meter"),
    "clear_actions": _plain(lambda s: ofp.ClearActions(span=s)),
    "write_actions": _write_actions,
    "write_metadata": _write_metadata,
    "goto_table": _goto_table,
}

ACTION_NAMES: Final = (*_ACTIONS, "drop")


def _one(reader: Reader, item: Item) -> Action:
    word = item.key.lower()
    function = _ACTIONS.get(word)
    if function is not None:
        return function(reader, item)
    if word == "apply_actions":
        raise InputError(
            "actions are applied without saying so",
            column=item.start + 1,
            token=item.key,
            hint="write the actions alone",
        )
    try:
        number = port(item.key, reader.ports)
    except InputError:
        raise InputError(
            "there is no such action",
            column=item.start + 1,
            token=item.key,
            hint=nearest(word, ACTION_NAMES) or nearest(item.key, reader.ports),
        ) from None
    if number == ofp.OFPP_CONTROLLER:
        return ofp.Controller(0, span=item.span)  # "4294967293": OVS leaves the length 0
    return ofp.Output(number, span=item.span)


def _read_list(reader: Reader, start: int, end: int) -> tuple[Action, ...]:
    found: list[Action] = []
    drop: Item | None = None
    for item in items(reader.text, start, end):
        if item.key.lower() == "drop":
            drop = item
        else:
            found.append(_one(reader, item))
    if drop is not None and found:
        raise InputError(
            "drop cannot stand beside other actions", column=drop.start + 1, token=drop.key
        )
    for action in found:
        if isinstance(action, _NatInExec) and reader.outer != "ct":
            raise InputError(
                "nat stands inside ct(...) (OFPBAC_BAD_SET_ARGUMENT)",
                column=action.span[0] + 1,
            )
    return tuple(found)


def read_actions(
    text: str,
    start: int = 0,
    end: int | None = None,
    ports: Ports = NO_PORTS,
    late: list[InputError] | None = None,
) -> tuple[Action, ...]:
    """The actions in ``text[start:end]``, with spans that count from the head of `text`.

    ``drop`` and nothing at all both give an empty tuple. Names of ports are those in `ports`.
    Raises InputError with the column; what only a switch refuses is put into `late`, if given.
    """
    found: list[InputError] = []
    actions = _read_list(Reader(text, found, ports), start, len(text) if end is None else end)
    if late is not None:
        late += found
    elif found:
        raise found[0]
    return actions
