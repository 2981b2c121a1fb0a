"""
Seeds: the declared rows of a table, written by natural key, set by set.

What the runner does not own stays as it is: live counters, what a stage or the application has switched, rows that
nobody declared. A value that is only a start (a provider's status) is written again only when its declaration changed
and the row still holds the old one. Applied twice, seeds write nothing.
"""

from __future__ import annotations

import json
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from runner.clock import timestamp
from runner.errors import Problem, StepFailed
from runner.store.changes import Change, follow, read, set_columns
from runner.store.digest import canonical, of_text, read_back
from runner.store.names import literal
from runner.store.tables import PORTFOLIO_RATIONALES, PROVIDER_STATES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from runner.config.model import CacheEntry, Target
    from runner.store.backend import Backend, Row
    from runner.store.tables import Table

INPUT = "runner_input"
"""The temporary table that the declared rows are loaded into, once, and compared with what stands."""

_CLAIMED = (
    "EXISTS (SELECT 1 FROM runner_changes c JOIN runner_stages e ON e.id = c.stage_id"
    " WHERE e.state IN ('entered', 'passed') AND c.table_name = :table AND c.row_key = i.row_key)"
)
"""The row is in the hands of a stage that stands: a new start value waits until that is taken back."""

NEVER = "1 = 0"
"""A condition that every engine understands, and that no row meets."""


class Difference(NamedTuple):
    """How many declared rows are to be added, changed, warmed (cache entries that have expired), and left alone."""

    add: int
    change: int
    warm: int
    leave: int

    @property
    def is_none(self) -> bool:
        """Whether there is nothing to write."""
        return not (self.add or self.change or self.warm)


class What(StrEnum):
    """What is to be done with a declared row that is not as it stands."""

    ADD = "add"
    CHANGE = "change"
    WARM = "warm"


class RowDifference(NamedTuple):
    """
    A declared row that is not as it stands: the columns that seeds will write, as they are and as they will be.

    `before` is empty where the row is new. Times are left out of `after`: they are those of the moment of writing.
    """

    what: What
    key: tuple[Any, ...]
    before: Row
    after: Row


class Seeds:
    """
    The declared rows of one table, loaded into *backend* as of *now*, ready to be compared and written.

    *foreseen* rows are only compared: before migrations that are still to come, with what stands by then. A table or a
    column that is not there yet is taken for an empty one.
    """

    def __init__(
        self, backend: Backend, table: Table, rows: Iterable[Row], now: datetime, *, foreseen: bool = False
    ) -> None:
        self._backend = backend
        self._table = table
        self._columns = (*table.key, *table.seeded, *table.first)
        backend.load(
            INPUT,
            {
                "place": "INTEGER PRIMARY KEY",
                "row_key": "TEXT UNIQUE",
                "first_json": "TEXT",
                **dict.fromkeys(self._columns, ""),
            },
            (self._line(place, row) for place, row in enumerate(rows)),
        )
        self._bound = {"table": table.name, "now": backend.time(now), "at": timestamp(now)}
        on = " AND ".join(f"t.{name} = i.{name}" for name in table.key)
        there = backend.tables() if foreseen else {table.name, "runner_seeds"}
        self._has_run = "runner_seeds" in there
        source = _source(backend, table.name, self._columns, there) if foreseen else table.name
        self._joined = f"FROM {INPUT} i LEFT JOIN {source} t ON {on}"
        if not table.expires:
            seeded = "runner_seeds" if self._has_run else _nothing("table_name", "row_key", "first_json")
            self._joined += f" LEFT JOIN {seeded} s ON s.table_name = :table AND s.row_key = i.row_key"
        self._is_new = f"t.{table.key[0]} IS NULL"
        self._differs = " OR ".join(f"t.{name} {backend.differs} i.{name}" for name in table.seeded)
        claimed = _CLAIMED if self._has_run else NEVER
        self._redeclared = f"s.first_json {backend.differs} i.first_json AND s.row_key IS NOT NULL AND NOT {claimed}"
        self._expired = "t.expires_at <= :now"

    def _line(self, place: int, row: Row) -> tuple[Any, ...]:
        key = canonical([row[name] for name in self._table.key])
        first = None if self._table.expires else canonical({name: row[name] for name in self._table.first})
        return (place, key, first, *(row[name] for name in self._columns))

    @property
    def _again(self) -> str:
        """The condition under which a row that stands is written again, whatever its seeded columns say."""
        return self._expired if self._table.expires else self._redeclared

    def compare(self) -> Difference:
        """Count what is to be done; reads only."""
        row = self._backend.rows(
            f"SELECT count(*) FILTER (WHERE {self._is_new}) AS new,"
            f" count(*) FILTER (WHERE NOT {self._is_new} AND ({self._differs})) AS different,"
            f" count(*) FILTER (WHERE NOT {self._is_new} AND NOT ({self._differs}) AND ({self._again})) AS again,"
            f" count(*) AS declared {self._joined}",
            self._bound,
        )[0]
        redeclared, warm = (0, row["again"]) if self._table.expires else (row["again"], 0)
        changed = row["different"] + redeclared
        left = row["declared"] - row["new"] - changed - warm
        return Difference(row["new"], changed, warm, left)

    def differences(self) -> Iterator[RowDifference]:
        """Yield every declared row that is to be added, changed or warmed, in declared order; reads only."""
        names = self._columns
        was_first = "NULL" if self._table.expires else "s.first_json"
        found = self._backend.stream(
            f"SELECT {self._is_new}, {self._again}, {was_first}, i.first_json, {_list('i', names)}, {_list('t', names)}"
            f" {self._joined} WHERE {self._is_new} OR ({self._differs}) OR ({self._again}) ORDER BY i.place",
            self._bound,
        )
        for is_new, again, was, first, *values in found:
            declared = dict(zip(names, values[: len(names)], strict=True))
            standing = dict(zip(names, values[len(names) :], strict=True))
            key = tuple(declared.pop(name) for name in self._table.key)
            if is_new:
                yield RowDifference(What.ADD, key, {}, {n: v for n, v in declared.items() if n != "expires_at"})
                continue
            after = {name: declared[name] for name in self._table.seeded if declared[name] != standing[name]}
            if again and not self._table.expires:
                after |= _restarted(was, first, standing)
            elif again and not after:
                yield RowDifference(What.WARM, key, {"expires_at": standing["expires_at"]}, {})
                continue
            yield RowDifference(What.CHANGE, key, {name: standing[name] for name in after}, after)

    def standing(self, *columns: str) -> Iterator[tuple[tuple[Any, ...], Row]]:
        """Yield the key of every declared row that stands, with those of its *columns*, in declared order."""
        key = self._table.key
        found = self._backend.stream(
            f"SELECT {_list('t', (*key, *columns))} {self._joined} WHERE NOT {self._is_new} ORDER BY i.place",
            self._bound,
        )
        for values in found:
            yield tuple(values[: len(key)]), dict(zip(columns, values[len(key) :], strict=True))

    def undeclared(self) -> list[str]:
        """Return the keys of the rows that were seeded once, still stand, and are declared no more."""
        if not self._has_run:
            return []
        found = self._backend.stream(
            f"SELECT s.row_key FROM runner_seeds s LEFT JOIN {INPUT} i ON i.row_key = s.row_key"
            " WHERE s.table_name = :table AND s.before_json IS NULL AND i.row_key IS NULL ORDER BY s.row_key",
            self._bound,
        )
        keys = [tuple(json.loads(key)) for (key,) in found]
        there = keys and self._table.name in self._backend.tables()
        standing = read(self._backend, self._table, keys, ()) if there else {}
        return ["/".join(map(str, key)) for key in keys if key in standing]

    def unknown(self, *columns: str) -> Iterator[tuple[Any, ...]]:
        """Yield key and *columns* of the rows that are not the application's and that nobody declares."""
        key = self._table.key
        on = " AND ".join(f"t.{name} = i.{name}" for name in key)
        yield from self._backend.stream(
            f"SELECT {_list('t', (*key, *columns))} FROM {self._table.name} t LEFT JOIN {INPUT} i ON {on}"
            f" WHERE i.place IS NULL AND {self._table.ours or NEVER} ORDER BY {_list('t', key)}"
        )

    def write(self, run_id: str) -> None:
        """Write what differs, and for each row how it was before; wants to be called inside a transaction."""
        self.check()
        written = self._standing_rows()
        self._remember(run_id, written)
        self._redeclare()
        self._upsert()
        changes = list(self._changes(written))
        self._remember_written(changes)
        follow(self._backend, self._table, changes)

    def check(self) -> None:
        """Raise StepFailed where rows cannot be written: an application's row has their key, or they have no parent."""
        self._refuse_rows_of_others()
        self._refuse_unknown_parents()

    def _refuse_rows_of_others(self) -> None:
        if not self._table.ours:
            return
        keys = [
            "/".join(map(str, row))
            for row in self._backend.stream(
                f"SELECT {', '.join(f't.{name}' for name in self._table.key)} FROM {INPUT} i JOIN {self._table.name} t"
                f" ON t.{self._table.key[0]} = i.{self._table.key[0]} WHERE NOT ({self._table.ours}) LIMIT 5"
            )
        ]
        if keys:
            raise StepFailed(
                Problem(
                    f"rows of {self._table.name} that are the application's have the key of a seed: {', '.join(keys)}",
                    fix="give the declared entries other keys; the application's rows were left alone",
                )
            )

    def _refuse_unknown_parents(self) -> None:
        problems = []
        for column, parent, name in self._table.parents:
            found = self._backend.stream(
                f"SELECT DISTINCT i.{column} FROM {INPUT} i"
                f" WHERE NOT EXISTS (SELECT 1 FROM {parent} p WHERE p.{name} = i.{column}) ORDER BY 1"
            )
            problems += [
                Problem(
                    f"{value} is declared, but table {parent} has no row for it",
                    fix=f"add a migration: INSERT INTO {parent} ({name}) VALUES ({literal(value)});",
                )
                for (value,) in found
            ]
        if problems:
            raise StepFailed(*problems)

    def _standing_rows(self) -> dict[tuple[Any, ...], Row]:
        """Return the rows that will be changed, as they stand: by key, the columns that seeds may write."""
        columns = (*self._columns, "updated_at")
        found = self._backend.rows(
            f"SELECT i.row_key AS row_key, {', '.join(f't.{name}' for name in columns)} {self._joined}"
            f" WHERE NOT {self._is_new} AND (({self._differs}) OR ({self._again}))",
            self._bound,
        )
        return {tuple(json.loads(row.pop("row_key"))): row for row in found}

    def _remember(self, run_id: str, standing: Mapping[tuple[Any, ...], Row]) -> None:
        """Note in the ledger which rows are the rollout's own, and how those looked that somebody else had made."""
        self._backend.execute(
            "INSERT INTO runner_seeds (table_name, row_key, before_json, first_json, run_id, seeded_at)"
            f" SELECT :table, i.row_key, NULL, i.first_json, :run_id, :at {self._joined} WHERE {self._is_new}"
            " ON CONFLICT (table_name, row_key) DO NOTHING",
            {**self._bound, "run_id": run_id},
        )
        self._backend.execute_many(
            "INSERT INTO runner_seeds (table_name, row_key, before_json, first_json, run_id, seeded_at)"
            " VALUES (:table, :key, :before, NULL, :run_id, :at) ON CONFLICT (table_name, row_key) DO NOTHING",
            (
                {
                    "table": self._table.name,
                    "key": canonical(key),
                    "before": canonical(row),
                    "run_id": run_id,
                    "at": self._bound["at"],
                }
                for key, row in standing.items()
            ),
        )

    def _remember_written(self, changes: list[Change]) -> None:
        """Note what was written to rows that somebody else had made, so that a rollback knows it again."""
        known = {
            key: read_back(after or "{}")
            for key, after in self._backend.stream(
                "SELECT row_key, after_json FROM runner_seeds WHERE table_name = :table AND before_json IS NOT NULL",
                {"table": self._table.name},
            )
        }
        self._backend.execute_many(
            "UPDATE runner_seeds SET after_json = :after WHERE table_name = :table AND row_key = :key",
            (
                {"table": self._table.name, "key": key, "after": canonical({**known[key], **change.after})}
                for change in changes
                for key in [canonical(change.key)]
                if key in known
            ),
        )

    def _redeclare(self) -> None:
        """Write start values whose declaration changed, where the row still holds the old declaration."""
        if self._table.expires:
            return
        changes = []
        for row in self._backend.rows(
            "SELECT i.row_key, s.first_json AS old, i.first_json AS new,"
            f" {', '.join(f't.{name}' for name in (*self._table.first, 'updated_at'))} {self._joined}"
            f" WHERE {self._redeclared} AND NOT {self._is_new}",
            self._bound,
        ):
            news = _restarted(row["old"], row["new"], row)
            if news:
                key = tuple(json.loads(row["row_key"]))
                news["updated_at"] = self._bound["now"]
                changes.append(Change(self._table.name, key, {name: row[name] for name in news}, news))
        set_columns(self._backend, self._table, changes)
        self._backend.execute(
            f"UPDATE runner_seeds SET first_json = (SELECT i.first_json FROM {INPUT} i"
            " WHERE i.row_key = runner_seeds.row_key)"
            f" WHERE table_name = :table AND row_key IN (SELECT i.row_key FROM {INPUT} i WHERE NOT {_CLAIMED})",
            self._bound,
        )

    def _upsert(self) -> None:
        """Insert what is new and update what differs, in one statement."""
        names, table = ", ".join(self._columns), self._table
        updated = (*table.seeded, *(("expires_at",) if table.expires else ()))
        values = ", ".join(f"{name} = excluded.{name}" for name in updated)
        different = " OR ".join(f"{table.name}.{name} {self._backend.differs} excluded.{name}" for name in table.seeded)
        expired = f" OR {table.name}.expires_at <= :now" if table.expires else ""
        self._backend.execute(
            f"INSERT INTO {table.name} ({names}, created_at, updated_at)"
            f" SELECT {names}, :now, :now FROM {INPUT} WHERE true"
            f" ON CONFLICT ({', '.join(table.key)}) DO UPDATE SET {values}, updated_at = :now"
            f" WHERE {different}{expired}",
            self._bound,
        )

    def _changes(self, standing: Mapping[tuple[Any, ...], Row]) -> Iterator[Change]:
        """Yield what was written to the rows that stood before: the columns that are not as they were."""
        if not standing:
            return
        columns = ", ".join(f"t.{name}" for name in (*self._columns, "updated_at"))
        for row in self._backend.rows(f"SELECT i.row_key AS row_key, {columns} {self._joined}", self._bound):
            key = tuple(json.loads(row.pop("row_key")))
            before = standing.get(key)
            if before is not None:
                after = {name: value for name, value in row.items() if before[name] != value}
                yield Change(self._table.name, key, before, after)


def _source(backend: Backend, table: str, columns: tuple[str, ...], tables: set[str]) -> str:
    """Return what to read *columns* of *table* from while it is not all there yet: NULL for those that are not."""
    if table not in tables:
        return _nothing(*columns)
    there = backend.columns(table)
    shown = ", ".join(name if name in there else f"NULL AS {name}" for name in columns)
    return table if there.keys() >= set(columns) else f"(SELECT {shown} FROM {table})"


def _nothing(*columns: str) -> str:
    """Return a table of SQL that has *columns* and no row."""
    return f"(SELECT {', '.join(f'NULL AS {name}' for name in columns)} WHERE {NEVER})"


def _list(table: str, columns: Iterable[str]) -> str:
    return ", ".join(f"{table}.{name}" for name in columns)


def _restarted(old_json: str | None, new_json: str, standing: Row) -> Row:
    """Return the start values that are written again: declared anew, where the row still holds the old declaration."""
    old, new = json.loads(old_json or "{}"), json.loads(new_json)
    return {name: value for name, value in new.items() if name in old and standing[name] == old[name] != value}


def provider_rows(targets: Iterable[Target]) -> Iterator[Row]:
    """Yield the rows of provider_states that are declared."""
    for provider, sport in targets:
        yield {
            "provider_name": provider.name,
            "sport": sport,
            "poll_interval_seconds": provider.poll_interval_s,
            "timeout_seconds": provider.timeout_s,
            "max_retries": provider.retries,
            "capabilities": canonical(provider.capabilities),
            "status": provider.status,
            "is_enabled": provider.enabled,
        }


def cache_row(entry: CacheEntry, backend: Backend, now: datetime) -> Row:
    """Return the row of a cache entry that is written *now*: it expires when its time to live is over."""
    data = canonical(entry.data)
    return {
        "cache_key": entry.key,
        "cache_type": entry.type,
        "rationale_type": entry.rationale_type,
        "data_json": data,
        "data_hash": of_text(data),
        "confidence": entry.confidence,
        "expires_at": backend.time(now + timedelta(seconds=entry.ttl_s)),
    }


def providers(backend: Backend, targets: Iterable[Target], now: datetime, *, foreseen: bool = False) -> Seeds:
    """Load the declared provider states."""
    return Seeds(backend, PROVIDER_STATES, provider_rows(targets), now, foreseen=foreseen)


def caches(backend: Backend, entries: Iterable[CacheEntry], now: datetime, *, foreseen: bool = False) -> Seeds:
    """Load the declared cache entries."""
    rows = (cache_row(entry, backend, now) for entry in entries)
    return Seeds(backend, PORTFOLIO_RATIONALES, rows, now, foreseen=foreseen)
