"""The lane ``hw``: OVS with ``hw-offload=true`` and a NIC that takes what it can.

A packet meets the hardware first. What that does not finish goes on in TC in software, where it
stands, and from there as in the lane ``tc``; all three share one conntrack. Filters are in software
and, if the NIC takes them, in hardware; connections follow a moment later (``docs/hardware.md``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ovsct.bridge.bridge import Bridge
from ovsct.bridge.datapath import MAX_IDLE
from ovsct.conntrack.netfilter import Netfilter
from ovsct.errors import InputError
from ovsct.lane import Arrival, Event, Outcome, Step, StepKind, Via
from ovsct.lanes.control import Policies, ZoneLimits
from ovsct.lanes.tc import TcLane
from ovsct.lower.text import refusal_lines
from ovsct.lower.to_nic import offer
from ovsct.nic.ingress import NicIngress
from ovsct.nic.pipeline import VLANS_READ, Sent
from ovsct.nic.profile import Profile, get_profile
from ovsct.packet.fields import SLOTS
from ovsct.packet.kernel import reparse
from ovsct.packet.packet import parse
from ovsct.tc.text.show import LISTINGS

_BY_HW: Final = (Via.HW,)
_TAGGED: Final = SLOTS["vlan_tci"].mask


class HwLane(TcLane):
    """OVS over TC over a NIC, to which all ports but the bridge's own belong.

    Args:
        bridge: tables, groups and ports.
        kernel: whose rules TC, conntrack and the driver follow, ``6.1`` or ``6.12``.
        profile: what the NIC can do: a name, a profile, or a mapping of values
            (:func:`ovsct.nic.profile.get_profile`).
        delay: seconds from the moment that the kernel asks until a connection is in hardware, or
            out of it; None for the profile's own.
        netfilter, skb_ext, features, trace, vlan_limit, max_idle, sysctls, zone_limits,
            timeout_policies: as for the lane ``tc``.

    Raises:
        InputError: no such kernel or profile, or a value that a profile cannot have.
    """

    tc: NicIngress
    skip_hw = False

    def __init__(
        self,
        bridge: Bridge,
        *,
        kernel: str = "6.1",
        profile: str | Profile | Mapping[str, Any] = "mlx5",
        delay: float | None = None,
        netfilter: Netfilter | None = None,
        skb_ext: bool = True,
        trace: bool = False,
        vlan_limit: int = 1,
        max_idle: float = MAX_IDLE,
        sysctls: Mapping[str, int] | None = None,
        zone_limits: ZoneLimits | None = None,
        timeout_policies: Policies | None = None,
        features: str = "6.1",
    ) -> None:
        self.profile = get_profile(profile, netfilter.kernel if netfilter else kernel, delay)
        super().__init__(
            bridge, kernel=kernel, netfilter=netfilter, skb_ext=skb_ext, trace=trace,
            vlan_limit=vlan_limit, max_idle=max_idle, sysctls=sysctls, zone_limits=zone_limits,
            timeout_policies=timeout_policies, features=features,
        )  # fmt: skip
        self.name = "hw"
        self._early: list[Event] = []

    def make_ingress(self) -> NicIngress:
        """TC with the NIC in front."""
        backer = self.bridge.backer
        ports = (*backer.ports, *backer.own_ports)
        return NicIngress(
            ports, self.netfilter, self.profile, offer, backer.ports, backer.own_ports
        )

    def receive(self, packet: Arrival) -> Outcome:
        """Take one frame.

        Raises:
            InputError: the port is not one of the bridge's.
        """
        now, port, frame = packet
        tc = self.tc
        if int(now * 1000.0 + 0.0005) >= tc.hw_flows.due:
            self._early += tc.hw_flows.advance(now)
        if port not in tc.nic_ports or len(frame) < 14:
            return super().receive(packet)
        steps: list[Step] | None = [] if self.trace else None
        done = tc.hardware(parse(frame, port, VLANS_READ), port, now, steps)
        if isinstance(done, Sent):
            self.now = now
            self.packet_ins = ()
            return Outcome(done.outputs, done.drop, _BY_HW, steps or ())
        if done.packet.key & _TAGGED:
            reparse(done.packet, done.packet.frame)
        tc.hand(done)
        outcome = super().receive(packet)
        if done.begun:
            outcome = outcome._replace(via=(Via.HW, *outcome.via))
        if steps is not None:
            steps += outcome.steps
            steps += [Step(Via.HW, StepKind.HARDWARE, text) for text in tc.news]
            outcome = outcome._replace(steps=steps)
        tc.news.clear()
        return outcome

    def advance(self, now: float) -> Sequence[Event]:
        """Let everything age until `now`: hardware's counters first, megaflows live by them."""
        hardware = self.tc.hw_flows.advance(now)
        software = super().advance(now)
        if not hardware and not self._early:
            return software
        events = [*self._early, *hardware, *software]
        self._early.clear()
        events.sort(key=lambda event: event.at)
        return events

    def lowered(self, to: str) -> list[str]:
        """What is installed: ``odp``, ``tc`` as in the lane ``tc``, and ``nic``.

        The last are the rules and connections in hardware, the filters that it did not take with
        the reason, and as comments the megaflows that are not even in TC.

        Raises:
            InputError: there is no such thing.
        """
        if to in ("odp", "tc", *LISTINGS):
            return super().lowered(to)
        if to != "nic":
            raise InputError(
                "the lane hw installs nothing of this kind", token=to, expected="odp, tc or nic"
            )
        lines = self.tc.lines(self.now)
        for flow, refusal in self.refused.items():
            lines += refusal_lines(flow, refusal)
        return lines
