"""The OpenFlow wire: bytes to messages and back, with no I/O.

A second face of the objects of :mod:`ovsct.openflow`, beside the ``ovs-ofctl`` text. One layout a
message serves both directions (:mod:`ovsct.openflow.wire.layout`).
"""
