"""Lines that ovs-vswitchd 3.1.0 printed for ``dpctl/dump-conntrack``, read back."""

from __future__ import annotations

import pytest

from ovsct.conntrack.read_dump import parse_dpctl_line
from ovsct.errors import InputError
from ovsct.lane import Connection, Tuple5

_FTP_DATA = (
    "tcp,orig=(src=10.0.0.2,dst=10.9.9.9,sport=20,dport=5130),"
    "reply=(src=10.0.0.1,dst=10.0.0.2,sport=5130,dport=20),id=0,status=0,timeout=30,"
    "protoinfo=(state_orig=SYN_SENT,state_reply=CLOSED,flags_orig=0,flags_reply=0),helper=ftp,"
    "parent=(src=10.0.0.1,dst=10.0.0.2,sport=5000,dport=21)"
)

_NO_SOURCE = "udp,orig=(sport=1),reply=(src=10.0.0.1,dst=10.0.0.2,sport=2,dport=1)"


def test_a_data_connection_with_its_parent() -> None:
    assert parse_dpctl_line(_FTP_DATA) == Connection(
        family=4,
        proto=6,
        orig=Tuple5("10.0.0.2", "10.9.9.9", 20, 5130),
        reply=Tuple5("10.0.0.1", "10.0.0.2", 5130, 20),
        state="SYN_SENT",
        timeout=30.0,
        status=frozenset({"state_orig=SYN_SENT", "state_reply=CLOSED"}),
        helper="ftp",
        parent=Tuple5("10.0.0.1", "10.0.0.2", 5000, 21),
    )


def test_zone_mark_and_labels() -> None:
    line = (
        "udp,orig=(src=10.0.0.1,dst=10.0.0.2,sport=1,dport=2),"
        "reply=(src=10.0.0.2,dst=10.0.0.1,sport=2,dport=1),zone=5,mark=7,labels=0x9"
    )
    seen = parse_dpctl_line(line)
    assert (seen.proto, seen.zone, seen.mark, seen.label) == (17, 5, 7, 9)
    assert (seen.state, seen.status, seen.helper) == ("", frozenset(), None)


def test_lines_that_are_no_connection_are_refused() -> None:
    unknown, trailing = "xyz," + _FTP_DATA[4:], _FTP_DATA + ",("
    for line in ("", "tcp,zone=3", unknown, trailing, "tcp,orig=(src)", _NO_SOURCE):
        with pytest.raises(InputError):
            parse_dpctl_line(line)
