"""The classifier against the real one: random tables, random packets, same rule and same mask.

ofproto/trace says which rule a packet matches and what the megaflow would be. With rules that only
drop, the mask is what translation always un-wildcards and what the look-up adds.
"""

from __future__ import annotations

import ipaddress
import random
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import pytest

from ovsct.openflow.actions import Action, Conjunction
from ovsct.openflow.classifier import PREFIX_FIELDS, Classifier, Look
from ovsct.openflow.match import Match
from ovsct.oracle.vswitchd import Vswitchd, find_program
from ovsct.packet.fields import CT_STATE_NAMES, DATAPATH_MASK, FIELDS, SLOTS, TCP_FLAG_NAMES

pytestmark = pytest.mark.real_ovs

FLAGS = {"ct_state": CT_STATE_NAMES, "tcp_flags": TCP_FLAG_NAMES}

# -- text, as ovs-ofctl writes it ---------------------------------------------------------------


def write_value(name: str, value: int) -> str:
    if name == "in_port":
        return str(value)
    if FIELDS[name].width == 48:
        return value.to_bytes(6, "big").hex(":")
    if FIELDS[name].width == 128:
        return str(ipaddress.IPv6Address(value))
    if name.endswith(("_src", "_dst", "spa", "tpa")) and FIELDS[name].width == 32:
        return str(ipaddress.IPv4Address(value))
    return hex(value)


def write_match(name: str, value: int, mask: int) -> str:
    if name in FLAGS:
        signs = [f"{'+' if value & bit else '-'}{flag}" for flag, bit in FLAGS[name] if mask & bit]
        return f"{name}={''.join(signs)}"
    if mask == FIELDS[name].ones:
        return f"{name}={write_value(name, value)}"
    return f"{name}={write_value(name, value)}/{write_value(name, mask)}"


def read_value(text: str, width: int, prefix: bool = False) -> int:
    if prefix and text.isdecimal():
        return (1 << width) - 1 ^ (1 << (width - int(text))) - 1
    if width == 48:
        return int(text.replace(":", ""), 16)
    if width == 128 or "." in text:
        return int(ipaddress.ip_address(text))
    return int(text, 0)


KEYWORDS = {"eth": (None, None)} | {
    name: (dl_type, proto)
    for name, dl_type, proto in [
        ("ip", 0x0800, None), ("tcp", 0x0800, 6), ("udp", 0x0800, 17), ("icmp", 0x0800, 1),
        ("arp", 0x0806, None), ("ipv6", 0x86DD, None), ("tcp6", 0x86DD, 6), ("udp6", 0x86DD, 17),
        ("icmp6", 0x86DD, 58),
    ]
}  # fmt: skip
RENAMED = {"dl_src": "eth_src", "dl_dst": "eth_dst", "nw_src": "ip_src", "nw_dst": "ip_dst",
           "tp_src": "tcp_src", "tp_dst": "tcp_dst", "nw_frag": "ip_frag"}  # fmt: skip


def read_megaflow(text: str) -> int:
    """The mask of a megaflow as ofproto/trace prints it."""
    mask = 0
    for item in text.split(","):
        name, _, value = item.partition("=")
        if not value:
            _dl_type, proto = KEYWORDS[name]
            if name == "eth":
                mask |= SLOTS["packet_type"].mask
            else:
                mask |= SLOTS["dl_type"].mask
            if proto is not None:
                mask |= SLOTS["nw_proto"].mask
            continue
        if name == "dl_vlan":
            mask |= 0x1FFF << SLOTS["vlan_tci"].shift
        elif name == "dl_vlan_pcp":
            mask |= 0xF000 << SLOTS["vlan_tci"].shift
        elif name == "dl_type":
            mask |= SLOTS["dl_type"].mask
        elif name == "nw_tos":
            mask |= FIELDS["ip_dscp"].mask
        elif name == "nw_frag":
            mask |= FIELDS["ip_frag"].mask
        else:
            of = FIELDS[RENAMED.get(name, name)]
            if name in FLAGS and value[0] in "+-":
                words = value.replace("-", "+").split("+")[1:]
                bits = sum(dict(FLAGS[name])[word] for word in words)
            elif "/" in value:
                is_address = "." in value or ":" in value
                bits = read_value(value.split("/")[1], of.width, prefix=is_address)
            else:
                bits = of.ones
            mask |= bits << of.shift
    return mask


# -- tables and packets -------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """A kind of packet, and what may be matched on it."""

    word: str
    dl_type: int
    proto: int | None
    names: tuple[str, ...]
    fixed: tuple[tuple[str, int], ...] = ()
    """What else must be matched before `names` may be."""


ANY = ("in_port", "eth_src", "eth_dst", "vlan_tci", "ct_state", "ct_mark", "ct_zone", "metadata",
       "reg0", "pkt_mark")  # fmt: skip
IP = (*ANY, "ip_src", "ip_dst", "ip_src", "ip_dst", "ip_dscp", "nw_ecn", "nw_ttl")
IP6 = (*ANY, "ipv6_src", "ipv6_dst", "ip_dscp", "nw_ttl", "ipv6_label")
KINDS = (
    Kind("ip", 0x0800, None, IP),
    Kind("tcp", 0x0800, 6, (*IP, *("tcp_src", "tcp_dst", "tcp_flags") * 2)),
    Kind("tcp", 0x0800, 6, (*IP, *("tcp_src", "tcp_dst", "tcp_flags") * 2)),
    Kind("udp", 0x0800, 17, (*IP, *("udp_src", "udp_dst") * 2)),
    Kind("icmp", 0x0800, 1, (*IP, "icmp_type", "icmp_code")),
    Kind("ipv6", 0x86DD, None, IP6),
    Kind("tcp6", 0x86DD, 6, (*IP6, "tcp_src", "tcp_dst", "tcp_flags")),
    Kind("icmp6", 0x86DD, 58, ("in_port", "ipv6_src", "ipv6_dst", *("nd_target", "nd_sll") * 2),
         (("icmpv6_type", 135), ("icmpv6_code", 0))),
    Kind("udp", 0x0800, 17, ("in_port", "ip_src", "ip_dst", "udp_dst", "ct_nw_src", "ct_nw_dst",
                             "ct_tp_src", "ct_tp_dst", "ct_mark"),
         (("ct_state", 0x22), ("ct_nw_proto", 17))),
    Kind("arp", 0x0806, None, (*ANY, "arp_spa", "arp_tpa", "arp_op", "arp_sha", "arp_tha")),
    Kind("", 0, None, ANY),
)


@dataclass(frozen=True)
class Entry:
    """A rule of the test: what the classifier sees, its number and its text."""

    number: int
    priority: int
    match: Match
    text: str
    actions: tuple[Action, ...] = ()

    @property
    def flow(self) -> str:
        conjunctions = ",".join(
            f"conjunction({c.conj_id},{c.clause}/{c.n_clauses})"
            for c in self.actions
            if isinstance(c, Conjunction)
        )
        match = f",{self.text}" if self.text else ""
        return (
            f"priority={self.priority},cookie={self.number:#x}{match},"
            f"actions={conjunctions or 'drop'}"
        )


def odd_mask(width: int, rng: random.Random) -> int:
    # The highest bits are set: ovs-ofctl takes a mask of IPv6 that starts with a decimal digit
    # for a prefix length.
    return rng.getrandbits(width) | 0xF << (width - 4)


def some_mask(name: str, rng: random.Random) -> int:
    of = FIELDS[name]
    if name == "vlan_tci":
        return rng.choice((0xFFFF, 0x1FFF, 0x1000, 0xF000))
    if name == "ct_state":
        return rng.choice((0x21, 0x22, 0x20, 0x23, 0x01))
    if name == "tcp_flags":
        return rng.choice((0x02, 0x12, 0x10, 0xFFF))
    if not of.maskable:
        return of.ones
    if of.name.startswith(("ip_s", "ip_d", "ipv6_s", "ipv6_d", "ct_nw_", "arp_spa", "arp_tpa")):
        if rng.random() < 0.15:
            return odd_mask(of.width, rng)
        length = of.width - rng.choice((0, 1, 2, 4, 8, 16, 24, 31))
        return of.ones & ~(of.ones >> length)
    if name in ("tcp_src", "tcp_dst", "udp_src", "udp_dst", "ct_tp_src", "ct_tp_dst"):
        return rng.choice((0xFFFF, 0xFFF0, 0xFF00, 0x000F, 0x8000, 0xFFFE))
    return rng.choice((of.ones, of.ones, odd_mask(of.width, rng), 0xF << (of.width - 4)))


def some_value(name: str, rng: random.Random) -> int:
    """Few values, near one another, so that rules and packets meet."""
    width = FIELDS[name].width
    if name == "in_port":
        return rng.choice((1, 2))
    if name == "vlan_tci":
        return rng.choice((0, 0, 0x1003, 0x1004, 0x3003))
    if name == "ct_state":
        return rng.choice((0, 0x21, 0x22, 0x2A, 0x20))
    if name == "tcp_flags":
        return rng.choice((0x02, 0x12, 0x10, 0x11))
    value = rng.choice((0, 1, 2, 3, 5))
    if rng.random() < 0.5 and width > 16:
        value |= rng.choice((1, 2, 3)) << rng.choice((8, 16, 24))
    if width == 32 and name.startswith(("ip_", "arp_", "ct_nw_")):
        value |= rng.choice((10, 10, 11, 192)) << 24
    if width == 128:
        value |= rng.choice((0x20, 0x21, 0xFD)) << 120
    return value & FIELDS[name].ones


def with_kind(kind: Kind, match: Match) -> Match:
    if kind.word:
        match = match.with_field(FIELDS["eth_type"], kind.dl_type)
    if kind.proto is not None:
        match = match.with_field(FIELDS["nw_proto"], kind.proto)
    for name, value in kind.fixed:
        match = match.with_field(FIELDS[name], value)
    return match


def words_of(kind: Kind, *, exact: bool) -> list[str]:
    words = [kind.word] if kind.word else []
    for name, value in kind.fixed:
        signed = write_match(name, value, FIELDS[name].ones)
        words.append(f"{name}={write_value(name, value)}" if exact else signed)
    return words


def some_match(rng: random.Random) -> tuple[Match, str]:
    kind = rng.choice(KINDS)
    words = words_of(kind, exact=False)
    match = with_kind(kind, Match())
    for name in sorted({rng.choice(kind.names) for _ in range(rng.choice((0, 1, 1, 2, 2, 3, 4)))}):
        mask = some_mask(name, rng)
        value = some_value(name, rng) & mask
        if name == "vlan_tci" and not value & 0x1000:
            mask &= 0x1FFF  # OXM cannot say a PCP without a tag: ovs-ofctl would leave it out
            value &= mask
        match = match.with_field(FIELDS[name], value, mask)
        words.append(write_match(name, value, mask))
    return match, ",".join(words)


def some_packet(rng: random.Random) -> tuple[int, str]:
    kind = rng.choice([kind for kind in KINDS if kind.proto is not None or kind.word == "arp"])
    words = words_of(kind, exact=True)
    match = with_kind(kind, Match())
    for name in dict.fromkeys(("in_port", *kind.names)):
        value = some_value(name, rng)
        match = match.with_field(FIELDS[name], value)
        words.append(f"{name}={write_value(name, value)}")
    key = match.value
    if SLOTS["vlan_tci"].get(key) & 0x1000:
        key = SLOTS["vlan_tpid"].put(key, 0x8100)
    return key, ",".join(words)


# -- the real one -------------------------------------------------------------------------------


class Real:
    """One bridge whose table 0 is filled and asked."""

    def __init__(self, daemon: Vswitchd) -> None:
        self._daemon = daemon
        bridge = ["add-br", "br0", "--", "set", "bridge", "br0", "datapath-type=dummy",
                  "fail-mode=secure"]  # fmt: skip
        for number in (1, 2):
            bridge += ["--", "add-port", "br0", f"p{number}", "--", "set", "interface",
                       f"p{number}", "type=dummy", f"ofport_request={number}"]  # fmt: skip
        daemon.vsctl(*bridge)

    def change(self, lines: list[str], *options: str) -> None:
        """Run the lines of a flow file, which may add and delete."""
        done = subprocess.run(
            [find_program("ovs-ofctl"), "-OOpenFlow10,OpenFlow14", *options, "add-flows",
             f"unix:{self._daemon.management('br0')}", "-"],
            input="\n".join(lines), text=True, capture_output=True, check=False,
            env=self._daemon.environment(),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert not done.stderr, done.stderr

    def empty(self) -> None:
        self.change(["delete"])
        self.settle()

    def settle(self) -> None:
        """Let what was deleted leave the classifier: it does so behind an RCU grace period."""
        for _ in range(3):
            self._daemon.ctl("version")
            time.sleep(0.02)

    def ask(self, packet: str) -> tuple[int, int]:
        """(number of the rule or 0, mask of the megaflow) for a packet."""
        answer = self._daemon.ctl("ofproto/trace", "br0", packet)
        lines = answer.splitlines()
        number = 0
        mask = None
        for line in lines:
            if line.startswith(" 0. ") and "cookie 0x" in line:
                number = int(line.rpartition("cookie ")[2], 16)
            if line.startswith("Megaflow: "):
                mask = read_megaflow(line.removeprefix("Megaflow: "))
        assert mask is not None, answer
        return number, mask


@pytest.fixture(scope="module")
def real() -> Iterator[Real]:
    with Vswitchd() as daemon:
        yield Real(daemon)


ALWAYS = (
    SLOTS["packet_type"].mask | SLOTS["in_port"].mask | SLOTS["dl_type"].mask
    | SLOTS["recirc_id"].mask
)  # fmt: skip


def expected(classifier: Classifier[Entry], key: int) -> tuple[int, int]:
    """What OVS's translation makes of the look-up (xlate_wc_init(), xlate_wc_finish())."""
    is_ip = SLOTS["dl_type"].get(key) in (0x0800, 0x86DD)
    look: Look[Entry] = Look(ALWAYS | (FIELDS["ip_frag"].mask if is_ip else 0))
    before = look.mask
    rule = classifier.lookup(key, look)
    assert look.mask == before | sum(bits for bits, _ in look.authors)
    mask = look.mask & DATAPATH_MASK
    if SLOTS["nw_proto"].get(key) in (1, 58) and is_ip:
        mask &= ~(0xFF00 << SLOTS["tp_src"].shift | 0xFF00 << SLOTS["tp_dst"].shift)
    if mask & SLOTS["vlan_tci"].mask:
        mask |= 0x1000 << SLOTS["vlan_tci"].shift
    if not SLOTS["vlan_tpid"].get(key):
        mask &= ~SLOTS["vlan_tci"].mask
    return rule.number if rule else 0, mask


@dataclass
class Pair:
    """The same rules in both."""

    real: Real
    classifier: Classifier[Entry] = field(
        default_factory=partial(Classifier[Entry], PREFIX_FIELDS["3.1"])
    )

    def add(self, entries: list[Entry]) -> None:
        self.real.change([entry.flow for entry in entries])
        for entry in entries:
            self.classifier.insert(entry)

    def compare(self, packets: list[tuple[int, str]]) -> None:
        for key, text in packets:
            theirs, ours = self.real.ask(text), expected(self.classifier, key)
            if ours != theirs:
                rules = "\n".join(entry.flow for entry in self.classifier)
                names = [name for name, slot in SLOTS.items() if (ours[1] ^ theirs[1]) & slot.mask]
                masks = {name: (hex(SLOTS[name].get(theirs[1])), hex(SLOTS[name].get(ours[1])))
                         for name in names}  # fmt: skip
                pytest.fail(
                    f"{text}\nrule {theirs[0]} expected, {ours[0]} found; "
                    f"masks (expected, found): {masks}\n{rules}"
                )


def some_entries(rng: random.Random, n: int, priorities: int, first: int = 1) -> list[Entry]:
    entries = []
    for number in range(first, first + n):
        match, text = some_match(rng)
        entries.append(Entry(number, rng.randrange(priorities), match, text))
    return entries


ONE_BY_ONE = 40
ICMP_BESIDE_UDP = 1088
SEEDS = range(12)


@pytest.mark.parametrize("seed", (*range(ONE_BY_ONE), ICMP_BESIDE_UDP))
def test_rules_added_one_by_one(real: Real, seed: int) -> None:
    rng = random.Random(seed)
    real.empty()
    pair = Pair(real)
    # Few priorities: many equals, whose order is that of the subtables.
    pair.add(some_entries(rng, rng.choice((3, 8, 20, 40)), rng.choice((2, 5, 40))))
    pair.compare([some_packet(rng) for _ in range(25)])


@pytest.mark.parametrize("seed", SEEDS)
def test_rules_added_in_a_bundle(real: Real, seed: int) -> None:
    rng = random.Random(seed)
    real.empty()
    pair = Pair(real)
    entries = some_entries(rng, 30, 3)
    real.change([entry.flow for entry in entries], "--bundle")
    with pair.classifier.deferred():
        for entry in entries:
            pair.classifier.insert(entry)
    pair.compare([some_packet(rng) for _ in range(25)])


@pytest.mark.parametrize("seed", SEEDS)
def test_rules_removed_and_replaced(real: Real, seed: int) -> None:
    rng = random.Random(seed)
    real.empty()
    pair = Pair(real)
    pair.add(some_entries(rng, 40, 3))
    first = 1000
    for _ in range(4):
        gone = rng.sample(list(pair.classifier), 6)
        for entry in gone:
            match = f",{entry.text}" if entry.text else ""
            real.change([f"delete_strict priority={entry.priority}{match}"])
            pair.classifier.remove(entry)
        real.settle()
        pair.compare([some_packet(rng) for _ in range(8)])
        kept = rng.choice(list(pair.classifier))
        replaced = Entry(first, kept.priority, kept.match, kept.text)
        again = [
            Entry(first + n, rng.randrange(3), entry.match, entry.text)
            for n, entry in enumerate(gone, 1)
        ]
        pair.add([replaced, *again])
        assert pair.classifier.find_exactly(
            kept.match.value, kept.match.mask, kept.priority
        ) is replaced
        first += 100
        real.settle()
        pair.compare([some_packet(rng) for _ in range(8)])


def dense_match(rng: random.Random) -> tuple[Match, str]:
    """A match on addresses and ports only: many rules in few subtables, many prefixes."""
    match = Match().with_field(FIELDS["eth_type"], 0x0800).with_field(FIELDS["nw_proto"], 6)
    words = ["tcp"]
    for name in ("ip_src", "ip_dst", "tcp_src", "tcp_dst"):
        if rng.random() < 0.5:
            continue
        of = FIELDS[name]
        length = of.width - rng.choice((0, 0, 2, 4, 8))
        mask = of.ones & ~(of.ones >> length)
        value = (0x0A000000 * (of.width == 32) | rng.randrange(64)) & mask
        match = match.with_field(of, value, mask)
        words.append(write_match(name, value, mask))
    return match, ",".join(words)


def dense_packet(rng: random.Random) -> tuple[int, str]:
    match = Match().with_field(FIELDS["eth_type"], 0x0800).with_field(FIELDS["nw_proto"], 6)
    match = match.with_field(FIELDS["in_port"], 1)
    words = ["tcp", "in_port=1"]
    for name in ("ip_src", "ip_dst", "tcp_src", "tcp_dst"):
        of = FIELDS[name]
        value = 0x0A000000 * (of.width == 32) | rng.randrange(64)
        if rng.random() < 0.1:
            value |= 1 << rng.randrange(6, of.width)
        match = match.with_field(of, value)
        words.append(f"{name}={write_value(name, value)}")
    return match.value, ",".join(words)


@pytest.mark.parametrize("seed", SEEDS)
def test_prefixes_and_ports(real: Real, seed: int) -> None:
    rng = random.Random(seed)
    real.empty()
    pair = Pair(real)
    pair.add([Entry(n, rng.randrange(20), *dense_match(rng)) for n in range(1, 60)])
    pair.compare([dense_packet(rng) for _ in range(60)])


@pytest.mark.parametrize("seed", range(2 * len(SEEDS)))
def test_conjunctions(real: Real, seed: int) -> None:
    rng = random.Random(seed)
    real.empty()
    pair = Pair(real)
    n_clauses = {conj_id: rng.choice((2, 2, 3)) for conj_id in (1, 2, 3)}
    entries = [Entry(n, rng.randrange(3), *dense_match(rng)) for n in range(1, 5)]
    for n in range(5, 60):
        match, text = dense_match(rng)
        ids = sorted({rng.choice((1, 2, 3)) for _ in range(rng.choice((1, 1, 2)))})
        actions = tuple(
            Conjunction(conj_id, rng.randint(1, n_clauses[conj_id]), n_clauses[conj_id])
            for conj_id in ids
        )
        entries.append(Entry(n, rng.randrange(5), match, text, actions))
    for conj_id in rng.sample((1, 2, 3), 2):
        of_conj = Match().with_field(FIELDS["conj_id"], conj_id)
        entries.append(Entry(100 + conj_id, rng.randrange(5), of_conj, f"conj_id={conj_id}"))
        match, text = dense_match(rng)
        of_conj = match.with_field(FIELDS["conj_id"], conj_id)
        text = f"{text},conj_id={conj_id}"
        entries.append(Entry(200 + conj_id, rng.randrange(5), of_conj, text))
    pair.add(entries)
    pair.compare([dense_packet(rng) for _ in range(60)])
