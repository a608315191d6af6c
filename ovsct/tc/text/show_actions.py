"""Actions as ``tc`` prints them, in JSON and in text (iproute2 tc/m_*.c, 6.1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeAlias

from ovsct.tc import actions as act
from ovsct.tc.act_police import CELL_MTU
from ovsct.tc.text.match import colons, label_text, type_name
from ovsct.tc.text.show_police import police_text
from ovsct.tc.text.write import nat_text, write_action
from ovsct.tc.verdict import EXT_MASK, GOTO_CHAIN, JUMP, OK, spell

Json: TypeAlias = dict[str, Any]


class Said(NamedTuple):
    """An action: its members in JSON (before and behind what all have), and its line of text;
    `blanks` are those before ``index``, None if that is elsewhere.
    """

    members: Json
    text: str
    blanks: str | None = "\t "
    after: Json | None = None


def control_json(control: int) -> Json:
    """The member ``control_action``."""
    if control >= GOTO_CHAIN:
        return {"type": "goto", "chain": control & EXT_MASK}
    if control >= JUMP:
        return {"type": "jump", "jump": control & EXT_MASK}
    return {"type": spell(control)}


def say(action: act.Action) -> Said:
    """An action in both forms."""
    return _SAY[type(action)](action)


def _ends(members: Json, control: int) -> Json:
    return {**members, "control_action": control_json(control)}


def _gact(a: act.Gact) -> Said:
    chance = {"random_type": "none", "control_action": {"type": "pass"}, "val": 0}
    return Said(
        {**_ends({}, a.control), "prob": chance},
        f"gact action {spell(a.control)}\n\t random type none pass val 0",
    )


def _mirred(a: act.Mirred) -> Said:
    how, where = "mirror" if a.mirror else "redirect", "ingress" if a.ingress else "egress"
    members = {"mirred_action": how, "direction": where, "to_dev": f"p{a.port}"}
    text = f"mirred ({where.title()} {how.title()} to device p{a.port}) {spell(a.control)}"
    return Said(_ends(members, a.control), text, "\t")


def _ct(a: act.Ct) -> Said:
    track = a.track
    if track is None:
        return Said(_ends({"action": "clear"}, a.control), f"ct clear {spell(a.control)}")
    members: Json = {}
    text = "ct"
    named = " ".join(
        word for word, on in (("commit", track.commit), ("force", track.force)) if on
    )
    if named:
        members["action"] = named
        text += f" {named}"
    if track.mark is not None:
        value, mask = track.mark
        members["mark"] = value
        text += f" mark {value}"
        if mask != 0xFFFFFFFF:
            members["mark_mask"] = f"{mask:x}"
            text += f"/0x{mask:x}"
    members["zone"] = track.zone
    text += f" zone {track.zone}"
    if track.label is not None:
        members["label"] = label_text(*track.label)
        text += f" label {members['label']}"
    if track.nat is not None:
        words = nat_text(track.nat)
        members["nat"] = words.removeprefix("nat").strip()
        text += f" {words}"
    return Said(_ends(members, a.control), f"{text} {spell(a.control)}")


def _pedit(a: act.Pedit) -> Said:
    lines, keys = [], []
    for number, munge in enumerate(a.munges):
        where = "" if munge.header is act.Header.NETWORK else f"{munge.header.value}+"
        how = "add" if munge.add else "val"
        lines.append(
            f"\t key #{number}  at {where}{munge.offset}: {how} {munge.value:08x}"
            f" mask {munge.mask:08x}"
        )
        keys.append({
            "htype": munge.header.value, "offset": munge.offset,
            "cmd": "add" if munge.add else "set", "val": f"{munge.value:x}",
            "mask": f"{munge.mask:x}",
        })  # fmt: skip
    text = f" pedit action {spell(a.control)} keys {len(keys)}"
    return Said(
        {**_ends({}, a.control), "nkeys": len(keys)}, "\n".join((text, *lines)), " \t ",
        {"keys": keys},
    )


def _csum(a: act.Csum) -> Said:
    which = ", ".join(each.value for each in act.Sum if each in a.which)
    text = f"csum ({which}) action {spell(a.control)}"
    return Said(_ends({"csum": which}, a.control), text, "\t")


def _vlan(a: act.Vlan) -> Said:
    members: Json = {"vlan_action": a.op.value}
    text = f"vlan  {a.op.value}"
    if a.op is act.VlanOp.PUSH_ETH:
        members |= {"dst_mac": colons(a.dst), "src_mac": colons(a.src)}
    elif a.op in (act.VlanOp.PUSH, act.VlanOp.MODIFY):
        members |= {"id": a.vid, "protocol": type_name(a.protocol, shown=True)}
        if a.prio is not None or a.op is act.VlanOp.PUSH:
            members["priority"] = a.prio or 0
    text += "".join(f" {name} {value}" for name, value in list(members.items())[1:])
    return Said(_ends(members, a.control), f"{text} {spell(a.control)}")


def _mpls(a: act.Mpls) -> Said:
    members: Json = {"mpls_action": a.op.value}
    if a.op in (act.MplsOp.PUSH, act.MplsOp.POP):
        members["protocol"] = type_name(a.protocol, shown=True)
    for name in ("label", "tc", "bos", "ttl"):
        if (value := getattr(a, name)) is not None:
            members[name] = value
    if a.op is act.MplsOp.PUSH and "ttl" not in members:
        members["ttl"] = 255
    text = "".join(f" {name} {value}" for name, value in list(members.items())[1:])
    return Said(_ends(members, a.control), f"mpls  {a.op.value}{text} {spell(a.control)}")


def _skbedit(a: act.Skbedit) -> Said:
    members: Json = {}
    text = ""
    if a.queue is not None:
        members["queue_mapping"] = a.queue
        text += f"queue_mapping {a.queue}"
    if a.priority is not None:
        members["priority"] = _class(a.priority)
        text += f" priority {members['priority']}"
    if a.mark is not None:
        members["mark"] = a.mark[0]
        text += f" mark {a.mark[0]}"
        if a.mark[1] != 0xFFFFFFFF:
            members["mask"] = f"{a.mark[1]:x}"
            text += f"/{a.mark[1]:#x}" if a.mark[1] else "/0"
    if a.ptype is not None:
        members["ptype"] = a.ptype
        text += f" ptype {a.ptype}"
    if a.inherit:
        members["inheritdsfield"] = None
        text += " inheritdsfield"
    return Said(_ends(members, a.control), f"skbedit {text} {spell(a.control)}")


def _class(number: int) -> str:
    """``print_tc_classid()``."""
    if number in (0, 0xFFFFFFFF):
        return "root" if number else "none"
    major, minor = number >> 16, number & 0xFFFF
    return f"{major:x}:" + (f"{minor:x}" if minor else "") if major else f":{minor:x}"


def _police(a: act.Police) -> Said:
    members: Json = {"index": "{index}"}
    if a.pkts_rate:
        members |= {"pkts_rate": a.pkts_rate, "pkts_burst": a.pkts_burst}
    # Both verdicts have the same name in the JSON of iproute2, and rate and burst have none.
    last = a.control if a.conform == OK else a.conform
    members = {**_ends(members, last), "overhead": 0}
    mtu = a.mtu or (CELL_MTU if a.rate else 0)
    return Said(members, police_text(a, mtu), None)


def _sample(a: act.Sample) -> Said:
    members: Json = {"rate": a.rate, "group": a.group}
    text = f"sample rate 1/{a.rate} group {a.group}"
    if a.trunc:
        members["trunc_size"] = a.trunc
        text += f" trunc_size {a.trunc}"
    return Said(_ends(members, a.control), f"{text} {spell(a.control)}")


def _tunnel_key(a: act.TunnelKey) -> Said:
    if not a.family:
        return Said(_ends({"mode": "unset"}, a.control), f"tunnel_key  unset {spell(a.control)}")
    words = write_action(a).split()
    at = {name: words[words.index(name) + 1] for name in ("src_ip", "dst_ip")}
    members: Json = {"mode": "set", **at}
    lines = [f"\tsrc_ip {at['src_ip']}", f"\tdst_ip {at['dst_ip']}"]
    for name, value in (("key_id", a.key_id), ("dst_port", a.dst_port or None)):
        if value is not None:
            members[name] = value
            lines.append(f"\t{name} {value}")
    flag = "csum" if a.csum else "nocsum"
    members["flag"] = flag
    lines.append(f"\t{flag}")
    for name, value, text in (
        ("tos", a.tos, f"{a.tos:#x}"), ("ttl", a.ttl, str(a.ttl)),
    ):  # fmt: skip
        if value:
            members[name] = value
            lines.append(f"\t{name} {text}")
    return Said(
        _ends(members, a.control),
        "\n".join(("tunnel_key  set", *lines)) + f" {spell(a.control)}",
    )


_SAY: Final[dict[type[act.Action], Callable[[Any], Said]]] = {
    act.Gact: _gact,
    act.Mirred: _mirred,
    act.Ct: _ct,
    act.Pedit: _pedit,
    act.Csum: _csum,
    act.Vlan: _vlan,
    act.Mpls: _mpls,
    act.Skbedit: _skbedit,
    act.Police: _police,
    act.Sample: _sample,
    act.TunnelKey: _tunnel_key,
}
