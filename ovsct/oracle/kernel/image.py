"""The initramfs: this machine's tc, ip and Python with their libraries, and the agent.

Open vSwitch's programs are put in if asked for, a stock kernel's modules if it has any. Written
in pure Python and kept in the cache by a digest of all that is in it.
"""

from __future__ import annotations

import gzip
import os
import py_compile
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ovsct.oracle.kernel.cache import OracleMissing, cached_file, digest, find_program
from ovsct.oracle.kernel.cpio import Archive

AGENT: Final = Path(__file__).with_name("agent.py")
_OVS_PART: Final = Path(__file__).with_name("agent_ovs.py")

_IMPORTS: Final = (
    "import sys; sys.path.append(sys.argv[1]); import agent, encodings.ascii, encodings.latin_1;"
    "print('\\n'.join(m.__file__ for m in list(sys.modules.values())"
    " if m is not agent and getattr(m, '__file__', None)))"
)
"""Prints the files of all modules that the agent needs."""

_OVS_PROGRAMS: Final = ("ovs-vswitchd", "ovsdb-server", "ovsdb-tool", "ovs-vsctl", "ovs-ofctl",
                        "ovs-appctl")  # fmt: skip
_OVS_SCHEMA: Final = "/usr/share/openvswitch/vswitch.ovsschema"
_LIBRARY: Final = re.compile(r"(?:=>\s*|^\s*)(/\S+) \(0x", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Item:
    """A file of the image: where it goes, and the file of this machine that it is."""

    path: str
    source: Path
    mode: int = 0o755


def build_image(*, with_ovs: bool = False, modules: Sequence[Path] = ()) -> Path:
    """The path of an initramfs, built now or long since.

    Args:
        with_ovs: put Open vSwitch's programs in.
        modules: kernel modules, uncompressed, in the order in which they are to be loaded.

    Raises:
        OracleMissing: a program that goes into it is not installed.
    """
    items = list(_items(with_ovs))
    contents = [item.source.read_bytes() for item in items]
    mods = [(path.name, path.read_bytes()) for path in modules]
    agent = AGENT.read_bytes()
    name = digest(
        [Path(__file__).read_bytes(), sys.version.encode(), agent,
         *(item.path.encode() for item in items), *contents,
         *(part for name, data in mods for part in (name.encode(), data))]
    )  # fmt: skip

    def make(path: Path) -> None:
        archive = Archive()
        for directory in ("proc", "sys", "dev", "tmp", "run", "host", "var/run/openvswitch",
                          "var/log/openvswitch", "etc/openvswitch", "etc/iproute2"):  # fmt: skip
            archive.directory(directory)
        archive.device("dev/console", 5, 1)
        archive.device("dev/null", 1, 3)
        archive.device("dev/urandom", 1, 9)
        for item, data in zip(items, contents, strict=True):
            archive.file(item.path, data, item.mode)
            if item.path.endswith(".py"):
                archive.file(_compiled_name(item.path), _compiled(item))
        for file, data in mods:
            archive.file(f"mods/{file}", data)
        archive.file("mods/order", "\n".join(file for file, _ in mods).encode() + b"\n")
        start = f"#!{_interpreter()} -ISB\n".encode()
        archive.file("init", start + agent, 0o755)
        path.write_bytes(gzip.compress(archive.close(), compresslevel=1, mtime=0))

    return cached_file(f"initramfs-{name}.gz", make)


def _items(with_ovs: bool) -> Iterator[Item]:
    """Everything of this machine that the image holds, each path once."""
    seen: set[str] = set()
    for item in _programs(with_ovs):
        for each in (item, *_libraries(item.source)):
            if each.path not in seen:
                seen.add(each.path)
                yield each


def _programs(with_ovs: bool) -> Iterator[Item]:
    for name in ("tc", "ip"):
        yield Item(f"/sbin/{name}", find_program(name, "iproute2").resolve())
    interpreter = _interpreter()
    yield Item(str(interpreter), interpreter)
    said = subprocess.run(
        [interpreter, "-ISBc", _IMPORTS, AGENT.parent], check=True, capture_output=True, text=True
    ).stdout
    for name in sorted(set(said.split())):
        yield Item(name, Path(name), 0o644)
    if with_ovs:
        yield Item(f"/agent/{_OVS_PART.name}", _OVS_PART, 0o644)
        for name in _OVS_PROGRAMS:
            yield Item(f"/usr/sbin/{name}", find_program(name, "openvswitch-switch").resolve())
        schema = Path(_OVS_SCHEMA)
        if not schema.is_file():
            raise OracleMissing(f"{schema} is missing: install Debian's openvswitch-switch")
        yield Item(_OVS_SCHEMA, schema, 0o644)


def _interpreter() -> Path:
    """The Python that runs this, outside of any virtual environment."""
    base: str = getattr(sys, "_base_executable", None) or sys.executable
    return Path(os.path.realpath(base))


def _libraries(path: Path) -> Iterable[Item]:
    """The shared libraries of a program or library, under the names by which it asks for them."""
    if path.suffix == ".py":
        return
    said = subprocess.run(["ldd", path], check=False, capture_output=True, text=True).stdout
    for name in _LIBRARY.findall(said):
        yield Item(name, Path(name))


def _compiled_name(path: str) -> str:
    at = Path(path)
    return str(at.parent / "__pycache__" / f"{at.stem}.{sys.implementation.cache_tag}.pyc")


def _compiled(item: Item) -> bytes:
    """What Python would compile `item` to, for ever valid: guests start faster with it."""
    with tempfile.TemporaryDirectory() as directory:
        made = Path(directory) / "module.pyc"
        py_compile.compile(
            str(item.source), str(made), item.path, doraise=True,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )  # fmt: skip
        return made.read_bytes()
