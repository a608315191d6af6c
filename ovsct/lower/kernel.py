"""What a kernel offers to OVS: what ovs-vswitchd probes when hw-offload is first enabled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ovsct.errors import InputError
from ovsct.packet.fields import CT_EST, CT_NEW, CT_REL, CT_TRK
from ovsct.tc.keys import FLOWER_CT_STATE

CT_STATE_5_3 = CT_NEW | CT_EST | CT_REL | CT_TRK
"""The bits of ct_state that flower knew first; inv and rpl came with 5.12."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Of a kernel's TC, as OVS 3.1 probes it (lib/netdev-offload-tc.c).

    `ct_state` are the bits that flower matches on (0: it knows no conntrack, 5.2 and older),
    `multi_mask` whether filters of different masks may share a priority (4.19 and later),
    `recirc_sharing` whether the kernel was built with CONFIG_NET_TC_SKB_EXT. No Debian kernel is.
    """

    ct_state: int = FLOWER_CT_STATE
    multi_mask: bool = True
    recirc_sharing: bool = True

    @classmethod
    def of(cls, version: str, *, recirc_sharing: bool = True) -> Capabilities:
        """Those of a kernel by its version, as in ``5.10``.

        Raises:
            InputError: it is no version.
        """
        parts = version.split(".")
        if len(parts) < 2 or not all(part.isdecimal() for part in parts[:2]):
            raise InputError("not the version of a kernel", token=version, expected="such as 5.10")
        there = (int(parts[0]), int(parts[1]))
        return cls(
            ct_state=next((bits for since, bits in _CT_STATES if there >= since), 0),
            multi_mask=there >= _MULTI_MASK,
            recirc_sharing=recirc_sharing and there >= _SKB_EXT,
        )


_CT_STATES: Final = (((5, 12), FLOWER_CT_STATE), ((5, 3), CT_STATE_5_3))
"""The bits of ct_state by the kernel since which flower matches on them."""
_MULTI_MASK: Final = (4, 19)
_SKB_EXT: Final = (5, 4)
