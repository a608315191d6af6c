"""Datapath flow to TC filter: ``netdev_tc_flow_put()`` of OVS 3.1.

The match becomes a flower match, recirculation ids become chains, and the actions TC actions; or
the whole megaflow is refused for one reason and stays in the kernel datapath.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, TypeAlias

from ovsct.bridge.bridges import is_own
from ovsct.bridge.kernel_form import told
from ovsct.bridge.odp import Author, Megaflow, Recirc
from ovsct.conntrack.request import Track
from ovsct.lower.kernel import Capabilities
from ovsct.lower.match import lower_match
from ovsct.lower.priorities import Priorities
from ovsct.lower.reasons import Note, Reason, Refusal, RefusedError, refuse
from ovsct.lower.tc_actions import check_actions, put_actions
from ovsct.openflow.meter import Meter
from ovsct.packet.fields import KEY_BITS, SLOTS
from ovsct.packet.packet import ETH_IPV4, ETH_IPV6
from ovsct.tc import actions as tc
from ovsct.tc.filters import Filter
from ovsct.tc.verdict import EXT_MASK, is_goto

_KEY_BYTES: Final = (KEY_BITS + 7) // 8
_IN_PORT: Final = SLOTS["in_port"]
_PROTO: Final = SLOTS["nw_proto"]
_TYPE: Final = SLOTS["dl_type"]


@dataclass(frozen=True, slots=True)
class Lowered:
    """A megaflow that TC can hold: its `filter`, and the `ignored` parts that it lacks.

    The NIC asks it for what the filter's match is, which connections it tracks and where it
    leads.
    """

    filter: Filter
    ignored: tuple[Note, ...] = ()

    @property
    def chain(self) -> int:
        """The chain that the filter is in."""
        return self.filter.chain

    @property
    def value(self) -> int:
        """What the filter matches on, in the layout of :mod:`ovsct.tc.keys`."""
        return self.filter.value

    @property
    def mask(self) -> int:
        """The bits that it matches on."""
        return self.filter.mask

    @property
    def tracks(self) -> tuple[Track | None, ...]:
        """Its ct actions in order; None is ``ct clear``."""
        return tuple(each.track for each in self.filter.actions if isinstance(each, tc.Ct))

    @property
    def outputs(self) -> tuple[int, ...]:
        """The ports that it sends to, in order."""
        return tuple(each.port for each in self.filter.actions if isinstance(each, tc.Mirred))

    @property
    def goto(self) -> int | None:
        """The chain that it leads to, None if it is the end of the way."""
        for each in self.filter.actions:
            if isinstance(each, tc.Gact) and is_goto(each.control):
                return each.control & EXT_MASK
        return None


Result: TypeAlias = Lowered | Refusal


class Lowering:
    """What OVS keeps while it lowers: the priorities given so far.

    Args:
        ports: the ports that TC can send to.
        capabilities: of the kernel.
        skip_hw: ``other_config:tc-policy=skip_hw``: filters that no NIC gets.
        meters: of the datapath, by number; each has a policer.
    """

    def __init__(
        self,
        ports: Collection[int],
        capabilities: Capabilities | None = None,
        *,
        skip_hw: bool = True,
        meters: Sequence[Meter | None] = (),
    ) -> None:
        self.meters = meters
        self.ports = frozenset(ports)
        self.capabilities = capabilities if capabilities is not None else Capabilities()
        self.skip_hw = skip_hw
        self.priorities = Priorities(multi_mask=self.capabilities.multi_mask)

    def lower(self, megaflow: Megaflow) -> Result:
        """The filter for `megaflow`, or why there is none."""
        try:
            return self._lower(megaflow)
        except RefusedError as refused:
            return refused.refusal

    def _lower(self, megaflow: Megaflow) -> Lowered:
        # Both tags, whatever vlan-limit says: vswitchd lowers the key that the kernel sent up.
        key = megaflow.whole_key
        match = lower_match(key, told(key, megaflow.mask), self.capabilities)
        if megaflow.slow is not None:
            raise refuse(Reason.USERSPACE, f"vswitchd handles each packet ({megaflow.slow})")
        entries = check_actions(megaflow.actions, self.ports, self.capabilities, self.meters)
        if not self.capabilities.recirc_sharing:
            self._need_no_chain(megaflow, match.chain)
        prio = self.priorities.take(match.protocol, match.mask)
        if prio is None:
            raise refuse(Reason.PRIORITIES, "all 65532 priorities are taken")
        proto = _PROTO.get(key) if _TYPE.get(key) in (ETH_IPV4, ETH_IPV6) else 0
        put = put_actions(entries, proto, self.meters)
        value, mask = match.value, match.mask
        if put.needs_proto:
            value, mask = value | key & _PROTO.mask, mask | _PROTO.mask
        port = _IN_PORT.get(key)
        # What the host sends by the bridge's own device meets filters at the egress of that.
        entry = Filter(
            port, match.protocol, value, mask, put.actions, match.chain, prio,
            skip_hw=self.skip_hw, cookie=cookie(megaflow), indexes=put.indexes,
            egress=is_own(port),
        )  # fmt: skip
        return Lowered(entry, match.notes + put.notes)

    @staticmethod
    def _need_no_chain(megaflow: Megaflow, chain: int) -> None:
        jump = next((each for each in megaflow.actions if isinstance(each, Recirc)), None)
        if chain or jump is not None:
            bits = SLOTS["recirc_id"].mask if chain else 0
            raise refuse(
                Reason.RECIRC_SHARING, "the kernel lacks NET_TC_SKB_EXT", bits, jump
            )


def cookie(megaflow: Megaflow) -> bytes:
    """The 16 bytes that a filter carries: the megaflow's unique id.

    OVS hashes the packet's whole key (``dpif_flow_hash()``) with a secret of its own, so that only
    the sameness of two cookies means anything.
    """
    return blake2b(megaflow.packet_key.to_bytes(_KEY_BYTES, "big"), digest_size=16).digest()


def blame(megaflow: Megaflow, bits: int) -> list[tuple[Author, int]]:
    """Who put `bits` into the megaflow's mask, and which of them each; in order of translation."""
    return list(_authors(megaflow, bits))


def _authors(megaflow: Megaflow, bits: int) -> Iterator[tuple[Author, int]]:
    for each in megaflow.blame:
        share = each.bits & bits
        if share:
            yield each.author, share
