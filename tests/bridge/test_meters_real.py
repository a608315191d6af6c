"""Meters against a real ovs-vswitchd, and their text."""

from __future__ import annotations

from random import Random

import pytest

from ovsct.bridge.bridge import Bridge
from ovsct.compare.case import frames_of
from ovsct.errors import InputError
from ovsct.lane import Arrival, Drop
from ovsct.lanes.ovs_userspace import OvsUserspace
from ovsct.openflow.text.flow_text import read_flows
from ovsct.openflow.text.meter_text import format_meter, parse_meter, read_meters
from ovsct.oracle.real_ovs import Options, RealOvs, comparable

FLOWS = (
    "priority=3,udp,actions=meter:1,output:2",
    "priority=2,tcp,actions=meter:7,resubmit(,1),output:3",
    "priority=1,actions=output:4,resubmit(,1)",
    "table=1,actions=meter:1,output:1",
)


def _meters(dice: Random) -> tuple[str, str]:
    def bands(burst: bool, rates: tuple[int, ...]) -> str:
        count = dice.choice((1, 1, 2))
        size = f" burst_size={dice.choice((1, 2, 5))}" if burst else ""
        return ",".join(f"type=drop rate={dice.choice(rates)}{size}" for _ in range(count))

    one, other = dice.random() < 0.5, dice.random() < 0.5
    return (
        f"meter=1 pktps{' burst' if one else ''} bands={bands(one, (1, 2, 10, 1000))}",
        f"meter=7 kbps{' burst' if other else ''} stats bands={bands(other, (1, 4, 100))}",
    )


@pytest.mark.real_ovs
@pytest.mark.parametrize("seed", range(12))
def test_meters_police_alike(real_ovs: RealOvs, seed: int) -> None:
    dice = Random(seed)
    meters = _meters(dice)
    real_ovs.reset(FLOWS, options=Options(meters=meters))
    bridge = Bridge((1, 2, 3, 4), read_flows("\n".join(FLOWS)), meters=map(parse_meter, meters))
    model = OvsUserspace(bridge)
    now, dropped = 0.0, 0
    for _ in range(40):
        now = round(now + dice.choice((0.001, 0.01, 0.1, 0.4, 1.5)), 3)
        kind = dice.choice(("udp 10.0.0.1:1 > 10.0.0.2:2", "tcp 10.0.0.1:1 > 10.0.0.2:2 S",
                            "icmp 10.0.0.1 > 10.0.0.2 echo id 1 seq 1"))  # fmt: skip
        frame = frames_of(f"{kind} len {dice.choice((0, 100, 1000))}")[0]
        at = real_ovs.clock(now)
        outcome = model.receive(Arrival(at, 4, frame))
        assert comparable(outcome).out == comparable(real_ovs.receive(Arrival(now, 4, frame))).out
        dropped += outcome.drop is Drop.POLICED
    assert dropped
    assert sorted(line.split("actions:")[1] for line in model.dump_flows()) == sorted(
        line.split("actions:")[1] for line in real_ovs.dump_flows()
    )


@pytest.mark.real_ovs
def test_the_program_takes_the_meters_that_we_print(real_ovs: RealOvs) -> None:
    for seed in range(10):
        read = [parse_meter(line) for line in _meters(Random(seed))]
        printed = [format_meter(meter) for meter in read]
        real_ovs.reset((), options=Options(meters=printed))
        assert [parse_meter(line) for line in printed] == read


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("meter=1 pktps", "1:1: a meter needs bands: 'meter=1' (expected bands=type=drop rate="),
        ("pktps bands=type=drop rate=1", "a meter must say its number"),
        ("meter=0 pktps bands=type=drop rate=1", "there is no such meter"),
        ("meter=1 bands=type=drop rate=1", "a meter counts kbps or pktps"),
        ("meter=1 kbps pktps bands=type=drop rate=1", "OFPMMFC_BAD_FLAGS"),
        ("meter=1 kbps bands=rate=1", "a band begins with its type"),
        ("meter=1 kbps bands=type=dscp_remark rate=1 prec_level=1", "OFPMMFC_BAD_BAND"),
        ("meter=1 kbps bands=type=drop", "a band needs a rate"),
        ("meter=1 kbps burst bands=type=drop rate=1", "needs a burst_size"),
        ("meter=1 kbps bands=type=drop rate=1 burst_size=2", "only where the meter says burst"),
        ("meter=1 kbps bands=type=drop rte=1", "did you mean 'rate'?"),
    ],
)
def test_wrong_meters_are_refused(line: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_meter(line, None, 1)
    assert says in str(caught.value)


def test_a_number_twice_is_refused() -> None:
    line = "meter=1 kbps bands=type=drop rate=1"
    with pytest.raises(InputError, match="METER_EXISTS"):
        read_meters(f"{line}\n{line}\n")
