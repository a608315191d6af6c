"""Numbers of OpenFlow that more than one module needs."""

from __future__ import annotations

from typing import Final

OF10: Final = 1
OF13: Final = 4
OF15: Final = 6

VERSIONS: Final = (OF10, OF13)
"""The versions spoken here, as in the first byte of a message."""

VERSION_NAMES: Final = {OF10: "OpenFlow 1.0", OF13: "OpenFlow 1.3", OF15: "OpenFlow 1.5"}

NX_VENDOR: Final = 0x00002320
ONF_VENDOR: Final = 0x4F4E4600
ERIC_VENDOR: Final = 0x00D4C5
"""Vendors: Nicira, ONF (OVS include/openflow/openflow-common.h)."""

NO_BUFFER: Final = 0xFFFFFFFF
GROUP_ANY: Final = 0xFFFFFFFF
GROUP_ALL: Final = 0xFFFFFFFC
GROUP_MAX: Final = 0xFFFFFF00
TABLE_ALL: Final = 0xFF
COOKIE_NONE: Final = 0xFFFFFFFFFFFFFFFF
