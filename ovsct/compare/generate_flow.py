"""Single flows of generated cases, and what happens to flows and links while packets run."""

from __future__ import annotations

from typing import Final

from ovsct.compare import draw
from ovsct.compare.case import FLOW_MOD, LINK, Shot
from ovsct.compare.draw import TABLES, Dice, Facts
from ovsct.compare.generate_actions import draw_actions
from ovsct.compare.generate_match import draw_match
from ovsct.compare.shrink import split


def draw_flow(
    dice: Dice, table: int, priority: int, words: list[str], facts: Facts, sets: bool,
    old: bool = True,
) -> str:  # fmt: skip
    """The line of a flow."""
    head = [f"table={table}", f"priority={priority}"]
    cookie = dice.pick(draw.COOKIES)
    if cookie:
        head.append(f"cookie={cookie:#x}")
    if dice.changes and dice.chance(0.12):
        head.append(f"{dice.pick(('idle', 'hard'))}_timeout={dice.pick((1, 5, 30, 100))}")
    actions = draw_actions(dice, facts, sets, old)
    return ",".join([*head, *words, f"actions={actions}"])


def without_forks(line: str) -> str:
    """No ct() with a table where action sets are used: it kills the program (see excluded)."""
    match, _, actions = line.partition("actions=")
    for table in range(TABLES):
        actions = actions.replace(f",table={table}", "").replace(f"ct(table={table})", "ct")
        actions = actions.replace(f"table={table},", "")
    return f"{match}actions={actions}"


# -- changes -------------------------------------------------------------------------------------

_FIRST_PRIORITY: Final = 60000
"""No flow of a case has such a priority but those that are added while packets run."""


def draw_changes(
    dice: Dice, shots: tuple[Shot, ...], flows: list[str], facts: dict[str, Facts], sets: bool
) -> tuple[Shot, ...]:
    """The shots with up to three changes among them."""
    found = list(shots)
    for number in range(dice.number(0, 3)):
        at = dice.number(0, len(found))
        when = found[at - 1].at if at else 0.0
        if dice.chance(0.3):
            port = dice.number(1, 4)
            down = not any(s.line == f"{LINK}down" and s.port == port for s in found[:at])
            found.insert(at, Shot(when, port, LINK + ("down" if down else "up")))
            continue
        line = _flow_mod(dice, number, flows, facts, sets)
        found.insert(at, Shot(when, 0, FLOW_MOD + line))
    return tuple(found)


def _flow_mod(
    dice: Dice, number: int, flows: list[str], facts: dict[str, Facts], sets: bool
) -> str:
    kind = dice.pick(("add", "delete", "delete_strict", "modify", "modify_strict"))
    if kind == "add" or not facts:
        table = dice.pick((0, 0, 1, 1, 2, 3))
        words, known = draw_match(dice, table)
        line = draw_flow(dice, table, _FIRST_PRIORITY + number, words, known, sets, old=False)
        return f"add {without_forks(line) if sets else line}"
    flow = dice.pick([line for line in flows if line in facts])
    head, _, _ = flow.partition("actions=")
    words = [word for word in split(head) if not word.startswith(("cookie=", "idle_", "hard_"))]
    if not kind.endswith("_strict"):
        # Loosely, a match means all flows that match on this and more.
        words = [word for word in words if not word.startswith("priority=")]
        if dice.chance(0.5):
            words = words[:2]
    if kind.startswith("delete"):
        return f"{kind} {','.join(words)}"
    actions = draw_actions(dice, _of_first(facts[flow], words), sets, old=False)
    line = ",".join([*words, f"actions={actions}"])
    return f"{kind} {without_forks(line) if sets else line}"


def _of_first(facts: Facts, words: list[str]) -> Facts:
    """What the words that are left promise: next to nothing, if they are few."""
    return facts if len(words) > 2 else Facts(table=facts.table)
