"""What a NIC can do, as data.

A :class:`Profile` is a frozen list of abilities and limits; the driver's checks
(:mod:`ovsct.lower.to_nic`) and the hardware's tables read it and nothing else. ``mlx5`` is what the
kernel's driver for NVIDIA ConnectX says of itself; other NICs can be described by a mapping.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, Final

from ovsct.errors import InputError
from ovsct.packet.fields import CT_EST, CT_INV, CT_NEW, CT_REL, CT_RPL, CT_STATE_NAMES, CT_TRK
from ovsct.packet.packet import PROTO_TCP, PROTO_UDP


class LabelMatch(StrEnum):
    """How rules can match ct_label."""

    NONE = "none"
    """Not at all."""
    EXACT = "exact"
    """By an id that stands for one whole label: a masked match hits only a label that is equal to
    value & mask in all its 128 bits."""
    MASKED = "masked"
    """As software does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What a NIC and its driver can do. :data:`SOURCES` says of each value where it comes from.

    Matching: `ct_state_set` and `ct_state_clear` are the ct_state bits (flow key layout) that a
    rule may require to be 1 and to be 0; `vlan_tags` how many tags it sees.

    Actions: `max_outputs` ports a packet can be sent to by one rule; `mirror_split`: a packet can
    be changed after a copy has left; `rewrite_with_ct`: addresses and ports can be rewritten in a
    rule that tracks; `multiple_ct`: more than one tracking ct in a rule.

    Connections: `protocols` that are offloaded, `nat_protocols` that can be translated; packets
    with a flag of `software_flags` never hit; `nat_in_both`: a translated connection is found by a
    ct without nat too (and then not translated); `unreplied_new`: the original direction of a
    connection without an answer is ``+new`` (otherwise ``+est``); `resume_at_action`: a packet that
    no connection is found for goes on in software at that very ct action, otherwise at the head of
    the chain.

    Limits: None for none. Times are in seconds: `insertion_delay` and `removal_delay` from the
    moment that the kernel asks until the hardware has done it, `poll` between two looks at the
    counters.
    """

    name: str
    ct: bool = True
    ct_state_set: int = CT_TRK | CT_EST | CT_RPL | CT_NEW
    ct_state_clear: int = CT_TRK | CT_EST | CT_RPL | CT_NEW | CT_REL | CT_INV
    label_match: LabelMatch = LabelMatch.EXACT
    vlan_tags: int = 2
    match_ttl: bool = True
    match_icmp: bool = True
    max_outputs: int = 32
    mirror_split: bool = True
    rewrite_with_ct: bool = True
    multiple_ct: bool = True
    protocols: frozenset[int] = frozenset((PROTO_TCP, PROTO_UDP))
    nat_protocols: frozenset[int] = frozenset((PROTO_TCP, PROTO_UDP))
    software_flags: int = 0x05
    nat_in_both: bool = False
    unreplied_new: bool = True
    resume_at_action: bool = True
    max_chain: int = 0x0FFF_FFFF
    max_prio: int = 0xFFFF
    max_zones: int | None = 255
    max_rules: int | None = None
    max_connections: int | None = None
    insertion_delay: float = 0.001
    removal_delay: float = 0.001
    poll: float = 1.0


SOURCES: Final[dict[str, str]] = {
    "name": "the driver's name",
    "ct": "mlx5 tc_ct.c mlx5_tc_ct_init_check_support(): firmware must have it; assumed",
    "ct_state_set": "mlx5 tc_ct.c mlx5_tc_ct_match_add(): +rel and +inv refused, before 6.3 +new",
    "ct_state_clear": "mlx5 tc_ct.c mlx5_tc_ct_match_add(): -rel and -inv accepted",
    "label_match": "mlx5 tc_ct.c mlx5_get_label_mapping(): an id for key & mask",
    "vlan_tags": "mlx5 en_tc.c __parse_cls_flower(): two, if the firmware has outer_second_vid",
    "match_ttl": "mlx5 en_tc.c __parse_cls_flower(): if the firmware has outer_ipv4_ttl",
    "match_icmp": "mlx5 en_tc.c __parse_cls_flower(): if the firmware has the flex parser",
    "max_outputs": "mlx5 eswitch.h MLX5_MAX_FLOW_FWD_VPORTS",
    "mirror_split": "mlx5 en_tc.c parse_tc_fdb_actions(): if the firmware has fwd_fdb",
    "rewrite_with_ct": "mlx5 en_tc.c modify_tuple_supported(), gone in 6.3",
    "multiple_ct": "mlx5 en/tc/act/ct.c tc_act_can_offload_ct(), gone after 6.1",
    "protocols": "net/sched/act_ct.c tcf_ct_flow_table_process_conn(), mlx5 tc_ct.c",
    "nat_protocols": "net/sched/act_ct.c tcf_ct_flow_table_add_action_nat()",
    "software_flags": "nf_flow_table_offload.c nf_flow_rule_match(): FIN and RST must be 0",
    "nat_in_both": "mlx5 tc_ct.c mlx5_tc_ct_entry_add_rules(): both tables in 6.1, one in 6.12",
    "unreplied_new": "net/sched/act_ct.c tcf_ct_flow_table_fill_actions() of 6.3; 6.1 says est",
    "resume_at_action": "cls_api.c act_miss_cookie, since 6.3",
    "max_chain": "cls_api.c TC_ACT_EXT_VAL_MASK; with ignore_flow_level the driver has more",
    "max_prio": "cls_api.c, 16 bits; with ignore_flow_level the driver has more",
    "max_zones": "mlx5 tc_ct.c: zone_restore_id has 8 bits",
    "max_rules": "none known: flow table pools of 4M entries",
    "max_connections": "none in the kernel",
    "insertion_delay": "assumed: a work queue; on a busy machine it is longer",
    "removal_delay": "assumed: the same work queue",
    "poll": "mlx5 fs_counters.c MLX5_FC_STATS_PERIOD: 1 s",
}
"""Where each value of ``mlx5`` comes from. All of it is read, none of it was run."""

_MLX5: Final[dict[str, Profile]] = {
    "6.12": Profile(name="mlx5"),
    "6.1": Profile(
        name="mlx5",
        ct_state_set=CT_TRK | CT_EST | CT_RPL,
        rewrite_with_ct=False,
        multiple_ct=False,
        nat_in_both=True,
        unreplied_new=False,
        resume_at_action=False,
    ),
}

PROFILES: Final[dict[str, dict[str, Profile]]] = {"mlx5": _MLX5}
"""Profiles by name and kernel."""

_BITS: Final = dict(CT_STATE_NAMES)


def get_profile(
    wanted: str | Profile | Mapping[str, Any], kernel: str, delay: float | None = None
) -> Profile:
    """The profile that the user means.

    Args:
        wanted: a name of :data:`PROFILES`, a profile, or a mapping of a profile's values in which
            ``base`` may name the profile that it changes; sets of bits are lists of names.
        kernel: ``6.1`` or ``6.12``.
        delay: seconds, in place of the profile's insertion and removal delays: they are of one
            work queue.

    Raises:
        InputError: there is no such profile, or a value is not one that a profile has.
    """
    if isinstance(wanted, Profile):
        profile = wanted
    elif isinstance(wanted, str):
        profile = _named(wanted, kernel)
    else:
        changes = dict(wanted)
        base = _named(str(changes.pop("base", "mlx5")), kernel)
        changes.setdefault("name", "user")
        profile = replace(base, **{key: _value(key, given) for key, given in changes.items()})
    if delay is not None:
        seconds = _value("insertion_delay", delay)
        profile = replace(profile, insertion_delay=seconds, removal_delay=seconds)
    return profile


def _named(name: str, kernel: str) -> Profile:
    kernels = PROFILES.get(name)
    if kernels is None:
        raise InputError("no such NIC profile", token=name, expected=", ".join(PROFILES))
    profile = kernels.get(kernel)
    if profile is None:
        raise InputError(
            f"the NIC profile {name} is not known for this kernel", token=kernel,
            expected=", ".join(kernels),
        )  # fmt: skip
    return profile


_BIT_SETS: Final = frozenset(("ct_state_set", "ct_state_clear"))
_PROTOCOLS: Final = frozenset(("protocols", "nat_protocols"))
_TIMES: Final = frozenset(("insertion_delay", "removal_delay", "poll"))
_UNLIMITED: Final = frozenset(("max_zones", "max_rules", "max_connections"))
_FLAGS: Final = frozenset(
    each.name for each in fields(Profile) if each.type == "bool"
)


def _value(key: str, given: Any) -> Any:
    """One value of a profile as the user gave it, checked."""
    names = [each.name for each in fields(Profile)]
    if key not in names:
        close = get_close_matches(key, names, n=1)
        raise InputError(
            "a NIC profile has no such value", token=key,
            hint=f"did you mean {close[0]!r}?" if close else None,
        )  # fmt: skip
    if key == "name":
        return str(given)
    if key in _FLAGS:
        return _checked(key, given, isinstance(given, bool), "true or false")
    if key == "label_match":
        known = [each.value for each in LabelMatch]
        return LabelMatch(_checked(key, given, given in known, ", ".join(known)))
    if key in _BIT_SETS:
        good = isinstance(given, list | tuple) and all(bit in _BITS for bit in given)
        return sum(_BITS[bit] for bit in set(_checked(key, given, good, f"a list of {[*_BITS]}")))
    if key in _PROTOCOLS:
        good = isinstance(given, list | tuple) and all(_number(each, 0, 255) for each in given)
        return frozenset(_checked(key, given, good, "a list of IP protocol numbers"))
    if key in _TIMES:
        good = isinstance(given, int | float) and not isinstance(given, bool) and given >= 0
        good = good and (key != "poll" or given >= 0.001)
        return float(_checked(key, given, good, "seconds"))
    if key in _UNLIMITED and given is None:
        return None
    return _checked(key, given, _number(given, 0, 0xFFFF_FFFF), "a number")


def _number(given: Any, low: int, high: int) -> bool:
    return isinstance(given, int) and not isinstance(given, bool) and low <= given <= high


def _checked(key: str, given: Any, good: bool, expected: str) -> Any:
    if not good:
        raise InputError(
            f"not a value for {key} of a NIC profile", token=str(given), expected=expected
        )
    return given
