"""From a kernel to a running guest."""

from __future__ import annotations

from ovsct.errors import InputError
from ovsct.oracle.kernel.guest import Guest
from ovsct.oracle.kernel.image import build_image
from ovsct.oracle.kernel.kernels import Kernel, Kind


def boot(kernel: Kernel, *, with_ovs: bool = False) -> Guest:
    """Start `kernel` with the agent in it.

    Args:
        with_ovs: put Open vSwitch's programs into it.

    Raises:
        OracleMissing: a program or package that it needs is not here.
        GuestDied: it did not come up.
        InputError: Open vSwitch is asked for on the host's own kernel.
    """
    if kernel.kind is Kind.NETNS:
        if with_ovs:
            raise InputError(
                "Open vSwitch does not run on the host's own kernel here", token=str(kernel),
                hint="use a user-mode kernel or QEMU",
            )  # fmt: skip
        from ovsct.oracle.kernel.netns import Netns

        return Netns()
    if kernel.kind is Kind.UML:
        from ovsct.oracle.kernel.uml import Uml

        assert kernel.path is not None
        return Uml(kernel.path, build_image(with_ovs=with_ovs))
    from ovsct.oracle.kernel.qemu import Qemu
    from ovsct.oracle.kernel.stock import stock_kernel

    stock = stock_kernel(kernel.version, with_ovs=with_ovs)
    return Qemu(stock.vmlinuz, build_image(with_ovs=with_ovs, modules=stock.modules))
