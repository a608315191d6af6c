"""The filters of one port: chains, priorities, masks (net/sched/cls_api.c, cls_flower.c).

A :class:`Block` has chains, a chain has one ``tcf_proto`` a priority, and that has one protocol,
one kind and its masks in the order in which they were first used: the first mask with a hit wins,
however general it is.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final, TypeAlias

from ovsct.errors import InputError
from ovsct.packet.fields import SLOTS
from ovsct.tc.filters import MATCHALL, Filter, Installed
from ovsct.tc.verdict import EXT_MASK, MAX_CHAIN, OK, is_goto

AUTO_PRIO_FROM: Final = 0x8000
"""Where a filter without a priority is put: in front of the first one from here on."""
AUTO_PRIO_FIRST: Final = 0xC000
MAX_PRIO: Final = 0xFFFF

Tables: TypeAlias = tuple[tuple[int, Callable[[int], Installed | None]], ...]
"""Masks in order, each with the look-up of its filters that software sees."""

Install: TypeAlias = Callable[[Filter], Installed]


class FilterError(InputError):
    """TC refuses the command. The problem is in the kernel's own words."""


def _refuse(words: str, code: str) -> FilterError:
    return FilterError(f"{words} ({code})")


MaskId: TypeAlias = tuple[int, tuple[str, ...]]
"""What makes a mask another one: its bits, and the ports that it wants in a range."""

Value: TypeAlias = tuple[int, tuple[tuple[str, int, int], ...]]


def _mask_id(entry: Filter) -> MaskId:
    return entry.mask, tuple(slot for slot, _, _ in entry.ranges)


def _value(entry: Filter) -> Value:
    return entry.value & entry.mask, entry.ranges


class _Mask:
    """The filters that share one mask, those with skip_sw kept apart from what packets see."""

    __slots__ = ("filters", "mask", "ranged", "seen")

    def __init__(self, mask: MaskId) -> None:
        self.mask, self.ranged = mask
        self.filters: dict[Value, Installed] = {}
        self.seen: dict[int, Installed] = {}

    def put(self, installed: Installed) -> None:
        entry = installed.filter
        self.filters[_value(entry)] = installed
        if not entry.skip_sw:
            self.seen[entry.value & self.mask] = installed

    def drop(self, installed: Installed) -> None:
        entry = installed.filter
        if self.filters.get(_value(entry)) is installed:
            del self.filters[_value(entry)]
        if self.seen.get(entry.value & self.mask) is installed:
            del self.seen[entry.value & self.mask]

    def table(self) -> tuple[int, Callable[[int], Installed | None]] | None:
        """The bits to look up, and the look-up; None if software sees none of the filters."""
        if not self.ranged:
            return (self.mask, self.seen.get) if self.seen else None
        wanted = [each for each in self.filters.values() if not each.filter.skip_sw]
        bits = self.mask | sum(SLOTS[slot].mask for slot in self.ranged)
        return (bits, _in_ranges(self.mask, wanted)) if wanted else None


def _in_ranges(mask: int, filters: list[Installed]) -> Callable[[int], Installed | None]:
    """``fl_lookup_range()``: one filter after the other, in the order in which they came."""
    rows = [
        (
            each.filter.value & mask,
            [(SLOTS[slot], first, last) for slot, first, last in each.filter.ranges],
            each,
        )
        for each in filters
    ]

    def find(key: int) -> Installed | None:
        for value, ranges, each in rows:
            if key & mask == value and all(
                first <= slot.get(key) <= last for slot, first, last in ranges
            ):
                return each
        return None

    return find


class Proto:
    """One ``tcf_proto``: everything at one priority of one chain."""

    __slots__ = ("_masks", "handles", "kind", "prio", "protocol", "tables")

    def __init__(self, prio: int, protocol: int, kind: str) -> None:
        self.prio = prio
        self.protocol = protocol
        self.kind = kind
        self.handles: dict[int, Installed] = {}
        self._masks: dict[MaskId, _Mask] = {}
        self.tables: Tables = ()

    def __lt__(self, other: Proto) -> bool:
        return self.prio < other.prio

    def free_handle(self) -> int:
        """The handle that TC gives next (``idr_alloc_u32()`` from 1: the lowest free one)."""
        handle = 1
        while handle in self.handles:
            handle += 1
        return handle

    def clashes(self, entry: Filter, old: Installed | None) -> bool:
        """Whether another filter already has this mask and value."""
        table = self._masks.get(_mask_id(entry))
        there = table.filters.get(_value(entry)) if table else None
        return there is not None and there is not old

    def put(self, installed: Installed, old: Installed | None) -> None:
        """Add a filter; `old` with the same handle goes once the new one is there."""
        entry = installed.filter
        wanted = _mask_id(entry)
        table = self._masks.get(wanted)
        if table is None:
            table = self._masks[wanted] = _Mask(wanted)
        table.put(installed)
        if old is not None:
            self._forget(old)
        self.handles[entry.handle] = installed
        self._compile()

    def drop(self, installed: Installed) -> None:
        """Take a filter away."""
        del self.handles[installed.filter.handle]
        self._forget(installed)
        self._compile()

    def _forget(self, installed: Installed) -> None:
        wanted = _mask_id(installed.filter)
        table = self._masks[wanted]
        table.drop(installed)
        if not table.filters:
            del self._masks[wanted]

    def _compile(self) -> None:
        tables = (table.table() for table in self._masks.values())
        self.tables = tuple(table for table in tables if table is not None)


class Chain:
    """One chain: its ``tcf_proto`` in order of priority."""

    __slots__ = ("index", "protos")

    def __init__(self, index: int) -> None:
        self.index = index
        self.protos: list[Proto] = []

    def proto(self, prio: int) -> Proto | None:
        """What stands at a priority."""
        return next((proto for proto in self.protos if proto.prio == prio), None)

    def auto_prio(self) -> int:
        """``tcf_auto_prio()``: one less than the first priority that could be an automatic one."""
        first = next((proto.prio for proto in self.protos if proto.prio >= AUTO_PRIO_FROM), None)
        return AUTO_PRIO_FIRST if first is None else first - 1


class Block:
    """All chains of one hook: a port's ingress or egress, or what ports share as a block."""

    __slots__ = ("_made", "_stale", "chains")

    def __init__(self) -> None:
        self.chains: dict[int, Chain] = {}
        self._made: dict[int, None] = {}
        self._stale = False

    def __iter__(self) -> Iterator[Installed]:
        """Every filter in the order of ``tc filter show``: by chain, priority and handle.

        Chains stand in the order in which something first named them, a ``goto`` as well.
        """
        if self._stale:
            self._forget_chains()
        for index in self._made:
            chain = self.chains.get(index)
            for proto in chain.protos if chain else ():
                for handle in sorted(proto.handles):
                    yield proto.handles[handle]

    def _note_chains(self, entry: Filter) -> None:
        self._made.setdefault(entry.chain)
        for action in entry.actions:
            for control in (getattr(action, "control", OK), getattr(action, "conform", OK)):
                if is_goto(control):
                    self._made.setdefault(control & EXT_MASK)

    def _forget_chains(self) -> None:
        """Chains without filters that no filter leads to are no more."""
        self._stale = False
        before, self._made = self._made, {}
        for each in self._everything():
            self._note_chains(each.filter)
        self._made = {index: None for index in before if index in self._made}

    def _everything(self) -> Iterator[Installed]:
        for chain in self.chains.values():
            for proto in chain.protos:
                yield from proto.handles.values()

    def add(self, entry: Filter, install: Install, *, exclusive: bool = True) -> Installed:
        """``tc filter add`` (or, not `exclusive`, ``replace``); `install` makes it ready to run.

        Raises:
            FilterError: as the kernel does, ``tc_new_tfilter()``.
        """
        if not 0 <= entry.chain <= MAX_CHAIN:
            raise _refuse("Specified chain index exceeds upper limit", "EINVAL")
        if not 0 <= entry.prio <= MAX_PRIO:
            raise FilterError("no such priority", token=str(entry.prio), expected="1 to 65535")
        chain = self.chains.get(entry.chain) or Chain(entry.chain)
        prio = entry.prio or chain.auto_prio()
        proto = chain.proto(prio)
        if proto is not None and proto.protocol != entry.protocol:
            raise _refuse("Filter with specified priority/protocol not found", "EINVAL")
        if proto is not None and proto.kind != entry.kind:
            raise _refuse("Specified filter kind does not match existing one", "EINVAL")
        fresh = proto is None
        if proto is None:
            proto = Proto(prio, entry.protocol, entry.kind)
        old = proto.handles.get(entry.handle) if entry.handle else None
        if old is not None and exclusive:
            raise _refuse("Filter already exists", "EEXIST")
        if entry.kind == MATCHALL and proto.handles and old is None:
            # mall_change() has room for one filter, and a second add finds it there.
            raise _refuse("Filter already exists", "EEXIST")
        if old is not None and _mask_id(old.filter) != _mask_id(entry):
            # fl_check_assign_mask(): a filter can be changed within its mask only.
            raise _refuse("a filter can only be replaced by one with the same mask", "EINVAL")
        if proto.clashes(entry, old):
            raise _refuse("a filter with the same key and mask is there", "EEXIST")
        handle = entry.handle or proto.free_handle()
        if self._stale:
            self._forget_chains()
        self._note_chains(entry)
        installed = install(replace(entry, prio=prio, handle=handle))
        proto.put(installed, old)
        if fresh:
            insort(chain.protos, proto)
        self.chains.setdefault(entry.chain, chain)
        return installed

    def find(self, chain: int, prio: int, handle: int, protocol: int | None = None) -> Installed:
        """The filter at a place.

        Raises:
            FilterError: it is not there, in the kernel's words (``tc_del_tfilter()``).
        """
        proto = self._proto(chain, prio, protocol)
        installed = proto.handles.get(handle)
        if installed is None:
            raise _refuse("Specified filter handle not found", "ENOENT")
        return installed

    def delete(
        self, chain: int = 0, prio: int = 0, handle: int = 0, protocol: int | None = None
    ) -> list[Installed]:
        """``tc filter del``: one filter, a whole priority (no `handle`) or chain (no `prio`).

        Raises:
            FilterError: there is nothing like that.
        """
        gone = self._delete(chain, prio, handle, protocol)
        self._stale = bool(gone)
        return gone

    def _delete(
        self, chain: int, prio: int, handle: int, protocol: int | None
    ) -> list[Installed]:
        if not prio:
            if handle or protocol is not None:
                raise _refuse(
                    "Cannot flush filters with protocol, handle or kind set", "ENOENT"
                )
            there = self.chains.pop(chain, None)
            if there is None:
                # Without filters chain 0 is there all the same.
                if chain:
                    raise _refuse("Cannot find specified filter chain", "ENOENT")
                return []
            return [entry for proto in there.protos for entry in proto.handles.values()]
        proto = self._proto(chain, prio, protocol)
        if handle:
            gone = [self.find(chain, prio, handle, protocol)]
            proto.drop(gone[0])
        else:
            gone = list(proto.handles.values())
            proto.handles.clear()
        if not proto.handles:
            self.chains[chain].protos.remove(proto)
            if not self.chains[chain].protos:
                del self.chains[chain]
        return gone

    def _proto(self, chain: int, prio: int, protocol: int | None) -> Proto:
        there = self.chains.get(chain)
        if there is None and chain:
            raise _refuse("Cannot find specified filter chain", "ENOENT")
        proto = there.proto(prio) if there else None
        if proto is None or (protocol is not None and proto.protocol != protocol):
            raise _refuse("Filter with specified priority/protocol not found", "ENOENT")
        return proto
