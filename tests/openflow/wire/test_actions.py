"""Actions and matches on the wire, as the text face says them; the real ovs-ofctl is the judge."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from ovsct.errors import InputError
from ovsct.openflow.text.action_format import format_actions
from ovsct.openflow.text.flow_text import parse_flow
from ovsct.openflow.text.match_text import format_match
from ovsct.openflow.wire.actions import pull_actions
from ovsct.openflow.wire.buffer import Reader
from ovsct.openflow.wire.codec import decode, encode
from ovsct.openflow.wire.errors import WireError
from ovsct.openflow.wire.match import pull_entries, pull_oxm_match, put_entries, put_oxm_match
from ovsct.openflow.wire.messages import FlowMod
from ovsct.openflow.wire.oxm import HEADS, pull_header
from ovsct.packet.fields import FIELDS
from tests.openflow.flow_lines import ACTIONS, MATCHES

NEWER = ("write_actions", "clear_actions", "meter:", "goto_table", "push_vlan", "write_metadata")


_PREFIXES = (
    "", "tcp,", "udp,", "sctp,", "tcp6,", "arp,", "icmp,", "icmp6,", "icmp6,icmpv6_type=135,",
    "icmp6,icmpv6_type=136,", "dl_vlan=5,", "mpls,", "ct_state=+trk+est,ip,",
    "ct_state=+trk+est,ipv6,", "tcp,dl_vlan=5,",
)  # fmt: skip


def _lines() -> list[str]:
    """Every match and action of the text face's own table, each behind what it needs."""
    wanted = [f"{line},actions=1" for line in MATCHES if line]
    wanted += [f"actions={line}" for line in ACTIONS if line]
    found = []
    for line in wanted:
        for prefix in _PREFIXES:
            try:
                parse_flow(prefix + line)
            except InputError:
                continue
            found.append(prefix + line)
            break
    assert len(found) > 0.9 * len(wanted)
    return found


LINES = _lines()


def _flow_mod(line: str, version: int) -> FlowMod:
    flow = parse_flow(line)
    return FlowMod(
        command="add", table=flow.table, match=flow.match, priority=flow.priority,
        actions=flow.actions, new_cookie=flow.cookie, variant="nx" if version == 1 else "",
    )  # fmt: skip


def _encoded(line: str, version: int) -> bytes:
    """The flow mod of a line; what cannot be said is skipped with the codec's own reason."""
    try:
        return encode(_flow_mod(line, version), version, 1, table_ids=True)
    except WireError as error:
        assert error.name in ("OFPBAC_BAD_TYPE", "OFPBAC_BAD_SET_TYPE", "OFPBMC_BAD_FIELD")
        pytest.skip(str(error))


@pytest.mark.parametrize("version", [1, 4])
@pytest.mark.parametrize("line", LINES)
def test_there_and_back(line: str, version: int) -> None:
    data = _encoded(line, version)
    if "in_port_oxm" in line and version == 4:
        with pytest.raises(WireError, match="OFPBAC_BAD_SET_ARGUMENT"):
            decode(data, table_ids=True)
        return
    if version == 1 and any(word in line for word in ("encap(", "decap(", "dec_nsh_ttl")):
        # OVS says them in 1.0, too, and reads them from 1.3 on.
        with pytest.raises(WireError, match="OFPBAC_BAD_VENDOR_TYPE"):
            decode(data, table_ids=True)
        return
    back = decode(data, table_ids=True).body
    assert decode(encode(back, version, 1, table_ids=True), table_ids=True).body == back
    wanted = format_match(parse_flow(line).match)
    if version == 4:  # OXM knows no TCI: no tag is a VID of which nothing is there
        wanted = wanted.replace("vlan_tci=0x0000,", "vlan_tci=0x0000/0x1fff,")
        wanted = re.sub("vlan_tci=0x0000$", "vlan_tci=0x0000/0x1fff", wanted)
    assert format_match(back.match) == wanted


@pytest.mark.real_ovs
@pytest.mark.parametrize("version", [1, 4])
@pytest.mark.parametrize("line", LINES)
def test_the_real_program_reads_the_same(
    line: str, version: int, ofp_print: Callable[[bytes], str]
) -> None:
    if version == 1 and any(word in line for word in NEWER):
        pytest.skip("OpenFlow 1.0 says instructions by other actions")
    if "debug_" in line:
        pytest.skip("only an ovs-vswitchd with --enable-dummy knows the debugging actions")
    data = _encoded(line, version)
    said = ofp_print(data)
    try:
        back = decode(data, table_ids=True).body
    except WireError as error:
        assert f"decode error: {error.name}" in said
        return
    if "MATCH_INCONSISTENT" in said and version == 4:
        pytest.skip("only OpenFlow 1.0 takes an action that the match does not allow")
    assert "decode error" not in said
    assert said.split("actions=")[1].strip() == format_actions(back.actions)
    assert format_match(back.match) in said


@pytest.mark.parametrize("name", sorted({name for name, _ in HEADS}))
def test_each_field_of_the_registry_has_its_header(name: str) -> None:
    field = FIELDS[name]
    for (named, _), head in HEADS.items():
        if named != name:
            continue
        for masked in (False, True):
            found, size, has_mask, _ = pull_header(Reader(head.pack(masked)), False)
            assert (found, size, has_mask) == (field, head.size, masked)


def test_fields_without_a_header_are_those_that_openflow_lacks() -> None:
    assert set(FIELDS) - {name for name, _ in HEADS} == {
        "dl_vlan", "dl_vlan_pcp", "skb_priority", "tun_ttl", "tun_tos",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("entries", "error"),
    [
        ("0000", "OFPBMC_BAD_LEN"),
        ("000102", "OFPBMC_BAD_LEN"),
        ("80000a0208", "OFPBMC_BAD_LEN"),
        ("80007e0208000000", "OFPBMC_BAD_FIELD"),
        ("80000a0308000000", "OFPBMC_BAD_FIELD"),
        ("80000a020800" "80000a020800", "OFPBMC_DUP_FIELD"),
        ("8000160401020304", "OFPBMC_BAD_PREREQ"),
        ("80000a020800" "80000a0406ffff0000", "OFPBMC_BAD_FIELD"),
        ("80000a0408000f00", "OFPBMC_BAD_FIELD"),
        ("80000a020800" "8000170801020304ff000000", "OFPBMC_BAD_WILDCARDS"),
        ("80000a020800" "80001502060f", "OFPBMC_BAD_MASK"),
        ("0001d204000001ff", "OFPBMC_BAD_VALUE"),
        ("8000000400ff0000", "OFPBMC_BAD_VALUE"),
        ("00013c080000000000000007", "OFPBMC_BAD_FIELD"),
    ],
)
def test_matches_that_are_refused(entries: str, error: str) -> None:
    with pytest.raises(WireError) as refusal:
        pull_entries(Reader(bytes.fromhex(entries)))
    assert refusal.value.name == error


@pytest.mark.parametrize(
    ("actions", "error"),
    [
        ("00000008000100", "OFPBRC_BAD_LEN"),
        ("0000000c00010000", "OFPBAC_BAD_LEN"),
        ("0000000000010000", "OFPBAC_BAD_LEN"),
        ("0063000800000000", "OFPBAC_BAD_TYPE"),
        ("ffff000800001234", "OFPBAC_BAD_VENDOR"),
        ("ffff00100000232000630000 00000000", "OFPBAC_BAD_VENDOR_TYPE"),
        ("00000008ff010000", "OFPBAC_BAD_OUT_PORT"),
        ("00010008f0000000", "OFPBAC_BAD_ARGUMENT"),
        ("0008000803000000", "OFPBAC_BAD_ARGUMENT"),
        ("ffff001000002320002200410000000000".ljust(32, "0")[:32], "NXBAC_BAD_CONJUNCTION"),
        ("ffff0018000023200007001f00010204000000010000ffff"[:48], "OFPBAC_BAD_ARGUMENT"),
        ("ffff0018000023200007003f000102040000000000000000", "OFPBAC_BAD_SET_LEN"),
        ("ffff0018000023200007001f8000000200000000 00000000", "OFPBAC_BAD_SET_LEN"),
        ("ffff0018000023200007000f00000602 0000000000000000", "OFPBAC_BAD_SET_ARGUMENT"),
        ("ffff00100000232000240000 00010000", "OFPBAC_BAD_SET_ARGUMENT"),
        ("ffff0018000023200023 0002 00000000 0000 ff000000 0000", "OFPBAC_BAD_ARGUMENT"),
    ],
)
def test_actions_that_are_refused(actions: str, error: str) -> None:
    data = bytes.fromhex(actions)
    with pytest.raises(WireError) as refusal:
        pull_actions(Reader(data), len(data), 1)
    assert refusal.value.name == error


def test_nesting_has_an_end() -> None:
    data = b""
    for _ in range(200):
        data = bytes.fromhex("ffff") + (16 + len(data)).to_bytes(2, "big") + bytes.fromhex(
            "00002320002a000000000000"
        ) + data
    with pytest.raises(WireError, match="nested too deeply"):
        pull_actions(Reader(data), len(data), 1)


def test_an_oxm_match_has_its_type_and_length() -> None:
    match = parse_flow("tcp,tp_dst=80,actions=drop").match
    data = put_oxm_match(match, 4)
    assert len(data) % 8 == 0
    assert pull_oxm_match(Reader(data)) == match
    assert pull_entries(Reader(put_entries(match, 0)))[0] == match
    for bad, error in (("0000", "OFPBMC_BAD_TYPE"), ("0001 0003", "OFPBMC_BAD_LEN")):
        head = bytes.fromhex(bad)
        with pytest.raises(WireError, match=error):
            pull_oxm_match(Reader(head + data[len(head) :]))
