"""From the name of a lane to the lane: the one place that knows all of them.

A :class:`Setup` says what is configured, as text as the user gave it; :func:`make` puts the lane
together. Rooms are imported when a lane needs them, so that starting one lane costs one lane.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ovsct.errors import InputError
from ovsct.lane import Lane

if TYPE_CHECKING:
    from ovsct.bridge.bridge import Bridge
    from ovsct.bridge.bridges import Plan
    from ovsct.openflow.flow import Flow
    from ovsct.openflow.group import Group
    from ovsct.openflow.meter import Meter

MAX_PORT: Final = 65279
"""The highest port number that OVS gives (OFPP_MAX - 1, openflow-1.0.h)."""

Options: TypeAlias = Mapping[str, Any]
_NONE: Final[Mapping[str, Options]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Text:
    """Text of the user's, and the name that errors call it by.

    `line` is the line of that file on which it begins (a block in a scenario does not begin on 1).
    """

    text: str
    name: str
    line: int = 1


@dataclass(frozen=True, kw_only=True)
class BridgeSetup:
    """One bridge: how it is wired, and its flows and groups as ``ovs-ofctl`` takes them.

    They are parsed once, whatever the number of lanes.
    """

    plan: Plan
    flows: Text | None = None
    groups: Text | None = None

    @cached_property
    def parsed_flows(self) -> tuple[Flow, ...]:
        """The flows, parsed.

        Raises:
            InputError: with file, line, column and token.
        """
        from ovsct.openflow.text.flow_text import read_flows

        return tuple(_read(read_flows, self.flows))

    @cached_property
    def parsed_groups(self) -> tuple[Group, ...]:
        """The groups, parsed.

        Raises:
            InputError: with file, line, column and token.
        """
        from ovsct.openflow.text.group_text import read_groups

        return tuple(_read(read_groups, self.groups))


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What is configured, whichever lane runs it.

    `ports` are port numbers, `flows`, `groups` and `meters` those of the one bridge, as
    ``ovs-ofctl`` takes them; or `bridges` are several in one datapath, with flows and groups of
    their own, and `ports` the datapath's numbers of all their ports. `tc_script` is text as ``tc``
    takes it (for the lane ``tc-script`` alone), `options` are keywords by lane.
    """

    ports: tuple[int, ...]
    flows: Text | None = None
    groups: Text | None = None
    meters: Text | None = None
    bridges: tuple[BridgeSetup, ...] = ()
    tc_script: Text | None = None
    options: Mapping[str, Options] = field(default_factory=lambda: _NONE)

    @cached_property
    def all_bridges(self) -> tuple[BridgeSetup, ...]:
        """The bridges, the one that is alone too; none if there are no flows at all."""
        if self.bridges:
            return self.bridges
        if self.flows is None and self.groups is None:
            return ()
        from ovsct.bridge.bridges import alone

        return (BridgeSetup(plan=alone(self.ports), flows=self.flows, groups=self.groups),)

    @cached_property
    def parsed_flows(self) -> tuple[Flow, ...]:
        """The flows of all bridges, parsed.

        Raises:
            InputError: with file, line, column and token.
        """
        return tuple(flow for bridge in self.all_bridges for flow in bridge.parsed_flows)

    @cached_property
    def parsed_groups(self) -> tuple[Group, ...]:
        """The groups of all bridges, parsed.

        Raises:
            InputError: with file, line, column and token.
        """
        return tuple(group for bridge in self.all_bridges for group in bridge.parsed_groups)

    @cached_property
    def parsed_meters(self) -> tuple[Meter, ...]:
        """The meters, parsed.

        Raises:
            InputError: with file, line, column and token.
        """
        from ovsct.openflow.text.meter_text import read_meters

        return tuple(_read(read_meters, self.meters))


Make: TypeAlias = Callable[[Setup, bool, dict[str, Any]], Lane]


def make(name: str, setup: Setup, *, trace: bool = False) -> Lane:
    """A new lane.

    Args:
        name: one of :data:`LANES`.
        setup: what is configured.
        trace: whether the lane's outcomes hold steps.

    Raises:
        InputError: there is no such lane, a flow, group or tc command is wrong, the lane lacks
            what it needs (flows, or a tc script), or has no such option.
        OvsctError: a real program that is not installed.
    """
    maker = LANES.get(name)
    if maker is None:
        raise unknown_lane(name)
    return maker(setup, trace, dict(setup.options.get(name, {})))


def factory(name: str, setup: Setup) -> Callable[[bool], Lane]:
    """How to make the lane `name` anew, with or without a trace: `factory(...)(trace)`.

    Raises:
        InputError: there is no such lane.
    """
    if name not in LANES:
        raise unknown_lane(name)
    return lambda trace: make(name, setup, trace=trace)


def unknown_lane(name: str) -> InputError:
    """The error for a lane that is not there."""
    close = get_close_matches(name, LANES, n=1)
    return InputError(
        "no such lane",
        token=name,
        expected=", ".join(LANES),
        hint=f"did you mean {close[0]!r}?" if close else None,
    )


def close(lane: Lane) -> None:
    """End what a lane holds outside of this process, if it is one that does."""
    end = getattr(lane, "close", None)
    if end is not None:
        end()


# -- reading ------------------------------------------------------------------------------------


def _read(read: Callable[[str, str | None], list[Any]], text: Text | None) -> list[Any]:
    if text is None:
        return []
    # Blank lines ahead make the line numbers those of the file.
    return read("\n" * (text.line - 1) + text.text, text.name)


def ports_named(things: Iterable[object]) -> set[int]:
    """The ports that flows and groups name: what they match in_port on, and where they send to."""
    from ovsct.packet.fields import SLOTS

    in_port = SLOTS["in_port"]
    found: set[int] = set()
    for thing in _walk(things):
        match = getattr(thing, "match", None)
        if match is not None and match.mask & in_port.mask:
            found.add(in_port.get(match.value))
        # Resubmit's port is one of a look-up too: a packet could have come in there.
        port = getattr(thing, "port", None)
        if isinstance(port, int):
            found.add(port)
        found.update(getattr(thing, "members", ()))  # of a bundle
    return {port for port in found if 1 <= port <= MAX_PORT}


def _walk(things: object) -> Iterator[object]:
    """Everything in a tree of dataclasses and sequences: actions stand inside actions."""
    if isinstance(things, list | tuple):
        for thing in things:
            yield from _walk(thing)
    elif is_dataclass(things):
        yield things
        for each in fields(things):
            yield from _walk(getattr(things, each.name))


# -- the lanes ----------------------------------------------------------------------------------


def _bridge(setup: Setup, name: str, options: dict[str, Any]) -> Bridge:
    from ovsct.bridge.bridge import Bridge
    from ovsct.bridge.bridges import join
    from ovsct.bridge.eviction import read_limits
    from ovsct.lanes.control import by_zone
    from ovsct.openflow.tlv import read_mappings, with_mappings

    _need_flows(name, setup)
    own = {key: options.pop(key) for key in ("frag_mode", "zone_timeouts") if key in options}
    if "zone_timeouts" in own:
        own["zone_timeouts"] = by_zone(own["zone_timeouts"])
    if "flow_tables" in options:
        own["limits"] = read_limits(options.pop("flow_tables"))
    if "tlv_map" in options:
        own["tlv_map"] = with_mappings({}, read_mappings(str(options.pop("tlv_map"))))
    for each in setup.all_bridges:
        _check_references(each, setup)
    made = [
        Bridge(
            each.plan.numbers, each.parsed_flows, each.parsed_groups,
            meters=setup.parsed_meters, name=each.plan.name, **own,
        )
        for each in setup.all_bridges
    ]  # fmt: skip
    if setup.bridges:
        join(made, [each.plan for each in setup.bridges])
    return made[0]


def _need_flows(name: str, setup: Setup) -> None:
    if setup.flows is None and not setup.bridges:
        raise InputError(f"the lane {name} needs flows", hint="give --flows FILE")


def _check_references(each: BridgeSetup, setup: Setup) -> None:
    """Refuse flows that name groups or meters that are not there."""
    from ovsct.openflow.check import check_references

    groups = {group.group_id for group in each.parsed_groups}
    meters = {meter.meter_id for meter in setup.parsed_meters}
    for flow in each.parsed_flows:
        check_references(flow, groups, meters)



_OURS: Final = frozenset({"trace", "file", "netfilter"})
"""Keywords of lanes that are no options of the user's."""


def _with_options(name: str, build: Callable[..., Lane], options: dict[str, Any]) -> Lane:
    import inspect

    known = [
        parameter.name
        for parameter in inspect.signature(build).parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.name not in _OURS
    ]
    for option in options:
        if option not in known:
            close = get_close_matches(option, known, n=1)
            raise InputError(
                f"the lane {name} has no such option",
                token=option,
                expected=", ".join(known) or "none",
                hint=f"did you mean {close[0]!r}?" if close else None,
            )
    return build(**options)


def _bridge_lane(name: str, module: str, kind: str) -> Make:
    def build(setup: Setup, trace: bool, options: dict[str, Any]) -> Lane:
        from functools import partial
        from importlib import import_module

        lane = getattr(import_module(f"ovsct.lanes.{module}"), kind)
        bridge = _bridge(setup, name, options)
        return _with_options(name, partial(lane, bridge, trace=trace), options)

    return build


def _tc_script(setup: Setup, trace: bool, options: dict[str, Any]) -> Lane:
    from functools import partial

    from ovsct.lanes.tc_script import TcScript

    if setup.tc_script is None:
        raise InputError("the lane tc-script needs tc commands", hint="give --tc-script FILE")
    script = setup.tc_script
    text = "\n" * (script.line - 1) + script.text
    build = partial(TcScript, text, setup.ports, trace=trace, file=script.name)
    return _with_options("tc-script", build, options)


def _real_ovs(setup: Setup, _trace: bool, options: dict[str, Any]) -> Lane:
    from ovsct.oracle.real_bridges import BridgeText
    from ovsct.oracle.real_ovs import Options, RealOvs

    _need_flows("real-ovs", setup)
    names = [each.name for each in fields(Options) if not each.name.endswith("_name")]
    for option in options:
        if option not in names:
            raise InputError("the lane real-ovs has no such option", token=option)
    if setup.meters is not None:
        options.setdefault("meters", _lines(setup.meters))
    texts = [
        BridgeText(
            each.plan, _lines(each.flows), _lines(each.groups),
            each.flows.name if each.flows is not None else "flows",
            each.groups.name if each.groups is not None else "groups",
        )
        for each in setup.all_bridges
    ]  # fmt: skip
    return RealOvs(options=Options(**options), bridges=texts)


def _lines(text: Text | None) -> Sequence[str]:
    return [] if text is None else ["#"] * (text.line - 1) + text.text.splitlines()


def _real_kernel(setup: Setup, _trace: bool, options: dict[str, Any]) -> Lane:
    from ovsct.oracle.kernel.real_kernel import RealKernel
    from ovsct.tc.text.forms import as_commands

    script = setup.tc_script
    if script is None:
        raise InputError(
            "the lane real-kernel needs tc commands", hint="give --tc-script FILE"
        )
    for option in options:
        if option not in ("kernel", "mtu"):
            raise InputError("the lane real-kernel has no such option", token=option,
                             expected="kernel or mtu")  # fmt: skip
    commands = as_commands(script.text, file=script.name)
    return RealKernel(commands, setup.ports, file=script.name, **options)


LANES: Final[dict[str, Make]] = {
    "ovs-userspace": _bridge_lane("ovs-userspace", "ovs_userspace", "OvsUserspace"),
    "ovs-kernel": _bridge_lane("ovs-kernel", "ovs_kernel", "OvsKernel"),
    "tc": _bridge_lane("tc", "tc", "TcLane"),
    "tc-script": _tc_script,
    "hw": _bridge_lane("hw", "hw", "HwLane"),
    "real-ovs": _real_ovs,
    "real-kernel": _real_kernel,
}
"""Every lane by its name."""

MODELS: Final = frozenset(LANES) - {"real-ovs", "real-kernel"}
"""The lanes that are models: deterministic, with an order of outputs across ports."""
