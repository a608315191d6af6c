"""FTP and TFTP: what a control connection says of the data connection to come.

nf_conntrack_ftp.c, nf_conntrack_tftp.c and nf_conntrack_expect.c. A helper reads the payload of
established packets and puts up an :class:`Expectation`; the first packet that fits it begins a
connection that is RELATED and has the control connection for its master.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import AddressValueError, IPv6Address
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from ovsct.conntrack import tuples
from ovsct.conntrack.netfilter.entry import (
    CONFIRMED,
    DYING,
    ESTABLISHED,
    ESTABLISHED_REPLY,
    EXPECTED,
    IS_REPLY,
    NAT_MASK,
    RELATED_REPLY,
    Entry,
    Verdict,
)
from ovsct.conntrack.netfilter.sysctls import TRACKERS, Sysctls
from ovsct.conntrack.netfilter.tcp import read_segment
from ovsct.conntrack.netfilter.window import M32, SIGN
from ovsct.errors import InputError, OvsctError
from ovsct.packet.packet import PROTO_TCP, PROTO_UDP, Packet

if TYPE_CHECKING:
    from ovsct.conntrack.netfilter.core import Netfilter

LIFETIME: Final = 300_000
"""ms that an expectation waits (both helpers: 5 minutes)."""

PROTOCOLS: Final = {"ftp": PROTO_TCP, "tftp": PROTO_UDP}
"""The helpers that are modelled, and what each is for."""


Template: TypeAlias = "tuple[str | None, bool, Sysctls | None]"
"""What a ct action gives a new connection: its helper, whether it uses up an expectation, and its
timeout policy.
"""

PLAIN: Final[Template] = (None, True, None)


class Expectation(NamedTuple):
    """A connection to come: from `src`, any port, to `dst` and `dport`; `expires` in ms."""

    master: Entry
    family: int
    proto: int
    src: int
    dst: int
    dport: int
    zone: int
    expires: int


class Expectations:
    """The expectations of one conntrack, by where the expected connection goes."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: dict[tuple[int, ...], Expectation] = {}

    def __len__(self) -> int:
        """How many wait; some may have expired."""
        return len(self._waiting)

    def put(self, expected: Expectation) -> None:
        """nf_ct_expect_related(): the policy of both helpers allows one a master."""
        for key, other in list(self._waiting.items()):
            if other.master is expected.master:
                del self._waiting[key]
        key = (expected.zone, expected.family, expected.proto, expected.dst, expected.dport)
        self._waiting[key] = expected

    def waiting(self) -> Sequence[Expectation]:
        """All that wait, the oldest first."""
        return tuple(self._waiting.values())

    def find(self, tuple_: int, now: int, unlink: bool) -> Expectation | None:
        """nf_ct_find_expectation(): what a packet with this tuple begins, if it was expected."""
        parts = tuples.unpack(tuple_)
        key = (parts.zone, parts.family, parts.proto, parts.dst, parts.dport)
        found = self._waiting.get(key)
        if found is None or found.src != parts.src:
            return None
        if found.expires <= now or found.master.status & DYING:
            del self._waiting[key]
            return None
        if not found.master.status & CONFIRMED:
            return None
        if unlink:
            del self._waiting[key]
        return found


class FtpState:
    """Where lines begin in the control connection: up to two sequence numbers a direction."""

    __slots__ = ("after_newline",)

    def __init__(self) -> None:
        self.after_newline: tuple[list[int], list[int]] = ([], [])

    def note(self, reply: int, seq: int) -> None:
        """update_nl_seq()."""
        seen = self.after_newline[reply]
        if seq in seen:
            return
        if len(seen) < 2:
            seen.append(seq)
            return
        oldest = 0 if (seen[0] - seen[1]) & SIGN else 1
        if (seen[oldest] - seq) & SIGN:
            seen[oldest] = seq


def assign(e: Entry, helper: str) -> None:
    """__nf_ct_try_assign_helper().

    Raises:
        InputError: no such helper.
    """
    if helper not in PROTOCOLS:
        raise InputError(
            "no such conntrack helper", token=helper, expected=", ".join(sorted(PROTOCOLS))
        )
    if e.original & 0xFF == PROTOCOLS[helper]:
        e.more().helper = helper


def adopt(core: Netfilter, e: Entry, now: int, template: Template) -> None:
    """init_conntrack(): the timeout policy; was it expected? If not, the helper is to watch it."""
    helper, unlink, policy = template
    if policy is not None:
        e.more().policy = policy_row(policy, e)
    expected = core.expectations.find(e.original, now, unlink)
    if expected is not None:
        e.status |= EXPECTED
        e.more().master = expected.master
        e.mark = expected.master.mark
    elif helper is not None:
        assign(e, helper)


def policy_row(policy: Sysctls, e: Entry) -> tuple[int, ...]:
    """The timeouts (ms) of a policy for the protocol of `e`, by state."""
    return policy.timeouts(TRACKERS.get(e.original & 0xFF, "generic"))


def run(core: Netfilter, packet: Packet, e: Entry, now: int) -> Verdict:
    """nf_ct_helper(): let the helper of `e` read the packet.

    Raises:
        OvsctError: the payload would have to be rewritten for NAT.
    """
    helper = e.helper
    if helper is None or packet.ct_info == RELATED_REPLY:
        return Verdict.ACCEPT
    return _HELPERS[helper](core, packet, e, now)


def _expect(core: Netfilter, e: Entry, reply: int, dst: int, dport: int, now: int) -> Verdict:
    if e.status & NAT_MASK:
        raise OvsctError(f"the {e.helper} helper on a translated connection is not modelled")
    other = tuples.unpack(e.original if reply else e.reply)
    core.expectations.put(
        Expectation(
            e, other.family, other.proto, other.src, dst, dport, other.zone, now + LIFETIME
        )
    )
    return Verdict.ACCEPT


def _tftp(core: Netfilter, packet: Packet, e: Entry, now: int) -> Verdict:
    """tftp_help(): a read or write request; the answer comes from a port of its own."""
    frame, l4 = packet.frame, packet.l4
    if packet.end - l4 < 10 or frame[l4 + 8 : l4 + 10] not in (b"\0\1", b"\0\2"):
        return Verdict.ACCEPT
    back = tuples.unpack(e.reply)
    return _expect(core, e, 0, back.dst, back.dport, now)


def _ftp(core: Netfilter, packet: Packet, e: Entry, now: int) -> Verdict:
    """help() of nf_conntrack_ftp.c."""
    if packet.ct_info not in (ESTABLISHED, ESTABLISHED_REPLY):
        return Verdict.ACCEPT
    seg = read_segment(packet)
    if seg is None:
        return Verdict.ACCEPT
    data = packet.frame[seg.options[1] : packet.end]
    if not data:
        return Verdict.ACCEPT
    reply = 1 if packet.ct_info >= IS_REPLY else 0
    state = e.more().state
    if not isinstance(state, FtpState):
        state = e.more().state = FtpState()
    verdict = Verdict.ACCEPT
    if seg.seq in state.after_newline[reply]:
        found = _search(data, reply, e)
        if found is _PARTIAL:
            return Verdict.DROP
        if found is not None:
            verdict = _ftp_expect(core, e, reply, found, now)
    if data[-1] == 0x0A:
        state.note(reply, (seg.seq + len(data)) & M32)
    return verdict


class _Place(NamedTuple):
    """What a command names: an address (None: that of its sender) and a port."""

    address: int | None
    port: int


_PARTIAL: Final = _Place(None, -1)


def _ftp_expect(core: Netfilter, e: Entry, reply: int, found: _Place, now: int) -> Verdict:
    mine = tuples.unpack(e.reply if reply else e.original).src
    if found.address is not None and found.address != mine:
        # It wants a connection to somebody else: no hole is opened for that.
        return Verdict.ACCEPT
    dst = tuples.unpack(e.original if reply else e.reply).dst
    return _expect(core, e, reply, dst, found.port, now)


def _search(data: bytes, reply: int, e: Entry) -> _Place | None:
    """The commands of this direction, each at the beginning of a line (find_pattern())."""
    for pattern, skip, term, read in _COMMANDS[reply]:
        head = data[: len(pattern)].upper()
        if len(data) <= len(pattern):
            if pattern.startswith(head):
                return _PARTIAL
            continue
        if head != pattern:
            continue
        at = len(pattern)
        if skip:
            # A line that ends before the number can begin is only a part of one.
            at = data.find(skip, at, len(data) - 1) + 1
            if not at:
                return _PARTIAL
        return read(data[at:], term, e) or _PARTIAL
    return None


def _numbers(data: bytes, count: int, sep: int, term: int) -> tuple[list[int], int] | None:
    """`count` numbers between `sep`, ended by `term` (0: by anything), and their length."""
    found = [0] * count
    at = 0
    for length, char in enumerate(data):
        if at >= count:
            return None
        if 0x30 <= char <= 0x39:
            found[at] = (found[at] * 10 + char - 0x30) & M32
        elif char == sep:
            at += 1
        else:
            return (found, length) if (char == term or not term) and at == count - 1 else None
    return None


def _joined(parts: list[int]) -> int:
    return (parts[0] << 24 | parts[1] << 16 | parts[2] << 8 | parts[3]) & M32


def _read_port(data: bytes, term: int, e: Entry) -> _Place | None:
    """PORT: 192,168,1,1,5,6 (try_rfc959())."""
    found = _numbers(data, 6, ord(","), term)
    if found is None or not found[1]:
        return None
    parts = found[0]
    return _Place(_joined(parts), (parts[4] << 8 | parts[5]) & 0xFFFF)


def _read_pasv(data: bytes, term: int, e: Entry) -> _Place | None:
    """227: the first digit begins it, brackets or not (try_rfc1123())."""
    for at, char in enumerate(data):
        if 0x30 <= char <= 0x39:
            return _read_port(data[at:], 0, e)
    return None


def _delimited(data: bytes, at: int, delim: int) -> int | None:
    """A port up to `delim` (get_port())."""
    port = 0
    for char in data[at:]:
        if char == delim:
            return port or None
        if not 0x30 <= char <= 0x39:
            return None
        port = (port * 10 + char - 0x30) & 0xFFFF
    return None


def _delimiter(data: bytes) -> int | None:
    if len(data) <= 3 or not 33 <= data[0] <= 126 or 0x30 <= data[0] <= 0x39:
        return None
    return data[0]


def _read_eprt(data: bytes, term: int, e: Entry) -> _Place | None:
    """EPRT: |1|132.235.1.2|6275| (try_eprt())."""
    delim = _delimiter(data)
    wanted = ord("1") if e.family == 4 else ord("2")
    if delim is None or data[2] != delim or data[1] != wanted:
        return None
    if e.family == 4:
        found = _numbers(data[3:], 4, ord("."), delim)
        if found is None or not found[1]:
            return None
        address, length = _joined(found[0]), found[1]
    else:
        length = data.find(delim, 3) - 3
        if length <= 0:
            return None
        try:
            address = int(IPv6Address(data[3 : 3 + length].decode("latin-1")))
        except AddressValueError:
            return None
    port = _delimited(data, 3 + length + 1, delim)
    return None if port is None else _Place(address, port)


def _read_epsv(data: bytes, term: int, e: Entry) -> _Place | None:
    """229: |||6446| (try_epsv_response())."""
    delim = _delimiter(data)
    if delim is None or data[1] != delim or data[2] != delim:
        return None
    port = _delimited(data, 3, delim)
    return None if port is None else _Place(None, port)


_Reader = Callable[[bytes, int, Entry], "_Place | None"]
_COMMANDS: Final[tuple[tuple[tuple[bytes, bytes, int, _Reader], ...], ...]] = (
    ((b"PORT", b" ", 0x0D, _read_port), (b"EPRT", b" ", 0x0D, _read_eprt)),
    ((b"227 ", b"", 0, _read_pasv), (b"229 ", b"(", ord(")"), _read_epsv)),
)
"""By direction: how the command begins, what to skip to, what ends the number, its reader."""

_HELPERS: Final = {"ftp": _ftp, "tftp": _tftp}
