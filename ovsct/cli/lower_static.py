"""``ovsct lower --static``: a pipeline as a TC rule set."""

from __future__ import annotations

from collections.abc import Iterator

from ovsct.errors import InputError
from ovsct.lanes.make import Setup


def lower_static(setup: Setup, to: str) -> Iterator[str]:
    """The lines to print: commands of ``tc``, or what it lists once they are installed.

    Raises:
        StaticError: TC cannot say it; the error names the flow and the reason.
        InputError: another form was asked for.
    """
    from ovsct.lanes.tc_script import TcScript
    from ovsct.lower.static import lower_pipeline
    from ovsct.lower.static_text import script_of

    if to not in ("tc", "tc-show", "tc-json"):
        raise InputError("a pipeline can be lowered to TC alone", token=to,
                         expected="tc, tc-show or tc-json")  # fmt: skip
    lowered = lower_pipeline(setup.parsed_flows, setup.ports, setup.parsed_groups)
    script = list(script_of(lowered, setup.ports))
    if to == "tc":
        yield from script
    else:
        yield from TcScript("\n".join(script), setup.ports).lowered(to)
