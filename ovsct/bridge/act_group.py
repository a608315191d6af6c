"""group: which buckets run, and how (OVS ``xlate_group_action()`` and what it calls, 3.1).

A select group chooses by a hash: of `fields` (method ``hash``), of the whole packet in the
translation (where OVS falls back to it), or, its default, by the hash that the datapath computes
(``dp_hash``): then the packet first recirculates to get one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from ovsct.bridge.action_set import as_list
from ovsct.bridge.context import Context
from ovsct.bridge.freeze import finish_freezing
from ovsct.bridge.journal import Kind
from ovsct.bridge.lookup import resources_left
from ovsct.bridge.prereq import has_field
from ovsct.bridge.walk import walk_actions
from ovsct.lane import StepKind
from ovsct.openflow import actions as of
from ovsct.openflow.group import Bucket, Group, GroupType
from ovsct.openflow.hashes import (
    HashFields,
    hash_2words,
    hash_bytes,
    hash_uint64,
    hashed_bits,
    symmetric_l4,
)
from ovsct.packet.fields import FIELDS, SLOTS

Rest = Sequence[of.Action]

HASH_L4: Final = 0
HASH_SYM_L4: Final = 1
"""Algorithms of the datapath (enum ovs_hash_alg)."""

_MAX_LINKS: Final = 128
"""Buckets that watch groups that watch groups (MAX_LIVENESS_RECURSION)."""

_MAX_HASHES: Final = 256
"""Values of dp_hash that are told apart (MAX_SELECT_GROUP_HASH_VALUES)."""

_WIDER: Final = {"ipv6_label": 4, "mpls_label": 4, "ct_state": 4}
"""Bytes of the fields that OVS keeps in more than their bits need (lib/meta-flow.h)."""

_DP_HASH = SLOTS["dp_hash"]
_ORDER: Final = {name: number for number, name in enumerate(FIELDS)}


def group(ctx: Context, action: of.Group, last: bool, _rest: Rest) -> bool:
    """group: buckets start from the packet as it is here; True (the list ends) if there is none."""
    if not resources_left(ctx):
        return False
    found = ctx.bridge.groups.get(action.group_id)
    if found is None:
        ctx.note(StepKind.NOTE, f"output to nonexistent group {action.group_id}")
        return True
    if found.type in (GroupType.ALL, GroupType.INDIRECT):
        ctx.buckets.append((_numbered(ctx, found), None))
        final = len(found.buckets) - 1
        for at, bucket in enumerate(found.buckets):
            _run(ctx, bucket, last and at == final)
        return False
    chosen = _select(ctx, found) if found.type is GroupType.SELECT else _first_live(ctx, found)
    if chosen is not None:
        ctx.note(StepKind.NOTE, f"using bucket {chosen.bucket_id}")
        ctx.buckets.append((_numbered(ctx, found), chosen.bucket_id))
        _run(ctx, chosen, last)
    else:
        ctx.note(StepKind.NOTE, "no live bucket")
    return False


def _numbered(ctx: Context, group: Group) -> int:
    return ctx.bridge.place << 32 | group.group_id


def _run(ctx: Context, bucket: Bucket, last: bool) -> None:
    """One bucket; the flow is rolled back behind it, the packet is not (facts 1.17)."""
    flow, was_mpls = ctx.flow, ctx.was_mpls
    ctx.depth += 1
    ctx.in_bucket = True
    above = ctx.open(Kind.BUCKET, f"bucket {bucket.bucket_id}")
    walk_actions(ctx, as_list(bucket.actions), last)
    ctx.in_bucket = False
    ctx.depth -= 1
    if ctx.freezing:
        finish_freezing(ctx)
    ctx.shut(above)
    ctx.flow = flow
    ctx.was_mpls = was_mpls
    ctx.exit = False
    if ctx.error == "too many MPLS labels":
        ctx.error = None


# -- who is alive --------------------------------------------------------------------------------


def _alive(ctx: Context, of_group: Group, bucket: Bucket, depth: int) -> bool:
    """OVS ``bucket_is_alive()``: what a bucket watches says it, any one of it."""
    if depth >= _MAX_LINKS:
        return False
    if of_group.type is GroupType.SELECT and not bucket.weight:
        return False
    port, watched = bucket.watch_port, bucket.watch_group
    if port is None and watched is None:
        return True
    if port is not None and ctx.bridge.is_alive(port):
        return True
    if watched is None:
        return False
    other = ctx.bridge.groups.get(watched)
    return other is not None and _first_live(ctx, other, depth + 1) is not None


def _first_live(ctx: Context, found: Group, depth: int = 0) -> Bucket | None:
    for bucket in found.buckets:
        if _alive(ctx, found, bucket, depth):
            return bucket
        _tell_not_live(ctx, bucket)
    return None


def _tell_not_live(ctx: Context, bucket: Bucket) -> None:
    """OVS ``xlate_report_bucket_not_live()``, which calls a group a port too."""
    if ctx.journal is not None:
        numbers = (bucket.watch_port, bucket.watch_group)
        why = " and ".join(f"port {number}" for number in numbers if number is not None)
        ctx.journal.add(Kind.DETAIL, f"bucket {bucket.bucket_id}: not live due to {why}")


# -- select --------------------------------------------------------------------------------------


def _select(ctx: Context, found: Group) -> Bucket | None:
    if ctx.was_mpls:
        ctx.trigger_freeze()
        return None
    if found.selection_method == "hash":
        return _by_fields(ctx, found) if found.fields else _by_packet(ctx, found)
    hashes = bucket_of_hash(found)
    return _by_packet(ctx, found) if hashes is None else _by_dp_hash(ctx, found, hashes)


def _best_live(ctx: Context, found: Group, basis: int) -> Bucket | None:
    """OVS ``group_best_live_bucket()``: highest random weight, the later one of equals."""
    best: Bucket | None = None
    best_score = 0
    for bucket in found.buckets:
        if _alive(ctx, found, bucket, 0):
            score = (hash_2words(bucket.bucket_id, basis) & 0xFFFF) * bucket.weight
            if score >= best_score:
                best, best_score = bucket, score
            if ctx.journal is not None:
                ctx.journal.add(Kind.DETAIL, f"bucket {bucket.bucket_id}: score {score}")
        else:
            _tell_not_live(ctx, bucket)
    return best


def _by_packet(ctx: Context, found: Group) -> Bucket | None:
    ctx.look(hashed_bits(ctx.flow, HashFields.SYMMETRIC_L4))
    return _best_live(ctx, found, symmetric_l4(ctx.flow, 0))


def _by_fields(ctx: Context, found: Group) -> Bucket | None:
    """OVS ``pick_hash_fields_select_group()``: fields that the packet lacks are passed over."""
    basis = hash_uint64(found.selection_method_param)
    for field, mask in sorted(found.fields, key=lambda pair: _ORDER[pair[0].name]):
        if not has_field(ctx, field):
            continue
        size = _WIDER.get(field.name) or (field.wire_width + 7) // 8
        value = field.get(ctx.flow) & mask
        basis = hash_bytes(value.to_bytes(size, "big"), basis)
        ctx.look(mask << field.shift)
    return _best_live(ctx, found, basis)


def _by_dp_hash(ctx: Context, found: Group, hashes: tuple[Bucket, ...]) -> Bucket | None:
    dp_hash = _DP_HASH.get(ctx.flow)
    if not dp_hash:
        if found.selection_method:
            algorithm = found.selection_method_param >> 32
            basis = found.selection_method_param & 0xFFFFFFFF
        else:
            algorithm, basis = HASH_SYM_L4, 0
        if algorithm > ctx.bridge.max_hash_algorithm:
            algorithm = HASH_L4
        ctx.trigger_freeze()
        ctx.update_dp_hash = (algorithm, basis)
        return None
    mask = len(hashes) - 1
    ctx.look(mask << _DP_HASH.shift)
    for step in range(len(hashes)):
        bucket = hashes[(dp_hash + step) & mask]
        if _alive(ctx, found, bucket, 0):
            return bucket
    return None


@lru_cache(maxsize=256)
def bucket_of_hash(found: Group) -> tuple[Bucket, ...] | None:
    """The bucket for every value of the masked dp_hash, or None if that cannot be had.

    OVS ``group_setup_dp_hash_table()``: Webster's method shares the values out by weight.
    """
    weights = [bucket.weight for bucket in found.buckets]
    total = sum(weights)
    if not total:
        return None
    slots = -(-total // min(weight for weight in weights if weight))
    size = max(16, 1 << (slots - 1).bit_length())
    if size > _MAX_HASHES:
        return None
    values = [float(weight) for weight in weights]
    divisors = [1] * len(weights)
    hashes = []
    for _ in range(size):
        winner = values.index(max(values))
        divisors[winner] += 2
        values[winner] = weights[winner] / divisors[winner]
        hashes.append(found.buckets[winner])
    return tuple(hashes)
