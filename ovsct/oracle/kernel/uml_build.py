"""A user-mode kernel built from Debian's kernel source package, as any user.

Ten minutes on two cores, 150 MB of download, 1.5 GB of temporary space; what is kept is one program
of 10 MB. Needs gcc, libc6-dev, make, flex, bison and bc.
"""

from __future__ import annotations

import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from ovsct.oracle.kernel.cache import OracleMissing, cached_file, digest, find_program
from ovsct.oracle.kernel.packages import downloaded, opened

_TOOLS: Final = (
    ("gcc", "gcc"), ("make", "make"), ("flex", "flex"), ("bison", "bison"), ("bc", "bc"),
)  # fmt: skip

_ON: Final = (
    "MODULES", "UML_TIME_TRAVEL_SUPPORT", "NET", "PACKET", "UNIX", "INET", "IPV6", "NETFILTER",
    "NETFILTER_ADVANCED", "NETFILTER_INGRESS", "NF_CONNTRACK", "NF_CONNTRACK_MARK",
    "NF_CONNTRACK_ZONES", "NF_CONNTRACK_PROCFS", "NF_CONNTRACK_EVENTS", "NF_CONNTRACK_TIMEOUT",
    "NF_CONNTRACK_LABELS", "NF_CONNTRACK_FTP", "NF_CONNTRACK_TFTP", "NF_CONNTRACK_PPTP",
    "NF_CT_NETLINK", "NF_NAT", "NF_FLOW_TABLE", "NF_FLOW_TABLE_PROCFS", "NF_FLOW_TABLE_INET",
    "NF_TABLES", "NF_TABLES_INET", "NET_SCHED", "NET_SCH_INGRESS", "NET_CLS", "NET_CLS_ACT",
    "NET_CLS_FLOWER", "NET_CLS_MATCHALL", "NET_ACT_CT", "NET_ACT_MIRRED", "NET_ACT_GACT",
    "NET_ACT_PEDIT", "NET_ACT_CSUM", "NET_ACT_VLAN", "NET_ACT_MPLS", "NET_ACT_SKBEDIT",
    "NET_ACT_POLICE", "NET_ACT_TUNNEL_KEY", "NET_ACT_SAMPLE", "NET_TC_SKB_EXT", "OPENVSWITCH",
    "VXLAN", "GENEVE", "OPENVSWITCH_VXLAN", "OPENVSWITCH_GENEVE", "VETH", "DUMMY", "TUN",
    "NETDEVSIM", "NET_DEVLINK", "NET_NS", "NAMESPACES", "HOSTFS", "DEVTMPFS", "TMPFS",
    "BLK_DEV_INITRD", "DEBUG_INFO_NONE", "DEBUG_FS",
)  # fmt: skip
"""What the kernel must have, built in. NET_TC_SKB_EXT is what no Debian kernel has."""
_OFF: Final = ("SOUND", "WIRELESS", "WLAN")


def fragment() -> str:
    """The configuration on top of user-mode Linux's own default."""
    lines = [f"CONFIG_{name}=y" for name in _ON]
    lines += [f"# CONFIG_{name} is not set" for name in _OFF]
    return "\n".join(lines) + "\n"


def build_uml(series: str, tell: Callable[[str], None]) -> Path:
    """The user-mode kernel of `series` (``6.1``), built now or long since.

    Args:
        tell: takes a line for each stage.

    Raises:
        OracleMissing: a tool or the source package cannot be had, or it does not compile.
    """
    for tool, package in _TOOLS:
        find_program(tool, package)
    package = f"linux-source-{series}"
    name = f"linux-uml-{series}-{digest([fragment().encode(), package.encode()])}"

    def make(path: Path) -> None:
        with TemporaryDirectory(prefix="ovsct-linux-") as directory:
            folder = Path(directory)
            tell(f"downloading {package}")
            with downloaded(package) as deb:
                tell(f"unpacking {deb.name}")
                source = _unpack(deb, folder)
            (source / "ovsct.config").write_text(fragment())
            make_um = ["make", "-s", "ARCH=um", f"-j{len(os.sched_getaffinity(0))}"]
            for stage, argv in (
                ("configuring", [*make_um, "defconfig"]),
                ("configuring", ["scripts/kconfig/merge_config.sh", "-m", ".config",
                                 "ovsct.config"]),
                ("configuring", [*make_um, "olddefconfig"]),
                ("compiling, some ten minutes", [*make_um, "linux"]),
            ):  # fmt: skip
                tell(stage)
                _run(argv, source)
            _check(source / ".config")
            subprocess.run(["strip", "-o", path, source / "linux"], check=True)
            path.chmod(0o755)

    return cached_file(name, make)


def _unpack(deb: Path, folder: Path) -> Path:
    """The source tree, out of the archive in the package."""
    with opened(deb) as outer:
        for member in outer:
            if member.name.endswith(".tar.xz") and "linux-source" in member.name:
                inner = outer.extractfile(member)
                assert inner is not None
                with tarfile.open(fileobj=inner, mode="r|xz") as source:
                    source.extractall(folder, filter="fully_trusted")
                break
    found = [path for path in folder.iterdir() if path.is_dir()]
    if len(found) != 1:
        raise OracleMissing(f"the package {deb.name} holds no kernel source")
    return found[0]


def _run(argv: list[str], directory: Path) -> None:
    environment = {**os.environ, "ARCH": "um"}
    done = subprocess.run(
        argv, cwd=directory, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, check=False, errors="replace",
    )  # fmt: skip
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())[-400:]
        raise OracleMissing(f"{' '.join(argv)} ended with {done.returncode}: {said}")


def _check(config: Path) -> None:
    """Whether the configuration has what was asked for: one that is not there is left out silently.

    Raises:
        OracleMissing: names what is missing.
    """
    there = set(config.read_text().split())
    missing = [name for name in _ON if f"CONFIG_{name}=y" not in there]
    if missing:
        raise OracleMissing(f"the kernel's configuration lacks {', '.join(missing)}")
