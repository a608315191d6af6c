"""The last step of every output: commit what is pending, then send (or go on behind a patch)."""

from __future__ import annotations

from ovsct.bridge import odp
from ovsct.bridge.act_patch import through_patch_port
from ovsct.bridge.commit import commit
from ovsct.bridge.context import Context
from ovsct.bridge.prereq import is_ethernet
from ovsct.lane import StepKind


def emit(ctx: Context, port: int, last: bool) -> None:
    """Output to a port of the bridge, whatever port the packet came in on.

    `last` says that nothing follows (OVS ``compose_output_action__()``).
    """
    bridge = ctx.bridge
    if not bridge.has_port(port):
        ctx.note(StepKind.NOTE, "Nonexistent output port")
        return
    if port in bridge.mute:
        ctx.note(StepKind.NOTE, "OFPPC_NO_FWD set, skipping output")
        return
    end = bridge.peers.get(port)
    if end is not None:
        through_patch_port(ctx, *end, last)
        return
    if not is_ethernet(ctx.flow):
        ctx.note(StepKind.NOTE, "a port for Ethernet takes no other packet")
        return
    commit(ctx)
    ctx.odp.append(odp.Output(bridge.datapath_port(port)))
