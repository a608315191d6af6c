from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable

import pytest

from ovsct.oracle.vswitchd import find_program

_LOG = re.compile(r"^\d{4}-\d\d-\d\dT.*\n", re.M)


@pytest.fixture(scope="session")
def ofp_print() -> Callable[[bytes], str]:
    """What the real ovs-ofctl says a message is."""
    program = find_program("ovs-ofctl")

    def said(message: bytes) -> str:
        done = subprocess.run(
            [program, "ofp-print", message.hex(), "2"],
            capture_output=True, text=True, check=True, timeout=20,
            env={**os.environ, "LC_ALL": "C"},
        )  # fmt: skip
        return _LOG.sub("", done.stdout)

    return said
