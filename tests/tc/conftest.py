"""One real kernel of each series for all tests of this room."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ovsct.compare.verify_kernel import KernelVerifier
from ovsct.errors import InputError
from ovsct.oracle.kernel.cache import OracleMissing


@pytest.fixture(scope="session", params=["6.1", "6.12"])
def verifier(request: pytest.FixtureRequest) -> Iterator[KernelVerifier]:
    """The model of TC and a real kernel side by side, with ports 1 to 4."""
    try:
        found = KernelVerifier(request.param)
    except (OracleMissing, InputError) as error:
        pytest.skip(f"no kernel {request.param}: {error}")
    with found:
        yield found
