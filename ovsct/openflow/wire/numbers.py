"""Numbers of OpenFlow that more than one module needs."""

from __future__ import annotations

from typing import Final

OF10: Final = 1
OF13: Final = 4
OF14: Final = 5
OF15: Final = 6

VERSIONS: Final = (OF10, OF13, OF14, OF15)
"""The versions spoken here, as in the first byte of a message."""

NX_VENDOR: Final = 0x00002320
ONF_VENDOR: Final = 0x4F4E4600
ERIC_VENDOR: Final = 0x00D4C5
NTR_VENDOR: Final = 0x0000154D
INTEL_VENDOR: Final = 0x0000AA01
"""Vendors: Nicira, ONF, Netronome, Intel (OVS include/openflow/openflow-common.h)."""

BUCKET_MAX: Final = 0xFFFFFF00
BUCKET_FIRST: Final = 0xFFFFFFFD
BUCKET_LAST: Final = 0xFFFFFFFE
BUCKET_ALL: Final = 0xFFFFFFFF
"""Buckets that a command names (enum ofp15_group_bucket)."""

NO_BUFFER: Final = 0xFFFFFFFF
GROUP_ANY: Final = 0xFFFFFFFF
GROUP_ALL: Final = 0xFFFFFFFC
GROUP_MAX: Final = 0xFFFFFF00
TABLE_ALL: Final = 0xFF
METER_ALL: Final = 0xFFFFFFFF
METER_MAX: Final = 0xFFFF0000
COOKIE_NONE: Final = 0xFFFFFFFFFFFFFFFF
