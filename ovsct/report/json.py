"""Results for programs: one JSON object a line, always with the same keys in the same order.

`packet_line` is written by hand rather than by :mod:`json`, which would take longer than an
established packet takes to go through a lane. The text is the same as that of ``json.dumps``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from ovsct.compare.diverge import Divergence
from ovsct.compare.evidence import Side
from ovsct.lane import Arrival, Connection, Outcome, Output, Via

_VIAS: dict[tuple[Via, ...], str] = {}
"""The text of each list of engines met so far; there are but a few."""

_NULL: Final = "null"


def packet_line(n: int, packet: Arrival, outcome: Outcome) -> str:
    """The line of ``ovsct run --json`` for packet `n` (from 1), with the newline.

    ``{"n": 1, "at": 0.0, "port": 1, "out": [[port, "hex"], ...], "drop": reason or null,
    "via": [...]}``
    """
    at, port, _ = packet
    out, drop, via, _ = outcome
    if len(out) == 1 and type(out[0][0]) is int:
        left = f'[{out[0][0]}, "{out[0][1].hex()}"]'
    else:
        left = ", ".join([_output(output) for output in out])
    reason = _NULL if drop is None else f'"{drop.value}"'
    engines = _VIAS.get(tuple(via))
    if engines is None:
        engines = _VIAS[tuple(via)] = json.dumps([engine.value for engine in via])
    return (
        f'{{"n": {n}, "at": {at!r}, "port": {port}, "out": [{left}], '
        f'"drop": {reason}, "via": {engines}}}\n'
    )


def _output(output: Output) -> str:
    port = output.port if isinstance(output.port, int) else f'"{output.port}"'
    return f'[{port}, "{output.frame.hex()}"]'


def divergence_line(divergence: Divergence) -> str:
    """The line of ``ovsct diff --json`` for one divergence, with the newline."""
    arrival = divergence.arrival
    record: dict[str, Any] = {
        "n": divergence.n,
        "at": divergence.at,
        "port": arrival.port if arrival else None,
        "frame": arrival.frame.hex() if arrival else None,
        "cause": divergence.cause.value,
        "because": divergence.because,
        "findings": [
            {
                "lanes": list(finding.lanes),
                "cause": finding.cause.value,
                "because": finding.because,
            }
            for finding in divergence.findings
        ],
        "lanes": {side.lane: _side(side) for side in divergence.sides},
    }
    return json.dumps(record) + "\n"


def _side(side: Side) -> dict[str, Any]:
    return {
        "out": [[output.port, output.frame.hex()] for output in side.out],
        "drop": side.drop.value if side.drop else None,
        "via": [engine.value for engine in side.via],
        "steps": [[step.via.value, step.kind.value, step.text] for step in side.steps],
        "connections": [_connection(connection) for connection in side.connections],
    }


def _connection(connection: Connection) -> dict[str, Any]:
    ends: dict[str, Sequence[Any]] = {
        "orig": list(connection.orig),
        "reply": list(connection.reply),
    }
    return {
        "proto": connection.proto,
        **ends,
        "zone": connection.zone,
        "mark": connection.mark,
        "label": connection.label,
        "state": connection.state,
        "timeout": round(connection.timeout, 3),
        "status": sorted(connection.status),
    }
