"""The words of ``tunnel_key`` (iproute2 tc/m_tunnel_key.c)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ovsct.tc.actions import TunnelKey
from ovsct.tc.text.names import address
from ovsct.tc.text.words import Words
from ovsct.tc.verdict import PIPE

_NUMBERS: Final = {"id": 32, "key_id": 32, "dst_port": 16, "tos": 8, "ttl": 8}
_REFUSED: Final = ("geneve_opts", "vxlan_opts", "erspan_opts", "nofrag")


def read_tunnel_key(words: Words, control: Callable[[Words, int], int]) -> TunnelKey:
    """Everything behind ``tunnel_key``."""
    what = words.take("set or unset")
    if what in ("unset", "release"):
        return TunnelKey(control=control(words, PIPE))
    if what != "set":
        words.fail("no such way of tunnel_key", token=what, expected="set or unset")
    given: dict[str, int] = {}
    addresses: dict[str, tuple[int, int]] = {}
    checksum = None
    while words:
        word = words.peek()
        if word in ("src_ip", "dst_ip"):
            words.take(word)
            text = words.take("an address")
            family = 6 if ":" in text else 4
            addresses[word] = (family, address(words, text, family))
        elif word in _NUMBERS:
            words.take(word)
            given[word] = words.number(word, _NUMBERS[word], 0 if word == "tos" else 10)
        elif word in ("csum", "nocsum"):
            checksum = words.take(word) == "csum"
        elif word in _REFUSED:
            words.fail("options of tunnels are not modelled in TC", token=words.take(word))
        else:
            break
    if len(addresses) < 2:
        words.fail("tunnel_key set needs both addresses", token="set", expected="src_ip, dst_ip")
    (family, source), (other, target) = addresses["src_ip"], addresses["dst_ip"]
    if family != other:
        words.fail("the two addresses are of different families", token="dst_ip")
    return TunnelKey(
        family, source, target, given.get("id", given.get("key_id")), given.get("dst_port", 0),
        given.get("tos", 0), given.get("ttl", 0), checksum is not False, checksum is not None,
        control(words, PIPE),
    )  # fmt: skip
