"""The masks that the kernel keeps of vswitchd's."""

from __future__ import annotations

from ovsct.bridge.kernel_form import kernel_mask
from ovsct.packet import build
from ovsct.packet.fields import SLOTS
from ovsct.packet.kernel import kernel_packet

INNER = SLOTS["vlan_tci1"].mask


def test_that_there_is_no_second_tag_is_matched() -> None:
    """ovs_nla_get_match(), "Always match on tci" (topologies/side-by-side/15-qinq.yaml)."""
    one = kernel_packet(build.udp("10.0.0.1", "10.0.0.2", 1, 2, vlans=[5]), 1).key
    two = kernel_packet(build.udp("10.0.0.1", "10.0.0.2", 1, 2, vlans=[5, 6]), 1).key
    mask = kernel_mask(one, SLOTS["vlan_tci"].mask, 1)
    assert mask & INNER == INNER
    assert one & mask != two & mask
