"""What the applications send, as ``ovsct explain`` says it: what they mean, and the calls."""

from __future__ import annotations

import shlex
from importlib import import_module
from importlib.util import find_spec

import pytest

from controller.__main__ import APPS
from controller.common.document import load
from ovsct.errors import InputError
from ovsct.openflow.text.flow_text import parse_flow
from ovsct.openflow.text.group_text import parse_group
from ovsct.openflow.wire.codec import decode
from ovsct.report.openflow_text import message_text
from ovsct.report.ryu_call import ryu_call
from tests.controller.rig import ROOT

pytestmark = pytest.mark.skipif(
    find_spec("os_ken") is None, reason="os-ken is not installed: pip install 'ovsct[os-ken]'"
)


@pytest.mark.parametrize("app", sorted(APPS))
def test_what_an_application_sends_is_what_it_means(app: str) -> None:
    from os_ken.ofproto.ofproto_protocol import ProtocolDesc

    from controller.common import wire

    class Datapath(ProtocolDesc):  # type: ignore[misc]
        def send_msg(self, message: object) -> None:
            self.sent = message

    def written(message: object) -> bytes:
        message.xid = 1  # type: ignore[attr-defined]
        message.serialize()  # type: ignore[attr-defined]
        return bytes(message.buf)  # type: ignore[attr-defined]

    text = (ROOT / "controller" / "examples" / f"{app}.yaml").read_text(encoding="utf-8")
    program = import_module(f"controller.policy.{APPS[app]}").parse(load(text)).compile()
    datapath = Datapath(4)
    for flow in program.flows:
        message = written(wire.flow_mod(datapath, flow, 0))
        *_, said = shlex.split(message_text(decode(message).body, 4))
        meant = parse_flow(str(flow))
        assert parse_flow(said).match == meant.match
        assert parse_flow(said).actions == meant.actions
        try:
            exec(ryu_call(message), {"datapath": datapath})
        except InputError as error:
            # Only these have to be written by hand (controller/common/wire.py).
            assert "class 0x1000" in str(error) and "nd_options_type" in str(flow)
        else:
            assert written(datapath.sent) == message
    for group in program.groups:
        message = written(wire.group_mod(datapath, group))
        *_, said = shlex.split(message_text(decode(message).body, 4))
        assert parse_group(said) == parse_group(str(group))
