"""The datapath actions that need nothing but the packet."""

from __future__ import annotations

from ovsct.bridge.police import Policer
from ovsct.bridge.run import Run
from ovsct.lane import Drop, Output
from ovsct.openflow import hashes
from ovsct.packet import edit
from ovsct.packet.fields import CT_STATE_NAMES, SLOTS
from ovsct.packet.packet import Packet, parse

_DP_HASH = SLOTS["dp_hash"]


def output(packet: Packet, port: int, run: Run) -> None:
    """Send the frame, cut if that was asked for."""
    if run.cut is not None:
        run.out.append(Output(port, packet.frame[: len(packet.frame) - run.cut]))
        run.cut = None
    else:
        run.out.append(Output(port, packet.frame))


def set_fields(packet: Packet, argument: tuple[int, int], _run: Run) -> None:
    """Write fields."""
    edit.set_fields(packet, argument[0], argument[1])


def push_vlan(packet: Packet, argument: tuple[int, int], _run: Run) -> None:
    """Push a tag."""
    edit.push_vlan(packet, argument[0], argument[1])


def pop_vlan(packet: Packet, _argument: None, _run: Run) -> None:
    """Pop a tag."""
    edit.pop_vlan(packet)


def push_mpls(packet: Packet, argument: tuple[int, int], _run: Run) -> None:
    """Push a label."""
    edit.push_mpls(packet, argument[0], argument[1])


def pop_mpls(packet: Packet, ethertype: int, _run: Run) -> None:
    """Pop a label."""
    edit.pop_mpls(packet, ethertype)


def police(packet: Packet, policer: Policer, run: Run) -> bool:
    """Ask a meter; True, and the actions end, if the packet is too much for it."""
    if policer.passes(len(packet.frame), run.now):
        return False
    run.drop = Drop.POLICED
    return True


def trunc(packet: Packet, max_len: int, run: Run) -> None:
    """Cut at the next output."""
    # What is cut off is settled here: a tag pushed before the output makes the rest longer.
    run.cut = max(0, len(packet.frame) - max_len)


def describe_ct(packet: Packet, diverted: bool) -> str:
    """What conntrack says of a packet, in words."""
    if diverted:
        return "ct: the packet does not go on by itself"
    key = packet.key
    state = SLOTS["ct_state"].get(key)
    names = "|".join(name for name, bit in CT_STATE_NAMES if state & bit) or "untracked"
    text = f"ct_state={names}, ct_zone={SLOTS['ct_zone'].get(key)}"
    mark, label = SLOTS["ct_mark"].get(key), SLOTS["ct_label"].get(key)
    if mark:
        text += f", ct_mark={mark:#x}"
    if label:
        text += f", ct_label={label:#x}"
    return text


def set_dp_hash(packet: Packet, argument: tuple[int, int, int | None], run: Run) -> None:
    """OVS_ACTION_ATTR_HASH of the userspace datapath (OVS lib/odp-execute.c).

    The L4 hash is that of the packet as it arrived, which the datapath keeps; a kernel's is a
    secret of its own, and here the same. The symmetric one is of the packet as it is now, parsed
    again with this many tags if the argument says so.
    """
    algorithm, basis, vlan_limit = argument
    if algorithm:
        key = packet.key if vlan_limit is None else parse(packet.frame, 0, vlan_limit).key
        value = hashes.symmetric_l3l4(key, basis)
    else:
        arrived = packet.key if run.arrival is None else run.arrival
        value = hashes.hash_2words(hashes.five_tuple(arrived), basis)
    packet.key = _DP_HASH.put(packet.key, value)
