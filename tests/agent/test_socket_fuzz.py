"""Damaged messages at the sockets of a running switch; a million of them by hand (socket_fuzz)."""

from __future__ import annotations

from tests.agent.socket_fuzz import run


def test_damaged_messages_neither_end_nor_swell_the_switch_nor_stop_other_connections() -> None:
    said = run(3000, seed=6)
    assert "alive" in said
