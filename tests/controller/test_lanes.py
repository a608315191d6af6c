"""``ovsct diff`` on what each example policy becomes: every lane must do the same with it.

No switch and no controller library is asked: flows and groups are those of ``python -m controller
APP --flows``. The lanes themselves are held to the real programs elsewhere.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest
from click.testing import CliRunner

from controller.__main__ import APPS
from controller.common.document import load
from ovsct.cli.main import cli
from tests.controller.rig import ROOT

WEB, ADMIN = "eth-src 02:00:00:00:00:01 eth-dst 02:00:00:00:00:02", (
    "eth-src 02:00:00:00:00:02 eth-dst 02:00:00:00:00:01"
)  # fmt: skip
H1 = "eth-src 02:00:00:00:00:01 eth-dst 02:00:00:00:01:fe"
H2 = "eth-src 02:00:00:00:00:02 eth-dst 02:00:00:00:01:fe"
ISP = "eth-src 02:00:00:00:00:fe eth-dst 02:00:00:00:02:fe"
CLIENT = "eth-src 02:00:00:00:00:01 eth-dst 02:00:00:00:00:64"
BACK = "eth-src 02:00:00:00:00:0b eth-dst 02:00:00:00:00:01"

CONVERSATIONS = {
    "stateful_firewall": {
        "ssh": "tcp p1 10.0.0.1:1000 > p2 10.0.1.10:22",
        "web": "tcp p1 [2001:db8::1]:1000 > p2 [2001:db8:1::10]:8005",
        "denied": "tcp p1 [2001:db8::1]:1000 > p2 [2001:db8:1::10]:23",
        "dns": "udp p1 10.0.0.1:1000 > p2 192.0.2.53:53",
    },
    "security_groups": {
        "in": "tcp p2 10.0.0.2:1000 > p1 10.0.0.1:22",
        "in6": "tcp p2 [2001:db8::2]:1000 > p1 [2001:db8::1]:80",
        "denied": "tcp p1 10.0.0.1:1000 > p2 10.0.0.2:80",
    },
    "nat_gateway": {
        "out": "udp p1 10.0.0.1:1000 > p2 198.51.100.9:53 as 203.0.113.10:1000 > 198.51.100.9:53",
        "in": "tcp p2 198.51.100.9:4000 > p1 203.0.113.1:8080 as 198.51.100.9:4000 > 10.0.0.2:80",
        "in6": "tcp p2 [2001:db8:99::9]:4000 > p1 [2001:db8:f::10]:22"
        " as [2001:db8:99::9]:4000 > [fd00::1]:22",
    },
    "load_balancer": {
        "dns": "udp p1 10.0.0.1:1000 > p2 10.0.0.100:53 as 10.0.0.1:1000 > 10.0.0.11:53",
    },
}
EVENTS = {
    "stateful_firewall": (
        "ssh > S", "ssh < SA", "ssh > A", "ssh > PA len 9", "ssh > PA len 9",
        "web > S", "web < SA", "web > A", "web < PA len 9", "web > PA len 9",
        "denied > S", "dns >", "dns <", "ssh > FA", "ssh < FA", "ssh > A", "web > R", "web < A",
        "p1 icmp 10.0.0.1 > 10.0.1.10 echo", "p2 icmp 10.0.1.10 > 10.0.0.1 echo",
        "p1 arp who-has 10.0.1.10 tell 10.0.0.1",
    ),
    "security_groups": (
        f"in > S {ADMIN}", f"in < SA {WEB}", f"in > A {ADMIN}", f"in > PA len 9 {ADMIN}",
        f"in6 > S {ADMIN}", f"in6 < SA {WEB}", f"in6 > A {ADMIN}", f"in6 < PA len 9 {WEB}",
        f"denied > S {WEB}", f"p2 udp 10.0.0.9:1 > 10.0.0.1:2 {ADMIN}",
        "p1 arp who-has 10.0.0.2 tell 10.0.0.1",
    ),
    "nat_gateway": (
        f"out > {H1}", f"out > {H1}", f"out < {ISP}", f"out > {H1}",
        f"in > S {ISP}", f"in < SA {H2}", f"in > A {ISP}", f"in < PA len 9 {H2}",
        f"in6 > S {ISP}", f"in6 < SA {H1}", f"in6 > A {ISP}", f"in6 > PA len 9 {ISP}",
        f"p2 tcp 198.51.100.9:4000 > 203.0.113.1:81 S {ISP}",
        f"p2 error type 3 code 1 for udp 203.0.113.10:1000 > 198.51.100.9:53 {ISP}",
        "p1 arp who-has 10.0.0.254 tell 10.0.0.1",
    ),
    # Not the services of a select group: each datapath's hash is its own.
    "load_balancer": (
        f"dns > {CLIENT}", f"dns > {CLIENT}", f"dns < {BACK}", f"dns > {CLIENT}",
        "p1 arp who-has 10.0.0.100 tell 10.0.0.1", f"p1 udp 10.0.0.1:1 > 10.0.0.100:54 {CLIENT}",
        f"p2 udp 10.0.0.11:9 > 10.0.0.1:9 {BACK}",
    ),
}  # fmt: skip


def _scenario(app: str, folder: Path) -> Path:
    example = ROOT / "controller" / "examples" / f"{app}.yaml"
    policy = import_module(f"controller.policy.{APPS[app]}")
    program = policy.parse(load(example.read_text(encoding="utf-8"), example.name)).compile()
    for name, things in (("flows", program.flows), ("groups", program.groups)):
        (folder / name).write_text("".join(f"{each}\n" for each in things), encoding="utf-8")
    lines = [
        f"title: The example of {app}", "shows: that all lanes do the same with it", "ports: 4",
        "lanes: [ovs-userspace, ovs-kernel, tc, hw]", "flows: {file: flows}",
        *(["groups: {file: groups}"] if program.groups else []), "conversations:",
        *(f"  {name}: {line}" for name, line in CONVERSATIONS[app].items()), "events:",
        *(f"  - +0.1 {event}" for event in EVENTS[app]), "expect:", "  differ: []",
    ]  # fmt: skip
    path = folder / "scenario.yaml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("app", sorted(APPS))
def test_all_lanes_do_the_same(app: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["diff", "--check", str(_scenario(app, tmp_path))])
    assert done.exit_code == 0, done.output
    assert f"all lanes alike: {len(EVENTS[app])} packets" in done.output
    # Some pass and some do not, and what is established is offloaded.
    (hw,) = (line.split() for line in done.output.splitlines() if line.startswith("hw "))
    assert int(hw[2]) > 2 and int(hw[3]) > 0 and float(hw[4]) > 0, done.output
