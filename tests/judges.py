"""The judges as fixtures, for the tests of every room.

A test that uses one carries its marker too (``@pytest.mark.real_ovs``), by which it is skipped
with a reason where the judge is not installed.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ovsct.oracle.real_ovs import RealOvs


@pytest.fixture(scope="session")
def real_ovs() -> Iterator[RealOvs]:
    """One real ovs-vswitchd for the whole run, with ports 1 to 4; ``reset`` it for each case."""
    with RealOvs(ports=(1, 2, 3, 4)) as lane:
        yield lane
