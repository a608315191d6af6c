"""A stock Debian kernel: the image and the modules of a package, put into the cache once."""

from __future__ import annotations

import lzma
import re
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from ovsct.oracle.kernel.cache import OracleMissing, cache_directory, cached_directory
from ovsct.oracle.kernel.packages import dependency_of, downloaded, opened

META_PACKAGES: Final = {
    "6.1": "linux-image-cloud-amd64",
    "6.12": "linux-image-6.12-cloud-amd64",
}
"""By series, the package of Debian 12 (and its security suite) that depends on the newest one."""

_WANTED: Final = (
    "crc32c_generic", "nf_conntrack", "nf_nat", "nf_conntrack_netlink", "nf_conntrack_ftp",
    "nf_nat_ftp", "nf_conntrack_tftp", "nf_nat_tftp", "nf_flow_table", "cls_flower",
    "cls_matchall", "sch_ingress", "act_ct", "act_mirred", "act_gact", "act_pedit", "act_csum",
    "act_vlan", "act_mpls", "act_skbedit", "act_police", "act_tunnel_key", "act_sample", "veth",
    "virtio_pci", "virtio_console",
)  # fmt: skip
_WANTED_BY_OVS: Final = ("openvswitch", "vport_vxlan", "vport_geneve")
_DEPENDS: Final = re.compile(rb"\0depends=([^\0]*)\0")


@dataclass(frozen=True, slots=True)
class Stock:
    """A kernel for QEMU: its image, and its modules in the order in which they are to be loaded."""

    vmlinuz: Path
    modules: tuple[Path, ...]
    package: str


def cached_stock(series: str) -> Path | None:
    """Where a kernel of `series` lies in the cache, the newest; None if there is none."""
    found = sorted(cache_directory().glob(f"stock-{series}.*"))
    return found[-1] if found else None


def stock_kernel(series: str, *, with_ovs: bool = False) -> Stock:
    """A stock kernel of `series`, downloaded now or long since.

    Raises:
        OracleMissing: no such package, or it cannot be downloaded.
    """
    directory = cached_stock(series) or download_stock(series)
    wanted = _WANTED + _WANTED_BY_OVS if with_ovs else _WANTED
    modules = directory / "modules"
    order = (directory / "order").read_text().split()
    return Stock(
        directory / "vmlinuz", tuple(modules / name for name in _closure(modules, order, wanted)),
        (directory / "package").read_text().strip(),
    )  # fmt: skip


def download_stock(series: str) -> Path:
    """Download the newest stock kernel of `series` into the cache; the directory.

    Raises:
        OracleMissing: no such package, or it cannot be downloaded.
    """
    meta = META_PACKAGES.get(series)
    if meta is None:
        raise OracleMissing(
            f"no stock kernel {series} is known: there are {', '.join(META_PACKAGES)}"
        )
    package = dependency_of(meta)
    with downloaded(package) as deb:
        version = deb.name.split("_")[1]
        return cached_directory(f"stock-{version}", lambda path: _unpack(deb, package, path))


def _unpack(deb: Path, package: str, directory: Path) -> None:
    """Put the kernel and the modules that could be wanted into `directory`."""
    modules = directory / "modules"
    modules.mkdir()
    with opened(deb) as archive:
        for member in archive:
            path = PurePosixPath(member.name)
            if path.name.startswith("vmlinuz-"):
                (directory / "vmlinuz").write_bytes(_read(archive, member))
            elif _is_network_module(path):
                data = _read(archive, member)
                if path.suffix == ".xz":
                    data = lzma.decompress(data)
                (modules / f"{_name(path)}.ko").write_bytes(data)
    if not (directory / "vmlinuz").is_file():
        raise OracleMissing(f"the package {package} holds no kernel")
    order = [name for name, _ in _sorted(modules)]
    (directory / "order").write_text("\n".join(order) + "\n")
    (directory / "package").write_text(f"{package} {deb.name}\n")


_PLACES: Final = ("/net/", "/drivers/net/", "/drivers/virtio/", "/drivers/char/", "/lib/",
                  "/crypto/")  # fmt: skip


def _is_network_module(path: PurePosixPath) -> bool:
    text = str(path)
    is_module = path.name.endswith((".ko", ".ko.xz"))
    # Of the processor's own implementations none is needed, and some refuse QEMU's processor.
    return is_module and any(place in text for place in _PLACES) and "/arch/" not in text


def _name(path: PurePosixPath) -> str:
    return path.name.partition(".ko")[0].replace("-", "_")


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    assert file is not None
    return file.read()


def _sorted(modules: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    """All modules after those that they depend on, each with those."""
    needs = {path.stem: _needs(path) for path in sorted(modules.glob("*.ko"))}
    done: set[str] = set()

    def visit(name: str) -> Iterator[tuple[str, tuple[str, ...]]]:
        if name in done or name not in needs:
            return
        done.add(name)
        for other in needs[name]:
            yield from visit(other)
        yield name, needs[name]

    for name in needs:
        yield from visit(name)


def _needs(path: Path) -> tuple[str, ...]:
    """What a module's .modinfo says that it depends on (modinfo: ``depends``)."""
    found = _DEPENDS.search(path.read_bytes())
    names = found[1].decode().split(",") if found else []
    return tuple(name.replace("-", "_") for name in names if name)


def _closure(modules: Path, order: Iterable[str], wanted: Iterable[str]) -> list[str]:
    """The files of the modules wanted and of all that they need, in `order`."""
    todo, found = list(wanted), set[str]()
    while todo:
        name = todo.pop()
        path = modules / f"{name}.ko"
        if name in found or not path.is_file():
            continue  # what no module file is for is built in
        found.add(name)
        todo += _needs(path)
    return [f"{name}.ko" for name in order if name in found]
