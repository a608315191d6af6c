"""Every message there and back, and as the real ovs-ofctl reads it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ovsct.openflow.wire.codec import decode, encode, encode_reply, split
from ovsct.openflow.wire.errors import NUMBERS, WireError, pack_error, unpack_error
from ovsct.openflow.wire.forms import FORMS
from ovsct.openflow.wire.messages import EchoRequest, Hello
from ovsct.openflow.wire.multipart import FlowStatsReply
from ovsct.openflow.wire.numbers import VERSIONS
from ovsct.openflow.wire.stats_forms import STATS_FORMS
from tests.openflow.wire.messages import every

CASES = [(version, body) for version in VERSIONS for body in every(version)]
NAMES = [f"{version}-{type(body).__name__}-{n}" for n, (version, body) in enumerate(CASES)]


@pytest.mark.parametrize(("version", "body"), CASES, ids=NAMES)
def test_there_and_back(version: int, body: object) -> None:
    data = encode(body, version, 0x01020304, table_ids=True)
    assert data[0] == version
    message = decode(data, table_ids=True)
    assert message.xid == 0x01020304
    assert message.body == body
    assert encode(message.body, version, 0x01020304, table_ids=True) == data


@pytest.mark.real_ovs
@pytest.mark.parametrize(("version", "body"), CASES, ids=NAMES)
def test_the_real_program_reads_it(
    version: int, body: object, ofp_print: Callable[[bytes], str]
) -> None:
    said = ofp_print(encode(body, version, 0x01020304, table_ids=True))
    assert said.startswith(("OFP", "NXT_", "NXST_", "ONFT_", "ONFST_"))
    assert "xid=0x1020304" in said
    assert "decode error" not in said
    assert "***" not in said


def test_every_layout_has_its_example() -> None:
    shown = {(version, type(body), getattr(body, "variant", "")) for version, body in CASES}
    forms = [*FORMS.items(), *STATS_FORMS.items()]
    layouts = {(key.version, form.make, form.variant) for key, form in forms}
    missing = {(version, make.__name__) for version, make, variant in layouts - shown}
    # The aggregates of flows in the standard's form of 1.0, which others show as well.
    assert missing == {(1, "AggregateRequest")}


@pytest.mark.parametrize("version", VERSIONS)
def test_errors_there_and_back(version: int) -> None:
    names = [name for name, numbers in NUMBERS.items() if version in numbers]
    assert len(names) >= 100
    for name in names:
        found, data = unpack_error(pack_error(name, version, b"data"), version)
        assert data == b"data"
        assert NUMBERS[found][version] == NUMBERS[name][version]


@pytest.mark.real_ovs
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "name", ["OFPBRC_BAD_LEN", "OFPBMC_BAD_PREREQ", "OFPBAC_BAD_SET_MASK", "NXBAC_BAD_CONJUNCTION"]
)
def test_the_real_program_knows_our_errors(
    version: int, name: str, ofp_print: Callable[[bytes], str]
) -> None:
    from ovsct.openflow.wire.messages import Error

    said = ofp_print(encode(Error(name, encode(EchoRequest(), version, 1)), version, 1))
    assert name in said or "NXBRC_UNENCODABLE_ERROR" in said
    assert name in said or version not in NUMBERS[name]


def test_a_stream_is_split_where_messages_end() -> None:
    first, second = encode(EchoRequest(b"one"), 1, 1), encode(EchoRequest(b"two"), 1, 2)
    stream = bytearray(first + second[:-1])
    assert split(stream) == [first]
    stream += second[-1:]
    assert split(stream) == [second]
    assert not stream


def test_a_message_shorter_than_its_header_ends_the_stream() -> None:
    with pytest.raises(WireError, match="OFPBRC_BAD_LEN"):
        split(bytearray(b"\x01\x02\x00\x07\x00\x00\x00\x01"))


def test_long_replies_are_cut_between_entries() -> None:
    entry = next(
        body.entries[0] for body in every(4) if isinstance(body, FlowStatsReply)
    )
    messages = encode_reply(FlowStatsReply((entry,) * 2000), 4, 7)
    assert len(messages) > 1
    parts = [decode(message) for message in messages]
    assert [part.more for part in parts] == [True] * (len(parts) - 1) + [False]
    assert sum(len(part.body.entries) for part in parts) == 2000


@pytest.mark.parametrize(
    ("data", "versions"),
    [
        ("0400000800000001", {1, 2, 3, 4}),
        ("04000010000000010001000800000012", {1, 4}),
        ("06000010000000010001000800000000", {1, 2, 3, 4, 5, 6}),
        ("0400000c0000000100090004", {1, 2, 3, 4}),
    ],
)
def test_hello(data: str, versions: set[int]) -> None:
    assert decode(bytes.fromhex(data)).body == Hello(frozenset(versions))


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ("0163000800000001", "OFPBRC_BAD_TYPE"),
        ("0463000800000001", "OFPBRC_BAD_TYPE"),
        ("01100010000000010063000000000000", "OFPBRC_BAD_STAT"),
        ("041200100000000100630000 00000000", "OFPBRC_BAD_STAT"),
        ("01040010000000010000232000000063", "OFPBRC_BAD_SUBTYPE"),
        ("0104000c0000000100001234", "OFPBRC_BAD_VENDOR"),
        ("0109000900000001ff", "OFPBRC_BAD_LEN"),
        ("010500090000000100", "OFPBRC_BAD_LEN"),
        ("010e000c0000000100000000", "OFPBRC_BAD_LEN"),
    ],
)
def test_what_is_not_known_is_named(data: str, error: str) -> None:
    with pytest.raises(WireError) as refusal:
        decode(bytes.fromhex(data))
    assert refusal.value.name == error
