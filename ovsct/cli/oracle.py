"""``ovsct oracle``: the kernels that judge, and what they need."""

from __future__ import annotations

from typing import Final

import click

from ovsct.errors import OvsctError

_PROGRAMS: Final = (
    ("tc", "iproute2", "needed"),
    ("ip", "iproute2", "needed"),
    ("qemu-system-x86_64", "qemu-system-x86", "to run a stock kernel"),
    ("dpkg-deb", "dpkg", "to open Debian packages"),
    ("apt-get", "apt", "to download Debian packages"),
    ("cc", "gcc", "to build user-mode kernels, and to run them on a CPU with AMX"),
    ("ovs-vswitchd", "openvswitch-switch", "to run Open vSwitch in the kernel"),
)


@click.group()
def oracle() -> None:
    """Real kernels as judges: what is here, and how to get it."""


@oracle.command()
@click.option("--boot", is_flag=True, help="Start each kernel, and say how long it takes.")
def status(boot: bool) -> None:
    """Say which kernels and programs are here, and what the cache holds.

    Ends with 1 if no kernel can be run.
    """
    from ovsct.oracle.kernel.cache import cache_directory
    from ovsct.oracle.kernel.kernels import kernels

    found = kernels()
    for kernel in found:
        line = f"kernel {kernel}"
        if kernel.path is not None:
            line += f" ({kernel.path})"
        click.echo(f"{line}{_boot(kernel) if boot else ''}")
    if not found:
        click.echo("no kernel: set OVSCT_UML, run `ovsct oracle build --uml 6.1`, or install QEMU")
    _programs()
    folder = cache_directory()
    for path in sorted(folder.iterdir()):
        size = sum(file.stat().st_size for file in (path, *path.rglob("*")) if file.is_file())
        click.echo(f"cached {path} ({size / 1e6:.1f} MB)")
    if not found:
        raise SystemExit(1)


def _programs() -> None:
    from ovsct.oracle.kernel.cache import optional_program

    for name, package, what in _PROGRAMS:
        path = optional_program(name)
        where = str(path) if path is not None else f"not here (Debian's {package})"
        click.echo(f"program {name}: {where}, {what}")


def _boot(kernel: object) -> str:
    from ovsct.oracle.kernel.boot import boot
    from ovsct.oracle.kernel.kernels import Kernel

    assert isinstance(kernel, Kernel)
    try:
        with boot(kernel) as guest:
            return f": {guest.release}, ready in {guest.boot_seconds:.1f} s"
    except OvsctError as error:
        return f": {error}"


@oracle.command()
@click.option(
    "--uml", metavar="VERSION", type=click.Choice(["6.1", "6.12"]),
    help="Build a user-mode kernel of Debian's source package: 150 MB of download, 10 minutes.",
)
@click.option("--initramfs", is_flag=True, help="Make the initramfs.")
@click.option(
    "--stock", metavar="VERSION", type=click.Choice(["6.1", "6.12"]),
    help="Download Debian's newest kernel package of that series, for QEMU.",
)
def build(uml: str | None, initramfs: bool, stock: str | None) -> None:
    """Make what the kernels need and put it into the cache; print where it lies.

    Whatever is missing is made when it is needed, but for user-mode kernels, which are built
    only here.
    """
    if not (uml or initramfs or stock):
        raise click.UsageError("say what to build: --uml, --stock or --initramfs")
    if initramfs:
        from ovsct.oracle.kernel.image import build_image

        click.echo(build_image())
    if stock:
        from ovsct.oracle.kernel.stock import download_stock

        click.echo(download_stock(stock))
    if uml:
        from ovsct.oracle.kernel.uml_build import build_uml

        click.echo(build_uml(uml, lambda line: click.echo(line, err=True)))
