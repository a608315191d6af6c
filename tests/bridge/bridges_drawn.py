"""Two or three bridges joined by patch ports, drawn with a seed.

Bridges are in an order, and a packet goes on only to a later one: what comes back from there is
dealt with by lists that send to ports alone. So no packet goes round in circles, where the two
sides would soon differ in how much they can hold. Never drawn is what kills the program (ct with a
table and an action set, bare nat with commit), and, with floods, what makes their order matter.
"""

from __future__ import annotations

from itertools import pairwise
from random import Random

from ovsct.bridge.bridges import Plan
from ovsct.compare.case import FLOW_MOD, BridgeCase, Case, Shot

NAMES = ("br-a", "br-b", "br-c")
TALK = (
    (1, "tcp 10.0.0.1:1000 > 10.0.0.2:80 S seq 100"),
    (2, "tcp 10.0.0.2:80 > 10.0.0.1:1000 SA seq 300 ack 101"),
    (1, "tcp 10.0.0.1:1000 > 10.0.0.2:80 A seq 101 ack 301"),
    (1, "udp 10.0.0.1:4000 > 10.0.0.2:53 len 10"),
    (2, "udp 10.0.0.2:53 > 10.0.0.1:4000 len 90"),
    (2, "udp 10.0.0.2:53 > 9.9.9.9:4000 len 90"),
    (1, "icmp 10.0.0.1 > 10.0.0.2 echo id 7 seq 1"),
    (2, "icmp 10.0.0.2 > 10.0.0.1 reply id 7 seq 1"),
    (1, "tcp [fc00::1]:1000 > [fc00::2]:80 S seq 5"),
    (1, "arp who-has 10.0.0.2 tell 10.0.0.1"),
    (1, "udp 10.0.0.1:4000 > 10.0.0.2:53 len 10 vlan 5"),
)


WIRINGS = 6


class _Bridge:
    """One bridge while it is drawn: its ports, its patches onwards and back."""

    def __init__(self, name: str, ports: list[tuple[int, int]]) -> None:
        self.name = name
        self.ports = ports
        self.onward: list[int] = []
        self.back: list[int] = []
        self.patches: list[tuple[int, str, int]] = []


def drawn(seed: int, number: int) -> Case:
    """The case `number` of a seed."""
    dice = Random(f"{seed}/{number}")
    # A program is configured once for each wiring, so there are but a few.
    floods = number % WIRINGS == 0
    bridges = _wired(Random(f"{seed}/wiring {number % WIRINGS}"), more=number % WIRINGS == 1)
    cases = tuple(_flooding(dice, each) if floods else _drawn(dice, each) for each in bridges)
    ports = tuple(sorted(own for each in bridges for _, own in each.ports))
    shots = []
    for at in range(dice.randrange(3, 12)):
        side, line = dice.choice(TALK)
        port = (ports[0] if side == 1 else ports[-1]) if dice.random() < 0.8 else dice.choice(ports)
        shots.append(Shot(at / 10, port, line))
    if dice.random() < 0.3:
        name = dice.choice(cases).plan.name
        text = dice.choice(("delete table=0,ip", "add table=0,priority=150,udp,actions=drop",
                            "delete table=1", "modify table=0,arp,actions=local"))  # fmt: skip
        shots.insert(len(shots) // 2, Shot(shots[len(shots) // 2].at, 0,
                                           f"{FLOW_MOD}{name}: {text}"))  # fmt: skip
    return Case(
        (), tuple(shots), ports=ports, bridges=cases, title=f"bridges {number} of seed {seed}"
    )


def _wired(dice: Random, more: bool) -> list[_Bridge]:
    """Bridges in a row; with `more` also a patch from the first to the last."""
    bridges = []
    own = 0
    for name in NAMES[: dice.choice((2, 2, 3))]:
        ports = []
        for _ in range(dice.choice((1, 2))):
            own += 1
            ports.append((own if dice.random() < 0.5 else own + 30, own))
        bridges.append(_Bridge(name, ports))
    port = 100
    ends = [*pairwise(bridges), *([(bridges[0], bridges[-1])] if more else [])]
    for near, far in ends:
        near.onward.append(port)
        far.back.append(port + 1)
        near.patches.append((port, far.name, port + 1))
        far.patches.append((port + 1, near.name, port))
        port += 2
    return bridges


def _flooding(dice: Random, bridge: _Bridge) -> BridgeCase:
    """NORMAL, FLOOD and ALL, and nothing that changes the packet: their order must not matter."""
    flows = ["table=0,priority=0,actions=" + dice.choice(("normal", "normal", "flood", "all"))]
    if dice.random() < 0.4:
        flows.append("table=0,priority=1,arp,actions=" + dice.choice(("flood", "drop", "normal")))
    if dice.random() < 0.4:
        flows.append("table=0,priority=2,udp,actions=resubmit(,1)")
        flows.append("table=1,actions=normal")
    plan = Plan(bridge.name, tuple(bridge.ports), tuple(bridge.patches))
    return BridgeCase(plan, tuple(flows))


def _drawn(dice: Random, bridge: _Bridge) -> BridgeCase:
    draw = _Lists(dice, bridge)
    flows = []
    # No two flows of a table have one priority: which of them wins is not defined.
    low, high = iter(dice.sample(range(1, 99), 40)), iter(dice.sample(range(200, 300), 20))
    for patch in bridge.onward:
        for _ in range(dice.choice((1, 1, 2))):
            flows.append(f"table=0,priority={next(high)},in_port={patch}"
                         f"{draw.match()},actions={draw.some(final=True)}")  # fmt: skip
    for _ in range(dice.randrange(1, 5)):
        flows.append(f"table=0,priority={next(low)}{draw.match()}"
                     f",actions={draw.some(final=False, goes_on=True)}")  # fmt: skip
    for table in (1, 2, 3):
        for _ in range(dice.randrange(1, 4)):
            flows.append(f"table={table},priority={next(low)}{draw.match()}"
                         f",actions={draw.some(final=table == 3, table=table)}")  # fmt: skip
    for _ in range(2):
        flows.append(f"table=5,priority={next(low)}{draw.match()}"
                     f",actions={draw.written()}")  # fmt: skip
    plan = Plan(bridge.name, tuple(bridge.ports), tuple(bridge.patches))
    return BridgeCase(plan, tuple(flows), tuple(draw.groups()))


class _Lists:
    """Draws the matches and action lists of one bridge."""

    def __init__(self, dice: Random, bridge: _Bridge) -> None:
        self.dice = dice
        self.bridge = bridge
        self.ip = False

    def match(self) -> str:
        """The rest of a match; whether it is one of IPv4 stands in `ip`."""
        dice = self.dice
        text = dice.choice(("", ",ip", ",ip", ",ip", ",tcp", ",udp", ",ipv6", ",arp"))
        self.ip = text in (",ip", ",tcp", ",udp")
        if dice.random() < 0.3:
            text += dice.choice((",reg0=0", ",reg0=7", ",metadata=0", ",metadata=0x5", ",reg1=3"))
        if self.ip and dice.random() < 0.4:
            text += ",ct_state=" + dice.choice(
                ("+trk", "-trk", "+trk+new", "+trk+est", "+rpl+trk", "+snat", "-snat", "+trk+inv")
            )
            # A commit of what is invalid is refused.
            self.ip = "+inv" not in text
        if dice.random() < 0.15:
            numbers = [port for port, _ in self.bridge.ports] + self.bridge.back
            text += f",in_port={dice.choice(numbers)}" if numbers else ""
        return text

    def some(self, *, final: bool, goes_on: bool = False, table: int = 0) -> str:
        """A list of actions; `final` sends to no patch port onwards, `goes_on` may end in a set."""
        dice = self.dice
        count = dice.choice((1, 2, 2, 3, 4))
        actions = [self.action(final, table, clones=1) for _ in range(count)]
        if goes_on and dice.random() < 0.2:
            actions = [each for each in actions if "table=" not in each and "(," not in each]
            actions.append("goto_table:5")
        return ",".join(actions)

    def output(self, final: bool) -> str:
        """Somewhere to send to."""
        ports = [port for port, _ in self.bridge.ports]
        if not final and self.dice.random() < 0.6:
            ports = self.bridge.onward or ports
        port = self.dice.choice(ports)
        return self.dice.choice(
            (f"output:{port}",) * 8
            + (f"load:{port}->NXM_NX_REG4[0..15],output:NXM_NX_REG4[0..15]", "in_port", "local",
               f"output(port={port},max_len=40)")
        )  # fmt: skip

    def action(self, final: bool, table: int, clones: int) -> str:
        """One action."""
        dice = self.dice
        kind = dice.randrange(20)
        if kind < 7:
            return self.output(final)
        if kind < 10 and self.ip:
            return self.ct(final, table)
        if kind == 10:
            return "ct_clear"
        if kind in (11, 12) and table < 3:
            return f"resubmit(,{3 if final else dice.randrange(table + 1, 4)})"
        if kind == 13 and clones:
            inner = [self.action(final, table, clones - 1) for _ in range(dice.choice((1, 2)))]
            return f"clone({','.join(inner)})"
        if kind == 14:
            return f"group:{2 if final else dice.choice((1, 2))}"
        if kind == 15:
            return "controller(userdata=01.02)" if dice.random() < 0.5 else "controller"
        return self.change()

    def change(self) -> str:
        """A change of the packet or of its metadata."""
        if self.ip and self.dice.random() < 0.4:
            return self.dice.choice(
                ("set_field:1.1.1.1->ip_src", "set_field:10.0.0.1->ip_src", "mod_nw_ttl:9",
                 "dec_ttl")
            )  # fmt: skip
        return self.dice.choice(
            ("set_field:7->reg0", "set_field:3->reg1", "set_field:0x5->metadata",
             "mod_dl_src:02:00:00:00:00:77", "push:NXM_NX_REG0[]", "pop:NXM_NX_REG1[]",
             "set_field:9->pkt_mark", "set_queue:3", "pop_queue",
             "note:01.02", "debug_recirc", "move:NXM_OF_IN_PORT[]->NXM_NX_REG0[0..15]", "exit")
        )  # fmt: skip

    def ct(self, final: bool, table: int) -> str:
        """A ct action that does not kill the program."""
        dice = self.dice
        words = [f"zone={dice.choice((0, 1, 1, 2))}"]
        if dice.random() < 0.6:
            words.append("commit")
            if dice.random() < 0.3:
                words.append("nat(src=9.9.9.9)")
            if dice.random() < 0.2:
                words.append("exec(set_field:4->ct_mark)")
        elif dice.random() < 0.3:
            words.append("nat")
        if table < 3 and dice.random() < 0.6:
            words.append(f"table={3 if final else dice.randrange(table + 1, 4)}")
        return f"ct({','.join(words)})"

    def written(self) -> str:
        """What table 5 does: an action set."""
        dice = self.dice
        inner = [dice.choice(("group:1", self.output(False).rpartition(",load")[0] or "output:1",
                              self.plain_output(), "set_field:7->reg0",
                              "mod_dl_src:02:00:00:00:00:66"))
                 for _ in range(dice.choice((1, 2)))]  # fmt: skip
        return f"write_actions({','.join(inner)})"

    def plain_output(self) -> str:
        """Sending to a port or patch port."""
        numbers = [port for port, _ in self.bridge.ports] + self.bridge.onward
        return f"output:{self.dice.choice(numbers)}"

    def groups(self) -> list[str]:
        """Group 1 may send onwards, group 2 not."""
        return [f"group_id={number},{self.group(final=number == 2)}" for number in (1, 2)]

    def group(self, final: bool) -> str:
        """A group's type and buckets."""
        dice = self.dice
        kind = dice.choice(("all", "all", "indirect", "ff", "select"))
        count = 1 if kind == "indirect" else dice.choice((1, 2))
        buckets = []
        self.ip = False
        for _ in range(count):
            watch = ""
            if kind == "ff":
                numbers = [port for port, _ in self.bridge.ports] + self.bridge.onward
                watch = f"watch_port:{dice.choice(numbers)},"
            actions = [self.change_in_bucket()] if dice.random() < 0.4 else []
            actions.append(self.output_in_bucket(final))
            buckets.append(f"bucket={watch}actions={','.join(actions)}")
        method = ",selection_method=hash,fields(ip_src)" if kind == "select" else ""
        return f"type={kind}{method},{','.join(buckets)}"

    def change_in_bucket(self) -> str:
        """A change in a bucket."""
        return self.dice.choice(
            ("set_field:7->reg0", "mod_dl_src:02:00:00:00:00:55", "set_field:8->pkt_mark")
        )

    def output_in_bucket(self, final: bool) -> str:
        """The end of a bucket."""
        if self.dice.random() < 0.2:
            return "resubmit(,3)"
        numbers = [port for port, _ in self.bridge.ports]
        if not final and self.bridge.onward and self.dice.random() < 0.6:
            numbers = self.bridge.onward
        return f"output:{self.dice.choice(numbers)}"
