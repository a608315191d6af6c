"""Lends the oracle's tests the shared judge."""

from tests.judges import real_ovs

__all__ = ["real_ovs"]
