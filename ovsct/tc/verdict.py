"""Verdicts of TC actions, with the numbers that the kernel gives them.

include/uapi/linux/pkt_cls.h. An action returns one of these ints; ``goto chain N`` and ``jump N``
carry their argument in the low 28 bits.
"""

from __future__ import annotations

from typing import Final

UNSPEC: Final = -1
"""``continue``: go on with the next priority."""
OK: Final = 0
RECLASSIFY: Final = 1
SHOT: Final = 2
PIPE: Final = 3
STOLEN: Final = 4
QUEUED: Final = 5
TRAP: Final = 8
CONSUMED: Final = 9
"""Internal to the kernel: the packet is somebody else's now (defragmentation, redirect)."""

EXT_MASK: Final = 0x0FFF_FFFF
"""TC_ACT_EXT_VAL_MASK: width of a chain number and of a jump count."""
JUMP: Final = 0x1000_0000
GOTO_CHAIN: Final = 0x2000_0000

MAX_CHAIN: Final = EXT_MASK
MAX_ACTIONS: Final = 32
"""TCA_ACT_MAX_PRIO: actions of one filter, and jumps within one run of them."""
MAX_RECLASSIFY: Final = 16
"""``max_reclassify_loop`` of net/sched/cls_api.c: chain jumps and reclassifications of a packet."""
MIRRED_NEST_LIMIT: Final = 4
"""net/sched/act_mirred.c: redirects inside redirects."""

NAMES: Final[dict[str, int]] = {
    "continue": UNSPEC,
    "pass": OK,
    "ok": OK,
    "reclassify": RECLASSIFY,
    "drop": SHOT,
    "shot": SHOT,
    "pipe": PIPE,
    "stolen": STOLEN,
    "trap": TRAP,
}
"""What ``tc`` calls them (iproute2 tc/tc_util.c, ``parse_action_control()``)."""

_SPELLED: Final = {
    UNSPEC: "continue", OK: "pass", RECLASSIFY: "reclassify", SHOT: "drop", PIPE: "pipe",
    STOLEN: "stolen", TRAP: "trap",
}  # fmt: skip


def goto_chain(index: int) -> int:
    """The verdict ``goto chain INDEX``."""
    return GOTO_CHAIN | index


def jump(count: int) -> int:
    """The verdict ``jump COUNT``."""
    return JUMP | count


def is_goto(verdict: int) -> bool:
    """Whether `verdict` is ``goto chain N``."""
    return verdict >= GOTO_CHAIN


def spell(verdict: int) -> str:
    """The verdict as ``tc filter show`` prints it."""
    if verdict >= GOTO_CHAIN:
        return f"goto chain {verdict & EXT_MASK}"
    if verdict >= JUMP:
        return f"jump {verdict & EXT_MASK}"
    return _SPELLED[verdict]
