"""Scripts of ovs-ofctl commands in every version, against both switches: the same answers.

Lines are compared sorted: OVS goes through ports, groups and meters in the order of hash tables.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import pytest

from tests.agent.programs import Modelled, Real, neutral
from tests.agent.test_ofctl_real import FLOWS, NEWER

pytestmark = pytest.mark.real_ovs

GROUPS = """\
add-group group_id=1,type=all,bucket=output:1,bucket=set_field:9->reg0,output:2
add-group group_id=2,type=indirect,bucket=output:3
add-group group_id=2,type=indirect,bucket=output:3
add-group group_id=3,type=select,bucket=weight:7,output:1,bucket=weight:0,output:2
add-group group_id=4,type=ff,bucket=watch_port:1,output:1,bucket=watch_port:2,output:2
add-group group_id=5,type=select,selection_method=hash,fields(ip_src=255.255.255.0,tcp_src),bucket=1
add-group group_id=6,type=select,selection_method=dp_hash,selection_method_param=5,bucket=output:1
add-group group_id=7,type=select,selection_method=hash,bucket=bucket_id:5,1,bucket=bucket_id:9,2
add-group group_id=8,type=all
add-group group_id=9,type=all,bucket=output:1,group:9
dump-groups
dump-groups 5
dump-group-stats
dump-group-stats group_id=99
dump-group-features
mod-group group_id=2,type=all,bucket=output:4
--may-create mod-group group_id=22,type=all,bucket=output:4
mod-group group_id=99,type=all,bucket=output:4
add-flow in_port=1,actions=group:2
add-flow in_port=2,actions=clone(group:2),group:3
dump-flows
dump-group-stats 2
del-groups group_id=2
del-groups group_id=99
dump-flows
dump-groups
"""

BUCKETS = """\
add-group group_id=1,type=all,bucket=output:1,bucket=output:2
insert-buckets group_id=1,command_bucket_id=first,bucket=bucket_id:10,output:4
insert-buckets group_id=1,command_bucket_id=last,bucket=bucket_id:11,output:4,bucket=bucket_id:12,3
insert-buckets group_id=1,command_bucket_id=10,bucket=bucket_id:13,output:1
insert-buckets group_id=1,command_bucket_id=77,bucket=bucket_id:14,output:1
insert-buckets group_id=1,command_bucket_id=0,bucket=bucket_id:11,output:1
insert-buckets group_id=99,command_bucket_id=last,bucket=bucket_id:0,output:1
dump-groups 1
remove-buckets group_id=1,command_bucket_id=first
remove-buckets group_id=1,command_bucket_id=last
remove-buckets group_id=1,command_bucket_id=13
remove-buckets group_id=1,command_bucket_id=99
dump-groups 1
remove-buckets group_id=1,command_bucket_id=all
dump-groups 1
"""

METERS = """\
meter-features
add-meter meter=1,kbps,burst,bands=type=drop,rate=100,burst_size=50
add-meter meter=2,pktps,stats,bands=type=drop,rate=5,type=drop,rate=7
add-meter meter=2,pktps,stats,bands=type=drop,rate=5
add-meter meter=3,pktps,bands=type=dscp_remark,rate=5,prec_level=3
mod-meter meter=9,kbps,bands=type=drop,rate=7
mod-meter meter=1,kbps,bands=type=drop,rate=7
add-meter meter=controller,kbps,bands=type=drop,rate=7
dump-meters
dump-meter meter=1
dump-meter meter=77
meter-stats
add-flow in_port=1,actions=meter:1,output:2
add-flow in_port=2,actions=meter:2,output:1
add-flow in_port=3,actions=meter:8
meter-stats
dump-flows
del-meter meter=1
dump-flows
del-meters
del-meter meter=controller
dump-meters
dump-flows
"""

PORTS = """\
mod-port p1 down
dump-ports-desc
dump-ports-desc 1
mod-port p1 up
mod-port p2 no-receive
mod-port p2 no-flood
mod-port p2 no-forward
mod-port p2 no-packet-in
dump-ports-desc
mod-port p2 receive
mod-port p2 flood
mod-port p2 forward
mod-port p2 packet-in
mod-port 77 up
dump-ports 3
queue-get-config
queue-get-config 1
queue-get-config 1 7
queue-get-config LOCAL
queue-get-config 9
queue-stats 1
"""

REST = """\
show
dump-table-features
dump-table-desc
mod-table 5 evict
mod-table 5 vacancy:20,80
mod-table 254 evict
dump-table-desc
mod-table all noevict
mod-table 5 novacancy
dump-table-desc
mod-table 3 name:acl
mod-table 3 name:
dump-ipfix-bridge
dump-ipfix-flow
ct-flush-zone 5
get-frags
add-flow table=3,priority=1,importance=9,ip,actions=drop
mod-flows table=3,importance=8,ip,actions=4
dump-flows
dump-aggregate table=3
packet-out 'in_port=1 reg0=7,metadata=5 packet=00112233445566778899aabbccdd actions=2'
packet-out 'in_port=1 tcp_src=7 packet=00112233445566778899aabbccdd actions=2'
"""

_LACKS = {
    "OpenFlow10": (METERS,),
    "OpenFlow13": (BUCKETS,),
    "OpenFlow14": (BUCKETS, GROUPS),
}
"""What ovs-ofctl does not say in a version, or would say as in another."""

NAMES = {"groups": GROUPS, "buckets": BUCKETS, "meters": METERS, "ports": PORTS, "rest": REST}
VERSIONS = ("OpenFlow10", "OpenFlow13", "OpenFlow14", "OpenFlow15")
CASES = [
    (version, name)
    for version in VERSIONS
    for name, script in NAMES.items()
    if script not in _LACKS.get(version, ())
]


@pytest.fixture(autouse=True)
def _clean(real: Real, model: Modelled) -> Iterator[None]:
    yield
    for switch in (real, model):
        for command in ("del-flows", "del-groups", "del-meters"):
            assert switch.ofctl("-O", "OpenFlow15", command) == ""


def _lines(text: str) -> list[str]:
    return sorted(neutral(text).splitlines())


@pytest.mark.parametrize(("version", "name"), CASES)
def test_a_script_gets_the_same_answers(
    real: Real, model: Modelled, version: str, name: str
) -> None:
    said = []
    for command in NAMES[name].splitlines():
        words = ("-O", version, *shlex.split(command))
        wanted = _lines(real.ofctl(*words))
        if name == "rest" and "table-features" in command:
            wanted = [line for line in wanted if "supported on" not in line]
            assert [line for line in _lines(model.ofctl(*words)) if "supported on" not in line]
            continue  # the fields that are not modelled are not there (docs/switch.md)
        assert _lines(model.ofctl(*words)) == wanted, command
        said += wanted
    assert said


@pytest.mark.parametrize("added", ["OpenFlow14", "OpenFlow15"])
def test_flows_come_back_in_every_version(real: Real, model: Modelled, added: str) -> None:
    for switch in (real, model):
        assert switch.ofctl("-O", added, "add-flows", "-", text=FLOWS + NEWER) == ""
    for version in VERSIONS:
        wanted = neutral(real.ofctl("-O", version, "dump-flows"))
        assert neutral(model.ofctl("-O", version, "dump-flows")) == wanted


@pytest.mark.parametrize("version", ["OpenFlow14", "OpenFlow15"])
def test_bundles(real: Real, model: Modelled, version: str) -> None:
    def both(text: str) -> str:
        words = ("-O", version, "--bundle", "add-flows", "-")
        wanted = neutral(real.ofctl(*words, text=text))
        assert neutral(model.ofctl(*words, text=text)) == wanted
        dump = ("-O", version, "dump-flows")
        assert neutral(model.ofctl(*dump)) == neutral(real.ofctl(*dump))
        return wanted

    assert both("in_port=1,actions=2\nin_port=2,actions=1\n") == ""
    assert both("modify in_port=1,actions=3\ndelete in_port=2\nadd udp,actions=4\n") == ""
    # The third cannot be done, so none is.
    bad = "delete\nin_port=9,actions=1\nin_port=5,actions=group:77\nin_port=6,actions=1\n"
    assert "OFPBAC_BAD_OUT_GROUP" in both(bad)
