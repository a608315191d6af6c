from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ovsct.oracle.vswitchd import Vswitchd
from tests.agent.programs import Modelled, Real


@pytest.fixture(scope="module")
def real() -> Iterator[Real]:
    """A real ovs-vswitchd."""
    with Vswitchd() as program:
        yield Real(program)


@pytest.fixture(scope="module")
def model() -> Iterator[Modelled]:
    """`ovsct switch`, the same."""
    # The path of a unix socket is short: pytest's own folders may be too long for it.
    with tempfile.TemporaryDirectory(prefix="ovsct-") as folder:
        switch = Modelled(Path(folder))
        yield switch
        code = switch.stop()
        assert switch.errors() == ""
        assert code == 0
