"""The datapath actions that put a header before the packet or take one off.

OVS lib/odp-execute.c; the packets themselves are the matter of :mod:`ovsct.packet.encap`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from ovsct.bridge import odp
from ovsct.bridge.run import Run
from ovsct.lane import Drop
from ovsct.packet import encap
from ovsct.packet.fields import SLOTS
from ovsct.packet.packet import NSH_BASE, NSH_TYPE1, Packet

_Executor: TypeAlias = Callable[[Packet, Any, Run], bool | None]


def _push_eth(packet: Packet, argument: tuple[int, int], _run: Run) -> None:
    encap.push_eth(packet, *argument)


def _pop_eth(packet: Packet, _argument: None, _run: Run) -> None:
    encap.pop_eth(packet)


def _push_nsh(packet: Packet, header: bytes, _run: Run) -> None:
    encap.push_nsh(packet, header)


def _pop_nsh(packet: Packet, _argument: None, run: Run) -> bool:
    if encap.pop_nsh(packet):
        return False
    run.drop = Drop.MALFORMED
    return True


def _add_mpls(packet: Packet, argument: tuple[int, int], _run: Run) -> None:
    encap.add_mpls(packet, *argument)


def nsh_header(action: odp.PushNsh) -> bytes:
    """The bytes of the header that is pushed (OVS ``odp_nsh_hdr_from_attr()``)."""
    get = {name: SLOTS[f"nsh_{name}"].get(action.key) for name in _FIELDS}
    if get["mdtype"] == 1:
        length = NSH_TYPE1
        tail = b"".join(get[f"c{n}"].to_bytes(4, "big") for n in (1, 2, 3, 4))
    else:
        length, tail = NSH_BASE + len(action.metadata), action.metadata
    first = (get["flags"] & 3) << 12 | (get["ttl"] & 0x3F) << 6 | length >> 2
    return (
        first.to_bytes(2, "big")
        + bytes((get["mdtype"], get["np"]))
        + get["path_hdr"].to_bytes(4, "big")
        + tail
    )


_FIELDS: Final = ("flags", "ttl", "mdtype", "np", "path_hdr", "c1", "c2", "c3", "c4")

ENCAPS: Final[dict[type, Callable[[Any, Any, bool], tuple[_Executor, Any]]]] = {
    odp.PushEth: lambda a, rest, tags: (_push_eth, (a.src, a.dst)),
    odp.PopEth: lambda a, rest, tags: (_pop_eth, None),
    odp.PushNsh: lambda a, rest, tags: (_push_nsh, nsh_header(a)),
    odp.PopNsh: lambda a, rest, tags: (_pop_nsh, None),
    odp.AddMpls: lambda a, rest, tags: (_add_mpls, (a.lse, a.ethertype)),
}
"""How each is compiled, as in :mod:`ovsct.bridge.datapath`."""
