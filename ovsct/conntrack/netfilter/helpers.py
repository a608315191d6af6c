"""FTP and TFTP: what a control connection says of the data connection to come.

nf_conntrack_ftp.c, nf_conntrack_tftp.c and nf_conntrack_expect.c. A helper reads the payload of
established packets and puts up an :class:`Expectation`; the first packet that fits it begins a
connection that is RELATED and has the control connection for its master.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from ovsct.conntrack import tuples
from ovsct.conntrack.netfilter import seqadj
from ovsct.conntrack.netfilter.entry import (
    CONFIRMED,
    DYING,
    ESTABLISHED,
    ESTABLISHED_REPLY,
    EXPECTED,
    HELPER,
    IS_REPLY,
    NAT_MASK,
    RELATED_REPLY,
    SEQ_ADJUST,
    Entry,
    Verdict,
)
from ovsct.conntrack.netfilter.nat import follow_master
from ovsct.conntrack.netfilter.sysctls import TRACKERS, Sysctls
from ovsct.conntrack.netfilter.tcp import read_segment
from ovsct.conntrack.netfilter.window import M32, SIGN
from ovsct.errors import InputError
from ovsct.packet.packet import PROTO_TCP, PROTO_UDP, Packet

if TYPE_CHECKING:
    from ovsct.conntrack.netfilter.core import Netfilter

LIFETIME: Final = 300_000
"""ms that an expectation waits (both helpers: 5 minutes)."""

_PORT_ATTEMPTS: Final = 128

PROTOCOLS: Final = {"ftp": PROTO_TCP, "tftp": PROTO_UDP}
"""The helpers that are modelled, and what each is for."""


Template: TypeAlias = "tuple[str | None, bool, Sysctls | None]"
"""What a ct action gives a new connection: its helper, whether it uses up an expectation, and its
timeout policy.
"""

PLAIN: Final[Template] = (None, True, None)


class Expectation(NamedTuple):
    """A connection to come: from `src`, any port, to `dst` and `dport`; `expires` in ms.

    `follow`: what it is translated to, as its translated master is: its source address, its
    destination address and port (``nf_nat_follow_master()``).
    """

    master: Entry
    family: int
    proto: int
    src: int
    dst: int
    dport: int
    zone: int
    expires: int
    follow: tuple[int, int, int] | None = None

    @property
    def key(self) -> tuple[int, ...]:
        """What it is found by."""
        return (self.zone, self.family, self.proto, self.src, self.dst, self.dport)


class Expectations:
    """The expectations of one conntrack, by where the expected connection goes."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: dict[tuple[int, ...], Expectation] = {}

    def __len__(self) -> int:
        """How many wait; some may have expired."""
        return len(self._waiting)

    def put(self, expected: Expectation) -> bool:
        """nf_ct_expect_related(): False if another connection expects the same.

        The policy of both helpers allows one a master.
        """
        other = self._waiting.get(expected.key)
        if other is not None and other.master is not expected.master:
            return False
        for key, other in list(self._waiting.items()):
            if other.master is expected.master:
                del self._waiting[key]
        self._waiting[expected.key] = expected
        return True

    def waiting(self) -> Sequence[Expectation]:
        """All that wait, the oldest first."""
        return tuple(self._waiting.values())

    def find(self, tuple_: int, now: int, unlink: bool) -> Expectation | None:
        """nf_ct_find_expectation(): what a packet with this tuple begins, if it was expected."""
        parts = tuples.unpack(tuple_)
        key = (parts.zone, parts.family, parts.proto, parts.src, parts.dst, parts.dport)
        found = self._waiting.get(key)
        if found is None:
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
        e.status |= HELPER


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
        if core.helped_children:
            e.more().helper = expected.master.helper
        if expected.follow is not None:
            follow_master(core, e, expected.follow, now)
    elif helper is not None:
        assign(e, helper)


def policy_row(policy: Sysctls, e: Entry) -> tuple[int, ...]:
    """The timeouts (ms) of a policy for the protocol of `e`, by state."""
    return policy.timeouts(TRACKERS.get(e.original & 0xFF, "generic"))


def run(core: Netfilter, packet: Packet, e: Entry, now: int) -> Verdict:
    """nf_ct_helper(): let the helper of `e` read the packet, and adjust its sequence numbers."""
    helper = e.helper
    if helper is None or packet.ct_info == RELATED_REPLY:
        return Verdict.ACCEPT
    verdict = _HELPERS[helper](core, packet, e, now)
    if verdict is Verdict.ACCEPT and e.status & SEQ_ADJUST:
        return seqadj.adjust(packet, e)
    return verdict


def _expect(core: Netfilter, e: Entry, reply: int, dst: int, dport: int, now: int) -> Verdict:
    """An expectation without translation."""
    expected = _expectation(e, reply, dst, dport, now)
    return Verdict.ACCEPT if core.expectations.put(expected) else Verdict.DROP


def _expectation(e: Entry, reply: int, dst: int, dport: int, now: int) -> Expectation:
    other = tuples.unpack(e.original if reply else e.reply)
    return Expectation(
        e, other.family, other.proto, other.src, dst, dport, other.zone, now + LIFETIME
    )


def _tftp(core: Netfilter, packet: Packet, e: Entry, now: int) -> Verdict:
    """tftp_help(): a read or write request; the answer comes from a port of its own."""
    frame, l4 = packet.frame, packet.l4
    if packet.end - l4 < 10 or frame[l4 + 8 : l4 + 10] not in (b"\0\1", b"\0\2"):
        return Verdict.ACCEPT
    back = tuples.unpack(e.reply)
    if not e.status & NAT_MASK:
        return _expect(core, e, 0, back.dst, back.dport, now)
    ahead = tuples.unpack(e.original)
    expected = _expectation(e, 0, back.dst, back.dport, now)
    # The answer goes to where the request came from.
    expected = expected._replace(follow=(ahead.dst, ahead.src, ahead.sport))
    return Verdict.ACCEPT if core.expectations.put(expected) else Verdict.DROP


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
            verdict = _ftp_expect(core, packet, e, reply, found, seg.options[1], now)
    if data[-1] == 0x0A:
        state.note(reply, (seg.seq + len(data)) & M32)
    return verdict


class _Place(NamedTuple):
    """What a command names: an address (None: that of its sender) and a port; it stands in the
    payload from `at` on and is `size` bytes long. `form` writes such a place.
    """

    address: int | None
    port: int
    at: int = 0
    size: int = 0
    form: Callable[[int, int, int], bytes] | None = None


_PARTIAL: Final = _Place(None, -1)


def _ftp_expect(
    core: Netfilter, packet: Packet, e: Entry, reply: int, found: _Place, data: int, now: int
) -> Verdict:
    mine = tuples.unpack(e.reply if reply else e.original)
    if found.address is not None and found.address != mine.src:
        # It wants a connection to somebody else: no hole is opened for that.
        return Verdict.ACCEPT
    dst = tuples.unpack(e.original if reply else e.reply).dst
    if not e.status & NAT_MASK:
        return _expect(core, e, reply, dst, found.port, now)
    # nf_nat_ftp(): the announcement names the translated address, and a port that is free there.
    expected = _expectation(e, reply, dst, found.port, now)
    expected = expected._replace(follow=(mine.dst, mine.src, found.port))
    taken = find_port(core, expected)
    assert found.form is not None
    new = found.form(mine.family, dst, taken) if taken else b""
    if not taken or not seqadj.mangle(packet, e, reply, data + found.at, found.size, new):
        return Verdict.DROP
    return Verdict.ACCEPT


def find_port(core: Netfilter, expected: Expectation) -> int:
    """nf_nat_exp_find_port(): expect it at the port that was named, or else at a random one above;
    0: none was free in 128 attempts.
    """
    port = wanted = expected.dport
    above = 0xFFFF - wanted
    left = min(above, _PORT_ATTEMPTS)
    while not core.expectations.put(expected._replace(dport=port)):
        if not left:
            return 0
        left -= 1
        port = wanted + core.choose(above, "expected port")
    return port


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
        found = read(data[at:], term, e)
        return _PARTIAL if found is None else found._replace(at=at + found.at)
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
    port = (parts[4] << 8 | parts[5]) & 0xFFFF
    return _Place(_joined(parts), port, 0, found[1], _write_port)


def _read_pasv(data: bytes, term: int, e: Entry) -> _Place | None:
    """227: the first digit begins it, brackets or not (try_rfc1123())."""
    for at, char in enumerate(data):
        if 0x30 <= char <= 0x39:
            found = _read_port(data[at:], 0, e)
            return None if found is None else found._replace(at=at)
    return None


def _delimited(data: bytes, at: int, delim: int) -> tuple[int, int] | None:
    """A port up to `delim`, and the offset behind that (get_port())."""
    port = 0
    for where in range(at, len(data)):
        char = data[where]
        if char == delim:
            return (port, where + 1) if port else None
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
    end = _delimited(data, 3 + length + 1, delim)
    return None if end is None else _Place(address, end[0], 0, end[1], _write_eprt)


def _read_epsv(data: bytes, term: int, e: Entry) -> _Place | None:
    """229: |||6446| (try_epsv_response())."""
    delim = _delimiter(data)
    if delim is None or data[1] != delim or data[2] != delim:
        return None
    end = _delimited(data, 3, delim)
    return None if end is None else _Place(None, end[0], 0, end[1], _write_epsv)


# nf_nat_ftp_fmt_cmd().


def _write_port(family: int, address: int, port: int) -> bytes:
    return b",".join(b"%d" % byte for byte in (*address.to_bytes(4, "big"), port >> 8, port & 255))


def _write_eprt(family: int, address: int, port: int) -> bytes:
    if family == 4:
        return f"|1|{IPv4Address(address)}|{port}|".encode()
    return f"|2|{IPv6Address(address).exploded}|{port}|".encode()


def _write_epsv(family: int, address: int, port: int) -> bytes:
    return b"|||%d|" % port


_Reader = Callable[[bytes, int, Entry], "_Place | None"]
_COMMANDS: Final[tuple[tuple[tuple[bytes, bytes, int, _Reader], ...], ...]] = (
    ((b"PORT", b" ", 0x0D, _read_port), (b"EPRT", b" ", 0x0D, _read_eprt)),
    ((b"227 ", b"", 0, _read_pasv), (b"229 ", b"(", ord(")"), _read_epsv)),
)
"""By direction: how the command begins, what to skip to, what ends the number, its reader."""

_HELPERS: Final = {"ftp": _ftp, "tftp": _tftp}
