"""Every field and action that a real ovs-vswitchd has is here."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from itertools import chain

import pytest

from ovsct.openflow.text.action_text import read_actions
from ovsct.openflow.wire.oxm import HEADS
from ovsct.oracle.vswitchd import Vswitchd, find_program
from ovsct.packet.fields import FIELDS


def _words(text: str) -> list[str]:
    """The words of a list at whose spaces no brace is open."""
    return re.findall(r"(?:[^\s{}]|\{(?:[^{}]|\{[^{}]*\})*\})+", text)


def _expanded(word: str) -> Iterator[str]:
    """The names that ``a_{b,c_{d,e}}`` and ``reg0...reg15`` stand for."""
    opened = word.find("{")
    if opened >= 0:
        inner = word[opened + 1 : -1]
        parts = re.findall(r"(?:[^,{}]|\{[^{}]*\})+", inner)
        yield from chain.from_iterable(_expanded(word[:opened] + part) for part in parts)
        return
    run = re.fullmatch(r"(.*?)(\d+)\.\.\.(?:\D*)(\d+)", word)
    if run is None:
        yield word
    else:
        yield from (f"{run[1]}{n}" for n in range(int(run[2]), int(run[3]) + 1))


def _names(listing: str) -> set[str]:
    return {name for word in _words(listing) for name in _expanded(word)}


@pytest.fixture(scope="module")
def features() -> Iterator[dict[str, set[str]]]:
    """What the program says of the fields of its first table, by kind."""
    with Vswitchd() as program:
        program.vsctl("add-br", "br0", "--", "set", "bridge", "br0", "datapath-type=dummy")
        said = subprocess.run(
            [find_program("ovs-ofctl"), "-O", "OpenFlow13", "dump-table-features",
             f"unix:{program.management('br0')}"],
            capture_output=True, text=True, timeout=60, check=True,
        ).stdout  # fmt: skip
    table = said.partition("tables 1")[0]
    yield {
        kind: _names(found[1])
        for kind, pattern in (
            ("settable", r"supported on Set-Field: (.*)"),
            ("maskable", r"arbitrary mask: (.*)"),
            ("whole", r"exact match or wildcard: (.*)"),
        )
        if (found := re.search(pattern, table)) is not None
    }


def _numbered() -> set[str]:
    return {name for name, _ in HEADS}


@pytest.mark.real_ovs
def test_every_field_is_in_the_registry(features: dict[str, set[str]]) -> None:
    program = features["maskable"] | features["whole"]
    assert len(program) > 150
    assert program == _numbered()


@pytest.mark.real_ovs
@pytest.mark.parametrize(
    ("kind", "attribute"), [("maskable", "maskable"), ("settable", "writable")]
)
def test_it_takes_masks_and_values_where_the_program_does(
    features: dict[str, set[str]], kind: str, attribute: str
) -> None:
    here = {name for name in _numbered() if getattr(FIELDS[name], attribute)}
    assert here == features[kind]


ACTIONS = {
    "output": "output:1", "group": "group:1", "controller": "controller(id=1)",
    "enqueue": "enqueue:1:2", "output_reg": "output:NXM_NX_REG0[]",
    "bundle": "bundle(eth_src,0,hrw,ofport,members:1,2)", "set_field": "set_field:5->reg0",
    "set_vlan_vid": "set_vlan_vid:5", "set_vlan_pcp": "set_vlan_pcp:5",
    "strip_vlan": "strip_vlan", "push_vlan": "push_vlan:0x8100",
    "mod_dl_src": "mod_dl_src:02:00:00:00:00:01", "mod_dl_dst": "mod_dl_dst:02:00:00:00:00:01",
    "mod_nw_src": "mod_nw_src:1.2.3.4", "mod_nw_dst": "mod_nw_dst:1.2.3.4",
    "mod_nw_tos": "mod_nw_tos:4", "mod_nw_ecn": "mod_nw_ecn:1", "mod_nw_ttl": "mod_nw_ttl:9",
    "mod_tp_src": "mod_tp_src:9", "mod_tp_dst": "mod_tp_dst:9",
    "move": "move:NXM_NX_REG0[]->NXM_NX_REG1[]", "push": "push:NXM_NX_REG0[]",
    "pop": "pop:NXM_NX_REG0[]", "dec_ttl": "dec_ttl", "set_mpls_label": "set_mpls_label:5",
    "set_mpls_tc": "set_mpls_tc:5", "set_mpls_ttl": "set_mpls_ttl:5",
    "dec_mpls_ttl": "dec_mpls_ttl", "push_mpls": "push_mpls:0x8847",
    "pop_mpls": "pop_mpls:0x0800", "dec_nsh_ttl": "dec_nsh_ttl",
    "delete_field": "delete_field:tun_metadata0", "encap": "encap(nsh(md_type=1))",
    "decap": "decap()", "set_tunnel": "set_tunnel:5", "set_queue": "set_queue:5",
    "pop_queue": "pop_queue", "fin_timeout": "fin_timeout(idle_timeout=5)",
    "resubmit": "resubmit(,1)", "learn": "learn(table=1)", "conjunction": "conjunction(1,1/2)",
    "multipath": "multipath(eth_src,50,modulo_n,1,0,NXM_NX_REG0[0..7])", "note": "note:00",
    "exit": "exit", "sample": "sample(probability=1)", "ct": "ct(commit)",
    "ct_clear": "ct_clear", "nat": "ct(commit,nat(src=1.2.3.4))",
    "output_trunc": "output(port=1,max_len=60)", "clone": "clone(output:1)",
    "check_pkt_larger": "check_pkt_larger(60)->NXM_NX_REG0[0]", "debug_recirc": "debug_recirc",
    "debug_slow": "debug_slow", "meter": "meter:1", "clear_actions": "clear_actions",
    "write_actions": "write_actions(output:1)", "write_metadata": "write_metadata:5",
    "goto_table": "goto_table:1",
}  # fmt: skip
"""An example of each action and instruction of OVS 3.1.0, by its name in the list OFPACTS of
include/openvswitch/ofp-actions.h; but for unroll_xlate, which no flow can say."""


@pytest.mark.real_ovs
def test_the_program_takes_every_example() -> None:
    for example in ACTIONS.values():  # one by one: no version of OpenFlow has them all
        done = subprocess.run(
            [find_program("ovs-ofctl"), "-O", "OpenFlow10,OpenFlow13,OpenFlow15", "parse-flow",
             f"tcp,vlan_tci=0x1005 actions={example}"],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ACTIONS)
def test_every_action_is_read(name: str) -> None:
    assert read_actions(ACTIONS[name])
