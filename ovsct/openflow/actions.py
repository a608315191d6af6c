"""OpenFlow actions and instructions as objects: one frozen class each, no behaviour.

The ``ovs-ofctl`` text and the OpenFlow wire are two faces of these objects; ``bridge/translate``
gives them their meaning by a table from class to function, so a new action is a class here, a row
in each face and a row there. Names and meanings follow ovs-actions(7).

Every action carries `span`, the (start, end) columns of its text in the flow it was read from, so
that an error or a report can underline the user's own words; it takes no part in equality.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, TypeAlias

from ovsct.openflow.hashes import HashFields
from ovsct.packet.fields import PRESENT_BIT, SLOTS, Field

Span: TypeAlias = tuple[int, int]
NOWHERE: Final[Span] = (0, 0)

# Reserved OpenFlow port numbers, as OVS keeps them internally (16 bits).
OFPP_MAX: Final = 0xFF00
OFPP_UNSET: Final = 0xFFF7
OFPP_IN_PORT: Final = 0xFFF8
OFPP_TABLE: Final = 0xFFF9
OFPP_NORMAL: Final = 0xFFFA
OFPP_FLOOD: Final = 0xFFFB
OFPP_ALL: Final = 0xFFFC
OFPP_CONTROLLER: Final = 0xFFFD
OFPP_LOCAL: Final = 0xFFFE
OFPP_NONE: Final = 0xFFFF

PORT_NAMES: Final[dict[str, int]] = {
    "IN_PORT": OFPP_IN_PORT,
    "TABLE": OFPP_TABLE,
    "NORMAL": OFPP_NORMAL,
    "FLOOD": OFPP_FLOOD,
    "ALL": OFPP_ALL,
    "CONTROLLER": OFPP_CONTROLLER,
    "LOCAL": OFPP_LOCAL,
    "ANY": OFPP_NONE,
    "NONE": OFPP_NONE,
    "UNSET": OFPP_UNSET,
}


_READS_AS_ZERO: Final = frozenset({"nd_options_type"})
"""Fields that OVS matches and writes but reads as 0: it fills one byte from the upper one of the
two in which it keeps them (lib/meta-flow.c mf_get_value())."""

_DSCP_OF_TOS: Final = 0xFC << SLOTS["nw_tos"].shift
"""nw_tos has eight bits, of which OVS reads, writes and masks the six that are DSCP (MFF_IP_DSCP
in lib/meta-flow.c)."""


@dataclass(frozen=True, slots=True)
class Subfield:
    """Bits `low` to `low + width - 1` of a field: ``field[low..high]``.

    OVS keeps ct_state and arp_op in more bits than the key does; of such a field `width` may go
    beyond the field's own: those bits read as 0, and what is written to them is lost.
    """

    field: Field
    low: int
    width: int

    @property
    def shift(self) -> int:
        """Distance of its lowest bit from the low end of the key."""
        return self.field.shift + self.low

    @property
    def mask(self) -> int:
        """Its bits, in place in the key."""
        whole = _DSCP_OF_TOS if self.field.name == "nw_tos" else self.field.mask
        return (((1 << self.width) - 1) << self.shift) & whole

    def get(self, key: int) -> int:
        """Its value in `key`."""
        if self.field.name in _READS_AS_ZERO:
            return 0
        return (key & self.mask) >> self.shift

    def put(self, key: int, value: int) -> int:
        """`key` with these bits set to the low bits of `value`."""
        mask = self.mask
        field = self.field
        stays = ~field.mask if field.name in _READS_AS_ZERO else ~mask
        # An option that is written to is there.
        return (key & stays) | ((value << self.shift) & mask) | PRESENT_BIT.get(field.name, 0)

    @property
    def whole(self) -> bool:
        """Whether it is the entire field."""
        return self.low == 0 and self.width == self.field.width


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """Base of all actions and instructions."""

    span: Span = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Output(Action):
    """``output:PORT``, ``PORT``, ``in_port``, ``normal``, ``flood``, ``all``, ``local``.

    `max_len` (bytes) is that of ``output(port=,max_len=)``; None sends the packet whole.
    `miss_len` is what an OpenFlow message says of a length beside a port that has no use for one:
    OVS carries it back in its dumps, and so are two outputs that differ in it different.
    """

    port: int
    max_len: int | None = None
    miss_len: int = 0


@dataclass(frozen=True, slots=True)
class OutputField(Action):
    """``output:SRC[]``: the port number is read from a field."""

    src: Subfield


@dataclass(frozen=True, slots=True)
class Controller(Action):
    """``controller(...)``: a packet-in. `max_len` in bytes; `reason` as OVS names it."""

    max_len: int = 65535
    reason: str = "action"
    controller_id: int = 0
    userdata: bytes = b""
    pause: bool = False
    meter_id: int | None = None

    @property
    def plain(self) -> bool:
        """Whether it says no more than a length: to OVS it is an output then."""
        return self == Controller(self.max_len)


@dataclass(frozen=True, slots=True)
class Enqueue(Action):
    """``enqueue:PORT:QUEUE``."""

    port: int
    queue: int


@dataclass(frozen=True, slots=True)
class SetQueue(Action):
    """``set_queue:QUEUE``."""

    queue: int


@dataclass(frozen=True, slots=True)
class PopQueue(Action):
    """``pop_queue``."""


@dataclass(frozen=True, slots=True)
class Group(Action):
    """``group:ID``."""

    group_id: int


@dataclass(frozen=True, slots=True)
class SetField(Action):
    """``set_field:VALUE[/MASK]->FIELD``, ``load:VALUE->FIELD[bits]`` and the ``mod_*`` family.

    `value` and `mask` are the field's own (not in place in the key). `spelled` is the keyword it
    was written with: ``set_field``, ``load``, ``mod_nw_src`` ...: it decides how it is printed and,
    for ``mod_vlan_*``, that a tag is added where there is none.
    """

    field: Field
    value: int
    mask: int
    spelled: str = "set_field"

    @property
    def key_value(self) -> int:
        """The value, in place in the key."""
        return (self.value & self.mask) << self.field.shift

    @property
    def key_mask(self) -> int:
        """The mask, in place in the key."""
        return self.mask << self.field.shift


@dataclass(frozen=True, slots=True)
class Move(Action):
    """``move:SRC[bits]->DST[bits]``; both are equally wide."""

    src: Subfield
    dst: Subfield


@dataclass(frozen=True, slots=True)
class StackPush(Action):
    """``push:SRC[bits]``."""

    src: Subfield


@dataclass(frozen=True, slots=True)
class StackPop(Action):
    """``pop:DST[bits]``."""

    dst: Subfield


@dataclass(frozen=True, slots=True)
class PushVlan(Action):
    """``push_vlan:TPID``."""

    tpid: int


@dataclass(frozen=True, slots=True)
class StripVlan(Action):
    """``strip_vlan``, ``pop_vlan``: one action, `spelled` in two ways."""

    spelled: str = field(default="strip_vlan", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class PushMpls(Action):
    """``push_mpls:ETHERTYPE``."""

    ethertype: int


@dataclass(frozen=True, slots=True)
class PopMpls(Action):
    """``pop_mpls:ETHERTYPE``."""

    ethertype: int


@dataclass(frozen=True, slots=True)
class DecTtl(Action):
    """``dec_ttl`` or ``dec_ttl(ID[,ID...])``: an expired packet goes to those controllers."""

    controllers: tuple[int, ...] = (0,)


@dataclass(frozen=True, slots=True)
class SetMplsTtl(Action):
    """``set_mpls_ttl:TTL``."""

    ttl: int


@dataclass(frozen=True, slots=True)
class DecMplsTtl(Action):
    """``dec_mpls_ttl``."""


@dataclass(frozen=True, slots=True)
class NshMdType:
    """``md_type=N``: the type of an NSH header's metadata."""

    md_type: int


@dataclass(frozen=True, slots=True)
class NshTlv:
    """``tlv(CLASS,TYPE,VALUE)``: one context of an NSH header with metadata of type 2."""

    tlv_class: int
    tlv_type: int
    value: bytes

    def context(self) -> bytes:
        """Its bytes in the header, padded to a multiple of four."""
        head = self.tlv_class << 16 | self.tlv_type << 8 | len(self.value)
        return head.to_bytes(4, "big") + self.value + bytes(-len(self.value) % 4)


@dataclass(frozen=True, slots=True)
class Encap(Action):
    """``encap(ethernet)``, ``encap(nsh(...))``, ``encap(mpls)``, ``encap(mpls_mc)``.

    `packet_type` is that of the packet afterwards, namespace in the upper 16 bits.
    """

    packet_type: int
    properties: tuple[NshMdType | NshTlv, ...] = ()


USE_NEXT_PROTO: Final = 0xFFFE
"""The packet type of ``decap()``: what the header that goes says is next."""


@dataclass(frozen=True, slots=True)
class Decap(Action):
    """``decap()`` or ``decap(packet_type(ns=,type=))``: the outermost header goes.

    `packet_type` is looked at for MPLS only, whose header does not say what is behind it.
    """

    packet_type: int = USE_NEXT_PROTO


@dataclass(frozen=True, slots=True)
class DeleteField(Action):
    """``delete_field:FIELD``: the packet has that Geneve option no more."""

    field: Field


@dataclass(frozen=True, slots=True)
class DecNshTtl(Action):
    """``dec_nsh_ttl``."""


@dataclass(frozen=True, slots=True)
class Resubmit(Action):
    """``resubmit:PORT``, ``resubmit([PORT],[TABLE][,ct])``; None means the current one."""

    port: int | None = None
    table: int | None = None
    with_ct: bool = False


@dataclass(frozen=True, slots=True)
class Ct(Action):
    """``ct(...)``.

    `zone` is a number or the 16-bit field to read it from; `table` is where the recirculated fork
    resumes (None: no fork); `exec` holds the actions on ct_mark and ct_label.
    """

    zone: int | Subfield = 0
    table: int | None = None
    commit: bool = False
    force: bool = False
    alg: str | None = None
    nat: Nat | None = None
    exec: tuple[Action, ...] = ()


@dataclass(frozen=True, slots=True)
class Nat(Action):
    """``nat`` or ``nat(src|dst=ADDR[-ADDR][:PORT[-PORT]],flags)`` inside ct().

    Addresses are host-order ints of `family` (4 or 6; 0 if no address is given).
    """

    src: bool = False
    dst: bool = False
    family: int = 0
    addr_min: int = 0
    addr_max: int = 0
    port_min: int = 0
    port_max: int = 0
    persistent: bool = False
    hash: bool = False
    random: bool = False
    lost_family: int = field(default=0, compare=False, repr=False)
    """Of an address 0.0.0.0 or ::, which is none to a switch: only ovs-ofctl looks at it."""


@dataclass(frozen=True, slots=True)
class CtClear(Action):
    """``ct_clear``."""


@dataclass(frozen=True, slots=True)
class Clone(Action):
    """``clone(...)``."""

    actions: tuple[Action, ...]


@dataclass(frozen=True, slots=True)
class CheckPktLarger(Action):
    """``check_pkt_larger(LEN)->DST[bit]``."""

    length: int
    dst: Subfield


@dataclass(frozen=True, slots=True)
class Conjunction(Action):
    """``conjunction(ID, K/N)``; `clause` is 1-based."""

    conj_id: int
    clause: int
    n_clauses: int


@dataclass(frozen=True, slots=True)
class Note(Action):
    """``note:HEX``: no effect."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Exit(Action):
    """``exit``."""


@dataclass(frozen=True, slots=True)
class Meter(Action):
    """``meter:ID``."""

    meter_id: int


@dataclass(frozen=True, slots=True)
class ClearActions(Action):
    """``clear_actions``."""


@dataclass(frozen=True, slots=True)
class WriteActions(Action):
    """``write_actions(...)``."""

    actions: tuple[Action, ...]


@dataclass(frozen=True, slots=True)
class WriteMetadata(Action):
    """``write_metadata:VALUE[/MASK]``."""

    value: int
    mask: int


@dataclass(frozen=True, slots=True)
class GotoTable(Action):
    """``goto_table:TABLE``."""

    table: int


@dataclass(frozen=True, slots=True)
class Multipath(Action):
    """``multipath(FIELDS,BASIS,ALGORITHM,LINKS,ARG,DST[bits])``: a link number by a hash.

    `algorithm` is ``modulo_n``, ``hash_threshold``, ``hrw`` or ``iter_hash``; links are numbered
    from 0 to `n_links` - 1.
    """

    fields: HashFields
    basis: int
    algorithm: str
    n_links: int
    arg: int
    dst: Subfield


@dataclass(frozen=True, slots=True)
class Bundle(Action):
    """``bundle(...)``: output to one of `members`; with `dst`, ``bundle_load(...)``: its number.

    `algorithm` is ``active_backup`` or ``hrw``; members whose port is down are passed over.
    """

    fields: HashFields
    basis: int
    algorithm: str
    members: tuple[int, ...]
    dst: Subfield | None = None


@dataclass(frozen=True, slots=True)
class LearnSpec:
    """One part of learn(): where a value is from, and what it becomes in the learned flow.

    `src` is a field of the packet or a number; `becomes` is ``match``, ``load`` or ``output``;
    `dst` are the bits that it is matched on or loaded into (None for an output).
    """

    becomes: str
    src: Subfield | int
    dst: Subfield | None = None


@dataclass(frozen=True, slots=True)
class Learn(Action):
    """``learn(...)``: adds or changes a flow. Timeouts in seconds.

    `limit` is the most flows that may be learned with this table and cookie (0: no limit);
    `result_dst` is a bit that says whether it was kept.
    """

    specs: tuple[LearnSpec, ...] = ()
    table: int = 1
    priority: int = 0x8000
    idle_timeout: int = 0
    hard_timeout: int = 0
    fin_idle_timeout: int = 0
    fin_hard_timeout: int = 0
    cookie: int = 0
    send_flow_rem: bool = False
    delete_learned: bool = False
    limit: int = 0
    result_dst: Subfield | None = None


@dataclass(frozen=True, slots=True)
class FinTimeout(Action):
    """``fin_timeout(idle_timeout=,hard_timeout=)``: what remains to the flow after a FIN or RST."""

    idle_timeout: int = 0
    hard_timeout: int = 0


@dataclass(frozen=True, slots=True)
class Sample(Action):
    """``sample(...)``: to an IPFIX collector. `direction` is ``ingress``, ``egress`` or empty."""

    probability: int
    collector_set_id: int = 0
    obs_domain_id: int = 0
    obs_point_id: int = 0
    sampling_port: int | None = None
    direction: str = ""


@dataclass(frozen=True, slots=True)
class DebugRecirc(Action):
    """``debug_recirc``: recirculate here."""


@dataclass(frozen=True, slots=True)
class DebugSlow(Action):
    """``debug_slow``: have every such packet handled by vswitchd."""
