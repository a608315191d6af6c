"""multipath and bundle: a link or a member by a hash (OVS lib/multipath.c, lib/bundle.c, 3.1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from ovsct.bridge.act_fields import write
from ovsct.bridge.act_output import output_to
from ovsct.bridge.context import Context
from ovsct.openflow import actions as of
from ovsct.openflow.hashes import hash_2words, hash_fields, hashed_bits

Rest = Sequence[of.Action]

_MAX_HRW: Final = 64
"""Beyond so many links, hrw is iter_hash."""


def _modulo(value: int, links: int, _arg: int) -> int:
    return value % links


def _threshold(value: int, links: int, _arg: int) -> int:
    return 0 if links == 1 else value // (0xFFFFFFFF // links + 1)


def _highest(value: int, links: int, _arg: int) -> int:
    if links > _MAX_HRW:
        return _iterate(value, links, 0)
    return max(range(links), key=lambda link: hash_2words(value, link))


def _iterate(value: int, links: int, modulo: int) -> int:
    if modulo < links or modulo // 2 > links:
        modulo = 1 << (links - 1).bit_length()
    link, turn = links, 0
    while link >= links:
        link = hash_2words(value, turn) % modulo
        turn += 1
    return link


_ALGORITHMS: Final[dict[str, Callable[[int, int, int], int]]] = {
    "modulo_n": _modulo,
    "hash_threshold": _threshold,
    "hrw": _highest,
    "iter_hash": _iterate,
}


def multipath(ctx: Context, action: of.Multipath, _last: bool, _rest: Rest) -> None:
    """multipath: the number of a link, into a field."""
    value = hash_fields(ctx.flow, action.fields, action.basis)
    link = _ALGORITHMS[action.algorithm](value, action.n_links, action.arg)
    ctx.look(hashed_bits(ctx.flow, action.fields))
    ctx.look(action.dst.mask)
    write(ctx, action.dst, link)
    ctx.is_now(action.dst)


def bundle(ctx: Context, action: of.Bundle, last: bool, _rest: Rest) -> None:
    """Output (bundle) to a member that is alive, or say its number (bundle_load)."""
    chosen = _first(ctx, action) if action.algorithm == "active_backup" else _best(ctx, action)
    if action.dst is None:
        output_to(ctx, chosen, last)
        return
    ctx.look(action.dst.mask)
    write(ctx, action.dst, chosen)
    ctx.is_now(action.dst)


_ALWAYS: Final = (
    of.OFPP_IN_PORT, of.OFPP_TABLE, of.OFPP_NORMAL, of.OFPP_FLOOD, of.OFPP_ALL, of.OFPP_NONE,
)  # fmt: skip


def _enabled(ctx: Context, member: int) -> bool:
    return member in _ALWAYS or ctx.bridge.is_alive(member)


def _first(ctx: Context, action: of.Bundle) -> int:
    return next((member for member in action.members if _enabled(ctx, member)), of.OFPP_NONE)


def _best(ctx: Context, action: of.Bundle) -> int:
    if len(action.members) > 1:
        ctx.look(hashed_bits(ctx.flow, action.fields))
    value = hash_fields(ctx.flow, action.fields, action.basis)
    alive = [at for at, member in enumerate(action.members) if _enabled(ctx, member)]
    if not alive:
        return of.OFPP_NONE
    return action.members[max(alive, key=lambda at: hash_2words(at, value))]
