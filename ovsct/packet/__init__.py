"""Frames, fields and flow keys.

The field registry is one table that the parser, the codecs, the lowering and the docs all read.
A flow key is one int laid out by it; frames become keys, keys become frames with right checksums,
and pcap and pcapng are read and written as streams.
"""
