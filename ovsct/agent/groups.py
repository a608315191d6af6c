"""The groups of a bridge as OpenFlow changes them (OVS ofproto/ofproto.c, *_group_start())."""

from __future__ import annotations

from typing import Final

from ovsct.agent.clock import nanoseconds
from ovsct.agent.rules import Removed, Rules, groups_of
from ovsct.bridge.bridge import Bridge
from ovsct.bridge.datapath import Datapath
from ovsct.openflow.group import Bucket, Group
from ovsct.openflow.wire.errors import WireError
from ovsct.openflow.wire.messages import GroupMod
from ovsct.openflow.wire.multipart import Counter, GroupStats
from ovsct.openflow.wire.numbers import (
    BUCKET_ALL,
    BUCKET_FIRST,
    BUCKET_LAST,
    BUCKET_MAX,
    GROUP_ALL,
    GROUP_MAX,
)

_ON_BUCKETS: Final = ("insert_bucket", "remove_bucket")


class Groups:
    """The groups of a bridge, and since when each is there, in seconds."""

    def __init__(self, bridge: Bridge, datapath: Datapath, rules: Rules, now: float) -> None:
        self._bridge = bridge
        self._datapath = datapath
        self._rules = rules
        self.times: dict[int, float] = dict.fromkeys(bridge.groups, now)

    def mod(self, message: GroupMod, now: float) -> list[Removed]:
        """Add, modify or delete; says which flows went with a group.

        Raises WireError; nothing has changed then.
        """
        groups, ident = self._bridge.groups, message.group_id
        if message.command == "delete":
            return self._delete(list(groups) if ident == GROUP_ALL else [ident], now)
        known = groups.get(ident)
        if message.command == "add" and known is not None:
            raise WireError("OFPGMFC_GROUP_EXISTS", f"group {ident}")
        if message.command not in ("add", "add_or_mod") and known is None:
            raise WireError("OFPGMFC_UNKNOWN_GROUP", f"group {ident}")
        if ident > GROUP_MAX:
            raise WireError("OFPGMFC_INVALID_GROUP", f"group {ident:#x}")
        if known is not None and message.command in _ON_BUCKETS:
            group = _with_other_buckets(known, message)
        else:
            group = Group(
                group_id=ident, type=message.type, buckets=message.buckets,
                selection_method=message.selection_method,
                selection_method_param=message.selection_method_param, fields=message.fields,
            )  # fmt: skip
        self._changed(ident)
        groups[ident] = group
        self.times.setdefault(ident, now)
        return []

    def _changed(self, ident: int) -> None:
        """A group is about to be another: it begins to count anew, as it does in OVS."""
        self._rules.decided_otherwise()
        counts = self._datapath.counters.buckets
        for used in [used for used in counts if used[0] == self._counted(ident)]:
            del counts[used]

    def _counted(self, ident: int) -> int:
        """The number by which the datapath counts a group."""
        return self._bridge.place << 32 | ident

    def stats(self, group: Group, now: float) -> GroupStats:
        """The counters of a group and its buckets."""
        self._datapath.flow_counts()  # brings in what megaflows have served
        counts = self._datapath.counters.buckets
        ident = group.group_id
        number = self._counted(ident)
        every = counts.get((number, None), (0, 0))
        each = [counts.get((number, bucket.bucket_id), (0, 0)) for bucket in group.buckets]
        return GroupStats(
            group_id=ident,
            ref_count=sum(ident in groups_of(rule.flow.actions) for rule in self._rules),
            duration=nanoseconds(now - self.times[ident]),
            packet_count=every[0] + sum(packets for packets, _ in each),
            byte_count=every[1] + sum(size for _, size in each),
            buckets=tuple(
                Counter(every[0] + packets, every[1] + size) for packets, size in each
            ),
        )

    def _delete(self, idents: list[int], now: float) -> list[Removed]:
        gone: list[Removed] = []
        for ident in idents:
            if ident not in self._bridge.groups:
                continue
            users = [rule for rule in self._rules if ident in groups_of(rule.flow.actions)]
            gone += self._rules.remove(users, "group_delete", now)
            self._changed(ident)
            del self._bridge.groups[ident]
            del self.times[ident]
        return gone

    def snapshot(self) -> tuple[dict[int, Group], dict[int, float]]:
        """All groups, for :meth:`restore`."""
        return dict(self._bridge.groups), dict(self.times)

    def restore(self, before: tuple[dict[int, Group], dict[int, float]]) -> None:
        """Have the groups of a snapshot again."""
        self._bridge.groups.clear()
        self._bridge.groups.update(before[0])
        self.times = before[1]


def _with_other_buckets(group: Group, message: GroupMod) -> Group:
    if message.command == "insert_bucket":
        buckets = _inserted(group.buckets, message)
    else:
        buckets = _left(group.buckets, message.command_bucket_id)
    return Group(
        group_id=group.group_id, type=group.type, buckets=buckets,
        selection_method=group.selection_method,
        selection_method_param=group.selection_method_param, fields=group.fields,
    )  # fmt: skip


def _place(buckets: tuple[Bucket, ...], ident: int) -> int:
    """Where a bucket stands. Raises WireError: it is not there."""
    for place, bucket in enumerate(buckets):
        if bucket.bucket_id == ident:
            return place
    raise WireError("OFPGMFC_UNKNOWN_BUCKET", f"there is no bucket {ident}")


def _inserted(old: tuple[Bucket, ...], message: GroupMod) -> tuple[Bucket, ...]:
    """The buckets with more of them before the first, behind the last or behind one."""
    which = message.command_bucket_id
    place = _place(old, which) + 1 if which <= BUCKET_MAX else len(old)
    if which == BUCKET_FIRST:
        place = 0
    known = {bucket.bucket_id for bucket in old}
    if any(bucket.bucket_id in known for bucket in message.buckets):
        raise WireError("OFPGMFC_BUCKET_EXISTS", "a bucket is there already")
    return (*old[:place], *message.buckets, *old[place:])


def _left(old: tuple[Bucket, ...], which: int) -> tuple[Bucket, ...]:
    """The buckets without the one that goes, or without any."""
    if which == BUCKET_ALL:
        return ()
    if which == BUCKET_FIRST:
        return old[1:]
    if which == BUCKET_LAST:
        return old[:-1]
    place = _place(old, which)
    return (*old[:place], *old[place + 1 :])
