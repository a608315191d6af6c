"""What surrounds the real kernel, tested without one: archive, cache, choice, netlink, scripts."""

from __future__ import annotations

import gzip
import os
import struct
from pathlib import Path

import pytest
from click.testing import CliRunner

from ovsct.cli.oracle import oracle
from ovsct.errors import InputError
from ovsct.oracle.kernel import kernels, xstate
from ovsct.oracle.kernel.cache import OracleMissing, cached_directory, cached_file, find_program
from ovsct.oracle.kernel.cpio import Archive
from ovsct.oracle.kernel.ctnetlink import read_connections
from ovsct.oracle.kernel.image import build_image
from ovsct.oracle.kernel.kernels import Kernel, Kind, choose
from ovsct.oracle.kernel.real_kernel import script_lines
from ovsct.oracle.kernel.stock import stock_kernel
from ovsct.oracle.kernel.uml_build import fragment


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("OVSCT_UML", raising=False)
    return tmp_path / "cache"


def members(data: bytes) -> dict[str, tuple[int, bytes]]:
    """A newc archive read back, by its description."""
    found = {}
    at = 0
    while True:
        assert data[at : at + 6] == b"070701"
        fields = [int(data[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        mode, size, length = fields[1], fields[6], fields[11]
        name = data[at + 110 : at + 110 + length - 1].decode()
        at += (110 + length + 3) & ~3
        if name == "TRAILER!!!":
            return found
        found[name] = (mode, data[at : at + size])
        at += (size + 3) & ~3


def test_an_archive_reads_back() -> None:
    archive = Archive()
    archive.file("/sbin/tool", b"#!x", 0o755)
    archive.link("/bin", "sbin")
    archive.device("dev/null", 1, 3)
    archive.file("/sbin/other", b"12345")
    found = members(archive.close())
    assert found["sbin/tool"] == (0o100755, b"#!x")
    assert found["bin"] == (0o120777, b"sbin")
    assert found["dev/null"][0] == 0o020600
    assert list(found) == ["sbin", "sbin/tool", "bin", "dev", "dev/null", "sbin/other"]
    assert "/sbin/tool" in archive
    assert "/sbin/none" not in archive


def test_the_image_holds_all_that_the_agent_needs() -> None:
    try:
        path = build_image()
    except OracleMissing as error:
        pytest.skip(str(error))
    found = members(gzip.decompress(path.read_bytes()))
    assert found["init"][0] == 0o100755
    start, _, agent = found["init"][1].partition(b"\n")
    assert start.startswith(b"#!/")
    assert start[2:].split()[0].decode().lstrip("/") in found
    assert b"class Agent" in agent
    assert "sbin/tc" in found
    assert any(name.endswith("libc.so.6") for name in found)
    assert any(name.endswith("/json/__init__.py") for name in found)
    assert not any("ovsct" in name for name in found)
    again = build_image()
    assert again == path


def test_the_image_is_another_with_other_modules(tmp_path: Path) -> None:
    module = tmp_path / "veth.ko"
    module.write_bytes(b"module")
    try:
        plain, other = build_image(), build_image(modules=[module])
    except OracleMissing as error:
        pytest.skip(str(error))
    assert plain != other
    found = members(gzip.decompress(other.read_bytes()))
    assert found["mods/veth.ko"][1] == b"module"
    assert found["mods/order"][1] == b"veth.ko\n"


def test_the_cache_makes_once_and_whole(own_cache: Path) -> None:
    calls = []

    def make(path: Path) -> None:
        calls.append(path)
        path.write_text("x")

    def fail(path: Path) -> None:
        path.write_text("half")
        raise OSError("full")

    assert cached_file("a", make).read_text() == "x"
    assert cached_file("a", make).read_text() == "x"
    assert len(calls) == 1
    with pytest.raises(OSError, match="full"):
        cached_file("b", fail)
    with pytest.raises(OSError, match="full"):
        cached_directory("d", lambda path: fail(path / "f"))
    assert sorted(os.listdir(own_cache / "ovsct")) == ["a"]


def test_a_missing_program_names_its_package() -> None:
    with pytest.raises(OracleMissing, match=r"no-such-tool is not installed: .*some-package"):
        find_program("no-such-tool", "some-package")


def test_a_named_kernel_must_be_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OVSCT_UML", str(tmp_path / "none"))
    with pytest.raises(InputError, match="OVSCT_UML names what is no program"):
        choose()
    fake = tmp_path / "fake"
    fake.write_text("#!/bin/sh\necho no version\n")
    fake.chmod(0o755)
    monkeypatch.setenv("OVSCT_UML", str(fake))
    with pytest.raises(InputError, match="not a user-mode Linux kernel"):
        choose()


def test_kernels_are_chosen_by_series_kind_and_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in ("6.1.9", "6.12.3"):
        program = tmp_path / version
        program.write_text(f"#!/bin/sh\necho {version}\n")
        program.chmod(0o755)
    monkeypatch.setenv("OVSCT_UML", f"{tmp_path}/6.1.9:{tmp_path}/6.12.3")
    monkeypatch.setattr(kernels, "optional_program", lambda name: Path("/bin/true"))
    assert choose().version == "6.1.9"
    assert choose("6.12").path == tmp_path / "6.12.3"
    assert choose("qemu:6.1") == Kernel(Kind.QEMU, "6.1")
    assert choose(str(tmp_path / "6.12.3")).series == "6.12"
    for wanted in ("5.15", "qemu:6.1.9"):
        with pytest.raises(InputError, match="no such kernel here"):
            choose(wanted)
    with pytest.raises(InputError, match="no such kernel"):
        choose("/no/such/kernel")


def test_without_any_kernel_it_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "optional_program", lambda name: None)
    with pytest.raises(OracleMissing, match=r"ovsct oracle build --uml .*qemu-system-x86"):
        choose()


def test_an_unknown_stock_kernel() -> None:
    with pytest.raises(OracleMissing, match=r"no stock kernel 5\.15"):
        stock_kernel("5.15")


def test_scripts_lose_comments_and_keep_their_lines() -> None:
    text = "# rules\n\ntc qdisc add dev p1 ingress # here\n/sbin/tc filter add \\\n  dev p1\n"
    text += "filter x"
    assert list(script_lines(text)) == [
        (3, "qdisc add dev p1 ingress"), (4, "filter add dev p1"), (6, "filter x"),
    ]  # fmt: skip
    with pytest.raises(InputError, match="rules:1: the last line ends with a backslash"):
        list(script_lines("filter \\", "rules"))


def _attribute(kind: int, data: bytes, nested: bool = False) -> bytes:
    head = struct.pack("=HH", len(data) + 4, kind | (0x8000 if nested else 0))
    return head + data + b"\0" * (-len(data) % 4)


def test_connections_are_read_from_netlink() -> None:
    """A message put together by hand after nfnetlink_conntrack.h."""

    def ends(src: bytes, dst: bytes, proto: bytes) -> bytes:
        addresses = _attribute(1, src) + _attribute(2, dst)
        return _attribute(1, addresses, True) + _attribute(2, proto, True)

    echo = _attribute(1, b"\x01") + _attribute(4, b"\0\x07") + _attribute(5, b"\x08")
    echo += _attribute(6, b"\0")
    answer = _attribute(1, b"\x01") + _attribute(4, b"\0\x07") + _attribute(5, b"\0")
    answer += _attribute(6, b"\0")
    a, b = bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2))
    body = (
        _attribute(1, ends(a, b, echo), True) + _attribute(2, ends(b, a, answer), True)
        + _attribute(3, struct.pack(">I", 0x800A)) + _attribute(7, struct.pack(">I", 29))
        + _attribute(8, struct.pack(">I", 5)) + _attribute(18, struct.pack(">H", 9))
        + _attribute(22, b"\x02\x01" + bytes(14)) + _attribute(5, _attribute(1, b"ftp\0"), True)
    )  # fmt: skip
    message = struct.pack("=IHHII", 20 + len(body), 0x100, 2, 0, 0) + b"\x02\0\0\0" + body
    first, second = read_connections(message * 2)
    assert first == second
    assert (first.proto, first.zone, first.mark, first.label) == (1, 9, 5, 0x0102)
    assert (first.orig.icmp_id, first.orig.icmp_type, first.reply.icmp_type) == (7, 8, 0)
    assert first.status == {"seen-reply", "confirmed", "hw-offload"}
    assert (first.timeout, first.helper, first.state) == (29.0, "ftp", "")


def test_the_configuration_has_what_stock_kernels_lack() -> None:
    lines = fragment().splitlines()
    assert "CONFIG_NET_TC_SKB_EXT=y" in lines
    assert "CONFIG_UML_TIME_TRAVEL_SUPPORT=y" in lines
    assert "# CONFIG_SOUND is not set" in lines


def test_the_ptrace_library_compiles() -> None:
    try:
        path = xstate.library()
    except OracleMissing as error:
        pytest.skip(str(error))
    assert path.read_bytes()[:4] == b"\x7fELF"


def test_status_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "optional_program", lambda name: None)
    result = CliRunner().invoke(oracle, ["status"])
    assert result.exit_code == 1
    assert "no kernel: set OVSCT_UML" in result.output
    assert "program tc: " in result.output


def test_build_must_be_told_what() -> None:
    result = CliRunner().invoke(oracle, ["build"])
    assert result.exit_code == 2
    assert "say what to build" in result.output
