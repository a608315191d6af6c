"""The lane real-kernel, and what it says of the talk's rule set beside the lane tc-script."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ovsct.compare.verify_kernel import conntrack_lines, outputs, same_lines
from ovsct.conntrack.netfilter import Netfilter
from ovsct.errors import InputError
from ovsct.lane import STACK, Arrival, Drop, Lane
from ovsct.lanes.tc_script import TcScript
from ovsct.oracle.kernel.boot import boot
from ovsct.oracle.kernel.cache import OracleMissing
from ovsct.oracle.kernel.guest import GuestDied, GuestError
from ovsct.oracle.kernel.kernels import choose
from ovsct.oracle.kernel.real_kernel import RealKernel, Wait
from tests.oracle.frames import ACK, SYN, tcp, udp

pytestmark = pytest.mark.real_kernel

PSH, FIN, RST = 0x08, 0x01, 0x04
A, B = "10.0.0.1", "10.0.0.2"
PORTS = (1, 2, 3)


def talk(a: int, b: int) -> str:
    """The rule set of the talk for one of the two ports."""
    head = f"tc filter add dev p{a} ingress prio 1 "
    out = f"action mirred egress redirect dev p{b}"
    return "\n".join((
        f"{head}chain 0 proto ip flower ct_state -trk action ct zone 2 pipe action goto chain 100",
        f"{head}chain 100 proto ip flower ct_state +trk+new action ct commit zone 2 pipe {out}",
        f"{head}chain 100 proto ip flower ct_state +trk+est {out}",
    ))  # fmt: skip


TALK = f"{talk(1, 2)}\n{talk(2, 1)}\n"


@pytest.fixture(scope="module", params=["6.1", "6.12"])
def kernel(request: pytest.FixtureRequest) -> Iterator[RealKernel]:
    """A kernel of each series, whichever way it can be had."""
    try:
        lane = RealKernel(TALK, PORTS, kernel=request.param)
    except (OracleMissing, InputError) as error:
        pytest.skip(f"no kernel {request.param}: {error}")
    with lane:
        yield lane


def there(flags: int, seq: int, ack: int = 0) -> bytes:
    return tcp(A, B, 1000, 80, flags, seq, ack)


def back(flags: int, seq: int, ack: int = 0) -> bytes:
    return tcp(B, A, 80, 1000, flags, seq, ack)


STORY = [
    Arrival(0.0, 1, there(SYN, 100)),
    Arrival(0.1, 2, back(SYN | ACK, 500, 101)),
    Arrival(0.2, 1, there(ACK, 101, 501)),
    Arrival(1.0, 1, there(PSH | ACK, 101, 501)),
    Arrival(1.1, 2, back(PSH | ACK, 501, 101)),
    Arrival(2.0, 1, there(FIN | ACK, 101, 501)),
    Arrival(2.1, 2, back(FIN | ACK, 501, 102)),
    Arrival(2.2, 1, there(ACK, 102, 502)),
    Wait(62.0),
    Wait(121.0),
    Wait(123.5),
]
"""Handshake, data, FIN, and two minutes in which nothing happens."""


def series(kernel: RealKernel) -> str:
    return ".".join(kernel.release.split(".")[:2])


def test_the_talks_rule_set(kernel: RealKernel) -> None:
    kernel.reset(TALK)
    model = TcScript(TALK, PORTS, netfilter=Netfilter(series(kernel)))
    seen = []
    for number, each in enumerate(STORY):
        model.advance(each.at)
        if isinstance(each, Arrival):
            mine, real = model.receive(each), kernel.receive(each)
            assert outputs(mine.out) == outputs(real.out), f"packet {number}"
            assert [port for port, _ in real.out] == [3 - each.port]
        else:
            assert kernel.advance(each.at) == ()
        lines = conntrack_lines(kernel.dump_conntrack())
        assert same_lines(conntrack_lines(model.dump_conntrack("proc")), lines), f"step {number}"
        seen.append(lines)
    assert "SYN_SENT" in seen[0][0]
    assert "[OFFLOAD]" in seen[2][0]
    assert "TIME_WAIT" in seen[-2][0]
    assert seen[-1] == []


def test_many_at_once_are_as_one_by_one(kernel: RealKernel) -> None:
    kernel.reset(TALK)
    alone = []
    for each in STORY:
        if isinstance(each, Arrival):
            out = tuple(kernel.receive(each).out)
        else:
            kernel.advance(each.at)
            out = ()
        alone.append((out, conntrack_lines(kernel.dump_conntrack())))
    kernel.reset(TALK)
    together = kernel.play(STORY, "each")
    assert [each.out for each in together] == [out for out, _ in alone]
    for each, (_, lines) in zip(together, alone, strict=True):
        assert same_lines(conntrack_lines(each.conntrack or ()), lines)


def test_time_is_virtual(kernel: RealKernel) -> None:
    kernel.reset(TALK)
    kernel.receive(Arrival(7.0, 1, there(SYN, 100)))
    began = time.monotonic()
    kernel.advance(7.0 + 118.0)
    assert len(kernel.dump_conntrack()) == 1
    kernel.advance(7.0 + 120.5)
    assert kernel.dump_conntrack() == []
    assert time.monotonic() - began < 20


def test_time_stands_still_while_nobody_asks(kernel: RealKernel) -> None:
    kernel.reset(TALK)
    kernel.receive(Arrival(0.0, 1, there(SYN, 100)))
    before = kernel.clock()
    time.sleep(1.0)
    after = kernel.clock()
    assert before is not None
    assert after is not None
    assert 0 <= after - before < 0.5


def test_time_does_not_run_backwards(kernel: RealKernel) -> None:
    kernel.reset(TALK)
    kernel.advance(5.0)
    with pytest.raises(InputError, match="time runs backwards"):
        kernel.receive(Arrival(4.0, 1, there(SYN, 100)))


def test_reset_forgets_rules_connections_and_sysctls(kernel: RealKernel) -> None:
    kernel.reset(TALK, sysctls={"tcp_loose": 0})
    kernel.receive(Arrival(0.0, 1, there(ACK, 100, 1)))
    assert kernel.dump_conntrack() == []  # picked up only if loose
    kernel.reset(TALK)
    kernel.receive(Arrival(0.0, 1, there(ACK, 100, 1)))
    assert "ESTABLISHED" in kernel.dump_conntrack()[0]
    kernel.reset("")
    assert kernel.show_filters() == ""
    assert kernel.dump_conntrack() == []
    outcome = kernel.receive(Arrival(0.0, 1, there(SYN, 100)))
    assert [port for port, _ in outcome.out] == [STACK]


def test_a_qdisc_only_where_the_commands_say(kernel: RealKernel) -> None:
    drop = "filter add dev p1 ingress prio 1 proto ip flower action drop"
    kernel.reset(f"tc qdisc add dev p1 clsact\n{drop}")
    outcome = kernel.receive(Arrival(0.0, 1, there(SYN, 100)))
    assert (list(outcome.out), outcome.drop) == ([], Drop.ACTIONS)
    with pytest.raises(InputError, match=r"^rules:2: refused by tc: .*Qdisc"):
        kernel.reset(f"tc qdisc add dev p2 ingress\n{drop}", file="rules")


@pytest.mark.parametrize(
    ("command", "line", "words"),
    [
        ("filter add dev p1 ingress prio 1 proto ip flower ct_state foo", 3, "ct_state"),
        ("filter add dev p1 ingress prio 1 proto arp flower action pass", 3, "not found"),
        ("filter add dev p9 ingress prio 1 proto ip flower action pass", 3, "p9"),
        ("filter add dev p1 ingress prio 1 \\\n proto ip flower action bogus", 3, "bogus"),
        ("filter add dev p1 ingress prio 1 proto ip flower action mirred egress redirect dev p77",
         3, "p77"),
    ],
)  # fmt: skip
def test_refusals_have_the_line_and_the_words(
    kernel: RealKernel, command: str, line: int, words: str
) -> None:
    first = "# the first rule\ntc filter add dev p1 ingress prio 1 proto ip flower action pass\n"
    with pytest.raises(InputError) as caught:
        kernel.reset(first + command)
    assert caught.value.line == line
    assert words in caught.value.problem
    kernel.reset(TALK)
    assert kernel.receive(Arrival(0.0, 1, there(SYN, 100))).out[0].port == 2


def test_labels_and_status_come_with_connections(kernel: RealKernel) -> None:
    kernel.reset(
        "filter add dev p1 ingress prio 1 proto ip flower"
        " action ct commit zone 5 mark 7 label 0102/ffff nat src addr 10.9.9.9 port 77 pipe"
        " action mirred egress redirect dev p2"
    )
    outcome = kernel.receive(Arrival(0.0, 1, udp(A, B, 1000, 53)))
    assert outcome.out[0].frame[26:30] == bytes((10, 9, 9, 9))
    (connection,) = kernel.connections()
    assert (connection.zone, connection.mark, connection.label) == (5, 7, 0x0201)
    assert connection.reply.dst == "10.9.9.9"
    assert connection.reply.dport == 77
    assert connection.status >= {"confirmed", "src-nat"}
    assert "assured" not in connection.status
    assert kernel.dump_conntrack("dpctl")[0].startswith("udp,orig=(src=10.0.0.1,")


def test_filters_are_shown_with_their_counters(kernel: RealKernel) -> None:
    kernel.reset(TALK)
    kernel.receive(Arrival(0.0, 1, there(SYN, 100)))
    shown = kernel.show_filters(1)
    assert "ct_state +trk+new" in shown
    assert "Sent 40 bytes 1 pkt" in shown
    assert "Sent 40 bytes" not in kernel.show_filters(2)


def test_fragments_do_not_outlive_their_case(kernel: RealKernel) -> None:
    kernel.reset(TALK)
    whole = udp(A, B, 1000, 53, bytes(64))
    first = whole[:20] + b"\x20\x00" + whole[22:24] + b"\0\0" + whole[26:50]
    first = first[:24] + _ip_sum(first[14:34]) + first[26:]
    assert list(kernel.receive(Arrival(0.0, 1, first)).out) == []  # held
    kernel.reset(TALK)
    last = whole[:16] + (20 + 56).to_bytes(2, "big") + whole[18:20] + b"\x00\x02" + whole[22:24]
    last += b"\0\0" + whole[26:34] + whole[50:]
    last = last[:24] + _ip_sum(last[14:34]) + last[26:]
    assert list(kernel.receive(Arrival(0.0, 1, last)).out) == []
    assert kernel.dump_conntrack() == []


def _ip_sum(head: bytes) -> bytes:
    from tests.oracle.frames import checksum

    return checksum(head[:10] + b"\0\0" + head[12:]).to_bytes(2, "big")


def test_packets_that_no_device_can_carry(kernel: RealKernel) -> None:
    kernel.reset(TALK)
    with pytest.raises(InputError, match="no such port"):
        kernel.receive(Arrival(0.0, 9, there(SYN, 1)))
    with pytest.raises(InputError, match="13 bytes"):
        kernel.receive(Arrival(0.0, 1, bytes(13)))
    with pytest.raises(InputError, match="1515 bytes"):
        kernel.receive(Arrival(0.0, 1, bytes(12) + b"\x08\x00" + bytes(1501)))


def test_the_stack_hears_any_ethernet_type(kernel: RealKernel) -> None:
    kernel.reset("")
    frame = bytes(12) + b"\x88\xb5" + bytes(50)
    assert list(kernel.receive(Arrival(0.0, 1, frame)).out) == [(STACK, frame)]


def test_it_is_a_lane(kernel: RealKernel) -> None:
    lane: Lane = kernel
    assert lane.name == "real-kernel"


def test_an_unknown_request_is_an_error_of_the_agent(kernel: RealKernel) -> None:
    with pytest.raises(GuestError, match="no_such"):
        kernel.guest.ask("no_such")
    kernel.reset(TALK)


# -- how it ends -----------------------------------------------------------------------------------


def _start() -> RealKernel:
    try:
        return RealKernel(TALK, (1, 2))
    except OracleMissing as error:
        pytest.skip(str(error))


def _group(number: int) -> list[str]:
    """The processes of a group that still run."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except (OSError, ValueError):
            continue  # no process, or one that is just gone
        if entry.name.isdecimal() and int(fields[2]) == number and fields[0] != "Z":
            found.append(entry.name)
    return found


def _all_gone(number: int) -> bool:
    """Whether a group has ended, or does so within seconds: a killed process takes its time."""
    until = time.monotonic() + 10
    while _group(number) and time.monotonic() < until:
        time.sleep(0.02)
    return not _group(number)


def test_it_leaves_nothing_behind() -> None:
    lane = _start()
    pid, directory = lane.guest.pid, lane.guest.directory
    assert _group(pid)
    assert directory.is_dir()
    lane.close()
    lane.close()
    assert _all_gone(pid)
    assert not directory.exists()
    with pytest.raises(GuestDied, match="closed"):
        lane.receive(Arrival(0.0, 1, there(SYN, 1)))


def test_a_kernel_that_dies_is_reported() -> None:
    lane = _start()
    pid, directory = lane.guest.pid, lane.guest.directory
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(GuestDied, match="the guest kernel"):
        lane.receive(Arrival(0.0, 1, there(SYN, 1)))
    assert _all_gone(pid)
    assert not directory.exists()


_DRIVER = """
import sys
from ovsct.oracle.kernel.real_kernel import RealKernel
lane = RealKernel("", (1, 2))
print(lane.guest.pid, lane.guest.directory, flush=True)
sys.stdin.read()
"""


def test_it_ends_with_its_driver() -> None:
    _start().close()
    with subprocess.Popen(
        [sys.executable, "-c", _DRIVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as driver:
        assert driver.stdout is not None
        words = driver.stdout.readline().split()
        pid = int(words[0])
        assert _group(pid)
        driver.kill()
    assert _all_gone(pid)
    subprocess.run(["rm", "-rf", words[1]], check=True)


def test_a_refused_first_rule_set_leaves_no_kernel_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _start().close()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(InputError, match="refused by tc"):
        RealKernel("filter add dev p1 ingress prio 1 proto ip flower ct_state foo")
    assert list(tmp_path.glob("ovsct-kernel-*")) == []


def test_a_stock_kernel_in_qemu() -> None:
    """What everybody can have who has QEMU and a Debian mirror."""
    try:
        stock = choose("qemu:6.1")
        guest = boot(stock)
    except (OracleMissing, InputError) as error:
        pytest.skip(f"no stock kernel in QEMU: {error}")
    with guest:
        lane = RealKernel(TALK, PORTS, guest=guest)
        assert "cloud" in lane.release
        test_the_talks_rule_set(lane)
        test_time_stands_still_while_nobody_asks(lane)
