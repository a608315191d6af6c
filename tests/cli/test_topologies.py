"""The shipped scenarios: each runs, and shows what it says it shows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ovsct.compare.case import Case, from_scenario, shots_of
from ovsct.compare.cause import Cause
from ovsct.compare.scenario import read_scenario
from ovsct.compare.verify import Verifier
from ovsct.compare.verify_kernel import KernelVerifier
from ovsct.compare.verify_kernel_ovs import KernelOvsVerifier
from ovsct.errors import InputError
from ovsct.oracle.kernel.cache import OracleMissing

FOLDER = Path(__file__).parents[2] / "topologies"
FILES = sorted(FOLDER.rglob("*.yaml"))
READ = {file: read_scenario(str(file)) for file in FILES}


def named(file: Path) -> str:
    return str(file.relative_to(FOLDER).with_suffix(""))


def test_they_are_all_there() -> None:
    assert {file.stem for file in FILES} >= {
        "netdev-0x13", "stateful-firewall", "snat-gateway", "dnat-load-balancer",
        "never-hit-rule", "fin-stuck-in-hardware", "two-bridges",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("folder", "page"), [("cases", "cases.md"), ("side-by-side", "ovs-and-tc.md")]
)
def test_each_stands_on_its_page(folder: str, page: str) -> None:
    text = (FOLDER.parent / "docs" / page).read_text()
    linked = set(re.findall(rf"\(\.\./topologies/({folder}/[^)]+)\.yaml\)", text))
    assert linked == {named(file) for file in FILES if file.parent.name == folder}


@pytest.mark.parametrize("file", FILES, ids=named)
def test_each_says_what_it_shows_and_what_is_to_be_expected(file: Path) -> None:
    assert file.read_text().startswith("# ")
    assert READ[file].expect is not None


@pytest.mark.parametrize("file", FILES, ids=named)
def test_each_comes_as_it_expects(ovsct, file: Path) -> None:
    done = ovsct("diff", file, "--check")
    assert done.exit_code == 0, done.output
    assert "as expected" in done.stdout


def _about_offload(file: Path) -> bool:
    expect = READ[file].expect
    return expect is not None and expect.about_offload


@pytest.mark.parametrize("file", [file for file in FILES if _about_offload(file)], ids=named)
def test_each_is_offloaded_as_it_expects(ovsct, file: Path) -> None:
    done = ovsct("offload", file, "--check")
    assert done.exit_code == 0, done.output
    assert "as expected" in done.stdout


@pytest.fixture(scope="module")
def verifier() -> Iterator[Verifier]:
    with Verifier() as verifier:
        yield verifier


def _judged(file: Path) -> bool:
    """Whether the real program can say what has to come out of userspace."""
    scenario = READ[file]
    # Which port of a range NAT takes, the program draws by lot when it starts.
    drawn = scenario.expect is not None and Cause.NAT_CHOICE in scenario.expect.causes
    return scenario.flows is not None and not drawn


@pytest.mark.real_ovs
@pytest.mark.parametrize("file", [file for file in FILES if _judged(file)], ids=named)
def test_the_userspace_lane_does_what_the_real_program_does(
    verifier: Verifier, file: Path
) -> None:
    case = from_scenario(READ[file], str(file))
    # OVS 3.1 itself aborts now and then (cmap_rehash, lib/cmap.c:964) after an ICMP error that
    # belongs to a DNATed connection, in about one run of seven: a judge that died is asked again.
    for _ in range(8):
        verdict = verifier.run(case)
        if verdict.left_out is None:
            break
    assert verdict.left_out is None
    told = "\n".join(verdict.difference.lines()) if verdict.difference else ""
    assert verdict.difference is None, told


@pytest.fixture(scope="module")
def kernel() -> Iterator[KernelVerifier]:
    with KernelVerifier() as verifier:
        yield verifier


@pytest.mark.real_kernel
@pytest.mark.parametrize(
    "file", [file for file in FILES if READ[file].tc_script is not None], ids=named
)
def test_the_tc_script_does_what_a_real_kernel_does(kernel: KernelVerifier, file: Path) -> None:
    scenario = READ[file]
    script = scenario.setup.tc_script
    assert script is not None
    case = Case(
        tuple(script.text.splitlines()), tuple(shots_of(scenario.happenings())), ports=(1, 2, 3, 4),
        title=scenario.title,
    )  # fmt: skip
    verdict = kernel.run(case)
    told = "\n".join(verdict.difference.lines()) if verdict.difference else ""
    assert verdict.difference is None, told
    assert verdict.left_out is None


# A day and an hour are many turns of the guest's vswitchd, even if no time passes outside.
TOO_LONG = "side-by-side/18-idle-tcp"


@pytest.fixture(scope="module", params=["ovs-kernel", "tc"])
def in_kernel(request: pytest.FixtureRequest) -> Iterator[tuple[str, KernelOvsVerifier]]:
    """Open vSwitch over a real kernel's datapath, and over its TC."""
    try:
        verifier = KernelOvsVerifier("uml:6.1", hw_offload=request.param == "tc")
    except (OracleMissing, InputError) as error:
        pytest.skip(f"no user-mode kernel 6.1 with Open vSwitch: {error}")
    with verifier:
        yield request.param, verifier


@pytest.mark.real_kernel
@pytest.mark.real_ovs
@pytest.mark.parametrize("file", [file for file in FILES if _judged(file)], ids=named)
def test_the_kernel_lanes_do_what_open_vswitch_does_over_a_real_kernel(
    in_kernel: tuple[str, KernelOvsVerifier], file: Path
) -> None:
    lane, verifier = in_kernel
    scenario = READ[file]
    if lane not in scenario.lanes or scenario.bridges or named(file) == TOO_LONG:
        pytest.skip(f"nothing to ask about {lane} (docs/verify.md)")
    options = scenario.setup.options.get("ovs-kernel", {})
    case = replace(
        from_scenario(scenario, str(file)),
        ports=verifier.ports, fragments=str(options.get("frag_mode", "normal")),
    )  # fmt: skip
    verdict = verifier.run(case)
    told = "\n".join(verdict.difference.lines()) if verdict.difference else ""
    assert verdict.difference is None, told
    assert verdict.left_out is None
