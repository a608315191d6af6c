"""The helpers at work: control connections are listened to, data connections expected."""

from __future__ import annotations

from ovsct.conntrack.tuples import unpack
from ovsct.conntrack.userspace_entry import Entry
from ovsct.conntrack.userspace_helpers import (
    TFTP,
    Expectation,
    adjust,
    expect,
    message,
    of_interest,
    read_v4,
    read_v6,
    refresh_checksum,
    replace_address,
)
from ovsct.packet.fields import CT_INV, CT_RPL
from ovsct.packet.packet import Packet

_SOURCE_PORT = 0xFFFF << 24


class Watcher:
    """Expectations, and the control connections that made them.

    Args:
        room: bytes free behind a packet, for translating payload.
    """

    def __init__(self, room: int) -> None:
        self.room = room
        self._expected: dict[int, Expectation] = {}
        self._by_parent: dict[int, list[int]] = {}

    def expected(self, tuple_: int) -> Expectation | None:
        """Was a connection with this tuple announced? Its source port does not matter."""
        return self._expected.get(tuple_ & ~_SOURCE_PORT) if self._expected else None

    def forget(self, entry: Entry) -> None:
        """A connection is gone, and what it announced with it (OVS ``expectation_clean()``)."""
        if entry.rare is not None and entry.rare.helper is not None:
            for tuple_ in self._by_parent.pop(entry.forward, ()):
                self._expected.pop(tuple_, None)

    def listen(
        self, packet: Packet, entry: Entry, kind: str, state: int, reply: bool, nat: bool
    ) -> int:
        """Look for an announcement in a control packet (OVS ``handle_alg_ctl()``).

        Returns the ct_state bits that come on top: ``inv`` if an announcement is wrong.
        """
        turned = bool(state & CT_RPL)
        if kind == TFTP:
            self._expect(entry, unpack(entry.forward).sport, turned)
            return 0
        family = unpack(entry.forward).family
        text = message(packet)
        if not of_interest(text, family):
            return 0
        announced = (read_v4 if family == 4 else read_v6)(text, entry)
        if announced is None:
            return CT_INV
        self._expect(entry, announced.port, turned)
        grown = replace_address(packet, family, announced, self.room) if nat else 0
        self._shift(packet, entry, reply, nat)
        refresh_checksum(packet, family)
        rare = entry.rare
        if grown and rare is not None:
            rare.skew += grown
            rare.skew_reply = reply
        return 0

    def straighten(self, packet: Packet, entry: Entry, reply: bool, nat: bool) -> None:
        """Account for what NAT added to the payload in a packet that announces nothing."""
        family = unpack(entry.forward).family
        if not of_interest(message(packet), family):
            self._shift(packet, entry, reply, nat)
            refresh_checksum(packet, family)

    def _shift(self, packet: Packet, entry: Entry, reply: bool, nat: bool) -> None:
        rare = entry.rare
        if not nat or rare is None or not rare.skew:
            return
        if reply != rare.skew_reply:
            adjust(packet, 8, -rare.skew)
        else:
            adjust(packet, 4, rare.skew)

    def _expect(self, entry: Entry, port: int, reply: bool) -> None:
        """Expect a connection; one that is expected already stays as it is."""
        tuple_, expectation = expect(entry, port, reply)
        if tuple_ not in self._expected:
            self._expected[tuple_] = expectation
            self._by_parent.setdefault(entry.forward, []).append(tuple_)
