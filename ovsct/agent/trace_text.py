"""``ofproto/trace``: one packet through the tables, in the words of OVS.

The steps are those that translation notes, indented by table as ``ofproto-dpif-trace.c`` does; the
last three lines are OVS's. Conntrack state is real where the packet is given and its connection
known; after a recirculation the trace goes on as the lane's own datapath would.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from ovsct.errors import OvsctError

if TYPE_CHECKING:
    from ovsct.agent.model import ModelBridge


_RULE: Final = "-------------"


def trace(model: ModelBridge, arguments: Sequence[str]) -> str:
    """The text. Raises OvsctError: an option that is not there yet; InputError: no flow."""
    raise OvsctError("not yet")
