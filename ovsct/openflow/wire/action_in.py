"""One action off the wire: a function each (OVS lib/ofp-actions.c, ``decode_*``).

Each gets what stands behind the action's header, which has the length that its row says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from ovsct.openflow import actions as of
from ovsct.openflow.actions import Action, Subfield
from ovsct.openflow.text.names import bits_of, whole_mask
from ovsct.openflow.wire.buffer import Reader
from ovsct.openflow.wire.errors import WireError
from ovsct.openflow.wire.oxm import port_from_wire, pull_field, pull_header, pull_value
from ovsct.packet.fields import FIELDS, PRESENT_BIT, VLAN_PRESENT, Field

REASONS: Final = ("no_match", "action", "invalid_ttl", "action_set", "group", "packet_out")
"""Reasons of a packet-in by their number (OVS enum ofp_packet_in_reason)."""


class PullActions(Protocol):
    """Reads a nested list of actions."""

    def __call__(
        self, reader: Reader, length: int, version: int, *, outer: str | None, depth: int
    ) -> tuple[Action, ...]: ...


class Inside(NamedTuple):
    """Where an action stands: version, the action around it, how deep, and how to read more."""

    version: int
    outer: str | None
    depth: int
    pull: PullActions


def _must_be_zero(reader: Reader, length: int, error: str = "NXBRC_MUST_BE_ZERO") -> None:
    if any(reader.take(length)):
        raise WireError(error, "padding that is not zero")


def check_part(part: Subfield, *, written: bool) -> Subfield:
    """Raises WireError if these bits are not bits of their field (OVS mf_check_src, mf_check_dst).

    `written`: they must be writable too.
    """
    if not part.width or part.low + part.width > bits_of(part.field):
        raise WireError("OFPBAC_BAD_SET_LEN", f"{part.field.name}: {part.low}+{part.width}")
    if written and not part.field.writable:
        raise WireError("OFPBAC_BAD_SET_ARGUMENT", f"{part.field.name} is read-only")
    return part


# Output ----------------------------------------------------------------------------------------


def _output(port: int, max_len: int) -> Action:
    if port == of.OFPP_CONTROLLER:
        return of.Controller(max_len)
    if port >= of.OFPP_MAX and not of.OFPP_IN_PORT <= port < of.OFPP_NONE:
        raise WireError("OFPBAC_BAD_OUT_PORT", f"output to port {port:#x}")
    return of.Output(port, miss_len=max_len)


def output10(reader: Reader, _: Inside) -> Action:
    """OFPAT_OUTPUT of 1.0."""
    return _output(reader.number(2), reader.number(2))


def output11(reader: Reader, _: Inside) -> Action:
    """OFPAT_OUTPUT of 1.1+."""
    return _output(port_from_wire(reader.number(4)), reader.number(2))


def enqueue(reader: Reader, _: Inside) -> Action:
    """OFPAT_ENQUEUE."""
    port = reader.number(2)
    reader.skip(6)
    if port >= of.OFPP_MAX and port not in (of.OFPP_IN_PORT, of.OFPP_LOCAL):
        raise WireError("OFPBAC_BAD_OUT_PORT", f"port {port:#x} has no queues")
    return of.Enqueue(port, reader.number(4))


def output_trunc(reader: Reader, _: Inside) -> Action:
    """NXAST_OUTPUT_TRUNC."""
    port, length = reader.number(2), reader.number(4)
    if length < 14:
        raise WireError("OFPBAC_BAD_ARGUMENT", f"a frame of {length} bytes")
    return of.Output(port, length)


def packed_bits(field: Field, bits: int) -> Subfield:
    """Bits of a field from the number that holds where they begin and how many there are."""
    return Subfield(field, bits >> 6, (bits & 0x3F) + 1)


def output_reg(reader: Reader, _: Inside) -> Action:
    """NXAST_OUTPUT_REG."""
    bits = reader.number(2)
    field = pull_field(reader)
    reader.skip(2)
    _must_be_zero(reader, 6, "OFPBAC_BAD_ARGUMENT")
    return of.OutputField(check_part(packed_bits(field, bits), written=False))


def output_reg2(reader: Reader, _: Inside) -> Action:
    """NXAST_OUTPUT_REG2."""
    bits = reader.number(2)
    reader.skip(2)
    field = pull_field(reader)
    reader.zeros("NXBRC_MUST_BE_ZERO")
    return of.OutputField(check_part(packed_bits(field, bits), written=False))


def _reason(number: int) -> str:
    if number >= len(REASONS):
        raise WireError("OFPBAC_BAD_ARGUMENT", f"reason {number} of a packet-in")
    return REASONS[number]


def controller(reader: Reader, _: Inside) -> Action:
    """NXAST_CONTROLLER."""
    max_len, ident = reader.number(2), reader.number(2)
    return of.Controller(max_len, _reason(reader.number(1)), ident)


def controller2(reader: Reader, _: Inside) -> Action:
    """NXAST_CONTROLLER2: properties."""
    _must_be_zero(reader, 6)
    values: dict[str, int] = {}
    userdata, pause = b"", False
    names = {0: ("max_len", 2), 1: ("controller_id", 2), 2: ("reason", 1), 5: ("meter_id", 4)}
    while reader.left:
        kind, length = reader.number(2, "OFPBPC_BAD_LEN"), reader.number(2, "OFPBPC_BAD_LEN")
        body = reader.part(length - 4, "OFPBPC_BAD_LEN")
        reader.skip(min(-length % 8, reader.left))
        if kind in names:
            name, size = names[kind]
            # OVS ofpprop_parse_u8() and _u16() pad to four bytes.
            if body.left < size:
                raise WireError("OFPBPC_BAD_LEN", f"property {kind}")
            values[name] = body.number(size)
        elif kind == 3:
            userdata = body.rest()
        elif kind == 4:
            pause = True
        else:
            raise WireError("OFPBPC_BAD_TYPE", f"property {kind} of a controller action")
    return of.Controller(
        values.get("max_len", 0xFFFF),
        _reason(values.get("reason", 1)),
        values.get("controller_id", 0),
        userdata,
        pause,
        values.get("meter_id") or None,  # 0 is NX_CTLR_NO_METER
    )


# Fields ----------------------------------------------------------------------------------------

_LIMITS: Final = {
    "mod_vlan_vid": 0xFFF, "set_vlan_vid": 0xFFF, "mod_vlan_pcp": 7, "set_vlan_pcp": 7,
    "mod_nw_ecn": 3,
}  # fmt: skip


_CUT: Final = frozenset({"set_mpls_label", "set_mpls_tc"})
"""Words whose numbers are not looked at here: what is too long for the field is cut when used."""


def number(
    word: str, name: str, size: int, skip: int = 0
) -> Callable[[Reader, Inside], Action]:
    """An action that sets a field to a number of `size` bytes, called `word` in text.

    `skip` bytes before the number align it.
    """
    field = FIELDS[name]
    mask = whole_mask(field)

    def function(reader: Reader, _: Inside) -> Action:
        reader.skip(skip)
        value = reader.number(size)
        if word not in _CUT and (value > _LIMITS.get(word, value) or value & ~mask):
            raise WireError("OFPBAC_BAD_ARGUMENT", f"{word}:{value:#x}")
        return of.SetField(field, value, mask, word)

    return function


def plain(
    make: Callable[[int], Action], size: int, skip: int = 0
) -> Callable[[Reader, Inside], Action]:
    """An action with one number of `size` bytes, behind `skip` that align it."""

    def function(reader: Reader, _: Inside) -> Action:
        reader.skip(skip)
        return make(reader.number(size))

    return function


def tunnel(word: str, size: int) -> Callable[[Reader, Inside], Action]:
    """NXAST_SET_TUNNEL, NXAST_SET_TUNNEL64."""

    def function(reader: Reader, _: Inside) -> Action:
        if size == 4:
            reader.skip(2)
        else:
            reader.skip(6)
        field = FIELDS["tun_id"]
        return of.SetField(field, reader.number(size), field.ones, word)

    return function


def push_vlan(reader: Reader, _: Inside) -> Action:
    """OFPAT_PUSH_VLAN."""
    tpid = reader.number(2)
    if tpid not in (0x8100, 0x88A8):
        raise WireError("OFPBAC_BAD_ARGUMENT", f"{tpid:#x} is no VLAN's Ethernet type")
    return of.PushVlan(tpid)


def _set_field(reader: Reader, *, maskable: bool) -> Action:
    field, value, mask = _entry(reader, maskable=maskable, bad_mask="OFPBAC_BAD_SET_MASK")
    reader.zeros("OFPBAC_BAD_SET_ARGUMENT")
    if field.name == "in_port_oxm" or not field.writable:
        raise WireError("OFPBAC_BAD_SET_ARGUMENT", f"{field.name} cannot be set")
    if field.name == "vlan_vid" and not value & mask & VLAN_PRESENT:
        raise WireError("OFPBAC_BAD_SET_ARGUMENT", "a VLAN that is not there")
    mask &= whole_mask(field)
    return of.SetField(field, value & mask, mask)


def set_field(reader: Reader, _: Inside) -> Action:
    """OFPAT_SET_FIELD of 1.2 to 1.4: no mask."""
    return _set_field(reader, maskable=False)


def set_field15(reader: Reader, _: Inside) -> Action:
    """OFPAT_SET_FIELD of 1.5."""
    return _set_field(reader, maskable=True)


def _entry(
    reader: Reader, *, maskable: bool, bad_mask: str = "OFPBMC_BAD_MASK"
) -> tuple[Field, int, int]:
    field, size, masked, _ = pull_header(reader, True)
    if field is None:
        raise WireError("OFPBAC_BAD_SET_TYPE", "the cookie cannot be set")
    try:
        value, mask = pull_value(reader, field, size, masked, maskable=maskable)
    except WireError as error:
        renamed = {
            "OFPBMC_BAD_VALUE": "OFPBAC_BAD_SET_ARGUMENT",
            "OFPBMC_BAD_MASK": bad_mask,
        }
        raise WireError(renamed.get(error.name, error.name), error.detail) from None
    return field, value, mask


def load(reader: Reader, _: Inside) -> Action:
    """NXAST_REG_LOAD."""
    bits = reader.number(2)
    dst = check_part(packed_bits(pull_field(reader), bits), written=True)
    value = reader.number(8)
    if value >> dst.width:
        raise WireError("OFPBAC_BAD_ARGUMENT", f"{value:#x} into {dst.width} bits")
    mask = (((1 << dst.width) - 1) << dst.low) & whole_mask(dst.field)
    return of.SetField(dst.field, (value << dst.low) & mask, mask, "load")


def load2(reader: Reader, _: Inside) -> Action:
    """NXAST_REG_LOAD2."""
    field, value, mask = _entry(reader, maskable=True)
    reader.zeros("OFPBAC_BAD_SET_ARGUMENT")
    if not field.writable:
        raise WireError("OFPBAC_BAD_SET_ARGUMENT", f"{field.name} cannot be set")
    mask &= whole_mask(field)
    return of.SetField(field, value & mask, mask)


def _move(reader: Reader, width: int, src_low: int, dst_low: int) -> Action:
    src, dst = pull_field(reader), pull_field(reader)
    reader.zeros("NXBRC_MUST_BE_ZERO")
    return of.Move(
        check_part(Subfield(src, src_low, width), written=False),
        check_part(Subfield(dst, dst_low, width), written=True),
    )


def move(reader: Reader, _: Inside) -> Action:
    """NXAST_REG_MOVE."""
    return _move(reader, reader.number(2), reader.number(2), reader.number(2))


def copy_field(reader: Reader, _: Inside) -> Action:
    """ONFACT_COPY_FIELD."""
    reader.skip(2)
    width, src_low, dst_low = reader.number(2), reader.number(2), reader.number(2)
    reader.skip(2)
    return _move(reader, width, src_low, dst_low)


def copy_field15(reader: Reader, _: Inside) -> Action:
    """OFPAT_COPY_FIELD."""
    width, src_low, dst_low = reader.number(2), reader.number(2), reader.number(2)
    reader.skip(2)
    return _move(reader, width, src_low, dst_low)


def _stack(reader: Reader) -> Subfield:
    low = reader.number(2)
    field = pull_field(reader)
    width = reader.number(2)
    reader.zeros("NXBRC_MUST_BE_ZERO")
    return Subfield(field, low, width)


def stack_push(reader: Reader, _: Inside) -> Action:
    """NXAST_STACK_PUSH."""
    return of.StackPush(check_part(_stack(reader), written=False))


def stack_pop(reader: Reader, _: Inside) -> Action:
    """NXAST_STACK_POP."""
    return of.StackPop(check_part(_stack(reader), written=True))


def write_metadata(reader: Reader, _: Inside) -> Action:
    """NXAST_WRITE_METADATA."""
    _must_be_zero(reader, 6)
    return of.WriteMetadata(reader.number(8), reader.number(8))


def check_pkt_larger(reader: Reader, _: Inside) -> Action:
    """NXAST_CHECK_PKT_LARGER."""
    length, low = reader.number(2), reader.number(2)
    field = pull_field(reader)
    reader.zeros("NXBRC_MUST_BE_ZERO")
    return of.CheckPktLarger(length, check_part(Subfield(field, low, 1), written=True))


def dec_ttl_ids(reader: Reader, _: Inside) -> Action:
    """NXAST_DEC_TTL_CNT_IDS."""
    count = reader.number(2)
    _must_be_zero(reader, 4)
    if reader.left < 2 * count:
        raise WireError("OFPBAC_BAD_LEN", f"{count} controllers in {reader.left} bytes")
    return of.DecTtl(tuple(reader.number(2) for _ in range(count)))


def delete_field(reader: Reader, _: Inside) -> Action:
    """NXAST_DELETE_FIELD."""
    field = pull_field(reader)
    if field.name not in PRESENT_BIT:
        raise WireError("OFPBAC_BAD_ARGUMENT", f"{field.name} cannot be deleted")
    return of.DeleteField(field)


# Tables ----------------------------------------------------------------------------------------


def _resubmit(port: int, table: int, with_ct: bool) -> Action:
    return of.Resubmit(
        None if port == of.OFPP_IN_PORT else port, None if table == 0xFF else table, with_ct
    )


def resubmit(reader: Reader, _: Inside) -> Action:
    """NXAST_RESUBMIT."""
    return _resubmit(reader.number(2), 0xFF, False)


def resubmit_table(reader: Reader, _: Inside) -> Action:
    """NXAST_RESUBMIT_TABLE."""
    return _resubmit_table(reader, False)


def resubmit_table_ct(reader: Reader, _: Inside) -> Action:
    """NXAST_RESUBMIT_TABLE_CT."""
    return _resubmit_table(reader, True)


def _resubmit_table(reader: Reader, with_ct: bool) -> Action:
    port, table = reader.number(2), reader.number(1)
    _must_be_zero(reader, 3, "OFPBAC_BAD_ARGUMENT")
    return _resubmit(port, table, with_ct)


def conjunction(reader: Reader, _: Inside) -> Action:
    """NXAST_CONJUNCTION; the clause counts from 0 on the wire."""
    clause, n_clauses, ident = reader.number(1), reader.number(1), reader.number(4)
    if not 2 <= n_clauses <= 64 or clause >= n_clauses:
        raise WireError("NXBAC_BAD_CONJUNCTION", f"clause {clause} of {n_clauses}")
    return of.Conjunction(ident, clause + 1, n_clauses)


def clone(reader: Reader, inside: Inside) -> Action:
    """NXAST_CLONE: actions."""
    reader.skip(6)
    nested = inside.pull(
        reader, reader.left, inside.version, outer="clone", depth=inside.depth + 1
    )
    return of.Clone(nested)


# Conntrack -------------------------------------------------------------------------------------

CT_COMMIT, CT_FORCE = 1, 2
ALGS: Final = {21: "ftp", 69: "tftp"}
NO_TABLE: Final = 0xFF


def ct(reader: Reader, inside: Inside) -> Action:
    """NXAST_CT: its nat stands among the actions of its exec."""
    flags, zone_src, zone_bits = reader.number(2), reader.number(4), reader.number(2)
    table = reader.number(1)
    reader.skip(3)
    alg = reader.number(2)
    commit, force = bool(flags & CT_COMMIT), bool(flags & CT_FORCE)
    if force and not commit:
        raise WireError("OFPBAC_BAD_ARGUMENT", "ct: force without commit")
    zone: int | Subfield = zone_bits
    if zone_src:
        field = pull_field(Reader(zone_src.to_bytes(4, "big")))
        zone = check_part(packed_bits(field, zone_bits), written=False)
        if zone.width != 16:
            raise WireError("OFPBAC_BAD_SET_LEN", f"a zone of {zone.width} bits")
    if alg and alg not in ALGS:
        raise WireError("OFPBAC_BAD_ARGUMENT", f"helper for port {alg} is not modelled")
    nested = inside.pull(reader, reader.left, inside.version, outer="ct", depth=inside.depth + 1)
    nats = [action for action in nested if isinstance(action, of.Nat)]
    executed = tuple(action for action in nested if not isinstance(action, of.Nat))
    if len(nats) > 1:
        raise WireError("OFPBAC_BAD_ARGUMENT", "ct: two nats are not modelled")
    nat = nats[0] if nats else None
    if not commit and (executed or (nat is not None and nat != of.Nat())):
        raise WireError("OFPBAC_BAD_ARGUMENT", "ct: exec or nat(...) without commit")
    return of.Ct(
        zone, None if table == NO_TABLE else table, commit, force, ALGS.get(alg), nat, executed
    )


NAT_SRC, NAT_DST, NAT_PERSISTENT, NAT_HASH, NAT_RANDOM = 1, 2, 4, 8, 16
NAT_RANGES: Final = (
    (1, 4, "addr_min", 4), (2, 4, "addr_max", 4), (4, 6, "addr_min", 16), (8, 6, "addr_max", 16),
    (16, 0, "port_min", 2), (32, 0, "port_max", 2),
)  # fmt: skip
"""Bit of range_present, family (0: any), what it is, and its bytes."""


def nat(reader: Reader, inside: Inside) -> Action:
    """NXAST_NAT, which stands inside a ct only."""
    if inside.outer != "ct":
        raise WireError("OFPBAC_BAD_SET_ARGUMENT", "nat outside of ct")
    reader.skip(2)
    flags, present = reader.number(2), reader.number(2)
    both = flags & NAT_SRC and flags & NAT_DST
    if flags & ~0x1F or both or (flags & NAT_HASH and flags & NAT_RANDOM):
        raise WireError("OFPBAC_BAD_ARGUMENT", f"nat flags {flags:#x}")
    if present & 3 and present & 12:
        raise WireError("OFPBAC_BAD_ARGUMENT", "nat to IPv4 and IPv6")
    values = {"addr_min": 0, "addr_max": 0, "port_min": 0, "port_max": 0}
    family = 0
    for bit, of_family, name, size in NAT_RANGES:
        if not present & bit:
            continue
        values[name] = reader.number(size, "OFPBAC_BAD_ARGUMENT")
        family = of_family or family
        low = name.replace("max", "min")
        if not values[low] or not family or values[name] < values[low]:
            raise WireError("OFPBAC_BAD_ARGUMENT", f"nat range {values}")
    if not values["addr_max"]:
        values["addr_max"] = values["addr_min"]
    if not values["port_max"]:
        values["port_max"] = values["port_min"]
    return of.Nat(
        bool(flags & NAT_SRC), bool(flags & NAT_DST), family,
        values["addr_min"], values["addr_max"], values["port_min"], values["port_max"],
        persistent=bool(flags & NAT_PERSISTENT), hash=bool(flags & NAT_HASH),
        random=bool(flags & NAT_RANDOM),
    )  # fmt: skip
