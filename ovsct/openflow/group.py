"""Groups: lists of buckets that a flow's ``group:ID`` sends a packet to."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from ovsct.openflow.actions import NOWHERE, Action, Span
from ovsct.packet.fields import Field


class GroupType(StrEnum):
    """What a group does with its buckets; the values are the words of ovs-ofctl."""

    ALL = "all"
    """Each bucket gets a copy of the packet."""
    SELECT = "select"
    """One bucket, by weight and a hash of the packet."""
    INDIRECT = "indirect"
    """The one bucket."""
    FAST_FAILOVER = "ff"
    """The first bucket that is alive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """One bucket: an action set, and when it counts.

    `weight` is that of select groups (0: never chosen). A bucket with `watch_port` or `watch_group`
    is alive while these are. `span` is where its text stands.
    """

    bucket_id: int
    actions: tuple[Action, ...] = ()
    weight: int = 0
    watch_port: int | None = None
    watch_group: int | None = None
    span: Span = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A group.

    `selection_method` of a select group is ``hash``, ``dp_hash`` or empty for the switch's own
    choice (OVS 3.1: dp_hash); ``hash`` hashes `fields`, pairs of a field and the mask under which
    it counts, or if there are none, the symmetric L4 fields. `text`, `file` and `line` (from 1) say
    where it was read and take no part in equality.
    """

    group_id: int
    type: GroupType
    buckets: tuple[Bucket, ...] = ()
    selection_method: str = ""
    selection_method_param: int = 0
    fields: tuple[tuple[Field, int], ...] = ()
    text: str = field(default="", compare=False, repr=False)
    file: str | None = field(default=None, compare=False, repr=False)
    line: int | None = field(default=None, compare=False, repr=False)
