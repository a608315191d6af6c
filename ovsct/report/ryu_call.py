"""The Python call by which a Ryu or os-ken application makes an OpenFlow 1.3 flow mod.

It is read off the bytes of the message, so that what it makes is what stands on the wire, action
by action. The match may come out in another order: the libraries sort its fields by number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from ovsct.errors import InputError
from ovsct.openflow.wire.buffer import Reader
from ovsct.report.ryu_names import IPV4, IPV6, MAC, RYU_NAMES, RYU_ONF_NAMES

_WIDTH: Final = 88
_COMMANDS: Final = ("ADD", "MODIFY", "MODIFY_STRICT", "DELETE", "DELETE_STRICT")
_APPLY, _CLEAR = "OFPIT_APPLY_ACTIONS", "OFPIT_CLEAR_ACTIONS"
_PORTS: Final = {
    0xFFFFFFF8: "IN_PORT", 0xFFFFFFF9: "TABLE", 0xFFFFFFFA: "NORMAL", 0xFFFFFFFB: "FLOOD",
    0xFFFFFFFC: "ALL", 0xFFFFFFFD: "CONTROLLER", 0xFFFFFFFE: "LOCAL", 0xFFFFFFFF: "ANY",
}  # fmt: skip
_FLAGS: Final = {
    1: "SEND_FLOW_REM", 2: "CHECK_OVERLAP", 4: "RESET_COUNTS", 8: "NO_PKT_COUNTS",
    16: "NO_BYT_COUNTS",
}  # fmt: skip
_FLOW_MOD: Final = 14
_NICIRA: Final = 0x2320
_EXPERIMENTER: Final = 0xFFFF
_ONF: Final = 0x4F4E4600

PADDED: Final = '''\
class PaddedNAT(parser.NXActionNAT):
    """Ryu and os-ken forget the zeros behind a nat; what follows it in a ct needs them."""

    def serialize(self, buf, offset):
        super().serialize(buf, offset)
        buf.extend(bytes(offset + self.len - len(buf)))
'''


def ryu_call(message: bytes) -> str:
    """Python that sends a flow mod, given `datapath`, as of Ryu's ``ev.msg.datapath``.

    Args:
        message: the whole message, of OpenFlow 1.3.

    Raises:
        InputError: it is none, or has an action or a field for which Ryu has no name.
    """
    reader = Reader(message, 0)
    version, kind = reader.number(1), reader.number(1)
    if (version, kind) != (4, _FLOW_MOD):
        raise InputError(
            "this has no Ryu call here", token=f"version {version}, type {kind}",
            expected="a flow mod of OpenFlow 1.3",
        )  # fmt: skip
    reader.skip(6)
    fields = _head(reader)
    match = _match(reader)
    instructions = _instructions(reader)
    lines = ["parser, ofproto = datapath.ofproto_parser, datapath.ofproto", ""]
    if any("PaddedNAT(" in each for each in instructions):
        lines += ["", *PADDED.splitlines(), "", ""]
    lines += _call("match = parser.OFPMatch", match)
    lines += _list("instructions", instructions)
    arguments = ["datapath", *fields, "match=match", "instructions=instructions"]
    lines += _call("message = parser.OFPFlowMod", arguments)
    lines.append("datapath.send_msg(message)")
    return "\n".join(lines)


def _call(head: str, arguments: Sequence[str]) -> list[str]:
    line = f"{head}({', '.join(arguments)})"
    if len(line) <= _WIDTH:
        return [line]
    return [f"{head}(", *(f"    {each}," for each in arguments), ")"]


def _list(name: str, items: Sequence[str]) -> list[str]:
    if not items:
        return [f"{name} = []"]
    return [f"{name} = [", *(f"    {line}" for item in items for line in item.splitlines()), "]"]


def _head(reader: Reader) -> list[str]:
    """The arguments but match and instructions; what is as Ryu has it anyway is left out."""
    cookie, cookie_mask = reader.number(8), reader.number(8)
    table, command = reader.number(1), reader.number(1)
    idle, hard, priority = reader.number(2), reader.number(2), reader.number(2)
    buffer_id, out_port, out_group = reader.number(4), reader.number(4), reader.number(4)
    flags = reader.number(2)
    reader.skip(2)
    if command >= len(_COMMANDS):
        raise InputError("there is no such command of a flow mod", token=str(command))
    rows = (
        ("cookie", cookie, 0, f"{cookie:#x}"),
        ("cookie_mask", cookie_mask, 0, f"{cookie_mask:#x}"),
        ("table_id", table, 0, "ofproto.OFPTT_ALL" if table == 0xFF else str(table)),
        ("command", command, 0, f"ofproto.OFPFC_{_COMMANDS[command]}"),
        ("idle_timeout", idle, 0, str(idle)),
        ("hard_timeout", hard, 0, str(hard)),
        ("priority", priority, 0x8000, str(priority)),
        ("buffer_id", buffer_id, 0xFFFFFFFF, str(buffer_id)),
        ("out_port", out_port, 0, _port(out_port)),
        ("out_group", out_group, 0,
         "ofproto.OFPG_ANY" if out_group == 0xFFFFFFFF else str(out_group)),
        ("flags", flags, 0,
         " | ".join(f"ofproto.OFPFF_{name}" for bit, name in _FLAGS.items() if flags & bit)),
    )  # fmt: skip
    return [f"{name}={text}" for name, value, usual, text in rows if value != usual]


def _port(number: int) -> str:
    return f"ofproto.OFPP_{_PORTS[number]}" if number in _PORTS else str(number)


# -- fields ---------------------------------------------------------------------------------------


def _name(header: int) -> str:
    """Ryu's name of a field by the four bytes of its header."""
    kind, number = header >> 16, header >> 9 & 0x7F
    name = RYU_NAMES.get(kind, {}).get(number)
    if name is None:
        raise _nameless(header)
    return name


def _nameless(header: int, more: str = "") -> InputError:
    kind, number = header >> 16, header >> 9 & 0x7F
    return InputError(
        "Ryu and os-ken have no name for a field",
        token=f"class {kind:#06x}, field {number}{more}",
        hint="what names it has to be written by hand, byte by byte",
    )


def _value(name: str, data: bytes) -> str:
    if name in IPV4:
        return f'"{IPv4Address(data)}"'
    if name in IPV6:
        return f'"{IPv6Address(data)}"'
    if name in MAC:
        return f'"{data.hex(":")}"'
    number = int.from_bytes(data, "big")
    return str(number) if number < 10 else f"{number:#x}"


def _entry(reader: Reader) -> str:
    """One field with its value, and mask if it has one, as a keyword."""
    header = reader.number(4)
    size = header & 0xFF
    if header >> 16 == _EXPERIMENTER:
        vendor, size = reader.number(4), size - 4
        name = RYU_ONF_NAMES.get(header >> 9 & 0x7F) if vendor == _ONF else None
        if name is None:
            raise _nameless(header, f", vendor {vendor:#x}")
    else:
        name = _name(header)
    if not header & 0x100:
        return f"{name}={_value(name, reader.take(size))}"
    half = size // 2
    value, mask = reader.take(half), reader.take(half)
    return f"{name}=({_value(name, value)}, {_value(name, mask)})"


def _match(reader: Reader) -> list[str]:
    reader.skip(2)
    length = reader.number(2)
    inner = reader.part(length - 4)
    entries = []
    while inner.left:
        entries.append(_entry(inner))
    reader.skip(-length % 8)
    return entries


# -- instructions and actions ---------------------------------------------------------------------


def _instructions(reader: Reader) -> list[str]:
    found = []
    while reader.left:
        kind, length = reader.number(2), reader.number(2)
        body = reader.part(length - 4)
        match kind:
            case 1:
                found.append(f"parser.OFPInstructionGotoTable({body.number(1)}),")
            case 2:
                body.skip(4)
                numbers = f"{body.number(8):#x}, {body.number(8):#x}"
                found.append(f"parser.OFPInstructionWriteMetadata({numbers}),")
            case 3 | 4 | 5:
                name = {3: "OFPIT_WRITE_ACTIONS", 4: _APPLY, 5: _CLEAR}[kind]
                body.skip(4)
                found.append(_with_actions("parser.OFPInstructionActions", f"ofproto.{name}", body))
            case 6:
                found.append(f"parser.OFPInstructionMeter({body.number(4)}),")
            case _:
                raise InputError("there is no such instruction", token=str(kind))
    return found


def _with_actions(head: str, arguments: str, reader: Reader) -> str:
    actions = _actions(reader)
    if not actions:
        return f"{head}({arguments}, []),"
    inner = "\n".join(f"    {line}" for each in actions for line in each.splitlines())
    return f"{head}({arguments}, [\n{inner}\n]),"


def _actions(reader: Reader) -> list[str]:
    found = []
    while reader.left:
        kind, length = reader.number(2), reader.number(2)
        body = reader.part(length - 4)
        if kind == 0xFFFF:
            vendor, kind = body.number(4), body.number(2)
            calls, words = _NICIRA_CALLS, f"Nicira's action {kind}"
            if vendor != _NICIRA:
                raise InputError("an action of a vendor that is not known", token=f"{vendor:#x}")
        else:
            calls, words = _STANDARD, f"action {kind}"
        call = calls.get(kind)
        if call is None:
            raise InputError(
                "there is no Ryu call for this here", token=words,
                hint="Ryu may lack it, or write it wrong",
            )  # fmt: skip
        found.append(f"parser.{call(body)},")
    return found


def _output(body: Reader) -> str:
    port, length = body.number(4), body.number(2)
    return f"OFPActionOutput({_port(port)}, {length})"


def _one(name: str, size: int, write: Callable[[int], str] = str) -> Callable[[Reader], str]:
    """An action of one number of so many bytes."""
    return lambda body: f"{name}({write(body.number(size))})"


def _none(name: str) -> Callable[[Reader], str]:
    return lambda _: f"{name}()"


_STANDARD: Final[dict[int, Callable[[Reader], str]]] = {
    0: _output,
    15: _one("OFPActionSetMplsTtl", 1),
    16: _none("OFPActionDecMplsTtl"),
    17: _one("OFPActionPushVlan", 2, hex),
    18: _none("OFPActionPopVlan"),
    19: _one("OFPActionPushMpls", 2, hex),
    20: _one("OFPActionPopMpls", 2, hex),
    21: _one("OFPActionSetQueue", 4),
    22: _one("OFPActionGroup", 4),
    23: _one("OFPActionSetNwTtl", 1),
    24: _none("OFPActionDecNwTtl"),
    25: lambda body: f"OFPActionSetField({_entry(body)})",
}


def _resubmit(body: Reader) -> str:
    port = body.number(2)
    return "NXActionResubmit()" if port == 0xFFF8 else f"NXActionResubmit({port})"


def _resubmit_table(body: Reader) -> str:
    port, table = body.number(2), body.number(1)
    given = [] if port == 0xFFF8 else [f"in_port={port}"]
    given += [] if table == 0xFF else [f"table_id={table}"]
    return f"NXActionResubmitTable({', '.join(given)})"


def _move(body: Reader) -> str:
    bits, source, destination = body.number(2), body.number(2), body.number(2)
    names = f'"{_name(body.number(4))}", "{_name(body.number(4))}"'
    low = f", src_ofs={source}, dst_ofs={destination}" if source or destination else ""
    return f"NXActionRegMove({names}, n_bits={bits}{low})"


def _load(body: Reader) -> str:
    bits, name, value = body.number(2), _name(body.number(4)), body.number(8)
    return f'NXActionRegLoad(ofs_nbits={bits:#x}, dst="{name}", value={value:#x})'


def _output_field(body: Reader) -> str:
    bits, name, length = body.number(2), _name(body.number(4)), body.number(2)
    return f'NXActionOutputReg(ofs_nbits={bits:#x}, src="{name}", max_len={length:#x})'


def _stack(name: str) -> Callable[[Reader], str]:
    def call(body: Reader) -> str:
        low, field, width = body.number(2), _name(body.number(4)), body.number(2)
        return f'{name}("{field}", {low}, {width})'

    return call


def _controller(body: Reader) -> str:
    length, ident, reason = body.number(2), body.number(2), body.number(1)
    return f"NXActionController(max_len={length}, controller_id={ident}, reason={reason})"


def _dec_ttl(body: Reader) -> str:
    count = body.number(2)
    body.skip(4)
    return f"NXActionDecTtlCntIds([{', '.join(str(body.number(2)) for _ in range(count))}])"


def _conjunction(body: Reader) -> str:
    clause, clauses, ident = body.number(1), body.number(1), body.number(4)
    return f"NXActionConjunction(clause={clause}, n_clauses={clauses}, id_={ident})"


def _ct(body: Reader) -> str:
    flags, zone, bits, table = body.number(2), body.number(4), body.number(2), body.number(1)
    body.skip(3)
    alg = body.number(2)
    source = f'"{_name(zone)}"' if zone else '""'
    head = (
        f"flags={flags}, zone_src={source}, zone_ofs_nbits={bits:#x}, recirc_table={table},"
        f" alg={alg}"
    )
    actions = _actions(body)
    # The ct as a whole is filled up by the library: only what another action follows is not.
    actions[:-1] = [each.replace("parser.NXActionNAT(", "PaddedNAT(") for each in actions[:-1]]
    if not actions:
        return f"NXActionCT({head}, actions=[])"
    inner = "\n".join(f"    {line}" for each in actions for line in each.splitlines())
    return f"NXActionCT({head}, actions=[\n{inner}\n])"


_NAT_RANGES: Final = (
    ("range_ipv4_min", 4), ("range_ipv4_max", 4), ("range_ipv6_min", 16), ("range_ipv6_max", 16),
    ("range_proto_min", 2), ("range_proto_max", 2),
)  # fmt: skip


def _nat(body: Reader) -> str:
    body.skip(2)
    flags, present = body.number(2), body.number(2)
    given = [f"flags={flags}"]
    for bit, (name, size) in enumerate(_NAT_RANGES):
        if present >> bit & 1:
            data = body.take(size)
            address = {4: IPv4Address, 16: IPv6Address}.get(size)
            text = str(int.from_bytes(data, "big")) if address is None else f'"{address(data)}"'
            given.append(f"{name}={text}")
    return f"NXActionNAT({', '.join(given)})"


_NICIRA_CALLS: Final[dict[int, Callable[[Reader], str]]] = {
    1: _resubmit,
    5: _none("NXActionPopQueue"),
    6: _move,
    7: _load,
    14: _resubmit_table,
    15: _output_field,
    17: _none("NXActionExit"),
    20: _controller,
    21: _dec_ttl,
    27: _stack("NXActionStackPush"),
    28: _stack("NXActionStackPop"),
    34: _conjunction,
    35: _ct,
    36: _nat,
    39: lambda body: f"NXActionOutputTrunc(port={body.number(2)}, max_len={body.number(4)})",
    43: _none("NXActionCTClear"),
}
