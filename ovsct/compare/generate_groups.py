"""Groups and meters for generated cases: every type, and every way of choosing a bucket."""

from __future__ import annotations

from typing import Final

from ovsct.compare import draw
from ovsct.compare.draw import IPV4, IPV6, TABLES, Dice, Facts
from ovsct.compare.generate_actions import draw_list

_BUCKET_CT: Final = ("ct(commit,zone=1)", "ct(table=4,zone=2)", "ct(commit,table=4)")

_TYPES: Final = ((6, "all"), (3, "indirect"), (5, "select"), (3, "ff"))

_HASHED: Final = (
    "ip_src", "ip_dst", "eth_src", "eth_dst", "tcp_src", "udp_dst", "nw_proto", "vlan_vid",
    "ip_src=255.255.0.0", "ipv6_dst", "ipv6_src=ffff::", "in_port", "eth_type", "nw_ttl", "reg0",
    "ipv6_label", "tcp_dst=0xff00", "ip_dscp", "icmp_type", "vlan_tci", "ct_state", "metadata",
)  # fmt: skip
"""Fields of the selection method ``hash``."""

_WEIGHTS: Final = (0, 1, 2, 3, 7, 100, 65535)
_WATCHED: Final = ("watch_port=1", "watch_port=2", "watch_port=3", "watch_port=77")


def draw_groups(dice: Dice) -> list[str]:
    """The lines of a few groups; `dice` remembers which packets each is for."""
    lines = []
    for number in range(1, dice.number(0, draw.GROUPS) + 1):
        kind = dice.weighted(_TYPES)
        family = dice.pick(("", "", "4", "6"))
        most = 1 if kind == "indirect" else dice.number(0, 3 if kind == "all" else 5)
        buckets = [_bucket(dice, kind, family, number) for _ in range(most)]
        head = f"group_id={number},type={kind}{_method(dice) if kind == 'select' else ''}"
        lines.append(",".join([head, *buckets]))
        dice.groups[number] = family
    return lines


def _bucket(dice: Dice, kind: str, family: str, number: int) -> str:
    dl_type = {"4": IPV4, "6": IPV6}.get(family, 0)
    facts = Facts(table=TABLES - 1, dl_type=dl_type, nested="bucket", depth=2)
    head = ""
    if kind == "select" and dice.chance(0.6):
        head += f"weight:{dice.pick(_WEIGHTS)},"
    if kind == "ff" or (kind == "select" and dice.chance(0.3)):
        # A group that watches itself or a later one would make a loop or name what is not there.
        groups = [f"watch_group={other}" for other in range(1, number)]
        head += f"{dice.pick((*_WATCHED, *groups))},"
    actions, _ = draw_list(dice, facts, 2)
    if dice.chance(0.15) and family:
        actions.append(dice.pick(_BUCKET_CT))
    return f"bucket={head}actions={','.join(actions) or f'output:{dice.number(1, 4)}'}"


def _method(dice: Dice) -> str:
    kind = dice.number(0, 4)
    if kind <= 1:
        return ""
    if kind == 2:
        algorithm, basis = dice.number(0, 2), dice.number(0, 2)
        return f",selection_method=dp_hash,selection_method_param={algorithm << 32 | basis}"
    if kind == 3:
        return ",selection_method=hash"
    chosen = dice.random.sample(_HASHED, dice.number(1, 3))
    fields = ",".join({name.partition("=")[0]: name for name in chosen}.values())
    return (
        f",selection_method=hash,selection_method_param={dice.pick((0, 5, 1 << 40))}"
        f",fields({fields})"
    )


_RATES: Final = {"pktps": (1, 2, 10, 1000), "kbps": (1, 4, 100)}


def draw_meters(dice: Dice) -> list[str]:
    """The lines of one or two meters; `dice` remembers their numbers."""
    lines = []
    for number in dice.pick(((1,), (1, 7))):
        unit = dice.pick(("pktps", "kbps"))
        burst = dice.chance(0.5)
        bands = ",".join(
            f"type=drop rate={dice.pick(_RATES[unit])}"
            + (f" burst_size={dice.pick((1, 2, 5))}" if burst else "")
            for _ in range(dice.pick((1, 1, 2)))
        )
        flags = unit + (" burst" if burst else "") + dice.pick(("", " stats"))
        lines.append(f"meter={number} {flags} bands={bands}")
        dice.meters.append(number)
    return lines
