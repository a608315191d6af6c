"""The text of connections, as dpctl and /proc print it."""

from __future__ import annotations

from dataclasses import replace

from ovsct.conntrack.dump import dump_conntrack, dump_proc, ipv6_text
from ovsct.lane import Connection, Tuple5

TCP = Connection(
    4, 6,
    Tuple5("10.0.0.1", "10.0.0.2", 1000, 80), Tuple5("10.0.0.2", "10.0.0.1", 80, 1000),
    zone=3, mark=16, label=1 << 64, state="FIN_WAIT_2", timeout=29.9,
    status=frozenset(("state_orig=CLOSING", "state_reply=FIN_WAIT_2", "wscale_orig=7",
                      "flags_orig=WINDOW_SCALE", "flags_reply=BE_LIBERAL")),
    helper="ftp",
)  # fmt: skip
PING = Connection(
    6, 58,
    Tuple5("fc00::1", "::ffff:1.2.3.4", 0, 0, 7, 128, 0),
    Tuple5("::ffff:1.2.3.4", "fc00::1", 0, 0, 7, 129, 0), timeout=60.0,
)  # fmt: skip
KERNEL = replace(
    TCP, state="ESTABLISHED", helper=None, label=0, timeout=431999.5,
    status=frozenset(("seen-reply", "assured", "confirmed")),
)  # fmt: skip


def test_as_dpctl_prints_it() -> None:
    assert list(dump_conntrack([TCP, PING])) == [
        "tcp,orig=(src=10.0.0.1,dst=10.0.0.2,sport=1000,dport=80),"
        "reply=(src=10.0.0.2,dst=10.0.0.1,sport=80,dport=1000),zone=3,mark=16,"
        "labels=0x10000000000000000,protoinfo=(state=TIME_WAIT),helper=ftp",
        "icmpv6,orig=(src=fc00::1,dst=::ffff:1.2.3.4,id=7,type=128,code=0),"
        "reply=(src=::ffff:1.2.3.4,dst=fc00::1,id=7,type=129,code=0)",
    ]


def test_with_more_and_statistics() -> None:
    line = next(iter(dump_conntrack([TCP], more=True, statistics=True)))
    assert line == (
        "tcp,orig=(src=10.0.0.1,dst=10.0.0.2,sport=1000,dport=80),"
        "reply=(src=10.0.0.2,dst=10.0.0.1,sport=80,dport=1000),id=0,zone=3,status=0,timeout=29,"
        "mark=16,labels=0x10000000000000000,protoinfo=(state_orig=CLOSING,state_reply=FIN_WAIT_2,"
        "wscale_orig=7,wscale_reply=0,flags_orig=WINDOW_SCALE,flags_reply=BE_LIBERAL),helper=ftp"
    )
    child = replace(PING, proto=17, orig=TCP.orig, reply=TCP.reply, parent=TCP.orig)
    assert next(iter(dump_conntrack([child], more=True))).endswith(
        "status=0,parent=(src=10.0.0.1,dst=10.0.0.2,sport=1000,dport=80)"
    )


def test_a_kernels_connection_through_dpctl() -> None:
    line = next(iter(dump_conntrack([KERNEL], more=True)))
    assert ",status=SEEN_REPLY|ASSURED|CONFIRMED," in line
    for state, plain, verbose in (
        ("SYN_RECV", "ESTABLISHED", "SYN_RECV"), ("FIN_WAIT", "FIN_WAIT_1", "FIN_WAIT_1"),
        ("CLOSE", "CLOSING", "CLOSING"), ("SYN_SENT2", "SYN_SENT", "SYN_SENT"),
    ):  # fmt: skip
        one = replace(KERNEL, state=state)
        assert f"(state={plain})" in next(iter(dump_conntrack([one])))
        assert f"(state_orig={verbose},state_reply={verbose}," in next(
            iter(dump_conntrack([one], more=True))
        )


def test_as_proc_prints_it() -> None:
    assert list(dump_proc([KERNEL])) == [
        "ipv4     2 tcp      6 431999 ESTABLISHED src=10.0.0.1 dst=10.0.0.2 sport=1000 dport=80 "
        "src=10.0.0.2 dst=10.0.0.1 sport=80 dport=1000 [ASSURED] mark=16 zone=3 use=2"
    ]
    assert list(dump_proc([PING])) == [
        "ipv6     10 icmpv6   58 60 src=fc00:0000:0000:0000:0000:0000:0000:0001 "
        "dst=0000:0000:0000:0000:0000:ffff:0102:0304 type=128 code=0 id=7 [UNREPLIED] "
        "src=0000:0000:0000:0000:0000:ffff:0102:0304 "
        "dst=fc00:0000:0000:0000:0000:0000:0000:0001 type=129 code=0 id=7 mark=0 zone=0 use=2"
    ]
    offloaded = replace(KERNEL, status=KERNEL.status | {"offload"})
    assert "tcp      6 src=" in next(iter(dump_proc([offloaded])))
    assert "[OFFLOAD] " in next(iter(dump_proc([offloaded])))
    other = replace(KERNEL, proto=50, state="")
    assert next(iter(dump_proc([other]))).startswith("ipv4     2 unknown  50 431999 src=10.0.0.1 ")


def test_addresses_as_inet_ntop_writes_them() -> None:
    assert ipv6_text("::ffff:0a00:0001") == "::ffff:10.0.0.1"
    assert ipv6_text("::0a00:0001") == "::10.0.0.1"
    assert ipv6_text("::1") == "::1" and ipv6_text("::") == "::"
    assert ipv6_text("fc00:0:0:1::2") == "fc00:0:0:1::2"
