"""The actions of a filter: words to the objects of :mod:`ovsct.tc.actions`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from ovsct.conntrack.request import Nat, NatKind, Track
from ovsct.tc.actions import (
    NOT_MODELLED,
    Action,
    Csum,
    Ct,
    Gact,
    Mirred,
    Mpls,
    MplsOp,
    Skbedit,
    Sum,
    Vlan,
    VlanOp,
)
from ovsct.tc.text.flower import label
from ovsct.tc.text.munge import read_pedit
from ovsct.tc.text.names import address, ether_type, ethernet, masked_number
from ovsct.tc.text.police import read_police, read_sample
from ovsct.tc.text.tunnel import read_tunnel_key
from ovsct.tc.text.words import Words
from ovsct.tc.verdict import (
    MAX_ACTIONS,
    MAX_CHAIN,
    NAMES,
    OK,
    PIPE,
    STOLEN,
    goto_chain,
    jump,
)

_DEVICE: Final = re.compile(r"p([0-9]+)\Z")


def device(words: Words, what: str) -> int:
    """The next word as a device: ``p<n>`` is port n."""
    word = words.take(what)
    found = _DEVICE.match(word)
    if not found:
        words.fail("no such device", token=word, expected="p<n> for port n")
    return int(found[1])


class Actions(NamedTuple):
    """The actions of a filter, their cookie, and the indexes that were asked for (0: none).

    `indexes` is empty if none was.
    """

    actions: tuple[Action, ...]
    cookie: bytes | None
    indexes: tuple[int, ...]


def read_actions(words: Words) -> Actions:
    """Everything behind the first ``action``, up to the end of the command.

    TC keeps a cookie an action; OVS, for one, gives all of them the same.
    """
    actions: list[Action] = []
    cookies: set[bytes | None] = set()
    indexes: list[int] = []
    while words or not actions:
        # As iproute2's parse_action(): the word "action" between two of them may be left out.
        if words.skip("action") and not words:
            words.take("an action")
        word = words.take("an action")
        actions.append(read_action(words, word))
        index, cookie = _trailer(words)
        indexes.append(index)
        cookies.add(cookie)
        if len(actions) > MAX_ACTIONS:
            words.fail(
                f"a filter has at most {MAX_ACTIONS} actions; the kernel leaves the rest out"
                " without a word, which is not modelled", token=word,
            )  # fmt: skip
    if len(cookies) > 1:
        words.fail("actions of one filter with different cookies are not modelled")
    return Actions(tuple(actions), cookies.pop(), tuple(indexes) if any(indexes) else ())


def read_action(words: Words, word: str) -> Action:
    """One action; `word` was its first."""
    refused = NOT_MODELLED.get(word)
    if refused is not None:
        words.fail(refused, token=word)
    reader = _READERS.get(word)
    if reader is not None:
        action = reader(words)
    elif word in _VERDICTS:
        action = Gact(_verdict(words, word))
    else:
        words.fail("no such action", token=word, expected=", ".join([*_READERS, *_VERDICTS]))
    return action


def _trailer(words: Words) -> tuple[int, bytes | None]:
    """What may stand behind any action: its index (0: none given) and its cookie."""
    index = words.number("an index", 32, 10) if words.skip("index") else 0
    if words.peek() in ("hw_stats", "skip_sw", "skip_hw", "no_percpu"):
        word = words.take("an option")
        words.fail("options of actions for hardware are not modelled", token=word)
    if not words.skip("cookie"):
        return index, None
    word = words.take("a cookie")
    try:
        cookie = bytes.fromhex(word)
    except ValueError:
        cookie = b""
    if not 0 < len(cookie) <= 16:
        words.fail("a cookie is 1 to 16 bytes in hex", token=word)
    return index, cookie


_VERDICTS: Final = (
    "pass", "ok", "drop", "shot", "pipe", "continue", "reclassify", "trap", "goto", "jump",
)  # fmt: skip


def _verdict(words: Words, word: str) -> int:
    if word == "goto":
        if not words.skip("chain"):
            words.take("chain")
            words.fail("goto needs a chain", expected="goto chain N")
        index = words.number("a chain", 32, 10)
        if index > MAX_CHAIN:
            words.fail("a chain has at most 28 bits", token=str(index))
        return goto_chain(index)
    if word == "jump":
        return jump(words.number("a jump count", 28, 10))
    return NAMES[word]


def _control(words: Words, default: int) -> int:
    """The verdict that may stand at the end of an action (``parse_action_control_dflt()``)."""
    if words.peek() in _VERDICTS or words.peek() == "stolen":
        return _verdict(words, words.take("a verdict"))
    return default


def _gact(words: Words) -> Action:
    word = words.take("a verdict")
    if word not in _VERDICTS:
        words.fail("no such verdict", token=word, expected=", ".join(_VERDICTS))
    control = _verdict(words, word)
    if words.peek() == "random":
        words.fail(
            "random verdicts are not modelled: no kernel here has them (CONFIG_GACT_PROB)",
            token=words.take("random"),
        )
    return Gact(control)


def _mirred(words: Words) -> Action:
    where = words.take("ingress or egress")
    if where not in ("ingress", "egress"):
        words.fail("no such direction", token=where, expected="ingress or egress")
    how = words.take("redirect or mirror")
    if how not in ("redirect", "mirror"):
        words.fail("no such way of mirred", token=how, expected="redirect or mirror")
    if not words.skip("dev"):
        word = words.take("dev")
        if word == "blockid":
            words.fail("redirecting to a block is not modelled", token=word)
        words.fail("mirred needs a device", token=word, expected="dev p<n>")
    port = device(words, "a device")
    mirror = how == "mirror"
    # A redirect is always stolen: iproute2 takes a verdict behind it for an action of its own.
    control = _control(words, PIPE) if mirror else STOLEN
    return Mirred(port, mirror=mirror, ingress=where == "ingress", control=control)


def _ct(words: Words) -> Action:
    clear = commit = force = False
    zone = 0
    mark = labels = None
    nat: Nat | None = None
    while words:
        if words.skip("clear"):
            clear = True
        elif words.skip("commit"):
            commit = True
        elif words.skip("force"):
            force = True
        elif words.skip("zone"):
            zone = words.number("a zone", 16)
        elif words.skip("mark"):
            mark = masked_number(words, "mark", 32)
        elif words.skip("label"):
            labels = label(words, "label")
        elif words.skip("nat"):
            nat = _nat(words, commit)
        elif words.peek() == "helper":
            words.fail("helpers of ct are not known to iproute2 6.1", token=words.take("helper"))
        else:
            break
    if force and not commit:
        words.fail("force needs commit", token="force")
    control = _control(words, PIPE)
    if clear:
        return Ct(None, control)
    return Ct(Track(zone, commit, force, mark, labels, nat), control)


def _nat(words: Words, commit: bool) -> Nat:
    if words.peek() not in ("src", "dst"):
        if commit:
            words.take("src or dst")
            words.fail("nat with commit needs src or dst", token="nat")
        if not words:
            words.fail("tc takes no nat as the last word", token="nat", hint="say pipe behind it")
        return Nat(NatKind.RESTORE)
    kind = NatKind(words.take("src or dst"))
    if not commit:
        words.fail("src or dst is only valid if commit is set", token=kind.value)
    if not words.skip("addr"):
        words.fail(f"nat {kind.value} needs an address", expected="addr ADDRESS[-ADDRESS]")
    word = words.take("an address")
    first, _, last = word.partition("-")
    family = 6 if ":" in first else 4
    low = address(words, first, family)
    high = address(words, last, family) if last else low
    if high < low:
        words.fail("the range of addresses runs backwards", token=word)
    ports = (0, 0)
    if words.skip("port"):
        ports = _port_range(words)
    return Nat(kind, family, low, high, *ports)


def _port_range(words: Words) -> tuple[int, int]:
    word = words.take("a port")
    first, _, last = word.partition("-")
    low = words.to_number(first, "a port", 16, 10)
    high = words.to_number(last, "a port", 16, 10) if last else low
    if high < low:
        words.fail("the range of ports runs backwards", token=word)
    return low, high


_SUMS: Final[dict[str, Sum]] = {
    "iph": Sum.IPV4, "ip4h": Sum.IPV4, "ipv4h": Sum.IPV4, "ip": Sum.IPV4, "ip4": Sum.IPV4,
    "icmp": Sum.ICMP, "igmp": Sum.IGMP, "tcp": Sum.TCP, "udp": Sum.UDP, "udplite": Sum.UDPLITE,
    "sctp": Sum.SCTP,
}  # fmt: skip


def _csum(words: Words) -> Action:
    which: set[Sum] = set()
    while True:
        if words.peek() in ("and", "or", "+") and which:
            words.take("a header")
        found = _SUMS.get(words.peek())
        if found is None:
            break
        words.take("a header")
        which.add(found)
    if not which:
        words.take("a header")
        words.fail("csum needs to be told what to sum", expected=", ".join(_SUMS))
    return Csum(frozenset(which), _control(words, OK))


def _vlan(words: Words) -> Action:
    word = words.take("push, pop or modify")
    if word not in tuple(VlanOp):
        words.fail("no such way of vlan", token=word, expected=", ".join(VlanOp))
    op = VlanOp(word)
    given: dict[str, int] = {}
    readers = _VLAN_WORDS.get(op, {})
    while words.peek() in readers:
        name = words.take("a part of a tag")
        given[name] = readers[name](words)
    if op in (VlanOp.PUSH, VlanOp.MODIFY) and "id" not in given:
        words.fail(f"id needs to be set for {word}", token=word)
    if op is VlanOp.PUSH_ETH and len(given) < 2:
        words.fail("push_eth needs both addresses", token=word, expected="dst_mac, src_mac")
    return Vlan(
        op, given.get("id", 0), given.get("protocol", 0x8100), given.get("priority"),
        _control(words, PIPE), given.get("dst_mac", 0), given.get("src_mac", 0),
    )  # fmt: skip


_TAG_WORDS: Final[dict[str, Callable[[Words], int]]] = {
    "id": lambda words: words.number("a VLAN id", 12),
    "protocol": lambda words: ether_type(words, "a protocol"),
    "priority": lambda words: words.number("a priority", 3),
}
_VLAN_WORDS: Final[dict[VlanOp, dict[str, Callable[[Words], int]]]] = {
    VlanOp.PUSH: _TAG_WORDS,
    VlanOp.MODIFY: _TAG_WORDS,
    VlanOp.PUSH_ETH: {
        "dst_mac": lambda words: ethernet(words, words.take("dst_mac")),
        "src_mac": lambda words: ethernet(words, words.take("src_mac")),
    },
}


def _mpls(words: Words) -> Action:
    word = words.take("push, pop, modify or dec_ttl")
    if word not in tuple(MplsOp):
        words.fail("no such way of mpls", token=word, expected="push, pop, modify or dec_ttl")
    op = MplsOp(word)
    protocol = 0x8847 if op is MplsOp.PUSH else 0
    given: dict[str, int] = {}
    while words:
        if words.skip("protocol"):
            protocol = ether_type(words, "a protocol")
        elif words.peek() in _LSE_PARTS:
            name = words.take("a part of a label")
            given[name] = words.number(name, _LSE_PARTS[name])
        else:
            break
    if op is MplsOp.PUSH and "label" not in given:
        words.fail("mpls push needs a label", token=word)
    if op is MplsOp.POP and not protocol:
        words.fail("mpls pop needs a protocol", token=word)
    return Mpls(
        op, protocol, given.get("label"), given.get("tc"), given.get("ttl"), given.get("bos"),
        _control(words, PIPE),
    )  # fmt: skip


_LSE_PARTS: Final = {"label": 20, "tc": 3, "ttl": 8, "bos": 1}


def _skbedit(words: Words) -> Action:
    mark: tuple[int, int] | None = None
    priority: int | None = None
    queue: int | None = None
    ptype: str | None = None
    inherit = False
    while words:
        if words.skip("mark"):
            mark = masked_number(words, "mark", 32)
        elif words.skip("priority"):
            priority = _class(words)
        elif words.skip("queue_mapping"):
            queue = words.number("a queue", 16, 10)
        elif words.skip("ptype"):
            ptype = words.take("host, otherhost, broadcast or multicast")
            if ptype not in ("host", "otherhost", "broadcast", "multicast"):
                words.fail("no such ptype", token=ptype)
        elif words.skip("inheritdsfield"):
            inherit = True
        else:
            break
    if mark is None and priority is None and queue is None and ptype is None and not inherit:
        words.fail("skbedit needs to be told what to set", expected="mark, priority, ptype, ...")
    return Skbedit(mark, priority, queue, ptype, _control(words, PIPE), inherit)


def _class(words: Words) -> int:
    """A priority as a class handle ``MAJOR:MINOR`` in hex, or a number in hex."""
    word = words.take("a priority")
    if word in ("root", "none"):
        return 0xFFFFFFFF if word == "root" else 0
    major, colon, minor = word.partition(":")
    if not colon:
        return words.to_number(word, "a priority", 32, 16)
    high = words.to_number(major or "0", "a priority", 16, 16)
    return high << 16 | words.to_number(minor or "0", "a priority", 16, 16)


def _pedit(words: Words) -> Action:
    return read_pedit(words, _control)


def _police(words: Words) -> Action:
    return read_police(words, _verdict)


_READERS: Final[dict[str, Callable[[Words], Action]]] = {
    "gact": _gact,
    "mirred": _mirred,
    "ct": _ct,
    "pedit": _pedit,
    "csum": _csum,
    "vlan": _vlan,
    "mpls": _mpls,
    "skbedit": _skbedit,
    "police": _police,
    "sample": lambda words: read_sample(words, _control),
    "tunnel_key": lambda words: read_tunnel_key(words, _control),
}
