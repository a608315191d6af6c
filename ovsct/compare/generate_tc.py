"""Generated TC rule sets with conversations: seeded, and the same ones every time.

A case is a :class:`~ovsct.compare.case.Case` whose flows are ``tc`` commands. Ports 1 and 2 have
chains of filters, port 4 what is redirected to its ingress. Not generated, since a kernel decides
it by chance: NAT to ranges of addresses, ``random determ`` and ``netrand``, sampling.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Final

from ovsct.compare import draw
from ovsct.compare.case import Case, Shot
from ovsct.compare.draw import Dice
from ovsct.compare.generate_talk import draw_shots

_CHAINS: Final = (0, 1, 2, 3)
_ZONES: Final = (1, 1, 1, 2, 0)

_CT_STATES: Final = (
    "-trk", "-trk", "-trk", "+trk", "+trk+new", "+trk+new", "+trk+est", "+trk+est", "+trk-new",
    "+trk+inv", "+trk-inv", "+trk+est+rpl", "+trk+est-rpl", "+trk+rel", "+trk-rel-inv", "+trk-rpl",
    "+trk+new-rpl", "+trk+new+rel", "+trk-est-inv",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a filter stands: its chain, and the network protocol that its match ends in."""

    chain: int
    inner: str
    other: int
    """The port to send to."""

    @property
    def ip(self) -> bool:
        """Whether it is IPv4 or IPv6."""
        return self.inner in ("ip", "ipv6")


# -- matches ---------------------------------------------------------------------------------------


def _addresses(dice: Dice, inner: str) -> str:
    side = dice.pick(("src_ip", "dst_ip"))
    if inner == "ip":
        return f"{side} {dice.pick(draw.V4)}{dice.pick(('', '', '/8', '/16', '/31'))}"
    return f"{side} {dice.pick(draw.V6)}{dice.pick(('', '', '/64', '/16', '/127'))}"


def _transport(dice: Dice, inner: str) -> list[str]:
    icmp = "icmp" if inner == "ip" else "icmpv6"
    proto = dice.pick(("tcp", "tcp", "tcp", "udp", icmp, "sctp"))
    words = [f"ip_proto {proto}"]
    if proto == icmp:
        if dice.chance(0.4):
            words.append(f"type {dice.pick((8, 0, 3) if inner == 'ip' else (128, 129, 1, 135))}")
        return words
    if dice.chance(0.1):
        ends = dice.pick(("1-1023", "79-81", "1024-65535", "1000-6000"))
        words.append(f"{dice.pick(('dst_port', 'src_port'))} {ends}")
    elif dice.chance(0.4):
        mask = dice.pick(("", "", "/0xffc0", "/0xf000"))
        words.append(f"{dice.pick(('dst_port', 'src_port'))} {dice.pick(draw.PORTS)}{mask}")
    if proto == "tcp" and dice.chance(0.3):
        words.append(f"tcp_flags {dice.pick(('0x2/0x12', '0x10/0x10', '0x1/0x1', '0x4/0x7'))}")
    return words


_IP_WORDS: Final[tuple[tuple[float, Callable[[Dice], str]], ...]] = (
    (0.08, lambda d: f"ip_ttl {d.pick(('64', '1', '64/0xc0', '255'))}"),
    (0.08, lambda d: f"ip_tos {d.pick(('0', '16', '184', '0/0x3'))}"),
    (0.15, lambda d: f"ip_flags {d.pick(('frag', 'nofrag', 'frag/firstfrag', 'nofirstfrag'))}"),
)
_ANY_WORDS: Final[tuple[tuple[float, Callable[[Dice], str]], ...]] = (
    (0.05, lambda d: f"src_mac {d.pick(draw.MACS)}{d.pick(('', '/ff:ff:ff:00:00:00'))}"),
    (0.05, lambda d: f"dst_mac {d.pick(draw.MACS)}{d.pick(('', '/01:00:00:00:00:00'))}"),
    (0.6, lambda d: f"ct_state {d.pick(_CT_STATES)}"),
    (0.1, lambda d: f"ct_zone {d.pick((0, 1, 2))}"),
    (0.1, lambda d: f"ct_mark {d.pick(('0', '5', '5/0xf', '0/0x1'))}"),
    (0.05, lambda d: f"ct_label {d.pick(('01/01', '03', '00/02'))}"),
    (0.02, lambda d: f"indev p{d.pick((1, 2, 3))}"),
    (0.04, lambda d: f"enc_key_id {d.pick((7, 8))}"),
    (0.03, lambda d: f"enc_dst_ip {d.pick(('192.0.2.1', '192.0.2.0/24', '2001:db8::1'))}"),
    (0.02, lambda d: f"enc_tos {d.pick((4, '0/0x3'))} enc_ttl {d.pick((0, 9, '8/0x8'))}"),
    (0.01, lambda d: f"enc_dst_port {d.pick((4789, 0))}"),
)


def _vlan_words(dice: Dice) -> tuple[list[str], str]:
    words = []
    if dice.chance(0.5):
        words.append(f"vlan_id {dice.pick((5, 6))}")
    if dice.chance(0.3):
        words.append(f"vlan_prio {dice.pick((0, 1))}")
    if not dice.chance(0.8):
        return words, ""
    inner = dice.pick(("ip", "ip", "ipv6"))
    if dice.chance(0.15):
        words.append(f"vlan_ethtype 802.1Q cvlan_ethtype {inner}")
    else:
        words.append(f"vlan_ethtype {inner}")
    return words, inner


def _arp_words(dice: Dice) -> list[str]:
    words = []
    if dice.chance(0.3):
        words.append(f"arp_op {dice.pick(('request', 'reply'))}")
    if dice.chance(0.3):
        words.append(f"arp_sip {dice.pick(draw.V4)}")
    return words


def draw_tc_match(dice: Dice, protocol: str) -> tuple[str, str]:
    """The words of a flower match, and the network protocol that it ends in ("" if open)."""
    words: list[str] = []
    inner = protocol
    if protocol in ("802.1Q", "802.1ad"):
        words, inner = _vlan_words(dice)
    if inner in ("ip", "ipv6"):
        words += _transport(dice, inner) if dice.chance(0.5) else []
        words += [_addresses(dice, inner)] if dice.chance(0.2) else []
        words += [draw_word(dice) for share, draw_word in _IP_WORDS if dice.chance(share)]
    elif inner == "arp":
        words += _arp_words(dice)
    words += [draw_word(dice) for share, draw_word in _ANY_WORDS if dice.chance(share)]
    return " ".join(words), inner


# -- actions ---------------------------------------------------------------------------------------


def _control(dice: Dice, spot: Spot) -> str:
    """What an action does when it is done: mostly go on to the next."""
    later = [chain for chain in _CHAINS if chain > spot.chain]
    if later and dice.chance(0.3):
        return f"goto chain {dice.pick(later)}"
    return dice.pick(("pipe", "pipe", "pipe", "pipe", "drop", "pass", "continue", "reclassify"))


_MARKS: Final = ("5", "0x5/0xf", "0xff/0x1", "0")
_LABELS: Final = ("01", "03/01", "000102030405060708090a0b0c0d0e0f/ff")


def _nat(dice: Dice, spot: Spot) -> str:
    side = dice.pick(("src", "dst"))
    address = dice.pick(draw.NAT_V6 if spot.inner == "ipv6" else draw.NAT_V4)
    port = f" port {dice.pick((7000, 80, 1023, '7000-7002'))}" if dice.chance(0.4) else ""
    return f" nat {side} addr {address}{port}"


def _ct(dice: Dice, spot: Spot) -> str:
    if dice.chance(0.07):
        return "ct clear pipe"
    text = "ct"
    if dice.chance(0.45):
        text += " commit"
        text += " force" if dice.chance(0.08) else ""
        text += f" zone {dice.pick(_ZONES)}"
        text += f" mark {dice.pick(_MARKS)}" if dice.chance(0.25) else ""
        text += f" label {dice.pick(_LABELS)}" if dice.chance(0.12) else ""
        if dice.chance(0.25):
            text += _nat(dice, spot)
    else:
        text += f" zone {dice.pick(_ZONES)}"
        text += " nat" if dice.chance(0.25) else ""
    return f"{text} {'pipe' if dice.chance(0.85) else _control(dice, spot)}"


def _pedit(dice: Dice, spot: Spot) -> str:
    if spot.inner == "ipv6":
        what = dice.pick((
            f"ip6 hoplimit set {dice.pick((5, 64))}", f"ip6 dst set {dice.pick(draw.V6)}",
        ))  # fmt: skip
    else:
        what = dice.pick((
            f"ip ttl set {dice.pick((5, 64))}", f"ip dst set {dice.pick(draw.V4)}",
            f"ip src set {dice.pick(draw.V4)}", "ip ttl add 255", "ip tos set 16",
            f"eth dst set {dice.pick(draw.MACS)}", f"tcp dport set {dice.pick(draw.PORTS)}",
            f"udp sport set {dice.pick(draw.PORTS)}", "offset 8 u8 set 0x21",
            "offset 0 u16 set 0x0010 retain 0xfc", f"offset 16 u32 set {dice.pick(_V4_WORDS)}",
            "ip ttl invert", "offset 4 u16 clear",
        ))  # fmt: skip
    return f"pedit ex munge {what} pipe"


_V4_WORDS: Final = ("0x0a000001", "0x0a000002")


def _police(dice: Dice, spot: Spot) -> str:
    """By length alone: what a bucket holds after a while is for tests with times of their own."""
    ways = ("drop/pipe", "drop/pipe", "pipe/drop", "continue/pass", "reclassify/pipe")
    sizes = (60, 68, 78, 100, 1500)
    return f"police mtu {dice.pick(sizes)} conform-exceed {dice.pick(ways)}"


def _tunnel_key(dice: Dice, spot: Spot) -> str:
    if dice.chance(0.25):
        return "tunnel_key unset pipe"
    ends = dice.pick((
        "src_ip 198.51.100.1 dst_ip 192.0.2.1", "src_ip 198.51.100.1 dst_ip 192.0.3.1",
        "src_ip 2001:db8::2 dst_ip 2001:db8::1",
    ))  # fmt: skip
    key = dice.pick((" id 7", " id 8", ""))
    return f"tunnel_key set {ends}{key}{dice.pick(('', ' dst_port 4789 tos 4 ttl 9'))} pipe"


def _shared(dice: Dice, spot: Spot) -> str:
    """An action under an index of its own: whoever comes first says what it does."""
    return dice.pick((
        "pass index 101", "continue index 102", "vlan push id 7 pipe index 7",
        "skbedit mark 9 pipe index 9", "police mtu 90 conform-exceed drop/pipe index 11",
        "mirred egress mirror dev p3 pipe index 12",
    ))  # fmt: skip


_SUMS: Final = ("ip", "ip tcp udp icmp", "ip tcp", "ip udp", "ip4h and tcp and sctp")
_EDITS: Final = (
    *("mark 7", "mark 3/7", "priority 1:2", "inheritdsfield") * 10, "queue_mapping 0",
)
"""The last one a newer kernel refuses."""
_VLANS: Final = (
    "vlan push id 7 pipe", "vlan push id 7 priority 3 protocol 802.1ad pipe", "vlan pop pipe",
    "vlan modify id 8 priority 2 pipe",
    "vlan pop_eth pipe action vlan push_eth dst_mac 02:00:00:00:00:77 src_mac 02:00:00:00:00:78",
    "vlan push_eth dst_mac 02:00:00:00:00:77 src_mac 02:00:00:00:00:78",
)  # fmt: skip

Row = tuple[float, Callable[[Dice, Spot], bool], Callable[[Dice, Spot], str]]

_ACTIONS: Final[tuple[Row, ...]] = (
    (0.6, lambda d, s: s.ip or d.chance(0.1), _ct),
    (0.12, lambda d, s: s.ip, _ct),
    (0.08, lambda d, s: s.ip, _pedit),
    (0.08, lambda d, s: s.inner == "ip", lambda d, s: f"csum {d.pick(_SUMS)} pipe"),
    (0.05, lambda d, s: True, lambda d, s: d.pick(_VLANS)),
    (0.04, lambda d, s: True,
     lambda d, s: f"skbedit {d.pick(_EDITS)} pipe"),
    (0.05, lambda d, s: True, _police),
    (0.06, lambda d, s: True, _tunnel_key),
    (0.05, lambda d, s: True, _shared),
    (0.02, lambda d, s: True, lambda d, s: "sample rate 1 group 5 pipe"),
    (0.07, lambda d, s: True, lambda d, s: f"mirred egress mirror dev p3 {_control(d, s)}"),
    (0.03, lambda d, s: True, lambda d, s: "mirred ingress mirror dev p4 pipe"),
    (0.08, lambda d, s: s.ip, _ct),
)  # fmt: skip
"""How often each is drawn, when it fits, and its text; in the order in which they stand."""


def _last(dice: Dice, spot: Spot) -> str | None:
    """The verdict at the end, if there is one."""
    later = [chain for chain in _CHAINS if chain > spot.chain]
    kind = dice.random.random()
    if kind < 0.45:
        return f"mirred egress redirect dev p{spot.other}"
    if kind < 0.75 and later:
        return f"goto chain {dice.pick(later)}"
    if kind < 0.8:
        return "mirred ingress redirect dev p4"
    if kind < 0.95:
        return dice.pick(("drop", "pass", "continue", "reclassify", "trap", "pipe"))
    return None


def draw_tc_actions(dice: Dice, spot: Spot) -> str:
    """The actions of a filter, each with the word ``action`` before it."""
    found = [
        write(dice, spot)
        for share, fits, write in _ACTIONS
        if dice.chance(share) and fits(dice, spot)
    ]
    last = _last(dice, spot)
    if last is not None:
        found.append(last)
    return " ".join(f"action {text}" for text in found)


# -- rule sets -------------------------------------------------------------------------------------

_PROTOCOLS: Final = (
    (70, "ip"), (18, "ipv6"), (6, "all"), (8, "802.1Q"), (4, "802.1ad"), (4, "arp"),
)  # fmt: skip


def _filter(dice: Dice, port: int, chain: int, prio: int, protocol: str) -> str:
    match, inner = draw_tc_match(dice, protocol)
    spot = Spot(chain, inner, 2 if port == 1 else 1)
    parts = (
        f"filter add dev p{port} ingress chain {chain} prio {prio} protocol {protocol} flower",
        match, draw_tc_actions(dice, spot),
    )  # fmt: skip
    return " ".join(part for part in parts if part)


def _port(dice: Dice, port: int, entry: str | None) -> list[str]:
    commands = []
    for chain in _CHAINS:
        taken: dict[int, str] = {}
        if chain == 0 and entry is not None:
            for prio, protocol in ((1, "ip"), (2, "ipv6")):
                taken[prio] = protocol
                commands.append(
                    f"filter add dev p{port} ingress chain 0 prio {prio} protocol {protocol}"
                    f" flower ct_state -trk {entry} action goto chain 1"
                )
        most = 3 if chain < 2 else 2
        for _ in range(dice.number(1 if chain < 2 else 0, most)):
            protocol = dice.weighted(_PROTOCOLS)
            prio = dice.number(1, 6)
            # A priority holds filters of one protocol only.
            while taken.get(prio, protocol) != protocol:
                prio += 1
            taken[prio] = protocol
            commands.append(_filter(dice, port, chain, prio, protocol))
    return commands


def _firewall(dice: Dice, port: int, zone: int, nat: str) -> list[str]:
    """Chain 1 of a small firewall: commit what is new, let through what is known."""
    head = f"filter add dev p{port} ingress chain 1 prio"
    other = 2 if port == 1 else 1
    out = f"action mirred egress redirect dev p{other}"
    commands = []
    for prio, protocol in ((11, "ip"), (12, "ipv6")):
        where = f"{head} {prio} protocol {protocol} flower"
        commands += [
            f"{where} ct_state +trk+new action ct commit zone {zone}{nat} pipe {out}",
            f"{where} ct_state +trk+est {out}",
        ]
    return commands


def _on_ticks(shots: Iterable[Shot]) -> Iterator[Shot]:
    """The shots at whole hundredths of a second, one after the other.

    A kernel counts time in ticks, so that no two times may be told apart by less.
    """
    before = -1
    for shot in shots:
        before = max(before + 1, round(shot.at * 100))
        yield replace(shot, at=before / 100)


def _in_a_block(commands: Iterable[str]) -> list[str]:
    """The same with ports 1 and 2 in one block, which has what port 1 had."""
    shared = [
        f"qdisc add dev p{port} {'ingress_block 5 ' if port < 3 else ''}ingress"
        for port in (1, 2, 3, 4)
    ]
    rest = (command for command in commands if " dev p2 ingress" not in command)
    return [*shared, *(each.replace("dev p1 ingress", "block 5", 1) for each in rest)]


def _egress(dice: Dice) -> list[str]:
    """Filters that packets meet on their way out, ports 2 and 3."""
    commands = []
    for port in (2, 3):
        for prio in range(1, dice.number(1, 2) + 1):
            where = f"filter add dev p{port} egress prio {prio} protocol ip flower"
            match, _ = draw_tc_match(dice, "ip")
            deed = dice.pick((
                "drop", "pass", "pass", "vlan push id 9 pipe", "mirred egress redirect dev p4",
                "pedit ex munge ip ttl set 9 pipe action csum ip pipe", "ct zone 1 pipe",
                "skbedit mark 3 pipe", "mirred egress mirror dev p4 pipe",
                # Port 4 sends to port 3: from there the way back would be a loop.
                "mirred ingress redirect dev p4" if port == 2 else "pass",
                "police mtu 80 conform-exceed drop/pipe",
                "vlan pop pipe", "tunnel_key unset pipe",
            ))  # fmt: skip
            commands.append(f"{where} {match} action {deed}".replace("flower  ", "flower "))
    return commands


def generate_tc(seed: int, number: int) -> Case:
    """Case `number` (from 0) of a campaign over TC rule sets."""
    dice = Dice(Random(f"{seed}/{number}/tc"), conntrack=True)
    entry = None
    commands = []
    zone = dice.pick((1, 1, 2))
    if dice.chance(0.7):
        entry = f"action ct zone {zone}{dice.pick(('', '', ' nat'))} pipe"
    for port in (1, 2):
        commands += _port(dice, port, entry)
        if entry is not None and dice.chance(0.6):
            commands += _firewall(dice, port, zone, "")
    commands.append(
        "filter add dev p4 ingress prio 1 protocol ip flower action mirred egress redirect dev p3"
    )
    if dice.chance(0.15):
        commands = _in_a_block(commands)
    elif dice.chance(0.2):
        commands = [*(f"qdisc add dev p{port} clsact" for port in (1, 2, 3, 4)), *commands]
        commands += _egress(dice)
    return Case(
        flows=tuple(commands),
        shots=tuple(_on_ticks(draw_shots(dice, fragments=dice.chance(0.12)))),
        title=f"seed {seed}, case {number}, tc",
    )
