"""Adding and deleting filters: priorities, handles, and what the kernel says when it refuses.

The words are those that a kernel 6.12 gave to ``tc``.
"""

from __future__ import annotations

import pytest

from ovsct.conntrack.netfilter import Netfilter
from ovsct.errors import OvsctError
from ovsct.tc.actions import Gact
from ovsct.tc.chains import FilterError
from ovsct.tc.filters import MATCHALL, Filter
from ovsct.tc.ingress import TcIngress
from ovsct.tc.text.command import FilterCommand, read_command
from ovsct.tc.verdict import SHOT


def tc() -> TcIngress:
    return TcIngress([1, 2], Netfilter("6.1"))


def read(text: str) -> Filter:
    command = read_command(f"tc filter add dev p1 ingress {text}")
    assert isinstance(command, FilterCommand)
    return command.filter


def places(host: TcIngress) -> list[tuple[int, int, int]]:
    return [(at.filter.chain, at.filter.prio, at.filter.handle) for at in host.filters(1)]


def test_automatic_priorities_run_backwards() -> None:
    host = tc()
    for proto in ("tcp", "udp", "icmp"):
        host.add(read(f"protocol ip flower ip_proto {proto}"))
    host.add(read("protocol ip prio 5 flower"))
    host.add(read("protocol ip flower ip_proto sctp"))
    assert [prio for _, prio, _ in places(host)] == [5, 49149, 49150, 49151, 49152]


def test_handles_are_the_lowest_free_ones() -> None:
    host = tc()
    for port in (1, 2, 3):
        host.add(read(f"protocol ip prio 1 flower ip_proto tcp dst_port {port}"))
    host.delete(1, prio=1, handle=2)
    host.add(read("protocol ip prio 1 flower ip_proto tcp dst_port 4"))
    assert places(host) == [(0, 1, 1), (0, 1, 2), (0, 1, 3)]
    assert next(iter(host.filters(1))).filter.handle == 1


REFUSED = [
    ("protocol ipv6 prio 1 flower", "Filter with specified priority/protocol not found (EINVAL)"),
    (
        "protocol ip prio 1 matchall",
        "Specified filter kind does not match existing one (EINVAL)",
    ),
    ("protocol ip prio 1 handle 1 flower ip_proto udp", "Filter already exists (EEXIST)"),
    (
        "protocol ip prio 1 flower ip_proto tcp",
        "a filter with the same key and mask is there (EEXIST)",
    ),
]


@pytest.mark.parametrize(("text", "words"), REFUSED)
def test_refuses_in_the_kernels_words(text: str, words: str) -> None:
    host = tc()
    host.add(read("protocol ip prio 1 flower ip_proto tcp"))
    with pytest.raises(FilterError) as caught:
        host.add(read(text))
    assert caught.value.problem == words
    assert places(host) == [(0, 1, 1)]


def test_replace_keeps_the_mask() -> None:
    host = tc()
    host.add(read("protocol ip prio 1 handle 1 flower ip_proto tcp action drop"))
    new = host.replace(read("protocol ip prio 1 handle 1 flower ip_proto udp action pass"))
    assert list(host.filters(1)) == [new]
    with pytest.raises(FilterError, match="same mask"):
        host.replace(read("protocol ip prio 1 handle 1 flower src_ip 10.0.0.1"))
    with pytest.raises(FilterError, match="same key and mask"):
        host.replace(read("protocol ip prio 1 flower ip_proto udp"))


def test_one_matchall_a_priority() -> None:
    host = tc()
    host.add(Filter(1, kind=MATCHALL, prio=1, actions=(Gact(SHOT),)))
    with pytest.raises(FilterError, match="already exists"):
        host.add(Filter(1, kind=MATCHALL, prio=1))


def test_deleting_the_last_filter_frees_the_priority() -> None:
    host = tc()
    host.add(read("chain 7 protocol ip prio 1 flower"))
    host.delete(1, chain=7, prio=1, handle=1)
    host.add(read("chain 7 protocol ipv6 prio 1 flower"))
    assert places(host) == [(7, 1, 1)]


MISSING = [
    ({"chain": 9}, "Cannot find specified filter chain (ENOENT)"),
    ({"prio": 9}, "Filter with specified priority/protocol not found (ENOENT)"),
    ({"prio": 1, "handle": 9}, "Specified filter handle not found (ENOENT)"),
    (
        {"prio": 1, "protocol": 0x86DD},
        "Filter with specified priority/protocol not found (ENOENT)",
    ),
    (
        {"handle": 1},
        "Cannot flush filters with protocol, handle or kind set (ENOENT)",
    ),
]


@pytest.mark.parametrize(("where", "words"), MISSING)
def test_delete_of_what_is_not_there(where: dict[str, int], words: str) -> None:
    host = tc()
    host.add(read("protocol ip prio 1 flower"))
    with pytest.raises(FilterError) as caught:
        host.delete(1, **where)
    assert caught.value.problem == words
    assert len(places(host)) == 1


def test_flushing_takes_one_chain() -> None:
    host = tc()
    host.add(read("protocol ip prio 1 flower"))
    host.add(read("chain 3 protocol ip prio 1 flower"))
    assert len(host.delete(1)) == 1
    assert places(host) == [(3, 1, 1)]


def test_no_such_port() -> None:
    with pytest.raises(OvsctError, match="no port 9"):
        tc().add(Filter(9))
