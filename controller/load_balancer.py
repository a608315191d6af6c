"""The application load_balancer: ``ryu-manager controller.load_balancer``."""

from __future__ import annotations

from controller.common.app import PolicyApp
from controller.common.document import Node
from controller.policy import balancer


class LoadBalancer(PolicyApp):
    """A learning switch with services that are spread over backends."""

    COOKIE = 0x6677_0004
    SECTIONS = balancer.SECTIONS

    def read(self, document: Node) -> balancer.Balancer:
        """The policy that a document says."""
        return balancer.parse(document)
