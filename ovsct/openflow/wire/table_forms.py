"""The layouts of what is said of tables (sources: see forms.py; lib/ofp-table.c)."""

from __future__ import annotations

from typing import Final

from ovsct.openflow.wire import messages as m
from ovsct.openflow.wire import multipart as s
from ovsct.openflow.wire.errors import WireError
from ovsct.openflow.wire.layout import Context, Data, Form, Row, Values
from ovsct.openflow.wire.numbers import OF14, OF15, TABLE_ALL
from ovsct.openflow.wire.properties import Kind, Properties

EVICTION, VACANCY = 2, 3


def _said(kind: Kind, values: Values) -> bool:
    return values["eviction" if kind == EVICTION else "vacancy_down"] is not None


_PROPERTIES: Final = Properties(
    {EVICTION: Row("eviction:I"), VACANCY: Row("vacancy_down:B vacancy_up:B vacancy:B 1x")}, _said
)


def _table_mod_in(values: Values, _: Context) -> None:
    down, up = values.get("vacancy_down"), values.get("vacancy_up")
    if down is not None and up is not None and (down > up or up > 100 or values["vacancy"]):
        raise WireError("OFPBPC_BAD_VALUE", f"vacancy from {down} to {up}")


TABLE_MOD11: Final = Form(m.TableMod, [Row("table:B 3x config:I")])
TABLE_MOD14: Final = Form(m.TableMod, [Row("table:B 3x config:I"), _PROPERTIES], _table_mod_in)
TABLE_DESC14: Final = Form(
    m.TableMod, [Row("length:H table:B 1x config:I"), _PROPERTIES], length_at=0
)

TABLE_STATS10: Final = Form(
    s.TableStats,
    [Row("table:B 3x name:32s wildcards:I max_entries:I active_count:I lookup_count:Q"
         " matched_count:Q")],
)  # fmt: skip
TABLE_STATS13: Final = Form(
    s.TableStats, [Row("table:B 3x active_count:I lookup_count:Q matched_count:Q")]
)
def _features_in(values: Values, context: Context) -> None:
    if context.version < OF15:
        values["command"] = 0
    elif values["command"] > 3:
        raise WireError("OFPTFFC_BAD_COMMAND", f"command {values['command']}")
    if values["table"] == TABLE_ALL:
        raise WireError("OFPTFFC_BAD_TABLE", "the features of all tables")
    if context.version < OF14:
        values["capabilities"] = 0


TABLE_FEATURES: Final = Form(
    s.TableFeatures,
    [
        Row("length:H table:B command:B 4x name:32s metadata_match:Q metadata_write:Q"
            " capabilities:I max_entries:I"),
        Data("properties"),
    ],
    _features_in,
    length_at=0,
)  # fmt: skip
