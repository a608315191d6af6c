"""Installs Ryu 4.34 into the virtual environment that runs this file; ``make controller`` does.

Ryu's set-up script fails under setuptools 67 and later, also in the environment that pip builds
it in, which only ``PIP_CONSTRAINT`` reaches; and ryu-manager fails on today's eventlet, which
eventlet_fix.py mends from a ``.pth`` file (the site module runs its line at each start).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

RYU = "ryu==4.34"
SETUPTOOLS = "setuptools<67"
_FIX = Path(__file__).resolve().parent / "common" / "eventlet_fix.py"


def main() -> int:
    """Install; the exit status."""
    if sys.prefix == sys.base_prefix:
        sys.stderr.write("install_ryu.py: run it by a virtual environment's own python\n")
        return 2
    with tempfile.TemporaryDirectory() as folder:
        constraint = Path(folder) / "constraint.txt"
        constraint.write_text(f"{SETUPTOOLS}\n", encoding="utf-8")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        done = subprocess.run(
            [*pip, SETUPTOOLS, RYU, "PyYAML>=6.0"],
            env={**os.environ, "PIP_CONSTRAINT": str(constraint)},
            check=False,
        )
    if done.returncode != 0:
        return done.returncode
    packages = Path(sysconfig.get_path("purelib"))
    shutil.copy(_FIX, packages / "ryu_eventlet_fix.py")
    (packages / "ryu_eventlet_fix.pth").write_text(
        "import ryu_eventlet_fix; ryu_eventlet_fix.watch()\n", encoding="utf-8"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
