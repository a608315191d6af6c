"""Filters of the model in the words in which iproute2 6.1 shows those of a kernel."""

from __future__ import annotations

from typing import Any

from ovsct.lanes.tc import TcLane
from ovsct.openflow.actions import OFPP_LOCAL
from ovsct.packet.packet import ETH_VLAN
from ovsct.tc import actions as act
from ovsct.tc.text.match import keys_of, label_text, protocol_of
from ovsct.tc.text.show_police import police_text
from ovsct.tc.text.write import nat_text
from ovsct.tc.verdict import spell


def filters(lane: TcLane, port: int) -> list[dict[str, Any]]:
    """The filters of a port as recorded cases hold them."""
    return [
        {
            "chain": entry.chain,
            "prio": entry.prio,
            "protocol": protocol_of(entry).lower(),
            "handle": entry.handle,
            "keys": [f"{key.shown} {key.text}" for key in keys_of(entry)],
            "actions": [line for action in entry.actions for line in action_lines(action)],
            "packets": max(counter.packets for counter in installed.counters),
            "bytes": max(counter.bytes for counter in installed.counters),
        }
        for installed in lane.tc.filters(port, egress=port == OFPP_LOCAL)
        for entry in (installed.filter,)
    ]


def action_lines(action: act.Action) -> list[str]:
    """One action, without index and statistics; pedit has a line a word."""
    if isinstance(action, act.Gact):
        return [f"gact action {spell(action.control)}"]
    if isinstance(action, act.Mirred):
        way = "Ingress" if action.ingress else "Egress"
        what = "Mirror" if action.mirror else "Redirect"
        device = "br0" if action.port == OFPP_LOCAL else f"p{action.port}"
        return [f"mirred ({way} {what} to device {device}) {spell(action.control)}"]
    if isinstance(action, act.Ct):
        return [_ct(action)]
    if isinstance(action, act.Pedit):
        return [
            f"pedit action {spell(action.control)} keys {len(action.munges)}",
            *(
                f"key #{n} at {word.header.value}+{word.offset}: "
                f"val {word.value:08x} mask {word.mask:08x}"
                for n, word in enumerate(action.munges)
            ),
        ]
    if isinstance(action, act.Csum):
        names = ", ".join(each.value for each in act.Sum if each in action.which)
        return [f"csum ({names}) action {spell(action.control)}"]
    if isinstance(action, act.Vlan):
        return [_vlan(action)]
    if isinstance(action, act.Mpls):
        return [_mpls(action)]
    if isinstance(action, act.Police):
        # Without the index, of which the kernel gives the next.
        return [" ".join(police_text(action, action.mtu).replace("{index} ", "").split())]
    assert isinstance(action, act.Skbedit)
    return [f"skbedit ptype {action.ptype} {spell(action.control)}"]


def _ct(action: act.Ct) -> str:
    track = action.track
    if track is None:
        return f"ct clear {spell(action.control)}"
    words = ["ct"]
    words += ["commit"] * track.commit + ["force"] * track.force
    if track.mark is not None:
        value, mask = track.mark
        words.append(f"mark {value}" + ("" if mask == 0xFFFFFFFF else f"/0x{mask:x}"))
    words += [f"zone {track.zone}"] * bool(track.zone)
    if track.label is not None:
        words.append(f"label {label_text(*track.label)}")
    if track.nat is not None:
        words.append(nat_text(track.nat))
    return " ".join([*words, spell(action.control)])


def _vlan(action: act.Vlan) -> str:
    if action.op is act.VlanOp.POP:
        return f"vlan pop {spell(action.control)}"
    assert action.protocol == ETH_VLAN
    return (
        f"vlan {action.op.value} id {action.vid} protocol 802.1Q priority {action.prio}"
        f" {spell(action.control)}"
    )


def _mpls(action: act.Mpls) -> str:
    types = {0x0800: "ip", 0x8847: "mpls_uc"}
    if action.op is act.MplsOp.POP:
        return f"mpls pop protocol {types[action.protocol]} {spell(action.control)}"
    proto = f" protocol {types[action.protocol]}" if action.op is act.MplsOp.PUSH else ""
    return (
        f"mpls {action.op.value}{proto} label {action.label} tc {action.tc} bos {action.bos}"
        f" ttl {action.ttl} {spell(action.control)}"
    )
