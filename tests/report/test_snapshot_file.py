"""A snapshot in a file: whenever its writer is killed, the old or the new one is there, whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from random import Random
from time import sleep

import pytest

from ovsct.conntrack.snapshot import decode, encode
from ovsct.errors import InputError
from ovsct.report.snapshot import read_whole, write_whole

WRITER = """
import sys
from ovsct.conntrack.snapshot import encode
from ovsct.report.snapshot import write_whole
states = [encode({"dialect": "test", "which": n, "body": bytes(200_000 + 50_000 * n)})
          for n in range(2)]
write_whole(sys.argv[1], states[0])
print("ready", flush=True)
n = 0
while True:
    n += 1
    write_whole(sys.argv[1], states[n % 2])
"""


def test_a_kill_in_the_middle_of_writing_leaves_one_whole(tmp_path: Path) -> None:
    dice = Random(1)
    file = tmp_path / "ct.snapshot"
    for _ in range(12):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(file)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        # When it is killed does not matter: at whatever point it is, one of the two is there.
        sleep(dice.random() * 0.02)
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        state = decode(read_whole(str(file)))
        assert len(state["body"]) == 200_000 + 50_000 * state["which"]


def test_no_kill_leaves_nothing_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "ct.snapshot"
    for n in range(3):
        write_whole(str(file), encode({"dialect": "test", "n": n}))
        assert decode(read_whole(str(file))) == {"dialect": "test", "n": n}
    assert [each.name for each in tmp_path.iterdir()] == ["ct.snapshot"]


def test_what_cannot_be_read_or_written_is_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere" / "ct"):
        with pytest.raises(InputError, match=r"cannot be written"):
            write_whole(str(path), b"x")
        with pytest.raises(InputError, match=r"cannot be read"):
            read_whole(str(path))
    assert not list(tmp_path.iterdir())
