"""Lanes in lock step: the first packet on which they differ, and the cause.

The cause of a divergence is a member of a closed list.
"""
