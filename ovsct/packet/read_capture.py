"""A capture of whatever format, by its first bytes."""

from __future__ import annotations

from ovsct.packet.capture import BinaryReader, CaptureReader, Truncated, read_at_least, sniff
from ovsct.packet.pcap import PcapReader
from ovsct.packet.pcapng import PcapngReader


def read_capture(
    file: BinaryReader, name: str, *, truncated: Truncated = "error", origin: int | None = 0
) -> CaptureReader:
    """A reader for a capture of either format, told apart by its first bytes.

    Args:
        file: a binary file object at the start of the capture; it need not be seekable.
        name: what errors call the file.
        truncated: "error" refuses a frame that was captured in part, "take" passes it on.
        origin: the second since 1970 that `at` counts from; None is that of the first record.

    Raises:
        InputError: it is no capture, or its header is bad; iterating raises it for a bad record.
    """
    head = read_at_least(file, 4, name)
    if sniff(head, name) == "pcap":
        return PcapReader(file, name, truncated=truncated, origin=origin, head=head)
    return PcapngReader(file, name, truncated=truncated, origin=origin, head=head)
