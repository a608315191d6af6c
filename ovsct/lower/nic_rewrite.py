"""pedit's words as the fields that a NIC can rewrite (mlx5 en_tc.c offload_pedit_fields())."""

from __future__ import annotations

from typing import Final, NamedTuple

from ovsct.errors import OvsctError
from ovsct.lower.nic_reasons import NicReason
from ovsct.packet.fields import SLOTS
from ovsct.tc.actions import Header, Munge, Pedit


class RewriteError(Exception):
    """A pedit that hardware cannot do."""

    def __init__(self, reason: NicReason, words: str) -> None:
        self.reason = reason
        self.words = words
        super().__init__(words)


class _Part(NamedTuple):
    """`width` bits of a word from bit `at`, which are those of a slot from bit `low`."""

    at: int
    width: int
    slot: str
    low: int = 0


def _address(header: Header, offset: int, slot: str) -> dict[tuple[Header, int], tuple[_Part, ...]]:
    """The four words of an IPv6 address."""
    return {
        (header, offset + 4 * n): (_Part(0, 32, slot, 96 - 32 * n),) for n in range(4)
    }


_PORTS: Final = (_Part(0, 16, "tp_dst"), _Part(16, 16, "tp_src"))

_WORDS: Final[dict[tuple[Header, int], tuple[_Part, ...]]] = {
    (Header.ETH, 0): (_Part(0, 32, "dl_dst", 16),),
    (Header.ETH, 4): (_Part(0, 16, "dl_src", 32), _Part(16, 16, "dl_dst")),
    (Header.ETH, 8): (_Part(0, 32, "dl_src"),),
    (Header.IPV4, 0): (_Part(16, 8, "nw_tos"),),
    (Header.IPV4, 8): (_Part(24, 8, "nw_ttl"),),
    (Header.IPV4, 12): (_Part(0, 32, "nw_src"),),
    (Header.IPV4, 16): (_Part(0, 32, "nw_dst"),),
    (Header.IPV6, 0): (_Part(20, 8, "nw_tos"),),
    (Header.IPV6, 4): (_Part(0, 8, "nw_ttl"),),
    **_address(Header.IPV6, 8, "ipv6_src"),
    **_address(Header.IPV6, 24, "ipv6_dst"),
    (Header.TCP, 0): _PORTS,
    (Header.UDP, 0): _PORTS,
}
"""What of each word can be rewritten."""

_TUPLE: Final = sum(
    SLOTS[name].mask
    for name in ("nw_src", "nw_dst", "ipv6_src", "ipv6_dst", "tp_src", "tp_dst")
)
_IP: Final = sum(
    SLOTS[name].mask for name in ("nw_src", "nw_dst", "ipv6_src", "ipv6_dst", "nw_tos")
)


def changes_tuple(mask: int) -> bool:
    """Whether a rewrite under `mask` changes what a connection is found by."""
    return bool(mask & _TUPLE)


def changes_ip(mask: int) -> bool:
    """Whether it changes more of the IP header than the TTL."""
    return bool(mask & _IP)


def rewrite(action: Pedit) -> tuple[int, int]:
    """The (value, mask), laid out as a flow key, that a pedit writes.

    Raises:
        RewriteError: hardware has no field for it, or not that part of one.
        OvsctError: an addition, which is not modelled for a NIC.
    """
    value = mask = 0
    for munge in action.munges:
        if munge.add:
            raise OvsctError("a pedit that adds is not modelled for a NIC")
        changed = ~munge.mask & 0xFFFFFFFF
        for part in _parts(munge, changed):
            bits = (changed >> part.at) & ((1 << part.width) - 1)
            if not bits:
                continue
            lowest = bits & -bits
            if (bits + lowest) & bits:
                raise RewriteError(
                    NicReason.REWRITE_BITS, "rewrite of few sub-fields isn't supported"
                )
            shift = SLOTS[part.slot].shift + part.low
            mask |= bits << shift
            value = value & ~(bits << shift) | ((munge.value >> part.at) & bits) << shift
    return value, mask


def _parts(munge: Munge, changed: int) -> tuple[_Part, ...]:
    parts = _WORDS.get((munge.header, munge.offset), ())
    known = sum(((1 << part.width) - 1) << part.at for part in parts)
    if changed & ~known:
        where = f"{munge.header.value} at {munge.offset}"
        raise RewriteError(NicReason.REWRITE_FIELD, f"no field to rewrite for pedit of {where}")
    return parts
