"""Actions on the wire: which there are, by version and vendor, and lists of them.

One row an action says its number in each version, how long it may be, and how it is read; the way
out goes by class (:mod:`ovsct.openflow.wire.action_out`). Follows OVS lib/ofp-actions.c, whose
``enum ofp_raw_action_type`` is the list, and ``ofpact_pull_raw()`` for the refusals.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

from ovsct.openflow import actions as of
from ovsct.openflow.wire import action_in as read
from ovsct.openflow.wire import learned as more
from ovsct.openflow.wire.action_out import put_action
from ovsct.openflow.wire.buffer import Reader
from ovsct.openflow.wire.encap import read_decap, read_encap
from ovsct.openflow.wire.errors import WireError
from ovsct.openflow.wire.numbers import NX_VENDOR, OF10, OF13, OF14, OF15, ONF_VENDOR

VENDOR_TYPE: Final = 0xFFFF
MAX_DEPTH: Final = 100
"""How deep actions may be nested (OVS MAX_OFPACT_PARSE_DEPTH)."""

_Read: TypeAlias = Callable[[Reader, read.Inside], of.Action]


class Row(NamedTuple):
    """How long an action is (`open`: at least), with its header, and how it is read."""

    size: int
    open: bool
    read: _Read


_OF10: Final[dict[int, Row]] = {
    0: Row(8, False, read.output10),
    1: Row(8, False, read.number("mod_vlan_vid", "dl_vlan", 2)),
    2: Row(8, False, read.number("mod_vlan_pcp", "dl_vlan_pcp", 1)),
    3: Row(8, False, lambda r, i: of.StripVlan("strip_vlan")),
    4: Row(16, False, read.number("mod_dl_src", "eth_src", 6)),
    5: Row(16, False, read.number("mod_dl_dst", "eth_dst", 6)),
    6: Row(8, False, read.number("mod_nw_src", "ip_src", 4)),
    7: Row(8, False, read.number("mod_nw_dst", "ip_dst", 4)),
    8: Row(8, False, read.number("mod_nw_tos", "nw_tos", 1)),
    9: Row(8, False, read.number("mod_tp_src", "tcp_src", 2)),
    10: Row(8, False, read.number("mod_tp_dst", "tcp_dst", 2)),
    11: Row(16, False, read.enqueue),
}
"""Standard actions of OpenFlow 1.0."""

_OF13: Final[dict[int, Row]] = {
    0: Row(16, False, read.output11),
    1: Row(8, False, read.number("set_vlan_vid", "dl_vlan", 2)),
    2: Row(8, False, read.number("set_vlan_pcp", "dl_vlan_pcp", 1)),
    3: _OF10[4],
    4: _OF10[5],
    5: _OF10[6],
    6: _OF10[7],
    7: _OF10[8],
    8: Row(8, False, read.number("mod_nw_ecn", "nw_ecn", 1)),
    9: _OF10[9],
    10: _OF10[10],
    13: Row(8, False, read.number("set_mpls_label", "mpls_label", 4)),
    14: Row(8, False, read.number("set_mpls_tc", "mpls_tc", 1)),
    15: Row(8, False, read.plain(of.SetMplsTtl, 1)),
    16: Row(8, False, lambda r, i: of.DecMplsTtl()),
    17: Row(8, False, read.push_vlan),
    18: Row(8, False, lambda r, i: of.StripVlan("pop_vlan")),
    19: Row(8, False, read.plain(of.PushMpls, 2)),
    20: Row(8, False, read.plain(of.PopMpls, 2)),
    21: Row(8, False, read.plain(of.SetQueue, 4)),
    22: Row(8, False, read.plain(of.Group, 4)),
    23: Row(8, False, read.number("mod_nw_ttl", "nw_ttl", 1)),
    24: Row(8, False, lambda r, i: of.DecTtl()),
    25: Row(8, True, read.set_field),
}
"""Standard actions of OpenFlow 1.3 and 1.4."""

_OF15: Final[dict[int, Row]] = {
    **_OF13,
    25: Row(8, True, read.set_field15),
    28: Row(16, True, read.copy_field15),
    29: Row(8, False, read.plain(of.Meter, 4)),
}
"""Standard actions of OpenFlow 1.5."""

_STANDARD: Final = {OF10: _OF10, OF13: _OF13, OF14: _OF13, OF15: _OF15}

_NICIRA: Final[dict[int, Row]] = {
    1: Row(16, False, read.resubmit),
    2: Row(16, False, read.tunnel("set_tunnel", 4)),
    4: Row(16, False, read.plain(of.SetQueue, 4, 2)),
    5: Row(16, False, lambda r, i: of.PopQueue()),
    6: Row(24, True, read.move),
    7: Row(24, False, read.load),
    8: Row(16, True, lambda r, i: of.Note(r.rest())),
    9: Row(24, False, read.tunnel("set_tunnel64", 8)),
    10: Row(32, False, more.multipath),
    12: Row(32, True, more.bundle),
    13: Row(32, True, more.bundle_load),
    14: Row(16, False, read.resubmit_table),
    15: Row(24, False, read.output_reg),
    16: Row(32, True, more.learn),
    17: Row(16, False, lambda r, i: of.Exit()),
    18: Row(16, False, lambda r, i: of.DecTtl()),
    19: Row(16, False, more.fin_timeout),
    20: Row(16, False, read.controller),
    21: Row(16, True, read.dec_ttl_ids),
    22: Row(32, False, read.write_metadata),
    23: Row(16, False, read.plain(of.PushMpls, 2)),
    24: Row(16, False, read.plain(of.PopMpls, 2)),
    25: Row(16, False, read.plain(of.SetMplsTtl, 1)),
    26: Row(16, False, lambda r, i: of.DecMplsTtl()),
    27: Row(24, False, read.stack_push),
    28: Row(24, False, read.stack_pop),
    29: Row(24, False, more.sample),
    30: Row(16, False, read.number("set_mpls_label", "mpls_label", 4, 2)),
    31: Row(16, False, read.number("set_mpls_tc", "mpls_tc", 1)),
    32: Row(24, False, read.output_reg2),
    33: Row(16, True, read.load2),
    34: Row(16, False, read.conjunction),
    35: Row(24, True, read.ct),
    36: Row(16, True, read.nat),
    37: Row(16, True, read.controller2),
    38: Row(32, False, more.sample),
    39: Row(16, False, read.output_trunc),
    40: Row(16, False, read.plain(of.Group, 4, 2)),
    41: Row(32, False, more.sample),
    42: Row(16, True, read.clone),
    43: Row(16, False, lambda r, i: of.CtClear()),
    44: Row(16, False, read.resubmit_table_ct),
    45: Row(40, True, more.learn2),
    46: Row(16, True, read_encap),
    47: Row(16, True, read_decap),
    48: Row(16, False, lambda r, i: of.DecNshTtl()),
    49: Row(24, False, read.check_pkt_larger),
    50: Row(24, False, read.delete_field),
    254: Row(16, False, lambda r, i: of.DebugSlow()),
    255: Row(16, False, lambda r, i: of.DebugRecirc()),
}
"""Nicira's actions by subtype. Those that are not modelled are not here."""

_ONLY_OF10: Final = {4, 23, 24, 25, 26, 18, 30, 31, 40}
"""Nicira's actions that later versions have a standard one for."""

_UNTIL_OF14: Final = {6, 7, 33}
"""Nicira's actions that OpenFlow 1.5 has a standard one for."""

_ONLY_NEWER: Final = {46, 47, 48}
"""Nicira's actions of 1.3 and later."""


def _row(version: int, vendor: int, kind: int) -> Row:
    """The row of an action; raises WireError if there is none."""
    what = f"action {kind} of vendor {vendor:#x}" if vendor else f"action {kind}"
    if not vendor:
        row = _STANDARD[version].get(kind)
        if row is None:
            raise WireError("OFPBAC_BAD_TYPE", what)
        return row
    if vendor not in (NX_VENDOR, ONF_VENDOR):
        raise WireError("OFPBAC_BAD_VENDOR", what)
    row = _NICIRA.get(kind) if vendor == NX_VENDOR else None
    if vendor == ONF_VENDOR:
        if kind == 3200 and version in (OF13, OF14):
            return Row(24, True, read.copy_field)
    elif row is not None:
        gone = (version != OF10 and kind in _ONLY_OF10) or (
            version >= OF15 and kind in _UNTIL_OF14
        ) or (version == OF10 and kind in _ONLY_NEWER)
        if not gone:
            return row
    raise WireError("OFPBAC_BAD_VENDOR_TYPE", what)


def _pull_one(reader: Reader, inside: read.Inside) -> of.Action:
    if reader.left < 8:
        raise WireError("OFPBAC_BAD_LEN", f"an action of {reader.left} bytes")
    start = reader.pos
    kind = int.from_bytes(reader.data[start : start + 2], "big")
    length = int.from_bytes(reader.data[start + 2 : start + 4], "big")
    vendor, header = 0, 4
    if kind == VENDOR_TYPE:
        vendor = int.from_bytes(reader.data[start + 4 : start + 8], "big")
        header = 10
        if vendor in (NX_VENDOR, ONF_VENDOR):
            if reader.left < 16:
                raise WireError("OFPBAC_BAD_LEN", "a vendor's action ends too soon")
            kind = int.from_bytes(reader.data[start + 8 : start + 10], "big")
    row = _row(inside.version, vendor, kind)
    if length > reader.left or length % 8 or length < row.size or (
        length != row.size and not row.open
    ):
        raise WireError("OFPBAC_BAD_LEN", f"action {kind} of {length} bytes")
    body = reader.part(length)
    body.skip(header)
    return row.read(body, inside)


_OFTEN: Final = 256
"""Bytes of a list of actions that may be one of the many which are said again and again."""


@lru_cache(maxsize=4096)
def _known_actions(data: bytes, version: int) -> tuple[of.Action, ...]:
    part = Reader(data)
    inside = read.Inside(version, None, 0, pull_actions)
    found = []
    while part.left:
        found.append(_pull_one(part, inside))
    return tuple(found)


def pull_actions(
    reader: Reader, length: int, version: int, *, outer: str | None = None, depth: int = 0
) -> tuple[of.Action, ...]:
    """A list of actions of `length` bytes.

    `outer` is the action that they stand in (``ct``, ``clone``). Raises WireError.
    """
    if length % 8:
        raise WireError("OFPBRC_BAD_LEN", f"actions of {length} bytes")
    if outer is None and length <= _OFTEN:
        return _known_actions(reader.take(length), version)
    part = reader.part(length)
    if depth > MAX_DEPTH:
        raise WireError("OFPBAC_BAD_ARGUMENT", "actions are nested too deeply")
    inside = read.Inside(version, outer, depth, pull_actions)
    found = []
    while part.left:
        found.append(_pull_one(part, inside))
    return tuple(found)


def put_actions(actions: tuple[of.Action, ...], version: int) -> bytes:
    """A list of actions. Raises WireError: one of them cannot be said."""
    return b"".join([put_action(action, version) for action in actions])
