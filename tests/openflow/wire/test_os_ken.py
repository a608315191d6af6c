"""The packets that os-ken captured from other programs: read, and written again byte by byte."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from ovsct.openflow.wire.codec import decode, encode
from ovsct.openflow.wire.errors import WireError

REFUSED = {
    "4-63-onf_flow_monitor_request": "OFPBMC_BAD_TYPE",
    # OVS refuses these as well: two write_actions, a weight in a group of type all, ports beyond
    # what there are, a zone that is not 16 bits, a meter of an experimenter, a
    # match that is none, lengths that lie.
    "4-12-ofp_flow_stats_reply": "OFPBIC_DUP_INST",
    "5-12-ofp_flow_stats_reply": "OFPBIC_DUP_INST",
    "4-21-ofp_group_mod": "OFPGMFC_INVALID_GROUP",
    "5-21-ofp_group_mod": "OFPGMFC_INVALID_GROUP",
    "4-59-ofp_packet_in": "OFPBMC_BAD_VALUE",
    "5-57-ofp_packet_in": "OFPBMC_BAD_VALUE",
    "4-60-ofp_flow_mod": "OFPBMC_BAD_VALUE",
    "5-58-ofp_flow_mod": "OFPBMC_BAD_VALUE",
    "libofproto-OFP15-packet_out": "OFPBRC_BAD_PORT",
    "ovs-ofctl-of13-action_ct": "OFPBAC_BAD_SET_LEN",
    "4-45-ofp_meter_mod": "OFPMMFC_BAD_BAND",
    "5-43-ofp_meter_mod": "OFPMMFC_BAD_BAND",
    "libofproto-OFP15-flow_desc_reply": "OFPBIC_BAD_LEN",
    "libofproto-OFP15-meter_features_reply": "OFPBRC_BAD_LEN",
    # Unknown vendors and fields, and messages of OpenFlow 1.5 that OVS 3.1 has not.
    "4-2-ofp_flow_mod": "OFPBAC_BAD_SET_TYPE",
    "5-2-ofp_flow_mod": "OFPBAC_BAD_SET_TYPE",
    **dict.fromkeys(
        ("4-16-ofp_experimenter", "4-61-ofp_experimenter_request", "4-62-ofp_experimenter_reply",
         "5-16-ofp_experimenter", "5-59-ofp_experimenter_request", "5-60-ofp_experimenter_reply",
         "libofproto-OFP15-experimenter", "libofproto-OFP15-experimenter_request",
         "libofproto-OFP15-experimenter_reply"),
        "OFPBRC_BAD_VENDOR",
    ),
    **dict.fromkeys(
        ("libofproto-OFP15-bundle_features_reply", "libofproto-OFP15-bundle_features_request",
         "libofproto-OFP15-controller_status_reply", "libofproto-OFP15-controller_status_request",
         "libofproto-OFP15-flow_stats_reply", "libofproto-OFP15-flow_stats_request"),
        "OFPBRC_BAD_STAT",
    ),
    **dict.fromkeys(
        ("libofproto-OFP15-controller_status", "libofproto-OFP15-table_status",
         "5-68-ofp_table_status"),
        "OFPBRC_BAD_TYPE",
    ),
    # Properties of optical ports, and of experimenters.
    **dict.fromkeys(
        ("5-22-ofp_port_mod", "5-30-ofp_port_stats_reply", "5-37-ofp_port_status",
         "5-52-ofp_port_desc_reply", "libofproto-OFP15-port_mod", "libofproto-OFP15-port_status",
         "libofproto-OFP15-port_stats_reply", "libofproto-OFP15-port_desc_reply"),
        "OFPBPC_BAD_TYPE",
    ),
    **dict.fromkeys(
        ("5-23-ofp_table_mod", "5-41-ofp_get_async_reply", "5-42-ofp_set_async",
         "5-62-ofp_table_desc_reply", "5-64-ofp_queue_desc_reply", "5-65-ofp_role_status",
         "libofproto-OFP15-get_async_reply", "libofproto-OFP15-set_async",
         "libofproto-OFP15-queue_desc_reply", "libofproto-OFP15-table_desc_reply"),
        "OFPBPC_BAD_EXP_TYPE",
    ),
    **dict.fromkeys(
        ("5-36-ofp_queue_stats_reply", "libofproto-OFP15-queue_stats_reply"), "OFPBRC_BAD_LEN"
    ),
}  # fmt: skip
OTHER_BYTES = {
    # The filters of a flow mod that filters nothing mean nothing.
    "1-2-ofp_flow_mod",
    "libofproto-OFP13-flow_mod", "libofproto-OFP13-flow_mod_conjunction",
    "libofproto-OFP13-flow_mod_match_conj", "libofproto-OFP15-flow_mod",
    "libofproto-OFP15-flow_mod_conjunction", "libofproto-OFP15-flow_mod_match_conj",
    # The order of fields; the error of another vendor; the spanning tree; a reply that says "more".
    "4-4-ofp_packet_in", "4-41-ofp_error_msg_experimenter", "1-6-ofp_switch_features",
    "4-55-ofp_table_features_request", "4-56-ofp_table_features_reply", "5-4-ofp_packet_in",
    "5-39-ofp_error_msg_experimenter", "libofproto-OFP15-error_msg_experimenter",
    "5-53-ofp_table_features_request", "5-54-ofp_table_features_reply",
    "libofproto-OFP15-table_features_request", "libofproto-OFP15-table_features_reply",
    # A role in OpenFlow 1.5 has an id that OVS does not know.
    "libofproto-OFP15-role_request", "libofproto-OFP15-role_reply",
}
SHORTER = {
    # Properties of experimenters, at which OVS does not look, and statistics that it has not.
    "4-36-ofp_queue_get_config_reply", "5-69-ofp_bundle_ctrl_msg", "libofproto-OFP15-flow_removed",
}


FOLDERS = ("of10", "of13", "of14", "of15")


def _files() -> list[Path]:
    found = find_spec("os_ken")
    if found is None or not found.submodule_search_locations:
        return []
    folder = Path(found.submodule_search_locations[0]) / "tests" / "packet_data"
    return [file for name in FOLDERS for file in sorted(folder.glob(f"{name}/*.packet"))]


FILES = _files()
needs_os_ken = pytest.mark.skipif(
    not FILES, reason="os-ken is not installed: pip install .[os-ken]"
)


@needs_os_ken
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_captured_packets(file: Path) -> None:
    data = file.read_bytes()
    if file.stem in REFUSED:
        with pytest.raises(WireError) as refusal:
            decode(data)
        assert refusal.value.name == REFUSED[file.stem]
        return
    message = decode(data)
    again = encode(message.body, data[0], message.xid)
    if file.stem in SHORTER:
        assert len(again) != len(data)
    elif file.stem in OTHER_BYTES:
        assert again != data
        assert len(again) == len(data)
    else:
        assert again == data


@needs_os_ken
def test_most_are_written_as_they_were_read() -> None:
    special = REFUSED.keys() | OTHER_BYTES | SHORTER
    assert len(FILES) >= 230
    assert {file.stem for file in FILES} > special
    assert len(FILES) - len(special) >= 160
