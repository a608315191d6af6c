"""The text of groups: against Debian's ovs-ofctl, and its errors."""

from __future__ import annotations

import re
import subprocess

import pytest

from ovsct.errors import InputError
from ovsct.openflow.actions import Output
from ovsct.openflow.group import GroupType
from ovsct.openflow.text.group_text import format_group, parse_group, read_groups
from ovsct.oracle.ofctl import Refused
from ovsct.oracle.real_ovs import RealOvs

GROUPS = """
group_id=1,type=all
group_id=1,type=all,bucket=output:1,bucket=output:2
group_id=1,type=all,bucket=actions=output:1,output:2,bucket=drop
group_id=2 type=select bucket=weight:5,watch_port:3,actions=output:1 bucket=actions=2
group_id=2,type=select,selection_method=hash,fields(ip_src,ip_dst=255.0.0.0),bucket=1
group_id=2,type=select,selection_method=hash,fields=ip_dst,bucket=1
group_id=2,type=select,selection_method=hash,bucket=1
group_id=2,type=select,selection_method=dp_hash,selection_method_param=5,bucket=1
group_id=2,type=select,bucket=weight:0,actions=drop,bucket=bucket_id=0,actions=4
group_id=2,type=select,bucket=weight:1,output:1,bucket=weight:65535,output:2
group_id=3,type=ff,bucket=watch_port:1,output:1,bucket=watch_group:4,output:2
group_id=3,type=fast_failover,bucket=watch_port:1,watch_group:4,actions=output:1
group_id=5,type=indirect,bucket=ct(commit,zone=3,nat(src=10.0.0.1)),resubmit(,5)
group_id=0xff,type=indirect,bucket=set_field:5->reg0,actions=group:7
add group_id=4294967040,type=all,bucket=actions=controller
""".strip().split("\n")

MALFORMED = """
type=all,bucket=1
group_id=1,bucket=1
group_id=1,type=foo,bucket=1
group_id=x,type=all,bucket=1
group_id=4294967041,type=all,bucket=1
group_id=1,type=all,foo=1,bucket=1
group_id=1,type=all,bucket=
group_id=1,type=all,bucket=weight:5,output:1
group_id=1,type=select,bucket=weight:65536,output:1
group_id=1,type=ff,bucket=output:1
group_id=1,type=ff,bucket=watch_port:foo,output:1
group_id=1,type=all,bucket=watch_port:local,output:1
group_id=1,type=indirect,bucket=1,bucket=2
group_id=1,type=all,bucket=foo:3
group_id=1,type=all,bucket=goto_table:3
group_id=1,type=select,fields(ip_src),bucket=1
group_id=1,type=select,selection_method_param=3,bucket=1
group_id=1,type=select,selection_method=hash,fields(foo),bucket=1
group_id=1,type=select,selection_method=hash,fields(ip_src,ip_src),bucket=1
group_id=1,type=select,selection_method=hash,fields(nw_proto=1),bucket=1
""".strip().split("\n")


def parse_group_as_ovs(line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["ovs-ofctl", "-O", "OpenFlow15", "parse-group", line.removeprefix("add ")],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.real_ovs
@pytest.mark.parametrize("line", GROUPS)
def test_groups_print_as_ovs_ofctl_prints_them(line: str) -> None:
    done = parse_group_as_ovs(line)
    printed = re.search(r"^ ADD (.*?),?$", done.stdout, re.M)
    assert printed is not None, done.stderr
    group = parse_group(line)
    assert format_group(group) == printed[1]
    assert parse_group(format_group(group)) == group


@pytest.mark.real_ovs
@pytest.mark.parametrize("line", MALFORMED)
def test_both_refuse(line: str) -> None:
    done = parse_group_as_ovs(line)
    assert done.returncode != 0 or "decode error" in done.stdout, done.stdout
    with pytest.raises(InputError) as caught:
        parse_group(line, "groups", 2)
    assert caught.value.line == 2 and caught.value.column is not None


def test_a_file_of_groups() -> None:
    text = "# two\ngroup_id=1,type=all,bucket=1\n\n  group_id=2,type=select,bucket=3,bucket=4 # x\n"
    one, two = read_groups(text, "groups.txt")
    assert (one.type, one.line, two.line) == (GroupType.ALL, 2, 4)
    assert [bucket.bucket_id for bucket in two.buckets] == [0, 1]
    action = two.buckets[1].actions[0]
    assert action == Output(4)
    assert two.text[slice(*action.span)] == "4"
    assert two.text[slice(*two.buckets[0].span)] == "3,"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("group_id=1,type=all\ngroup_id=1,type=all", "g:2: this group is there already"),
        ("delete group_id=1", "g:1:1: delete is not supported here"),
        ("group_id=1,typ=all", "g:1:12: there is no such keyword of a group: 'typ'; did you mean"),
        ("group_id=1,type=all,bucket=bucket_id:1,2,bucket=bucket_id:1,3", "g:1:49: two buckets"),
        ("group_id=1,type=select,selection_method=foo,bucket=1", "no such selection method"),
        ("group_id=1,type=all,bucket=ct(table=1", "g:1:30: this parenthesis is never closed"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        read_groups(text, "g")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("group_id=1,type=all,bucket=watch_port=1,output:1", "OFPGMFC_WATCH_UNSUPPORTED"),
        ("group_id=1,type=indirect,bucket=watch_group=1,output:1", "OFPGMFC_WATCH_UNSUPPORTED"),
        ("group_id=1,type=all,bucket=bucket_id=0,output:1,bucket=output:2", "OFPGMFC_BAD_BUCKET"),
        ("group_id=1,type=all,bucket=bucket_id=3,output:1,bucket=bucket_id=3,output:2",
         "OFPGMFC_BAD_BUCKET"),
    ],
)  # fmt: skip
def test_buckets_that_a_switch_refuses(line: str, error: str) -> None:
    with pytest.raises(InputError, match=error):
        parse_group(line)


def test_numbers_keep_clear_of_ids_that_follow() -> None:
    line = "group_id=1,type=all,bucket=output:1,bucket=bucket_id=0,output:2,bucket=output:3"
    assert [bucket.bucket_id for bucket in parse_group(line).buckets] == [1, 0, 2]


@pytest.mark.real_ovs
def test_the_program_numbers_and_refuses_alike(real_ovs: RealOvs) -> None:
    good = "group_id=1,type=all,bucket=output:1,bucket=bucket_id=0,output:2,bucket=output:3"
    real_ovs.reset((), (good,))
    for line in (
        "group_id=1,type=all,bucket=watch_port=1,output:1",
        "group_id=1,type=all,bucket=bucket_id=0,output:1,bucket=output:2",
    ):
        with pytest.raises(Refused):
            real_ovs.reset((), (line,))
        with pytest.raises(InputError):
            parse_group(line)
