"""A real controller, in a process of its own, and the switch of the plugin: as users have it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ovsct.testing import OvsSwitch
from tests.controller.rig import LIBRARIES, Controller

pytest_plugins = ["ovsct.testing.plugin"]

THERE = "udp 10.0.0.1:1000 > 10.0.0.2:53"
BACK = "udp 10.0.0.2:53 > 10.0.0.1:1000 eth-src 02:00:00:00:00:02 eth-dst 02:00:00:00:00:01"


@pytest.fixture
def firewall(tmp_path: Path) -> Iterator[Controller]:
    library = LIBRARIES[0]
    if library.missing:
        pytest.skip(library.missing)
    with Controller(library, "stateful_firewall", tmp_path) as controller:
        yield controller


@pytest.fixture
def ovs_controller(firewall: Controller) -> str:
    return f"tcp:127.0.0.1:{firewall.openflow}"


def test_the_firewall_lets_out_what_it_is_told_to(
    firewall: Controller, ovs_switch: OvsSwitch
) -> None:
    ovs_switch.wait_for(lambda _: firewall.do("GET", "/v1/switches")["switches"][:1])
    ovs_switch.wait_for(lambda _: firewall.do("GET", "/v1/switches")["switches"][0]["ready"])
    ovs_switch.send(1, THERE)
    assert ovs_switch.received(2) == []
    firewall.do("POST", "/v1/policy/rules", {"name": "dns", "protocol": "udp", "ports": 53})
    ovs_switch.wait_for_flow("udp,tp_dst=53")
    ovs_switch.send(1, THERE)
    assert len(ovs_switch.received(2)) == 1
    ovs_switch.send(2, BACK)
    assert len(ovs_switch.received(1)) == 1
    (connection,) = ovs_switch.dump_conntrack()
    assert connection.startswith("udp,orig=(src=10.0.0.1,dst=10.0.0.2,sport=1000,dport=53)")
    firewall.do("DELETE", "/v1/policy/rules/dns")
    ovs_switch.send(1, THERE)
    assert ovs_switch.received(2) == []
