"""Run Ryu's switch tests on ``ovsct switch`` and on a real ovs-vswitchd.

    python -m tests.controller.ryu_switch            # all of OpenFlow 1.3, half a minute of
                                                     # virtual time a stream
    python -m tests.controller.ryu_switch action/    # those whose file begins so
    python -m tests.controller.ryu_switch --version of14

Prints both counts, what the real one fails and why, and where the two differ in that; ends with 1
if the model passes fewer.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from ovsct.openflow.wire.codec import decode
from ovsct.oracle.vswitchd import ProgramMissing, Vswitchd
from ovsct.packet.packet import parse
from tests.agent.programs import Modelled, Real, Switch
from tests.controller.ryu_cases import (
    SEND,
    VERSIONS,
    Case,
    cases_folder,
    read_cases,
    tester,
    throw_dice,
)
from tests.controller.ryu_target import OF13, Refused, Target

OK: Final = "OK"
_TOLERANCE: Final = 0.1
"""By how much a rate may be off, as in Ryu's tester (THROUGHPUT_THRESHOLD)."""

_TURN: Final = 0.1
"""Seconds between the bursts of a stream; at least a packet each."""


class Failure(Exception):
    """What a target did otherwise than the case wants."""


@dataclass(frozen=True)
class Report:
    """What one target made of the cases, in their order."""

    target: str
    results: tuple[str, ...]

    @property
    def passed(self) -> int:
        """How many it passed."""
        return self.results.count(OK)


def run_case(target: Target, case: Case, seconds: float) -> str:
    """OK, or what went wrong. `seconds` is the most that a stream of packets goes on for."""
    try:
        _install(target, case)
        for test in case.tests:
            if "table-miss" in test:
                _check_miss(target, test)
            elif "throughput" in test:
                _check_rate(target, test, min(seconds, test["packets"]["duration_time"]))
            else:
                _check_packet(target, test)
    except (Failure, Refused) as error:
        return f"{error}"
    return OK


def run(switch: Switch, cases: Sequence[Case], seconds: float, version: int = OF13) -> Report:
    """All cases, of one version, on one switch."""
    with Target(switch, version) as target:
        return Report(target.name, tuple(run_case(target, case, seconds) for case in cases))


def compare(cases: Sequence[Case], ours: Report, theirs: Report) -> list[str]:
    """The cases in which one passes and the other does not, or fails for another reason."""
    return [
        f"{case}\n    {ours.target}: {result}\n    {theirs.target}: {there}"
        for case, result, there in zip(cases, ours.results, theirs.results, strict=True)
        if result != there
    ]


def _install(target: Target, case: Case) -> None:
    target.reset()
    make = target.make
    its = tester().OfTester
    myself = _Comparer(target)
    for message in case.prerequisite:
        target.openflow.settle(message)
        if isinstance(message, make.OFPFlowMod):
            found = [its._compare_flow(myself, each, message) for each in target.flows()]
        elif isinstance(message, make.OFPMeterMod):
            request = make.OFPMeterConfigStatsRequest(target.datapath)
            found = [its._compare_meter(each, message) for each in target.openflow.ask(request)]
        else:
            request = make.OFPGroupDescStatsRequest(target.datapath)
            found = [its._compare_group(each, message) for each in target.openflow.ask(request)]
        if not any(same for same, _ in found):
            raise Failure(f"it does not hold what it was given: {[why for _, why in found]}")
    if not any("table-miss" in test for test in case.tests):
        target.mark()
    target.forget()


class _Comparer:
    """What the tester's comparison of flows asks of the tester: the target's protocol."""

    def __init__(self, target: Target) -> None:
        self.target_sw = self
        self.dp = target.datapath


def _check_packet(target: Target, test: dict[str, Any]) -> None:
    came = target.send([test["ingress"]])
    told = target.openflow.packet_ins
    if "egress" in test:
        frames, others = came[SEND[0]], [each.data for each in told]
    else:
        names = ("OFPR_NO_MATCH", "OFPR_TABLE_MISS", "OFPR_INVALID_TTL")
        bad = [getattr(target.of, name) for name in names if hasattr(target.of, name)]
        for each in told:
            if each.reason in bad:
                raise Failure(f"a packet-in with reason {each.reason}")
        frames, others = [each.data for each in told], came[SEND[0]]
    target.openflow.packet_ins = []
    wanted = test.get("egress", test.get("PACKET_IN"))
    if others:
        raise Failure(f"{len(others)} frames went the other way")
    if frames != [wanted]:
        raise Failure(f"wanted {wanted.hex()}, got {[frame.hex() for frame in frames]}")


def _check_miss(target: Target, test: dict[str, Any]) -> None:
    before = _table_stats(target)
    target.send_unmarked(test["ingress"])
    after = _table_stats(target)
    looked = False
    for table in test["table-miss"]:
        if after[table].lookup_count > before[table].lookup_count:
            looked = True
            if after[table].matched_count > before[table].matched_count:
                raise Failure("a flow matched")
    if not looked:
        raise Failure("no table was looked up")


def _table_stats(target: Target) -> dict[int, Any]:
    request = target.make.OFPTableStatsRequest(target.datapath, 0)
    return {each.table_id: each for each in target.openflow.ask(request)}


def _check_rate(target: Target, test: dict[str, Any], seconds: float) -> None:
    """A stream, and what came of it a second. Rates of bytes are in 1024 bits, as in Ryu."""
    stream = test["packets"]
    turn = max(_TURN, 1 / stream["pktps"])
    matches = [decode(_serialized(each["OFPFlowMod"])).body.match for each in test["throughput"]]
    counted = [[0, 0] for _ in matches]
    throw_dice()
    due, turns = 0.0, round(seconds / turn)
    for _ in range(turns):
        target.pass_time(turn)
        due += stream["pktps"] * turn
        came = target.send(_packet(stream) for _ in range(int(due)))
        due -= int(due)
        for port, frames in came.items():
            for frame in frames:
                key = parse(frame, port).key
                for match, sums in zip(matches, counted, strict=True):
                    if key & match.mask == match.value:
                        sums[0] += 1
                        sums[1] += len(frame)
    for wanted, (packets, size) in zip(test["throughput"], counted, strict=True):
        expected = wanted["pktps"] or wanted["kbps"]
        measured = (packets if wanted["pktps"] else size * 8 / 1024) / (turns * turn)
        if abs(measured - expected) > _TOLERANCE * expected:
            raise Failure(f"wanted a rate of {expected}, measured {measured:.1f}")


def _packet(stream: dict[str, Any]) -> bytes:
    if not stream["randomize"]:
        packet: bytes = stream["packet_binary"]
        return packet
    made = eval("/".join(stream["packet_text"]), vars(tester()))  # as Ryu's tester does
    made.serialize()
    return bytes(made.data)


def _serialized(message: Any) -> bytes:
    message.serialize()
    return bytes(message.buf)


def main() -> int:
    """The whole of it, as a program."""
    parser = argparse.ArgumentParser(description="Ryu's switch tests")
    parser.add_argument("prefix", nargs="?", default="", help="only files that begin so")
    parser.add_argument("--version", choices=VERSIONS, default="of13", help="of OpenFlow")
    parser.add_argument("--seconds", type=float, default=30.0, help="the most a stream goes on for")
    arguments = parser.parse_args()
    folder = cases_folder(arguments.version)
    version = VERSIONS[arguments.version]
    if isinstance(folder, str):
        click.echo(folder, err=True)
        return 2
    cases = [case for case in read_cases(folder) if case.file.startswith(arguments.prefix)]
    with tempfile.TemporaryDirectory(prefix="ovsct-") as place:
        model = Modelled(Path(place))
        try:
            ours = run(model, cases, arguments.seconds, version)
        finally:
            model.stop()
    click.echo(f"ovsct switch passes {ours.passed} of {len(cases)}")
    try:
        with Vswitchd() as program:
            theirs = run(Real(program), cases, arguments.seconds, version)
    except ProgramMissing as error:
        click.echo(f"no real ovs-vswitchd: {error}")
        return 0
    click.echo(f"ovs-vswitchd passes {theirs.passed} of {len(cases)}")
    for case, result in zip(cases, theirs.results, strict=True):
        if result != OK:
            click.echo(f"not passed: {case}\n    {result}")
    for line in compare(cases, ours, theirs):
        click.echo(f"not alike: {line}")
    return int(ours.passed < theirs.passed)


if __name__ == "__main__":
    sys.exit(main())
