"""A real Linux kernel as a lane: booted as an ordinary process, no root and no module of the host.

User-mode Linux where one has been built or is named by ``OVSCT_UML``, else QEMU with a stock
Debian kernel. Inside runs :mod:`ovsct.oracle.kernel.agent` and nothing else of ovsct.
"""
