"""Which judges are here, and where captures lie. What is missing is skipped with its reason."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.judges import kernel_judges, real_ovs  # noqa: F401  (fixtures for every test)

_SBIN = "/usr/sbin:/usr/local/sbin:/sbin"
"""Where distributions put daemons that an ordinary user's PATH does not name."""


def _find(program: str) -> str | None:
    return shutil.which(program) or shutil.which(program, path=_SBIN)


def _no_real_ovs() -> str | None:
    missing = [name for name in ("ovs-vswitchd", "ovsdb-server") if _find(name) is None]
    if missing:
        return f"{' and '.join(missing)} not found: install openvswitch-switch"
    return None


def _no_real_kernel() -> str | None:
    named = [name for name in os.environ.get("OVSCT_UML", "").split(":") if name]
    for uml in named:
        if not (os.access(uml, os.X_OK) and Path(uml).is_file()):
            return f"OVSCT_UML names {uml}, which is no program"
    if named:
        return None
    if _find("qemu-system-x86_64") is None:
        return "no kernel: install qemu-system-x86_64, or name a user-mode kernel in OVSCT_UML"
    return None


def _no_chromium() -> str | None:
    if _find("chromium") is None:
        return "chromium not found"
    return None


_JUDGES = {"real_ovs": _no_real_ovs, "real_kernel": _no_real_kernel, "chromium": _no_chromium}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what asks for a judge that is not here, and say which one and how to get it."""
    missing = {marker: reason for marker, look in _JUDGES.items() if (reason := look())}
    for item in items:
        for marker, reason in missing.items():
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def captures() -> Path:
    """The folder of captures that OVSCT_CAPTURES names; without it the test is skipped."""
    folder = os.environ.get("OVSCT_CAPTURES")
    if not folder:
        pytest.skip("OVSCT_CAPTURES is not set: it names a folder of captures")
    path = Path(folder)
    if not path.is_dir():
        pytest.fail(f"OVSCT_CAPTURES names {folder}, which is no folder")
    return path
