"""The host's own kernel as judge, as far as the host lets it be one."""

from __future__ import annotations

import os
import subprocess

import pytest
from click.testing import CliRunner

from ovsct.cli.verify import verify
from ovsct.errors import InputError
from ovsct.lane import STACK, Arrival
from ovsct.oracle.kernel.boot import boot
from ovsct.oracle.kernel.cache import OracleMissing
from ovsct.oracle.kernel.guest import GuestError
from ovsct.oracle.kernel.kernels import Kind, choose
from ovsct.oracle.kernel.netns import Netns
from ovsct.oracle.kernel.real_kernel import RealKernel
from tests.oracle.frames import SYN, tcp


def _no_namespaces() -> str | None:
    if os.geteuid():
        return "namespaces take root"
    done = subprocess.run(["unshare", "--net", "true"], capture_output=True, text=True, check=False)
    return f"namespaces are forbidden here: {done.stderr.strip()}" if done.returncode else None


def test_it_is_chosen_by_name_alone() -> None:
    kernel = choose("netns")
    assert (kernel.kind, kernel.version) == (Kind.NETNS, os.uname().release)


def test_open_vswitch_is_refused() -> None:
    with pytest.raises(InputError, match="does not run on the host's own kernel"):
        boot(choose("netns"), with_ovs=True)


def test_without_root_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(OracleMissing, match="judges only for root"):
        Netns()


def test_a_host_that_cannot_says_so_in_one_line() -> None:
    if reason := _no_namespaces():
        pytest.skip(reason)
    try:
        boot(choose("netns")).close()
    except OracleMissing as error:
        assert "cannot judge" in str(error) and "act_ct" in str(error)
        done = CliRunner().invoke(verify, ["--against", "real-kernel", "--kernel", "netns",
                                           "--cases", "1"])  # fmt: skip
        assert isinstance(done.exception, OracleMissing)
    else:
        pytest.skip("this host's kernel can judge")


def test_what_no_filter_takes_goes_to_the_stack() -> None:
    """The agent lives in a namespace as it does in a guest; this needs no classifier."""
    if reason := _no_namespaces():
        pytest.skip(reason)
    with Netns(probe=False) as guest:
        assert guest.release == os.uname().release
        try:
            lane = RealKernel("", (1, 2), guest=guest)
        except GuestError as error:
            pytest.skip(f"this host's kernel has no veth, ingress qdisc or ctnetlink: {error}")
        frame = tcp("10.0.0.1", "10.0.0.2", 1000, 80, SYN, 7)
        assert list(lane.receive(Arrival(0.0, 1, frame)).out) == [(STACK, frame)]
        assert lane.connections() == []
    assert not guest.is_running()
    shown = subprocess.run(["ip", "link"], capture_output=True, text=True, check=True).stdout
    assert "p1" not in shown.split(":")
