"""What flower reads out of a packet, in the layout of the flow key.

A flower key is a flow key of :mod:`ovsct.packet.fields` whose slots hold what the kernel's flow
dissector puts there, which is not always what OVS does:

- ``dl_type`` is the innermost type reached (``n_proto``), ``vlan_tpid``/``vlan_tpid1`` the types
  of the tags in front of it;
- ``nw_frag`` has flower's own two flags, :data:`FRAG` and :data:`FIRST_FRAG`;
- ``ct_state`` has OVS's bits, without snat and dnat, which flower does not know;
- ``in_port`` is the device that the packet came in on last (``indev``), ``tun_*`` what
  ``tunnel_key`` has put beside it (``enc_*``);
- ``nw_ttl`` of an MPLS packet says which label stack entries are there (`used_lses`).
"""

from __future__ import annotations

from typing import Final

from ovsct.packet.fields import CT_EST, CT_INV, CT_NEW, CT_REL, CT_RPL, CT_TRK, SLOTS

FRAG: Final = 1
"""``ip_flags frag``: FLOW_DIS_IS_FRAGMENT."""
FIRST_FRAG: Final = 2
"""``ip_flags firstfrag``: FLOW_DIS_FIRST_FRAG; false for a packet that is no fragment."""

ETH_P_ALL: Final = 0x0003
ETH_P_802_2: Final = 0x0004
"""``skb->protocol`` of a frame with a length in place of a type (eth_type_trans())."""
ETH_P_802_3: Final = 0x0001
"""The same, when the first two bytes of the payload are 0xffff (raw IPX)."""

S_IN_PORT: Final = SLOTS["in_port"].shift
S_STATE: Final = SLOTS["ct_state"].shift
S_ZONE: Final = SLOTS["ct_zone"].shift
S_MARK: Final = SLOTS["ct_mark"].shift
S_LABEL: Final = SLOTS["ct_label"].shift

FLOWER_CT_STATE: Final = CT_NEW | CT_EST | CT_REL | CT_RPL | CT_INV | CT_TRK
"""The bits of ct_state that flower knows (kernel 5.12 and later)."""


def ct_state_problem(state: int) -> str | None:
    """Why flower refuses to match on `state` (the bits that must be set), in the kernel's words.

    net/sched/cls_flower.c, ``fl_validate_ct_state()``.
    """
    if state and not state & CT_TRK:
        return "no trk, so no other flag can be set"
    if state & CT_NEW and state & CT_EST:
        return "new and est are mutually exclusive"
    if state & CT_INV and state & ~(CT_TRK | CT_INV):
        return "when inv is set, only trk may be set"
    if state & CT_NEW and state & CT_RPL:
        return "new and rpl are mutually exclusive"
    return None
