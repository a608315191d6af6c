"""Errors of OpenFlow: their names, and what stands for each on the wire of each version.

A refusal carries the name that OVS gives it; the numbers are those of OVS
include/openvswitch/ofp-errors.h. What a version has no number for is a Nicira or ONF error there.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from ovsct.errors import InputError, OvsctError
from ovsct.openflow.wire.numbers import NX_VENDOR, OF10, ONF_VENDOR, VERSIONS


class WireError(OvsctError):
    """A message that is not as it must be, or asks for what the switch does not do.

    Args:
        name: the error as OVS calls it, such as ``OFPBRC_BAD_LEN``.
        detail: what is wrong, for the log.
    """

    def __init__(self, name: str, detail: str = "") -> None:
        self.name = name
        self.detail = detail
        super().__init__(f"{name}: {detail}" if detail else name)


_NAME = re.compile(r"\b(?:OFP|NX)[A-Z0-9]*_[A-Z0-9_]+\b")


def from_input(error: InputError) -> WireError:
    """The refusal behind an error about text; it names the OpenFlow error that a switch sends.

    An error that names none is about something that is not modelled.
    """
    found = _NAME.search(error.problem)
    return WireError(found[0] if found else "OFPBAC_BAD_TYPE", error.problem)


class ErrorNumber(NamedTuple):
    """Vendor (0: the standard), type and code. From 1.2 on a vendor's error has no code."""

    vendor: int
    type: int
    code: int


# Name, then OpenFlow 1.0 to 1.5: type.code, behind nx: or onf: those of a vendor.
_TABLE: Final = """
OFPHFC_INCOMPATIBLE 0.0 0.0 0.0 0.0 0.0 0.0
OFPHFC_EPERM 0.1 0.1 0.1 0.1 0.1 0.1
OFPBRC_BAD_VERSION 1.0 1.0 1.0 1.0 1.0 1.0
OFPBRC_BAD_TYPE 1.1 1.1 1.1 1.1 1.1 1.1
OFPBRC_BAD_STAT 1.2 1.2 1.2 1.2 1.2 1.2
OFPBRC_BAD_VENDOR 1.3 1.3 1.3 1.3 1.3 1.3
OFPBRC_BAD_SUBTYPE 1.4 1.4 1.4 1.4 1.4 1.4
OFPBRC_EPERM 1.5 1.5 1.5 1.5 1.5 1.5
OFPBRC_BAD_LEN 1.6 1.6 1.6 1.6 1.6 1.6
OFPBRC_BUFFER_EMPTY 1.7 1.7 1.7 1.7 1.7 1.7
OFPBRC_BUFFER_UNKNOWN 1.8 1.8 1.8 1.8 1.8 1.8
OFPBRC_BAD_TABLE_ID nx:1.512 1.9 1.9 1.9 1.9 1.9
OFPBRC_IS_SECONDARY 1.5 1.5 1.10 1.10 1.10 1.10
OFPBRC_BAD_PORT nx:1.514 nx:1.514 1.11 1.11 1.11 1.11
OFPBRC_BAD_PACKET - - 1.12 1.12 1.12 1.12
OFPBRC_MULTIPART_BUFFER_OVERFLOW - - - 1.13 1.13 1.13
OFPBRC_MULTIPART_REQUEST_TIMEOUT - - - onf:2640 1.14 1.14
OFPBRC_MULTIPART_REPLY_TIMEOUT - - - onf:2641 1.15 1.15
OFPBRC_MULTIPART_BAD_SCHED - - - - - 1.16
OFPBRC_PIPELINE_FIELDS_ONLY - - - - - 1.17
OFPBRC_UNKNOWN - - - - - 1.18
NXBRC_NXM_INVALID nx:1.256 nx:1.256 nx:2 nx:2 nx:2 nx:2
NXBRC_NXM_BAD_TYPE nx:1.257 nx:1.257 nx:3 nx:3 nx:3 nx:3
NXBRC_MUST_BE_ZERO nx:1.515 nx:1.515 nx:4 nx:4 nx:4 nx:4
NXBRC_BAD_REASON nx:1.516 nx:1.516 nx:5 nx:5 nx:5 nx:5
NXBRC_FM_BAD_EVENT nx:1.520 nx:1.520 nx:9 nx:9 nx:9 nx:9
NXBRC_UNENCODABLE_ERROR nx:1.521 nx:1.521 nx:10 nx:10 nx:10 nx:10
OFPBAC_BAD_TYPE 2.0 2.0 2.0 2.0 2.0 2.0
OFPBAC_BAD_LEN 2.1 2.1 2.1 2.1 2.1 2.1
OFPBAC_BAD_VENDOR 2.2 2.2 2.2 2.2 2.2 2.2
OFPBAC_BAD_VENDOR_TYPE 2.3 2.3 2.3 2.3 2.3 2.3
OFPBAC_BAD_OUT_PORT 2.4 2.4 2.4 2.4 2.4 2.4
OFPBAC_BAD_ARGUMENT 2.5 2.5 2.5 2.5 2.5 2.5
OFPBAC_EPERM 2.6 2.6 2.6 2.6 2.6 2.6
OFPBAC_TOO_MANY 2.7 2.7 2.7 2.7 2.7 2.7
OFPBAC_BAD_QUEUE 2.8 2.8 2.8 2.8 2.8 2.8
OFPBAC_BAD_OUT_GROUP nx:2.9 2.9 2.9 2.9 2.9 2.9
OFPBAC_MATCH_INCONSISTENT nx:1.522 2.10 2.10 2.10 2.10 2.10
OFPBAC_UNSUPPORTED_ORDER - 2.11 2.11 2.11 2.11 2.11
OFPBAC_BAD_TAG - 2.12 2.12 2.12 2.12 2.12
OFPBAC_BAD_SET_TYPE nx:1.523 nx:1.523 2.13 2.13 2.13 2.13
OFPBAC_BAD_SET_LEN nx:1.524 nx:1.524 2.14 2.14 2.14 2.14
OFPBAC_BAD_SET_ARGUMENT nx:1.525 nx:1.525 2.15 2.15 2.15 2.15
OFPBAC_BAD_SET_MASK - - - onf:4250 onf:4250 2.16
OFPBAC_BAD_METER - - - - - 2.17
NXBAC_MUST_BE_ZERO nx:2.256 nx:2.256 nx:11 nx:11 nx:11 nx:11
NXBAC_BAD_CONJUNCTION nx:2.526 nx:2.526 nx:15 nx:15 nx:15 nx:15
NXBAC_BAD_HEADER_TYPE - - - nx:39 nx:39 nx:39
NXBAC_UNKNOWN_ED_PROP - - - nx:40 nx:40 nx:40
NXBAC_BAD_ED_PROP - - - nx:41 nx:41 nx:41
NXBAC_CT_DATAPATH_SUPPORT nx:1.265 nx:1.265 nx:42 nx:42 nx:42 nx:42
OFPBIC_UNKNOWN_INST - 3.0 3.0 3.0 3.0 3.0
OFPBIC_UNSUP_INST nx:2.257 3.1 3.1 3.1 3.1 3.1
OFPBIC_BAD_TABLE_ID - 3.2 3.2 3.2 3.2 3.2
OFPBIC_UNSUP_METADATA - 3.3 3.3 3.3 3.3 3.3
OFPBIC_UNSUP_METADATA_MASK - 3.4 3.4 3.4 3.4 3.4
OFPBIC_BAD_EXPERIMENTER - 3.5 3.5 3.5 3.5 3.5
OFPBIC_BAD_EXP_TYPE - 3.5 3.6 3.6 3.6 3.6
OFPBIC_BAD_LEN - - 3.7 3.7 3.7 3.7
OFPBIC_EPERM - - 3.8 3.8 3.8 3.8
OFPBIC_DUP_INST - nx:3.256 onf:2600 onf:2600 3.9 3.9
OFPBMC_BAD_TYPE - 4.0 4.0 4.0 4.0 4.0
OFPBMC_BAD_LEN - 4.1 4.1 4.1 4.1 4.1
OFPBMC_BAD_TAG - 4.2 4.2 4.2 4.2 4.2
OFPBMC_BAD_DL_ADDR_MASK - 4.3 4.3 4.3 4.3 4.3
OFPBMC_BAD_NW_ADDR_MASK - 4.4 4.4 4.4 4.4 4.4
OFPBMC_BAD_WILDCARDS nx:1.262 4.5 4.5 4.5 4.5 4.5
OFPBMC_BAD_FIELD nx:0.263 4.6 4.6 4.6 4.6 4.6
OFPBMC_BAD_VALUE nx:1.258 4.7 4.7 4.7 4.7 4.7
OFPBMC_BAD_MASK nx:1.259 nx:1.259 4.8 4.8 4.8 4.8
OFPBMC_BAD_PREREQ nx:1.260 nx:1.260 4.9 4.9 4.9 4.9
OFPBMC_DUP_FIELD nx:1.261 nx:1.261 4.10 4.10 4.10 4.10
OFPBMC_EPERM - - 4.11 4.11 4.11 4.11
NXBMC_CT_DATAPATH_SUPPORT nx:1.264 nx:1.264 nx:43 nx:43 nx:43 nx:43
OFPFMFC_UNKNOWN - 5.0 5.0 5.0 5.0 5.0
OFPFMFC_TABLE_FULL 3.0 5.1 5.1 5.1 5.1 5.1
OFPFMFC_BAD_TABLE_ID - 5.2 5.2 5.2 5.2 5.2
OFPFMFC_OVERLAP 3.1 5.3 5.3 5.3 5.3 5.3
OFPFMFC_EPERM 3.2 5.4 5.4 5.4 5.4 5.4
OFPFMFC_BAD_TIMEOUT - 5.5 5.5 5.5 5.5 5.5
OFPFMFC_BAD_EMERG_TIMEOUT 3.3 - - - - -
OFPFMFC_BAD_COMMAND 3.4 5.6 5.6 5.6 5.6 5.6
OFPFMFC_BAD_FLAGS nx:3.258 nx:5.258 5.7 5.7 5.7 5.7
OFPFMFC_CANT_SYNC - - - - 5.8 5.8
OFPFMFC_BAD_PRIORITY - - - onf:2360 5.9 5.9
OFPFMFC_IS_SYNC - - - - 5.10 5.10
OFPFMFC_UNSUPPORTED 3.5 - - - - -
NXFMFC_HARDWARE nx:5.256 nx:5.256 nx:12 nx:12 nx:12 nx:12
NXFMFC_BAD_TABLE_ID nx:5.257 nx:5.257 nx:13 nx:13 nx:13 nx:13
NXFMFC_INVALID_TLV_FIELD nx:1.536 nx:1.536 nx:37 nx:37 nx:37 nx:37
OFPGMFC_GROUP_EXISTS nx:6.0 6.0 6.0 6.0 6.0 6.0
OFPGMFC_INVALID_GROUP nx:6.1 6.1 6.1 6.1 6.1 6.1
OFPGMFC_WEIGHT_UNSUPPORTED nx:6.2 6.2 6.2 6.2 6.2 6.2
OFPGMFC_OUT_OF_GROUPS nx:6.3 6.3 6.3 6.3 6.3 6.3
OFPGMFC_OUT_OF_BUCKETS nx:6.4 6.4 6.4 6.4 6.4 6.4
OFPGMFC_CHAINING_UNSUPPORTED nx:6.5 6.5 6.5 6.5 6.5 6.5
OFPGMFC_WATCH_UNSUPPORTED nx:6.6 6.6 6.6 6.6 6.6 6.6
OFPGMFC_LOOP nx:6.7 6.7 6.7 6.7 6.7 6.7
OFPGMFC_UNKNOWN_GROUP nx:6.8 6.8 6.8 6.8 6.8 6.8
OFPGMFC_CHAINED_GROUP nx:6.9 - 6.9 6.9 6.9 6.9
OFPGMFC_BAD_TYPE nx:6.10 - 6.10 6.10 6.10 6.10
OFPGMFC_BAD_COMMAND nx:6.11 - 6.11 6.11 6.11 6.11
OFPGMFC_BAD_BUCKET nx:6.12 - 6.12 6.12 6.12 6.12
OFPGMFC_BAD_WATCH nx:6.13 - 6.13 6.13 6.13 6.13
OFPGMFC_EPERM nx:6.14 - 6.14 6.14 6.14 6.14
OFPGMFC_UNKNOWN_BUCKET nx:6.15 - - - - 6.15
OFPGMFC_BUCKET_EXISTS nx:6.16 - - - - 6.16
OFPPMFC_BAD_PORT 4.0 7.0 7.0 7.0 7.0 7.0
OFPPMFC_BAD_HW_ADDR 4.1 7.1 7.1 7.1 7.1 7.1
OFPPMFC_BAD_CONFIG - 7.2 7.2 7.2 7.2 7.2
OFPPMFC_BAD_ADVERTISE - 7.3 7.3 7.3 7.3 7.3
OFPPMFC_EPERM - - 7.4 7.4 7.4 7.4
OFPTMFC_BAD_TABLE - 8.0 8.0 8.0 8.0 8.0
OFPTMFC_BAD_CONFIG - 8.1 8.1 8.1 8.1 8.1
OFPTMFC_EPERM - - 8.2 8.2 8.2 8.2
OFPQOFC_BAD_PORT 5.0 9.0 9.0 9.0 9.0 9.0
OFPQOFC_BAD_QUEUE 5.1 9.1 9.1 9.1 9.1 9.1
OFPQOFC_EPERM 5.2 9.2 9.2 9.2 9.2 9.2
NXQOFC_QUEUE_ERROR - - - - nx:23 nx:23
OFPSCFC_BAD_FLAGS - 10.0 10.0 10.0 10.0 10.0
OFPSCFC_BAD_LEN - 10.1 10.1 10.1 10.1 10.1
OFPSCFC_EPERM - - 10.2 10.2 10.2 10.2
OFPRRFC_STALE - - 11.0 11.0 11.0 11.0
OFPRRFC_UNSUP - - 11.1 11.1 11.1 11.1
OFPRRFC_BAD_ROLE nx:1.513 nx:1.513 11.2 11.2 11.2 11.2
OFPRRFC_ID_UNSUP - - - - - 11.3
OFPRRFC_ID_IN_USE - - - - - 11.4
OFPMMFC_UNKNOWN - - - 12.0 12.0 12.0
OFPMMFC_METER_EXISTS - - - 12.1 12.1 12.1
OFPMMFC_INVALID_METER - - - 12.2 12.2 12.2
OFPMMFC_UNKNOWN_METER - - - 12.3 12.3 12.3
OFPMMFC_BAD_COMMAND - - - 12.4 12.4 12.4
OFPMMFC_BAD_FLAGS - - - 12.5 12.5 12.5
OFPMMFC_BAD_RATE - - - 12.6 12.6 12.6
OFPMMFC_BAD_BURST - - - 12.7 12.7 12.7
OFPMMFC_BAD_BAND - - - 12.8 12.8 12.8
OFPMMFC_BAD_BAND_VALUE - - - 12.9 12.9 12.9
OFPMMFC_OUT_OF_METERS - - - 12.10 12.10 12.10
OFPMMFC_OUT_OF_BANDS - - - 12.11 12.11 12.11
OFPTFFC_BAD_TABLE - - - 13.0 13.0 13.0
OFPTFFC_BAD_METADATA - - - 13.1 13.1 13.1
OFPTFFC_EPERM - - - 13.5 13.5 13.5
OFPTFFC_BAD_CAPA - - - - - 13.6
OFPTFFC_BAD_MAX_ENT - - - - - 13.7
OFPTFFC_BAD_FEATURES - - - - - 13.8
OFPTFFC_BAD_COMMAND - - - - - 13.9
OFPTFFC_TOO_MANY - - - - - 13.10
NXTFFC_DUP_TABLE - - - nx:44 nx:44 nx:44
OFPBPC_BAD_TYPE nx:13.2 nx:13.2 nx:25 13.2 14.0 14.0
OFPBPC_BAD_LEN nx:13.3 nx:13.3 nx:26 13.3 14.1 14.1
OFPBPC_BAD_VALUE nx:13.4 nx:13.4 nx:27 13.4 14.2 14.2
OFPBPC_TOO_MANY nx:14.3 nx:14.3 nx:28 onf:4443 14.3 14.3
OFPBPC_DUP_TYPE nx:14.4 nx:14.4 nx:29 onf:4444 14.4 14.4
OFPBPC_BAD_EXPERIMENTER nx:14.5 nx:14.5 nx:30 onf:4445 14.5 14.5
OFPBPC_BAD_EXP_TYPE nx:14.6 nx:14.6 nx:31 onf:4446 14.6 14.6
OFPBPC_BAD_EXP_VALUE nx:14.7 nx:14.7 nx:32 onf:4447 14.7 14.7
OFPBPC_EPERM nx:14.8 nx:14.8 nx:33 onf:4448 14.8 14.8
OFPACFC_INVALID - - - onf:2370 15.0 15.0
OFPACFC_UNSUPPORTED - - - onf:2371 15.1 15.1
OFPACFC_EPERM - - - onf:2372 15.2 15.2
OFPBFC_UNKNOWN - - - onf:2300 17.0 17.0
OFPBFC_EPERM - - - onf:2301 17.1 17.1
OFPBFC_BAD_ID - - - onf:2302 17.2 17.2
OFPBFC_BUNDLE_EXIST - - - onf:2303 17.3 17.3
OFPBFC_BUNDLE_CLOSED - - - onf:2304 17.4 17.4
OFPBFC_OUT_OF_BUNDLES - - - onf:2305 17.5 17.5
OFPBFC_BAD_TYPE - - - onf:2306 17.6 17.6
OFPBFC_BAD_FLAGS - - - onf:2307 17.7 17.7
OFPBFC_MSG_BAD_LEN - - - onf:2308 17.8 17.8
OFPBFC_MSG_BAD_XID - - - onf:2309 17.9 17.9
OFPBFC_MSG_UNSUP - - - onf:2310 17.10 17.10
OFPBFC_MSG_CONFLICT - - - onf:2311 17.11 17.11
OFPBFC_MSG_TOO_MANY - - - onf:2312 17.12 17.12
OFPBFC_MSG_FAILED - - - onf:2313 17.13 17.13
OFPBFC_TIMEOUT - - - onf:2314 17.14 17.14
OFPBFC_BUNDLE_IN_PROGRESS - - - onf:2315 17.15 17.15
OFPBFC_SCHED_NOT_SUPPORTED - - - - - 17.16
OFPBFC_SCHED_FUTURE - - - - - 17.17
OFPBFC_SCHED_PAST - - - - - 17.18
OFPBFC_BAD_VERSION - - - - nx:22 nx:22
OFPMOFC_UNKNOWN - - - - 16.0 16.0
OFPMOFC_MONITOR_EXISTS nx:1.517 nx:1.517 nx:6 nx:6 16.1 16.1
OFPMOFC_INVALID_MONITOR - - - - 16.2 16.2
OFPMOFC_UNKNOWN_MONITOR nx:1.519 nx:1.519 nx:8 nx:8 16.3 16.3
OFPMOFC_BAD_COMMAND - - - - 16.4 16.4
OFPMOFC_BAD_FLAGS nx:1.518 nx:1.518 nx:7 nx:7 16.5 16.5
OFPMOFC_BAD_TABLE_ID - - - - 16.6 16.6
OFPMOFC_BAD_OUT - - - - 16.7 16.7
NXTTMFC_BAD_COMMAND nx:1.527 nx:1.527 nx:16 nx:16 nx:16 nx:16
NXTTMFC_BAD_OPT_LEN nx:1.528 nx:1.528 nx:17 nx:17 nx:17 nx:17
NXTTMFC_BAD_FIELD_IDX nx:1.529 nx:1.529 nx:18 nx:18 nx:18 nx:18
NXTTMFC_TABLE_FULL nx:1.530 nx:1.530 nx:19 nx:19 nx:19 nx:19
NXTTMFC_ALREADY_MAPPED nx:1.531 nx:1.531 nx:20 nx:20 nx:20 nx:20
NXTTMFC_DUP_ENTRY nx:1.532 nx:1.532 nx:21 nx:21 nx:21 nx:21
NXTTMFC_INVALID_TLV_DEL nx:1.537 nx:1.537 nx:38 nx:38 nx:38 nx:38
NXR_NOT_SUPPORTED nx:1.533 nx:1.533 nx:34 nx:34 nx:34 nx:34
NXR_STALE nx:1.534 nx:1.534 nx:35 nx:35 nx:35 nx:35
NXST_NOT_CONFIGURED nx:1.535 nx:1.535 nx:36 nx:36 nx:36 nx:36
"""

_VENDORS: Final = {"": 0, "nx": NX_VENDOR, "onf": ONF_VENDOR}


def _number(text: str) -> ErrorNumber | None:
    if text == "-":
        return None
    vendor, _, numbers = text.rpartition(":")
    kind, _, code = numbers.partition(".")
    return ErrorNumber(_VENDORS[vendor], int(kind), int(code or 0))


def _numbers() -> dict[str, dict[int, ErrorNumber]]:
    table = {}
    for row in _TABLE.split("\n"):
        if row:
            name, *columns = row.split()
            each = enumerate(map(_number, columns), OF10)
            table[name] = {version: number for version, number in each if number is not None}
    return table


NUMBERS: Final = _numbers()
"""The number of each error by its name and the version."""


def _names(version: int) -> dict[ErrorNumber, str]:
    """Names by number; of two errors with one number the first one is meant."""
    return {
        numbers[version]: name
        for name, numbers in reversed(NUMBERS.items())
        if version in numbers
    }


_NAMES: Final = {version: _names(version) for version in VERSIONS}

_UNENCODABLE: Final = "NXBRC_UNENCODABLE_ERROR"
NXET_VENDOR: Final = 0xB0C2
EXPERIMENTER: Final = 0xFFFF


def pack_error(name: str, version: int, data: bytes) -> bytes:
    """The body of an OFPT_ERROR (OVS ofperr_encode_msg__).

    An error that `version` has no number for is sent as NXBRC_UNENCODABLE_ERROR.
    """
    numbers = NUMBERS.get(name, NUMBERS[_UNENCODABLE])
    number = numbers.get(version, NUMBERS[_UNENCODABLE][version])
    if not number.vendor:
        fields: tuple[tuple[int, int], ...] = ((number.type, 2), (number.code, 2))
    elif version == OF10:
        fields = (
            (NXET_VENDOR, 2), (0, 2), (number.vendor, 4), (number.type, 2), (number.code, 2),
        )  # fmt: skip
    else:
        fields = ((EXPERIMENTER, 2), (number.type, 2), (number.vendor, 4))
    return b"".join(value.to_bytes(width, "big") for value, width in fields) + data


def unpack_error(body: bytes, version: int) -> tuple[str, bytes]:
    """(name, data) of an OFPT_ERROR; an unknown one is called by its numbers.

    Raises WireError if it is too short.
    """
    if len(body) < 4:
        raise WireError("OFPBRC_BAD_LEN", "an error message without type and code")
    kind, code = int.from_bytes(body[:2], "big"), int.from_bytes(body[2:4], "big")
    rest = body[4:]
    number = ErrorNumber(0, kind, code)
    if kind == NXET_VENDOR and len(rest) >= 8:
        number = ErrorNumber(
            int.from_bytes(rest[:4], "big"),
            int.from_bytes(rest[4:6], "big"),
            int.from_bytes(rest[6:8], "big"),
        )
        rest = rest[8:]
    elif kind == EXPERIMENTER and len(rest) >= 4:
        number = ErrorNumber(int.from_bytes(rest[:4], "big"), code, 0)
        rest = rest[4:]
    return _NAMES.get(version, {}).get(number, f"error {kind}.{code}"), rest
