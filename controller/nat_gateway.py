"""The application nat_gateway: ``ryu-manager controller.nat_gateway``."""

from __future__ import annotations

from controller.common.app import PolicyApp
from controller.common.document import Node
from controller.policy import nat


class NatGateway(PolicyApp):
    """A router with floating addresses, SNAT and DNAT. It needs a policy to start with."""

    COOKIE = 0x6677_0003
    SECTIONS = nat.SECTIONS

    def read(self, document: Node) -> nat.Gateway:
        """The policy that a document says."""
        return nat.parse(document)
