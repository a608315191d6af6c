"""The packets that os-ken captured from other programs: read, and written again byte by byte."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from ovsct.openflow.wire.codec import decode, encode
from ovsct.openflow.wire.errors import WireError

REFUSED = {
    # Not modelled: tables and queues to configure, meters, flow monitors.
    "4-23-ofp_table_mod": "OFPBRC_BAD_TYPE",
    "libofproto-OFP13-table_mod": "OFPBRC_BAD_TYPE",
    "4-35-ofp_queue_get_config_request": "OFPBRC_BAD_TYPE",
    "4-36-ofp_queue_get_config_reply": "OFPBRC_BAD_TYPE",
    "4-45-ofp_meter_mod": "OFPBRC_BAD_TYPE",
    "libofproto-OFP13-meter_mod": "OFPBRC_BAD_TYPE",
    "4-47-ofp_meter_config_request": "OFPBRC_BAD_STAT",
    "4-48-ofp_meter_config_reply": "OFPBRC_BAD_STAT",
    "4-49-ofp_meter_stats_request": "OFPBRC_BAD_STAT",
    "4-50-ofp_meter_stats_reply": "OFPBRC_BAD_STAT",
    "4-63-onf_flow_monitor_request": "OFPBRC_BAD_SUBTYPE",
    # OVS refuses these as well: two write_actions, unknown vendors and fields, a weight in a group
    # of type all, ports beyond what there are, a zone that is not 16 bits.
    "4-12-ofp_flow_stats_reply": "OFPBIC_DUP_INST",
    "4-16-ofp_experimenter": "OFPBRC_BAD_VENDOR",
    "4-61-ofp_experimenter_request": "OFPBRC_BAD_VENDOR",
    "4-62-ofp_experimenter_reply": "OFPBRC_BAD_VENDOR",
    "4-2-ofp_flow_mod": "OFPBAC_BAD_SET_TYPE",
    "4-21-ofp_group_mod": "OFPGMFC_INVALID_GROUP",
    "4-59-ofp_packet_in": "OFPBMC_BAD_VALUE",
    "4-60-ofp_flow_mod": "OFPBMC_BAD_VALUE",
    "ovs-ofctl-of13-action_ct": "OFPBAC_BAD_SET_LEN",
}
OTHER_BYTES = {
    # The length of an output that goes to no controller means nothing.
    "1-1-ofp_packet_out", "1-2-ofp_flow_mod", "4-1-ofp_packet_out", "4-34-ofp_group_desc_reply",
    "4-46-ofp_flow_mod", "libofproto-OFP10-ofp_packet_out_packet_library",
    "libofproto-OFP13-ofp_packet_out_packet_library",
    # Nor do the filters of a flow mod that filters nothing.
    "libofproto-OFP13-flow_mod", "libofproto-OFP13-flow_mod_conjunction",
    "libofproto-OFP13-flow_mod_match_conj",
    # The order of fields; the error of another vendor; the spanning tree; a reply that says "more".
    "4-4-ofp_packet_in", "4-41-ofp_error_msg_experimenter", "1-6-ofp_switch_features",
    "4-55-ofp_table_features_request", "4-56-ofp_table_features_reply",
}  # fmt: skip


def _files() -> list[Path]:
    found = find_spec("os_ken")
    if found is None or not found.submodule_search_locations:
        return []
    folder = Path(found.submodule_search_locations[0]) / "tests" / "packet_data"
    return [file for name in ("of10", "of13") for file in sorted(folder.glob(f"{name}/*.packet"))]


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
    if file.stem in OTHER_BYTES:
        assert again != data
        assert len(again) == len(data)
    else:
        assert again == data


@needs_os_ken
def test_most_are_written_as_they_were_read() -> None:
    assert len(FILES) >= 115
    assert {file.stem for file in FILES} > REFUSED.keys() | OTHER_BYTES
    assert len(FILES) - len(REFUSED) - len(OTHER_BYTES) >= 80
