"""What generated cases leave out, by name, with the reason. docs/verify.md holds the same list."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from ovsct.packet.fields import FIELDS as REGISTRY


class Excluded(StrEnum):
    """Closed: nothing else is left out."""

    EQUAL_PRIORITY = "equal-priority-overlap"
    ACTION_SET_FORK = "action-set-and-fork"
    PROGRAM_DIES = "program-dies"
    BARE_NAT_COMMIT = "commit-with-bare-nat"
    NAT_RANGE = "nat-range"
    MEGAFLOW_AGEING = "megaflow-ageing"
    VERSION_OF_OPENFLOW = "version-of-openflow"
    FLOOD_ORDER = "flood-order"
    LEARN_RESULT = "learn-result"
    TUNNELS = "tunnels"
    RECIRC_FIELDS = "recirculation-fields"
    TESTED_APART = "tested-apart"
    NOT_MODELLED = "not-modelled"


REASONS: Final[dict[Excluded, str]] = {
    Excluded.EQUAL_PRIORITY: (
        "Which of two overlapping flows of one priority wins is undefined (OpenFlow 1.5.1, 6.4);"
        " flows of a conjunction share theirs, as they must."
    ),
    Excluded.ACTION_SET_FORK: (
        "ct(table=N) with an action set that is not empty kills ovs-vswitchd 3.1 (assertion in"
        " recirc_alloc_id__()). A case has either action sets or forks."
    ),
    Excluded.PROGRAM_DIES: (
        "A connection translated to the address that it has anyway keeps a second entry under its"
        " own tuple. Used again in the moment it ends, it kills ovs-vswitchd 3.1 (assertion in"
        " conn_update_state(), or a mutex that was never made). Such a case is counted as left out."
    ),
    Excluded.BARE_NAT_COMMIT: (
        "ct(commit,nat) on an unknown connection corrupts its reply tuple in 3.1, and in later"
        " versions the connection table."
    ),
    Excluded.NAT_RANGE: (
        "Which address or port of a range NAT picks depends on a random number that the program"
        " draws when it starts. One address and at most one port are given."
    ),
    Excluded.MEGAFLOW_AGEING: (
        "Datapath flows are removed by threads of the program's own: max-idle is set so high that"
        " none is."
    ),
    Excluded.VERSION_OF_OPENFLOW: (
        "What a few words mean depends on the OpenFlow version of the connection that adds the"
        " flow: vlan_tci with a priority mask and no VID (the mask is lost in OXM), mod_nw_tos"
        " (in 1.0 it looks at nw_proto), a VLAN id without the bit 0x1000 (in 1.0, which says"
        " flows with actions that do not fit the match, it is no tag), mod_vlan_vid and"
        " mod_vlan_pcp under a match that does not ask for a tag (from 1.1 on they push one,"
        " whatever the packet has)."
    ),
    Excluded.FLOOD_ORDER: (
        "FLOOD and ALL go through a hash table whose order turns with every change of the flows:"
        " in datapath flows of such cases, outputs in a row are compared without their order."
    ),
    Excluded.LEARN_RESULT: (
        "result_dst and limit are not in one learn: the program counts packets by a translation"
        " without side effects, for which no limit is ever reached."
    ),
    Excluded.TUNNELS: (
        "No port is a tunnel: its fields are those that flows set. OpenFlow cannot match on tun_ttl"
        " and tun_tos."
    ),
    Excluded.RECIRC_FIELDS: (
        "recirc_id, dp_hash and packet_type are not matched on: ids are compared by structure"
        " only, nothing here makes a hash, and all packets are Ethernet."
    ),
    Excluded.TESTED_APART: (
        "Geneve options with delete_field, and controller(pause), have tests of their own, and so"
        " have encap and decap with NSH, since some orders of them kill ovs-vswitchd 3.1."
    ),
    Excluded.NOT_MODELLED: (
        "UnrollXlate stands inside frozen actions only and has no words."
    ),
}

FIELDS: Final[dict[str, Excluded]] = {
    **dict.fromkeys(("dp_hash", "recirc_id", "packet_type"), Excluded.RECIRC_FIELDS),
    **dict.fromkeys(("tun_ttl", "tun_tos"), Excluded.TUNNELS),
    **dict.fromkeys(
        (name for name in REGISTRY if name.startswith(("nsh_", "tun_metadata"))),
        Excluded.TESTED_APART,
    ),
    "in_port_oxm": Excluded.VERSION_OF_OPENFLOW,
    "skb_priority": Excluded.RECIRC_FIELDS,
}
"""Fields of the registry that no generated match names."""

ACTIONS: Final[dict[str, Excluded]] = {
    **dict.fromkeys(("DecNshTtl", "Decap", "DeleteField", "Encap"), Excluded.TESTED_APART),
    "UnrollXlate": Excluded.NOT_MODELLED,
}
"""Actions that translate and that no generated flow holds, by the names of their classes."""
