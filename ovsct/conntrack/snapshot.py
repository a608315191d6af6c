"""A tracker's whole state as bytes: versioned, checksummed, the same for the same state.

::

    magic 8 | version 2 | length 8 | SHA-256 of the body 32 | body: msgpack

The body is a map of plain values, which `userspace_snapshot` and `netfilter.snapshot` make of a
tracker and make a tracker of. All times in it are relative to the moment of the snapshot, so that
what had ten seconds to live when it was taken has ten seconds when it is restored, at any time.
Integers of more than 64 bits (tuples, labels, flow keys) are bytes, the highest first.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from struct import Struct
from typing import Any, Final

import msgpack

from ovsct.errors import InputError

MAGIC: Final = b"ovsct-ct"
VERSION: Final = 1

_HEAD: Final = Struct(">8sHQ32s")
_LOW, _HIGH = -(1 << 63), (1 << 64) - 1


def encode(state: Mapping[str, Any]) -> bytes:
    """The bytes of a state made of plain values."""
    body: bytes = msgpack.packb(state, use_bin_type=True)
    return _HEAD.pack(MAGIC, VERSION, len(body), sha256(body).digest()) + body


def decode(data: bytes) -> dict[str, Any]:
    """The state of these bytes.

    Raises:
        InputError: they are no snapshot, of a version that is not known, cut short, or damaged.
    """
    if len(data) < _HEAD.size or not data.startswith(MAGIC):
        raise InputError("no snapshot of connections", expected="a file that --snapshot wrote")
    _, version, size, digest = _HEAD.unpack_from(data)
    if version != VERSION:
        raise InputError(
            "a snapshot of a version that is not known", token=str(version), expected=str(VERSION)
        )
    body = data[_HEAD.size :]
    if len(body) != size:
        raise InputError(f"the snapshot has {len(body)} bytes where {size} were written")
    if sha256(body).digest() != digest:
        raise InputError("the snapshot is damaged: its checksum is wrong")
    state = msgpack.unpackb(body, raw=False, strict_map_key=False)
    if not isinstance(state, dict) or "dialect" not in state:
        raise InputError("the snapshot holds no tracker")
    return state


def whole(number: int) -> int | bytes:
    """A whole number as it stands in a snapshot."""
    if _LOW <= number <= _HIGH:
        return number
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def number(value: int | bytes) -> int:
    """The whole number that :func:`whole` made."""
    return int.from_bytes(value, "big") if isinstance(value, bytes) else value


def of_dialect(state: Mapping[str, Any], dialect: str) -> None:
    """Check whose state it is.

    Raises:
        InputError: it is that of the other dialect.
    """
    if state["dialect"] != dialect:
        raise InputError(
            "a snapshot of the other dialect of conntrack", token=state["dialect"],
            expected=dialect, hint="write the connections as text and load those",
        )  # fmt: skip
