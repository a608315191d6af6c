"""The capture that is shipped: made by the project, and read by its main job."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path

TOPOLOGIES = Path(__file__).parents[2] / "topologies"
CAPTURE = TOPOLOGIES / "two-table-firewall.pcapng"


def test_it_is_what_its_script_makes() -> None:
    spec = importlib.util.spec_from_file_location("made", TOPOLOGIES / "make_capture.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    out = io.BytesIO()
    module.write(out)
    assert out.getvalue() == CAPTURE.read_bytes()


def test_four_lanes_differ_in_padding_and_window(ovsct) -> None:
    done = ovsct(
        "diff", "--flows", CAPTURE.with_suffix(".flows"), "--events", CAPTURE,
        "--lanes", "ovs-kernel,ovs-userspace,tc,hw",
    )  # fmt: skip
    assert done.exit_code == 1, done.output
    last = done.stdout.rstrip().splitlines()[-1]
    assert last.startswith("2 of 58 packets differ:")
    assert "padding" in last and "tcp-window" in last
