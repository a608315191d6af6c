"""Changes of flows as lines of ``ovs-ofctl add-flows``: a command ahead of a flow.

OVS lib/ofp-flow.c ``parse_ofp_str()``: what is deleted has no actions; a cookie with a mask chooses
flows, one without is given to what is added or modified.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from ovsct.errors import InputError
from ovsct.openflow.flow import Flow
from ovsct.openflow.text.flow_text import parse_flow
from ovsct.openflow.text.values import integer

COMMANDS: Final = ("add", "modify", "modify_strict", "delete", "delete_strict")

_COMMAND: Final = re.compile(r"\s*([a-z_]+)(?=[, \t]|\Z)")
_COOKIE: Final = re.compile(r"(?<![\w])cookie=(?P<value>[^,\s/]+)(?:/(?P<mask>[^,\s]+))?")
_TABLE: Final = re.compile(r"(?<![\w])table=")
_ACTIONS: Final = re.compile(r"action[^=]*=")
_U64: Final = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class FlowMod:
    """One change: `flow` is what is added, or says which flows are meant.

    `any_table`: no table was named, so all are meant. `cookie` and `cookie_mask` choose flows by
    their cookie; `new_cookie` is what modified flows get, None: theirs.
    """

    command: str
    flow: Flow
    any_table: bool = False
    cookie: int = 0
    cookie_mask: int = 0
    new_cookie: int | None = None

    @property
    def strict(self) -> bool:
        """Whether match and priority have to be the very same."""
        return self.command.endswith("_strict")


def parse_flow_mod(line: str) -> FlowMod:
    """The change that a line says; without a command it adds.

    Raises:
        InputError: with column and token.
    """
    found = _COMMAND.match(line)
    command = "add"
    if found is not None and found[1] in COMMANDS:
        command = found[1]
        # Blanks keep the columns what they are.
        line = " " * found.end() + line[found.end() :]
    if command == "add":
        return FlowMod(command, parse_flow(line))
    cookie = _COOKIE.search(line.partition("actions=")[0])
    chosen, mask, new = 0, 0, None
    if cookie is not None:
        value = integer(cookie["value"], _U64, "cookie")
        if cookie["mask"] is not None:
            chosen, mask = value, integer(cookie["mask"], _U64, "cookie")
        elif command.startswith("delete"):
            raise InputError(
                "a flow that is deleted gets no cookie", column=cookie.start() + 1,
                token=cookie[0], expected="cookie=VALUE/MASK",
            )  # fmt: skip
        else:
            new = value
        line = line[: cookie.start()] + " " * len(cookie[0]) + line[cookie.end() :]
    actions = _ACTIONS.search(line)
    if command.startswith("delete"):
        if actions is not None:
            raise InputError(
                "a flow that is deleted has no actions", column=actions.start() + 1,
                token=actions[0],
            )  # fmt: skip
        line += " actions=drop"
    flow = replace(parse_flow(line), text="")
    any_table = _TABLE.search(line.partition("actions=")[0]) is None
    return FlowMod(command, flow, any_table, chosen, mask, new)
