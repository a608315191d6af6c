"""TC actions as data: one frozen class each, no behaviour.

The ``tc`` text is one face of these objects, ``act_*.py`` gives each its meaning. `control` is the
verdict of the action when it has done its work (:mod:`ovsct.tc.verdict`); the defaults are those
of iproute2 6.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final

from ovsct.conntrack.request import Track
from ovsct.tc import verdict


@dataclass(frozen=True, slots=True)
class Action:
    """Base of all actions. `kind` is the name of the module that ``tc`` knows."""

    kind: ClassVar[str] = ""


@dataclass(frozen=True, slots=True)
class Gact(Action):
    """A verdict and nothing else: ``action drop``, ``action goto chain 7``."""

    kind: ClassVar[str] = "gact"
    control: int = verdict.OK


@dataclass(frozen=True, slots=True)
class Ct(Action):
    """``ct``: track in a zone; `track` None is ``ct clear``."""

    kind: ClassVar[str] = "ct"
    track: Track | None
    control: int = verdict.PIPE


@dataclass(frozen=True, slots=True)
class Mirred(Action):
    """``mirred``: send to a port (`ingress`: let it come in there); `mirror` sends a copy."""

    kind: ClassVar[str] = "mirred"
    port: int
    mirror: bool = False
    ingress: bool = False
    control: int = verdict.STOLEN


class Header(StrEnum):
    """The header that an offset of pedit counts from, as ``tc filter show`` prints it."""

    ETH = "eth"
    IPV4 = "ipv4"
    IPV6 = "ipv6"
    TCP = "tcp"
    UDP = "udp"
    NETWORK = "network"
    """``munge offset``: the network header, whatever it is; shown without a name."""


@dataclass(frozen=True, slots=True)
class Munge:
    """One 32-bit word of a pedit: `word` becomes ``(word & mask) ^ value``, or with `add`
    ``(word & mask) ^ ((word + value) & ~mask)``. `mask` has the bits that **stay**.

    `offset` is in bytes from the start of `header`, `value` and `mask` are in network order read
    as a big-endian int, as ``tc filter show`` prints them.
    """

    header: Header
    offset: int
    value: int
    mask: int
    add: bool = False


@dataclass(frozen=True, slots=True)
class Pedit(Action):
    """``pedit ex``: rewrite words of the headers; no checksum is touched."""

    kind: ClassVar[str] = "pedit"
    munges: tuple[Munge, ...]
    control: int = verdict.OK


class Sum(StrEnum):
    """What csum can be told to recompute, in the order of its flags' bits."""

    IPV4 = "iph"
    ICMP = "icmp"
    IGMP = "igmp"
    TCP = "tcp"
    UDP = "udp"
    UDPLITE = "udplite"
    SCTP = "sctp"


@dataclass(frozen=True, slots=True)
class Csum(Action):
    """``csum``: recompute checksums."""

    kind: ClassVar[str] = "csum"
    which: frozenset[Sum]
    control: int = verdict.OK


class VlanOp(StrEnum):
    """What ``vlan`` does."""

    PUSH = "push"
    POP = "pop"
    MODIFY = "modify"
    PUSH_ETH = "push_eth"
    POP_ETH = "pop_eth"


@dataclass(frozen=True, slots=True)
class Vlan(Action):
    """``vlan push|pop|modify``. `prio` None leaves the priority (modify) or is 0 (push).

    ``push_eth`` writes an Ethernet header (`dst`, `src` as ints) where ``pop_eth`` took one off.
    """

    kind: ClassVar[str] = "vlan"
    op: VlanOp
    vid: int = 0
    protocol: int = 0x8100
    prio: int | None = None
    control: int = verdict.PIPE
    dst: int = 0
    src: int = 0


class MplsOp(StrEnum):
    """What ``mpls`` does."""

    PUSH = "push"
    POP = "pop"
    MODIFY = "modify"
    DEC_TTL = "dec_ttl"


@dataclass(frozen=True, slots=True)
class Mpls(Action):
    """``mpls push|pop|modify|dec_ttl``. `protocol` is the Ethernet type afterwards."""

    kind: ClassVar[str] = "mpls"
    op: MplsOp
    protocol: int = 0
    label: int | None = None
    tc: int | None = None
    ttl: int | None = None
    bos: int | None = None
    control: int = verdict.PIPE


@dataclass(frozen=True, slots=True)
class Skbedit(Action):
    """``skbedit``: set what travels beside the packet. `mark` is (value, mask)."""

    kind: ClassVar[str] = "skbedit"
    mark: tuple[int, int] | None = None
    priority: int | None = None
    queue: int | None = None
    ptype: str | None = None
    control: int = verdict.PIPE
    inherit: bool = False
    """``inheritdsfield``: the priority becomes the DS field of the IP header."""


@dataclass(frozen=True, slots=True)
class Police(Action):
    """``police``: a token bucket of `rate` bytes a second and `burst` bytes, or of `pkts_rate` and
    `pkts_burst` packets; packets longer than `mtu` bytes (0: no limit) exceed it, too.

    `control` is for what exceeds, `conform` for what does not. A policer keeps its tokens with its
    index.
    """

    kind: ClassVar[str] = "police"
    rate: int = 0
    burst: int = 0
    mtu: int = 0
    pkts_rate: int = 0
    pkts_burst: int = 0
    control: int = verdict.RECLASSIFY
    conform: int = verdict.OK


@dataclass(frozen=True, slots=True)
class Sample(Action):
    """``sample rate 1``: psample gets a copy (of `trunc` bytes, 0: whole); the packet goes on."""

    kind: ClassVar[str] = "sample"
    group: int
    rate: int = 1
    trunc: int = 0
    control: int = verdict.PIPE


@dataclass(frozen=True, slots=True)
class TunnelKey(Action):
    """``tunnel_key set|unset``: the tunnel's metadata that travel beside the packet.

    `family` is that of `src` and `dst` (4 or 6), 0 for ``unset``. `key_id` None: no key.
    """

    kind: ClassVar[str] = "tunnel_key"
    family: int = 0
    src: int = 0
    dst: int = 0
    key_id: int | None = None
    dst_port: int = 0
    tos: int = 0
    ttl: int = 0
    csum: bool = True
    csum_given: bool = False
    control: int = verdict.PIPE


NOT_MODELLED: Final[dict[str, str]] = {
    "bpf": "BPF programs cannot be run here",
    "connmark": "connmark is not modelled in TC",
    "ctinfo": "ctinfo is not modelled in TC",
    "gate": "time gates are not modelled in TC",
    "ife": "ife is not modelled in TC",
    "nat": "stateless nat is not modelled in TC; ct has nat",
    "simple": "simple is not modelled in TC",
    "skbmod": "skbmod is not modelled in TC; pedit can do the same",
    "xt": "xtables targets cannot be run here",
    "ipt": "xtables targets cannot be run here",
}
"""Actions that ``tc`` knows and this model does not: naming one is an error that says so."""
