"""The application security_groups: ``ryu-manager controller.security_groups``."""

from __future__ import annotations

from controller.common.app import PolicyApp
from controller.common.document import Node
from controller.policy import groups


class SecurityGroupsApp(PolicyApp):
    """A bridge whose ports send and get what their groups allow."""

    COOKIE = 0x6677_0002
    SECTIONS = groups.SECTIONS

    def read(self, document: Node) -> groups.SecurityGroups:
        """The policy that a document says."""
        return groups.parse(document)
