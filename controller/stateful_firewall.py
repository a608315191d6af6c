"""The application stateful_firewall: ``ryu-manager controller.stateful_firewall``."""

from __future__ import annotations

from controller.common.app import PolicyApp
from controller.common.document import Node
from controller.policy import firewall


class StatefulFirewall(PolicyApp):
    """A bridge that forwards what its rules allow, and the replies to that."""

    COOKIE = 0x6677_0001
    SECTIONS = firewall.SECTIONS

    def read(self, document: Node) -> firewall.Firewall:
        """The policy that a document says."""
        return firewall.parse(document)
