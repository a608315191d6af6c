"""How the tables of a bridge are configured (OVS ofproto/ofproto.c table_mod()).

A controller can switch eviction on, but that a table has a limit is configured elsewhere
(:mod:`ovsct.bridge.eviction`). That a table fills up or empties is said where its state is asked
for; there are no messages of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ovsct.agent.rules import N_TABLES
from ovsct.bridge.flow_tables import FlowTables
from ovsct.openflow.wire.errors import WireError
from ovsct.openflow.wire.messages import TableMod
from ovsct.openflow.wire.multipart import TableFeatures
from ovsct.openflow.wire.numbers import OF14, TABLE_ALL
from ovsct.openflow.wire.table_features import abilities, table_properties

EVICTION: Final = 1 << 2
VACANCY_EVENTS: Final = 1 << 3
MAX_FLOWS: Final = 1_000_000
_ENABLE, _DISABLE = 2, 3
_EVICTION_FLAGS: Final = 0b111
"""OVS evicts by importance, life time and more; nobody can choose."""


@dataclass(slots=True)
class _Table:
    """How one is configured; bounds of vacancy in percent."""

    eviction: bool = False
    vacancy: bool = False
    down: int = 0
    up: int = 0


class Tables:
    """The configuration of all tables."""

    def __init__(self, flow_tables: FlowTables) -> None:
        self._flows = flow_tables
        self._tables = [_Table() for _ in range(N_TABLES)]
        self._names: dict[int, str] = {}

    def mod(self, message: TableMod, version: int) -> None:
        """Change one or all. Raises WireError: there is no such table, or it cannot be so."""
        if message.table != TABLE_ALL and message.table >= N_TABLES:
            raise WireError("OFPTMFC_EPERM", f"table {message.table} is the switch's own")
        if version < OF14:
            return  # 1.3 has nothing to configure
        everything = message.table == TABLE_ALL
        for number in range(N_TABLES) if everything else (message.table,):
            table = self._tables[number]
            # OVS 3.1 (ofputil_decode_table_mod()) takes the property of eviction's flags for the
            # setting itself: 1 is on, 2 is off, and anything else changes nothing.
            if message.eviction is None:
                table.eviction = bool(message.config & EVICTION)
            elif message.eviction in (1, 2):
                table.eviction = message.eviction == 1
            if table.eviction:
                self._flows.evicting.add(number)
            else:
                self._flows.evicting.discard(number)
            table.vacancy = bool(message.config & VACANCY_EVENTS)
            table.down = message.vacancy_down or 0
            table.up = message.vacancy_up or 0

    def descs(self) -> list[TableMod]:
        """How they are configured."""
        return [self._desc(number, table) for number, table in enumerate(self._tables)]

    def _desc(self, number: int, table: _Table) -> TableMod:
        config = (EVICTION if table.eviction else 0) | (VACANCY_EVENTS if table.vacancy else 0)
        return TableMod(
            table=number,
            config=config,
            eviction=_EVICTION_FLAGS,
            vacancy_down=table.down if table.vacancy else None,
            vacancy_up=table.up if table.vacancy else None,
            vacancy=self._vacancy(number),
        )

    def _vacancy(self, number: int) -> int:
        """How much of a table is empty, in percent (OVS oftable_vacancy())."""
        limit = self._flows.limits.get(number)
        if limit is None or not limit.flows:
            return 100
        size = len(self._flows.tables.get(number, ()))
        return max(0, (limit.flows - size) * 100 // limit.flows)

    def max_entries(self, number: int) -> int:
        """How many flows a table can hold, as it is said."""
        limit = self._flows.limits.get(number)
        return MAX_FLOWS if limit is None else min(limit.flows, MAX_FLOWS)

    # -- features ------------------------------------------------------------------------------

    def name(self, number: int) -> str:
        """The name of a table, empty if it has none."""
        return self._names.get(number, "")

    def features(self, version: int) -> list[TableFeatures]:
        """What the tables can do."""
        return [
            TableFeatures(
                table=number, name=self.name(number),
                max_entries=self.max_entries(number),
                properties=table_properties(version, number, N_TABLES),
            )
            for number in range(N_TABLES)
        ]  # fmt: skip

    def change(self, wanted: Sequence[TableFeatures], version: int) -> None:
        """What a request for other features changes: names (OVS handle_table_features_change()).

        Raises WireError: it wants what the tables cannot do; nothing has changed then.
        """
        tables: dict[int, TableFeatures] = {}
        for each in wanted:
            asked = abilities(each.properties, version)
            if each.table in tables:
                raise WireError("NXTFFC_DUP_TABLE", f"table {each.table} twice")
            tables[each.table] = each
            if each.table >= N_TABLES:
                raise WireError("OFPTFFC_EPERM", f"table {each.table} is the switch's own")
            own = abilities(table_properties(version, each.table, N_TABLES), version)
            most = self.max_entries(each.table)
            if each.max_entries != most or each.capabilities or not asked.within(own):
                raise WireError("OFPTFFC_EPERM", f"table {each.table} cannot do that")
        command = wanted[0].command
        if command in (_ENABLE, _DISABLE) or (command == 0 and len(tables) != N_TABLES):
            raise WireError("OFPTFFC_EPERM", "there are as many tables as there are")
        for number, each in tables.items():
            self._names[number] = each.name
