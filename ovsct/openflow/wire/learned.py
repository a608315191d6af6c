"""Nicira's longer actions on the wire: learn, multipath, bundle, sample and fin_timeout.

Both directions of each stand together here (OVS lib/ofp-actions.c, ``decode_LEARN_*``,
``encode_LEARN()`` and their kin).
"""

from __future__ import annotations

from typing import Final

from ovsct.openflow import actions as of
from ovsct.openflow.actions import Action, LearnSpec, Subfield
from ovsct.openflow.hashes import HashFields
from ovsct.openflow.wire.action_in import Inside, check_part, packed_bits
from ovsct.openflow.wire.buffer import Reader
from ovsct.openflow.wire.errors import WireError
from ovsct.openflow.wire.oxm import pull_field, put_header

_HASH_FIELDS: Final = tuple(HashFields)
"""In the order of enum nx_hash_fields."""

_ALGORITHMS: Final = ("modulo_n", "hash_threshold", "hrw", "iter_hash")
_BUNDLE_ALGORITHMS: Final = ("active_backup", "hrw")
_DIRECTIONS: Final = ("", "ingress", "egress")
_PORT_MEMBER: Final = 0x00000002
"""NXM_OF_IN_PORT: members of a bundle are ports."""

_SEND_FLOW_REM, _DELETE_LEARNED, _WRITE_RESULT = 1, 2, 4
_IMMEDIATE: Final = 1 << 13
_BECOMES: Final = ("match", "load", "output")
_WIDEST: Final = 0x7FF


def _number(value: int, size: int) -> bytes:
    return value.to_bytes(size, "big")


def _chosen(table: tuple[str, ...], number: int, what: str) -> str:
    if number >= len(table):
        raise WireError("OFPBAC_BAD_ARGUMENT", f"{what} {number}")
    return table[number]


def _hash_fields(number: int) -> HashFields:
    if number >= len(_HASH_FIELDS):
        raise WireError("OFPBAC_BAD_ARGUMENT", f"hash fields {number}")
    return _HASH_FIELDS[number]


# In --------------------------------------------------------------------------------------------


def fin_timeout(reader: Reader, _: Inside) -> Action:
    """NXAST_FIN_TIMEOUT."""
    idle, hard = reader.number(2), reader.number(2)
    reader.zeros("NXBRC_MUST_BE_ZERO")
    return of.FinTimeout(idle, hard)


def sample(reader: Reader, _: Inside) -> Action:
    """NXAST_SAMPLE, and its longer forms."""
    probability = reader.number(2)
    collector, domain, point = reader.number(4), reader.number(4), reader.number(4)
    port, direction = None, 0
    if reader.left:
        port, direction = reader.number(2), reader.number(1)
        reader.zeros("NXBRC_MUST_BE_ZERO")
    if not probability:
        raise WireError("OFPBAC_BAD_ARGUMENT", "a sample of none")
    return of.Sample(
        probability, collector, domain, point, None if port == of.OFPP_NONE else port,
        _chosen(_DIRECTIONS, direction, "direction"),
    )  # fmt: skip


def multipath(reader: Reader, _: Inside) -> Action:
    """NXAST_MULTIPATH."""
    fields, basis = reader.number(2), reader.number(2)
    reader.skip(2)
    algorithm, last, arg = reader.number(2), reader.number(2), reader.number(4)
    reader.skip(2)
    bits = reader.number(2)
    dst = check_part(packed_bits(pull_field(reader), bits), written=True)
    if last >> dst.width:
        raise WireError("OFPBAC_BAD_ARGUMENT", f"{last + 1} links into {dst.width} bits")
    return of.Multipath(
        _hash_fields(fields), basis, _chosen(_ALGORITHMS, algorithm, "algorithm"), last + 1, arg,
        dst,
    )  # fmt: skip


def bundle(reader: Reader, inside: Inside) -> Action:
    """NXAST_BUNDLE."""
    return _bundle(reader, load=False)


def bundle_load(reader: Reader, inside: Inside) -> Action:
    """NXAST_BUNDLE_LOAD."""
    return _bundle(reader, load=True)


def _bundle(reader: Reader, *, load: bool) -> Action:
    algorithm, fields, basis = reader.number(2), reader.number(2), reader.number(2)
    kind, count, bits = reader.number(4), reader.number(2), reader.number(2)
    header = reader.take(4)
    if any(reader.take(4)):
        raise WireError("OFPBAC_BAD_ARGUMENT", "padding that is not zero")
    if kind != _PORT_MEMBER or (not load and (bits or any(header))):
        raise WireError("OFPBAC_BAD_ARGUMENT", f"a bundle of members {kind:#x}")
    if reader.left < 2 * count:
        raise WireError("OFPBAC_BAD_LEN", f"{count} members in {reader.left} bytes")
    dst = None
    if load:
        dst = check_part(packed_bits(pull_field(Reader(header)), bits), written=True)
        if dst.width < 16:
            raise WireError("OFPBAC_BAD_ARGUMENT", f"a port into {dst.width} bits")
    return of.Bundle(
        _hash_fields(fields), basis, _chosen(_BUNDLE_ALGORITHMS, algorithm, "algorithm"),
        tuple(reader.number(2) for _ in range(count)), dst,
    )  # fmt: skip


def learn(reader: Reader, _: Inside) -> Action:
    """NXAST_LEARN."""
    return _learn(reader, longer=False)


def learn2(reader: Reader, _: Inside) -> Action:
    """NXAST_LEARN2: with a limit and a bit for the result."""
    return _learn(reader, longer=True)


def _learn(reader: Reader, *, longer: bool) -> Action:
    idle, hard, priority = reader.number(2), reader.number(2), reader.number(2)
    cookie, flags, table = reader.number(8), reader.number(2), reader.number(1)
    if reader.number(1) or table == 0xFF or flags & ~(7 if longer else 3):
        raise WireError("OFPBAC_BAD_ARGUMENT", f"learn into table {table}, flags {flags:#x}")
    fin_idle, fin_hard = reader.number(2), reader.number(2)
    limit, result = 0, None
    if longer:
        limit, low = reader.number(4), reader.number(2)
        if reader.number(2):
            raise WireError("NXBRC_MUST_BE_ZERO", "padding that is not zero")
        if flags & _WRITE_RESULT:
            result = check_part(Subfield(pull_field(reader), low, 1), written=True)
    specs = []
    while reader.left >= 2:
        head = reader.number(2)
        if not head:
            break
        specs.append(_spec(reader, head))
    reader.zeros("OFPBAC_BAD_ARGUMENT")
    return of.Learn(
        tuple(specs), table, priority, idle, hard, fin_idle, fin_hard, cookie,
        bool(flags & _SEND_FLOW_REM), bool(flags & _DELETE_LEARNED), limit, result,
    )  # fmt: skip


def _spec(reader: Reader, head: int) -> LearnSpec:
    width, kind = head & _WIDEST, head >> 11 & 3
    immediate = bool(head & _IMMEDIATE)
    if head >> 14 or kind >= len(_BECOMES) or (kind == 2 and immediate) or not width:
        raise WireError("OFPBAC_BAD_ARGUMENT", f"part {head:#06x} of a learn")
    src: Subfield | int
    if immediate:
        src = reader.number(2 * ((width + 15) // 16), "OFPBAC_BAD_LEN")
        if src >> width:
            raise WireError("OFPBAC_BAD_ARGUMENT", f"{src:#x} in {width} bits")
    else:
        src = _part(reader, width, written=False)
    dst = None if kind == 2 else _part(reader, width, written=kind == 1)
    return LearnSpec(_BECOMES[kind], src, dst)


def _part(reader: Reader, width: int, *, written: bool) -> Subfield:
    if reader.left < 6:
        raise WireError("OFPBAC_BAD_LEN", "a part of a learn ends too soon")
    field = pull_field(reader)
    low = reader.number(2, "OFPBAC_BAD_LEN")
    return check_part(Subfield(field, low, width), written=written)


# Out: what follows the subtype -----------------------------------------------------------------


def _bits(part: Subfield) -> bytes:
    return _number(part.low << 6 | part.width - 1, 2)


def put_fin_timeout(action: of.FinTimeout) -> tuple[int, bytes]:
    """Subtype and body."""
    return 19, _number(action.idle_timeout, 2) + _number(action.hard_timeout, 2)


def put_sample(action: of.Sample) -> tuple[int, bytes]:
    """Subtype and body: the shortest form that says it."""
    body = _number(action.probability, 2) + b"".join(
        _number(number, 4)
        for number in (action.collector_set_id, action.obs_domain_id, action.obs_point_id)
    )
    if action.sampling_port is None and not action.direction:
        return 29, body
    port = of.OFPP_NONE if action.sampling_port is None else action.sampling_port
    body += _number(port, 2) + _number(_DIRECTIONS.index(action.direction), 1)
    return 41 if action.direction else 38, body


def put_multipath(action: of.Multipath) -> tuple[int, bytes]:
    """Subtype and body."""
    return 10, (
        _number(_HASH_FIELDS.index(action.fields), 2)
        + _number(action.basis, 2)
        + bytes(2)
        + _number(_ALGORITHMS.index(action.algorithm), 2)
        + _number(action.n_links - 1, 2)
        + _number(action.arg, 4)
        + bytes(2)
        + _bits(action.dst)
        + put_header(action.dst.field, 0)
    )


def put_bundle(action: of.Bundle) -> tuple[int, bytes]:
    """Subtype and body."""
    dst = bytes(6) if action.dst is None else _bits(action.dst) + put_header(action.dst.field, 0)
    return 12 if action.dst is None else 13, (
        _number(_BUNDLE_ALGORITHMS.index(action.algorithm), 2)
        + _number(_HASH_FIELDS.index(action.fields), 2)
        + _number(action.basis, 2)
        + _number(_PORT_MEMBER, 4)
        + _number(len(action.members), 2)
        + dst
        + bytes(4)
        + b"".join(_number(port, 2) for port in action.members)
    )


def put_learn(action: of.Learn) -> tuple[int, bytes]:
    """Subtype and body."""
    result = action.result_dst
    flags = (
        _SEND_FLOW_REM * action.send_flow_rem
        | _DELETE_LEARNED * action.delete_learned
        | (_WRITE_RESULT if result is not None else 0)
    )
    body = (
        b"".join(
            _number(number, 2)
            for number in (action.idle_timeout, action.hard_timeout, action.priority)
        )
        + _number(action.cookie, 8)
        + _number(flags, 2)
        + _number(action.table, 1)
        + bytes(1)
        + _number(action.fin_idle_timeout, 2)
        + _number(action.fin_hard_timeout, 2)
    )
    longer = bool(action.limit) or result is not None
    if longer:
        body += _number(action.limit, 4) + _number(result.low if result else 0, 2) + bytes(2)
        if result is not None:
            body += put_header(result.field, 0)
    return 45 if longer else 16, body + b"".join(_put_spec(spec) for spec in action.specs)


def _put_spec(spec: LearnSpec) -> bytes:
    part = spec.dst if isinstance(spec.src, int) else spec.src
    assert part is not None  # an output has no number for its source
    head = part.width | _BECOMES.index(spec.becomes) << 11
    if isinstance(spec.src, int):
        head |= _IMMEDIATE
        source = _number(spec.src, 2 * ((part.width + 15) // 16))
    else:
        source = put_header(spec.src.field, 0) + _number(spec.src.low, 2)
    data = _number(head, 2) + source
    if spec.dst is not None:
        data += put_header(spec.dst.field, 0) + _number(spec.dst.low, 2)
    return data
