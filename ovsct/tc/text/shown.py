"""What ``tc filter show`` printed, in text or JSON, as filters.

Both are put into the words of a command and read by its readers, so that a key or action which is
not modelled is refused by the same name. What cannot be told from a listing: in which order the
masks of a priority were first used (it is taken to be that of the handles).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

from ovsct.errors import InputError
from ovsct.tc.actions import Action, Header, Mirred, Munge, Pedit, Police
from ovsct.tc.filters import FLOWER, MATCHALL, Filter
from ovsct.tc.text.action import Actions, read_action
from ovsct.tc.text.command import made
from ovsct.tc.text.flower import FlowerReader
from ovsct.tc.text.names import ether_type
from ovsct.tc.text.words import Words
from ovsct.tc.verdict import NAMES, goto_chain, jump


@dataclass(slots=True)
class _Shown:
    """One filter as it was shown: where, its keys and flags as words, its actions."""

    line: int
    protocol: str
    pref: int
    kind: str
    chain: int
    handle: int = 0
    keys: list[str] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)
    indexes: list[int] = field(default_factory=list)
    cookies: list[bytes | None] = field(default_factory=list)
    block: int = 0

    def make(self, file: str | None) -> Filter:
        """The filter."""
        place = Words(self.protocol, file=file, line=self.line)
        protocol = ether_type(place, "a protocol")
        if self.kind not in (FLOWER, MATCHALL):
            place.fail("only flower and matchall are modelled", token=self.kind, expected=FLOWER)
        words = Words(" ".join(self.keys), file=file, line=self.line)
        reader = FlowerReader(words, protocol)
        while words:
            word = words.take("a key")
            if not reader.read(word):
                words.fail(f"{self.kind} knows no such key", token=word)
        if len(set(self.cookies)) > 1:
            words.fail("actions of one filter with different cookies are not modelled")
        cookie = self.cookies[0] if self.cookies else None
        return made(
            reader, Actions(tuple(self.actions), cookie, tuple(self.indexes)), self.kind,
            Filter(0, protocol, chain=self.chain, prio=self.pref, handle=self.handle,
                   block=self.block),
        )  # fmt: skip


_RENAMED: Final = {"icmp_type": "type", "icmp_code": "code"}
_IMPLIED: Final = ("eth_type", "not_in_hw", "in_hw", "in_hw_count", "skip", "rule_hit")


def _key(name: str, text: str) -> list[str]:
    """A key as words of a command; what another word implies, or only reports, is none."""
    return [] if name in _IMPLIED else [f"{_RENAMED.get(name, name)} {text}".strip()]


def _action(text: str, line: int, file: str | None) -> Action:
    words = Words(text, file=file, line=line)
    action = read_action(words, words.take("an action"))
    if words:
        word = words.take("the end")
        words.fail("an action has more words than are known", token=word)
    return action


def _mirred(
    direction: str, how: str, device: str, control: str, line: int, file: str | None
) -> Action:
    port = device.removeprefix("p")
    if not device.startswith("p") or not port.isdigit():
        raise InputError("no such device", file=file, line=line, token=device,
                         expected="p<n> for port n")  # fmt: skip
    return Mirred(
        int(port), mirror=how == "mirror", ingress=direction == "ingress",
        control=_control(control),
    )  # fmt: skip


def _control(text: str) -> int:
    word, _, number = text.rpartition(" ")
    if word == "goto chain":
        return goto_chain(int(number))
    return jump(int(number)) if word == "jump" else NAMES[text]


def _munge(
    header: str, offset: int, add: bool, value: str, mask: str
) -> Munge:
    return Munge(Header(header or "network"), offset, int(value, 16), int(mask, 16), add)


# -- text ------------------------------------------------------------------------------------------

_HEAD: Final = re.compile(
    r"^filter (?:parent \S+ |ingress |egress )?(?:block (?P<block>\d+) )?protocol (?P<protocol>\S+)"
    r" pref (?P<pref>\d+) (?P<kind>\S+)(?: chain (?P<chain>\d+))?"
    r"(?: handle (?P<handle>\S+))?(?P<rest>.*)$"
)
_ORDER: Final = re.compile(r"^\s+action order \d+:\s+(?P<text>.*?)\s*$")
_INDEX: Final = re.compile(r"^\s*index (\d+) ref")
_POLICE: Final = re.compile(r"^police (0x[0-9a-f]+) ")
_PEDIT_KEY: Final = re.compile(
    r"^\s*key #\d+\s+at (?:(?P<header>[a-z0-9]+)\+)?(?P<offset>-?\d+):"
    r" (?P<how>val|add) (?P<value>[0-9a-f]+) mask (?P<mask>[0-9a-f]+)$"
)
_MIRRED: Final = re.compile(
    r"^mirred \((?P<direction>\w+) (?P<how>\w+) to device (?P<device>\S+)\) (?P<control>.*)$"
)
_REPORTS: Final = re.compile(
    r"^\s*(?:random type none|Action statistics|Sent |backlog |ref \d+ bind|used_hw_stats|rate"
    r" |no_percpu|skip_hw|not_in_hw|in_hw|$)"
)


def read_text(lines: Iterable[str], begun: int, file: str | None) -> Iterator[tuple[Filter, int]]:
    """The filters of one listing, and the lines that they begin on.

    Args:
        lines: of the listing; `begun` is the number of the first.

    Raises:
        InputError: with file, line and word.
    """
    shown: _Shown | None = None
    pending: list[tuple[int, str]] = []
    for number, line in enumerate(lines, begun):
        head = _HEAD.match(line)
        if head is None:
            if shown is None:
                if line.strip():
                    raise InputError("not a line of tc filter show", file=file, line=number,
                                     token=line.split()[0])  # fmt: skip
                continue
            pending.append((number, line))
            continue
        if shown is not None:
            yield _finished(shown, pending, file), shown.line
        shown, pending = None, []
        if head["handle"] is not None:
            if head["rest"].strip():
                raise InputError("not modelled", file=file, line=number,
                                 token=head["rest"].split()[0])  # fmt: skip
            shown = _Shown(
                number, head["protocol"], int(head["pref"]), head["kind"],
                int(head["chain"] or 0), int(head["handle"], 0), block=int(head["block"] or 0),
            )  # fmt: skip
    if shown is not None:
        yield _finished(shown, pending, file), shown.line


def _finished(shown: _Shown, lines: list[tuple[int, str]], file: str | None) -> Filter:
    parts: list[list[tuple[int, str]]] = [[]]
    for each in lines:
        if _ORDER.match(each[1]):
            parts.append([])
        parts[-1].append(each)
    for _, line in parts[0]:
        name, _, text = line.strip().partition(" ")
        shown.keys += _key(name, text) if name else []
    for part in parts[1:]:
        _text_action(shown, part, file)
    return shown.make(file)


def _text_action(shown: _Shown, lines: list[tuple[int, str]], file: str | None) -> None:
    number, first = lines[0]
    found = _ORDER.match(first)
    assert found is not None
    text, index, cookie = found["text"], 0, None
    munges = []
    for line, each in lines[1:]:
        if at := _INDEX.match(each):
            index = int(at[1])
        elif key := _PEDIT_KEY.match(each):
            munges.append(_munge(key["header"], int(key["offset"]), key["how"] == "add",
                                 key["value"], key["mask"]))  # fmt: skip
        elif each.strip().startswith("cookie "):
            cookie = bytes.fromhex(each.split()[1])
        elif not _REPORTS.match(each):
            if text.split()[0] != "tunnel_key":
                raise InputError("not modelled", file=file, line=line, token=each.split()[0])
            text += " " + each.strip()
    if police := _POLICE.match(text):
        index = int(police[1], 16)
    shown.actions.append(_from_text(text, tuple(munges), number, file))
    shown.indexes.append(index)
    shown.cookies.append(cookie)


def _from_text(text: str, munges: tuple[Munge, ...], line: int, file: str | None) -> Action:
    kind, _, rest = text.partition(" ")
    if kind == "pedit":
        control = rest.strip().removeprefix("action ").rpartition(" keys ")[0]
        return Pedit(munges, _control(control))
    if mirred := _MIRRED.match(text):
        return _mirred(mirred["direction"].lower(), mirred["how"].lower(), mirred["device"],
                       mirred["control"], line, file)  # fmt: skip
    if kind == "gact":
        text = rest.strip().removeprefix("action ")
    elif kind == "csum":
        text = text.replace("(", "").replace(")", "").replace(",", "").replace(" action ", " ")
    elif kind == "police":
        text = _POLICE.sub("police ", text).removesuffix("overhead 0b").replace("mtu 4096Mb ", "")
        text, _, controls = text.replace("rate 0bit burst 0b ", "").partition(" action ")
        exceed, _, conform = controls.strip().partition("/")
        action = _police(f"{text} index", line, file)
        return replace(action, control=_control(exceed), conform=_control(conform or "pass"))
    return _action(text, line, file)


def _police(text: str, line: int, file: str | None) -> Police:
    words = Words(text, file=file, line=line)
    action = read_action(words, words.take("police"))
    assert isinstance(action, Police)
    if words.take("the end") != "index":
        words.fail("a policer has more words than are known")
    return action


# -- JSON ------------------------------------------------------------------------------------------


def read_json(shown: Any, line: int, file: str | None) -> Iterator[Filter]:
    """The filters of what ``tc -j filter show`` printed.

    Raises:
        InputError: with file, line and the name of the member.
    """
    for each in shown:
        options = each.get("options")
        if options is None:
            continue
        found = _Shown(
            line, str(each["protocol"]), int(each["pref"]), str(each["kind"]),
            int(each.get("chain", 0)), int(options["handle"]), block=int(each.get("block", 0)),
        )  # fmt: skip
        for name in options:
            if name not in _OPTIONS:
                raise InputError("not modelled", file=file, line=line, token=name)
        if "indev" in options:
            found.keys.append(f"indev {options['indev']}")
        for name, value in options.get("keys", {}).items():
            if not name.endswith("_mask"):
                found.keys += _json_key(name, value, options["keys"].get(f"{name}_mask"))
        found.keys += [flag for flag in ("skip_hw", "skip_sw") if options.get(flag)]
        for action in options.get("actions", ()):
            found.actions.append(_json_action(action, line, file))
            found.indexes.append(int(action["index"]))
            found.cookies.append(
                bytes.fromhex(action["cookie"]) if "cookie" in action else None
            )
        yield found.make(file)


_OPTIONS: Final = frozenset({
    "handle", "indev", "keys", "skip_hw", "skip_sw", "not_in_hw", "in_hw", "in_hw_count",
    "rule_hit", "actions",
})  # fmt: skip


def _json_key(name: str, value: Any, mask: str | None) -> list[str]:
    if name == "ip_flags":
        text = "/".join(("" if on else "no") + flag for flag, on in value.items())
    elif name == "mpls":
        text = " ".join(
            "lse " + " ".join(f"{part} {number}" for part, number in entry.items())
            for entry in value
        )
    elif isinstance(value, dict):
        text = f"{value['start']}-{value['end']}"
    else:
        # A mask is hex there whatever the key takes.
        text = str(value) + (f"/0x{mask}" if mask is not None else "")
    return _key(name, text)


def _json_action(action: dict[str, Any], line: int, file: str | None) -> Action:
    kind = str(action["kind"])
    if kind == "police":
        raise InputError(
            "the JSON of tc leaves the rate of a policer out", file=file, line=line, token=kind,
            hint="take the text of `tc filter show`",
        )  # fmt: skip
    writer = _JSON_ACTIONS.get(kind)
    if writer is None:
        raise InputError("not modelled", file=file, line=line, token=kind)
    if "hw_stats" in action:
        raise InputError("not modelled", file=file, line=line, token="hw_stats")
    control = _json_control(action["control_action"])
    if kind == "pedit":
        munges = [
            _munge(key["htype"], int(key["offset"]), key["cmd"] == "add", key["val"], key["mask"])
            for key in action["keys"]
        ]
        return Pedit(tuple(munges), _control(control))
    if kind == "mirred":
        return _mirred(action["direction"], action["mirred_action"], action["to_dev"], control,
                       line, file)  # fmt: skip
    return _action(f"{writer(action)} {control}", line, file)


def _json_control(control: dict[str, Any]) -> str:
    kind = str(control["type"])
    if kind == "goto":
        return f"goto chain {control['chain']}"
    return f"jump {control['jump']}" if kind == "jump" else kind


def _members(kind: str, *names: str) -> Callable[[dict[str, Any]], str]:
    """The action `kind` with those of `names` that it has, each with its value."""

    def write(action: dict[str, Any]) -> str:
        return " ".join((kind, *(f"{name} {action[name]}" for name in names if name in action)))

    return write


def _json_ct(action: dict[str, Any]) -> str:
    if action.get("action") == "clear":
        return "ct clear"
    words = f"ct {action.get('action', '')}"
    if "mark" in action:
        mask = action.get("mark_mask")
        words += f" mark {action['mark']}" + (f"/0x{mask}" if mask is not None else "")
    words += f" zone {action['zone']}"
    if "label" in action:
        words += f" label {action['label']}"
    if "nat" in action:
        words += f" nat {action['nat']}"
    return words


def _json_skbedit(action: dict[str, Any]) -> str:
    words = _members("skbedit", "queue_mapping", "priority", "mark")(action)
    if "mask" in action:
        words += f"/0x{action['mask']}"
    if "ptype" in action:
        words += f" ptype {action['ptype']}"
    return words + (" inheritdsfield" if "inheritdsfield" in action else "")


def _json_tunnel_key(action: dict[str, Any]) -> str:
    words = _members(
        f"tunnel_key {action['mode']}", "src_ip", "dst_ip", "key_id", "dst_port", "tos", "ttl"
    )(action)
    return f"{words} {action.get('flag', '')}"


_JSON_ACTIONS: Final[dict[str, Callable[[dict[str, Any]], str]]] = {
    "gact": lambda action: "gact",
    "mirred": _members("mirred"),
    "pedit": _members("pedit"),
    "ct": _json_ct,
    "csum": lambda action: f"csum {action['csum'].replace(',', '')}",
    "vlan": lambda action: _members(
        f"vlan {action['vlan_action']}", "id", "protocol", "priority", "dst_mac", "src_mac"
    )(action),
    "mpls": lambda action: _members(
        f"mpls {action['mpls_action']}", "protocol", "label", "tc", "bos", "ttl"
    )(action),
    "skbedit": _json_skbedit,
    "sample": lambda action: f"sample rate {action['rate']} group {action['group']}"
    + (f" trunc {action['trunc_size']}" if "trunc_size" in action else ""),
    "tunnel_key": _json_tunnel_key,
}
