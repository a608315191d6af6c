"""The last step of every output: commit what is pending, then send."""

from __future__ import annotations

from ovsct.bridge import odp
from ovsct.bridge.commit import commit
from ovsct.bridge.context import Context
from ovsct.lane import StepKind


def emit(ctx: Context, port: int) -> None:
    """Output to a port of the bridge, whatever port the packet came in on."""
    if not ctx.bridge.has_port(port):
        ctx.note(StepKind.NOTE, "Nonexistent output port")
        return
    if port in ctx.bridge.mute:
        ctx.note(StepKind.NOTE, "OFPPC_NO_FWD set, skipping output")
        return
    commit(ctx)
    ctx.odp.append(odp.Output(port))
