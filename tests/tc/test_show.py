"""What ``tc filter show`` prints, and rule sets that are read from it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from ovsct.compare.generate_tc import generate_tc
from ovsct.compare.verify_kernel import KernelVerifier
from ovsct.errors import InputError, OvsctError
from ovsct.lane import Arrival
from ovsct.lanes.tc_script import TcScript
from ovsct.oracle.kernel.real_kernel import RealKernel
from ovsct.tc.text.forms import as_commands
from ovsct.tc.text.show import show_json, show_text
from tests.tc.replay import load

PORTS = (1, 2, 3, 4)

WORDS = (Path(__file__).parent / "every-word.tc").read_text()
"""Every key and action, with and without masks."""

_TIMES = re.compile(r" *installed \d+ sec used \d+ sec.*$")


def plain(text: str) -> list[str]:
    """Without the times, which 6.12 does not tell this tc."""
    return [_TIMES.sub("", line).rstrip() for line in text.splitlines()]


def unnumbered(text: str) -> str:
    """Without the indexes of actions that nobody shares."""
    return re.sub(r"(index \d+|police 0x[0-9a-f]+) ", "", text.replace("index 77 ", "number 77 "))


def timeless(shown: Any) -> Any:
    if isinstance(shown, dict):
        timed = ("installed", "last_used", "first_used")
        return {name: timeless(value) for name, value in shown.items() if name not in timed}
    return [timeless(each) for each in shown] if isinstance(shown, list) else shown


def text_of(lane: TcScript, port: int) -> str:
    return "\n".join(show_text(lane.tc.filters(port), lane.now))


def by_chain(lines: list[str]) -> list[str]:
    """A listing with its chains in order: in a set that was loaded again another one can be the
    first to be named.
    """
    filters: list[list[str]] = []
    for line in lines:
        if line.startswith("filter "):
            filters.append([])
        if filters:
            filters[-1].append(line)
    chain = re.compile(r" chain (\d+)")
    filters.sort(key=lambda each: int(chain.search(each[0])[1]))  # type: ignore[index]
    return [line for each in filters for line in each if line]


@pytest.fixture
def kernel(verifier: KernelVerifier) -> RealKernel:
    return verifier.real


def ask(kernel: RealKernel, port: int, *options: str) -> str:
    argv = ["/sbin/tc", "-s", *options, "filter", "show", "dev", f"p{port}", "ingress"]
    said: str = kernel.guest.ask("program", argv=argv)["out"]
    return said


def compare(kernel: RealKernel, commands: str) -> None:
    """Install, and show in both; load what the kernel showed, and show that again."""
    series = ".".join(kernel.release.split(".")[:2])
    kernel.reset(commands)
    model = TcScript(commands, PORTS, kernel=series)
    texts, jsons = [], []
    for port in PORTS:
        text, shown = ask(kernel, port), json.loads(ask(kernel, port, "-j"))
        assert plain(text_of(model, port)) == plain(text)
        assert timeless(show_json(model.tc.filters(port))) == timeless(shown)
        texts.append(f"# tc -s filter show dev p{port} ingress\n{text}")
        jsons.append(f"$ tc -j filter show dev p{port} ingress\n{json.dumps(shown)}")
    polices = " police " in commands
    for listing in ["\n".join(texts)] + ([] if polices else ["\n".join(jsons)]):
        again = TcScript(listing, PORTS, kernel=series)
        for port in PORTS:
            mine = by_chain(plain(text_of(again, port)))
            assert mine == by_chain(plain(text_of(model, port)))


@pytest.mark.real_kernel
def test_every_word_as_the_real_tc(kernel: RealKernel) -> None:
    lines = WORDS.splitlines()
    if kernel.release.startswith("6.1."):
        lines.append("filter add dev p2 ingress prio 3 flower action skbedit queue_mapping 3")
    compare(kernel, "\n".join(lines))


@pytest.mark.real_kernel
@pytest.mark.parametrize("number", range(6))
def test_generated_sets_as_the_real_tc(kernel: RealKernel, number: int) -> None:
    commands = "\n".join(generate_tc(4, number).flows)
    try:
        kernel.reset(commands)
    except InputError:
        with pytest.raises(InputError):
            TcScript(commands, PORTS, kernel=".".join(kernel.release.split(".")[:2]))
    else:
        compare(kernel, commands)


@pytest.mark.real_kernel
def test_the_kernel_takes_the_commands_that_are_written(kernel: RealKernel) -> None:
    words = [line for line in WORDS.splitlines() if "invert" not in line]
    model = TcScript("\n".join(words), PORTS)
    kernel.reset("\n".join(model.lowered("tc")))
    for port in PORTS:
        wanted = by_chain(plain(unnumbered(text_of(model, port))))
        assert by_chain(plain(unnumbered(ask(kernel, port)))) == wanted


@pytest.mark.real_kernel
@pytest.mark.parametrize("form", ["tc-show", "tc-json"])
def test_the_kernel_takes_what_it_listed(kernel: RealKernel, form: str) -> None:
    words = [line for line in WORDS.splitlines() if "invert" not in line and "police" not in line]
    model = TcScript("\n".join(words), PORTS)
    kernel.reset("")
    # A kernel lets go of actions a moment after their filter; until then who names one gets it.
    kernel.guest.ask("sleep", seconds=1.0)
    kernel.reset(as_commands("\n".join(model.lowered(form))))
    for port in PORTS:
        wanted = by_chain(plain(text_of(model, port)))
        assert by_chain(plain(ask(kernel, port))) == wanted


@pytest.mark.real_kernel
def test_rates_are_rounded_as_the_real_tc_does(kernel: RealKernel) -> None:
    commands = "\n".join(
        f"filter add dev p1 ingress prio {n} protocol ip flower action police rate {rate}"
        f" burst {burst} mtu {mtu}"
        for n, (rate, burst, mtu) in enumerate((
            ("12345678", "3000", "2039"), ("999", "1023", "1033"), ("1500kbit", "1m", "1m"),
            ("1gbps", "1048000", "64k"), ("3kibit", "70000", "65000"), ("10mbps", "5kbit", "9000"),
        ), 1)
    )  # fmt: skip
    kernel.reset(commands)
    assert plain(text_of(TcScript(commands, PORTS), 1)) == plain(ask(kernel, 1))


LOST = "maskorder_del"
"""A set whose masks were not first used in the order of their handles, which no listing tells."""

CASES = [case for case in load("6.1") if case["steps"] and case["name"] != LOST]


@pytest.mark.parametrize("case", CASES[::4], ids=[case["name"] for case in CASES[::4]])
@pytest.mark.parametrize("form", ["tc-show", "tc-json"])
def test_a_listing_does_what_the_commands_do(case: dict[str, Any], form: str) -> None:
    first = TcScript("\n".join(case["commands"]), PORTS)
    again = TcScript("\n".join(first.lowered(form)) or "# nothing", PORTS)
    for number, step in enumerate(case["steps"]):
        if "frame" not in step:
            continue
        packet = Arrival(float(number), step["port"], bytes.fromhex(step["frame"]))
        assert again.receive(packet) == first.receive(packet)
    assert again.lowered("tc-json") == first.lowered("tc-json") or len(first.tc.ports) > 1


def test_a_listing_does_not_tell_the_order_of_masks() -> None:
    case = next(case for case in load("6.1") if case["name"] == LOST)
    first = TcScript("\n".join(case["commands"]), PORTS)
    again = TcScript("\n".join(first.lowered("tc-show")), PORTS)
    assert again.lowered("tc-show") == first.lowered("tc-show")
    frame = next(step for step in case["steps"] if "frame" in step)
    packet = Arrival(1.0, frame["port"], bytes.fromhex(frame["frame"]))
    assert again.receive(packet) != first.receive(packet)


def test_blocks_and_egress_are_listed_and_read() -> None:
    commands = """
    qdisc add dev p1 ingress_block 5 ingress
    qdisc add dev p2 ingress_block 5 ingress
    qdisc add dev p3 clsact
    filter add block 5 prio 1 protocol ip flower indev p1 action pass index 9
    filter add dev p3 egress prio 1 protocol ip flower action drop index 9
    """
    qdiscs = """
qdisc ingress ffff: dev p1 parent ffff:fff1 ingress_block 5 ----------------
qdisc ingress ffff: dev p2 parent ffff:fff1 ingress_block 5 ----------------
qdisc clsact ffff: dev p3 parent ffff:fff1
"""
    first = TcScript(commands, PORTS)
    for form in ("tc-show", "tc-json"):
        listing = first.lowered(form)
        again = TcScript(qdiscs + "\n".join(listing), PORTS)
        assert again.lowered(form) == listing


def test_a_listing_can_be_indented() -> None:
    listing = TcScript(WORDS, PORTS).lowered("tc-show")
    assert TcScript("\n".join(f"    {line}" for line in listing), PORTS).lowered("tc-show") == (
        TcScript("\n".join(listing), PORTS).lowered("tc-show")
    )


WRONG: list[tuple[str, str]] = [
    ("filter protocol ip pref 1 flower chain 0", "1: a listing does not say of which device"),
    ('[{"protocol": "ip"}]', "1: a listing does not say of which device"),
    ("# tc filter show dev eth0 ingress\n", "1: no such device: 'eth0'"),
    ("# tc filter show dev p1 ingress\n[{", "2: not JSON"),
    ("# tc filter show dev p1 ingress\nfilter protocol ip pref 1 u32 chain 0 handle 0x1",
     "2:1: only flower and matchall are modelled: 'u32'"),
    ("# tc filter show dev p1 ingress\nfilter protocol ip pref 1 flower chain 0 handle 0x1 hw_tc 1",
     "2: not modelled: 'hw_tc'"),
    ("# tc filter show dev p1 ingress\nfilter protocol ip pref 1 flower chain 0 handle 0x1\n"
     "  geneve_opts 0102:80:00800022", "options of tunnels are not modelled in TC"),
    ('# tc filter show dev p1 ingress\n[{"protocol": "ip", "pref": 1, "kind": "flower", "chain": 0,'
     ' "options": {"handle": 1, "keys": {}, "classid": "1:5"}}]', "not modelled: 'classid'"),
    ('# tc filter show dev p1 ingress\n[{"protocol": "ip", "pref": 1, "kind": "flower", "chain": 0,'
     ' "options": {"handle": 1, "keys": {}, "actions": [{"order": 1, "kind": "police", "index": 1,'
     ' "control_action": {"type": "drop"}}]}}]', "leaves the rate of a policer out: 'police'"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "said"), WRONG)
def test_refuses_by_line_and_word(text: str, said: str) -> None:
    with pytest.raises(OvsctError) as caught:
        TcScript(text, PORTS, file="shown")
    assert str(caught.value).startswith("shown:")
    assert said in str(caught.value)
