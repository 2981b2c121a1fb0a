"""
What a stage changes in the application's tables, so that it can be taken back exactly.

A stage claims the rows it selects: it remembers the columns it may write, and takes a digest of them. Whatever it
writes later is stored with the value before and after, changed columns only, in the same transaction. Undo is
compare-and-set: a value that is no longer what the stage wrote is reported and left alone; afterwards every claimed row
is compared with what was remembered.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from runner.errors import Problem, StepFailed
from runner.store.digest import canonical, of_rows, read_back
from runner.store.tables import TABLES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from runner.store.backend import Backend, Row
    from runner.store.tables import Table

Key = tuple[Any, ...]


class Change(NamedTuple):
    """A row that was written: the columns that really changed, before and after."""

    table: str
    key: Key
    before: Row
    after: Row


class Conflict(NamedTuple):
    """A value that others changed: one that the stage had written (`wrote`), or found when it claimed the row."""

    table: str
    key: Key
    column: str
    wrote: Any
    found: Any
    before: Any = None
    by: str = "the stage"

    def __str__(self) -> str:
        row = f"{self.table} {'/'.join(map(str, self.key))}"
        if self.column == GONE:
            return f"{row} is gone"
        if self.column == TAKEN:
            return f"{row} has become the application's own"
        wrote = "" if self.wrote is None else f", and {self.by} had written {self.wrote!r}"
        return f"{row}: {self.column} is {self.found!r}, was {self.before!r}{wrote}"


class Undone(NamedTuple):
    """
    What came of taking a stage back.

    `rows` were written. `conflicts` are values of the stage that somebody else has changed since: they are left alone,
    and the stage is not undone. `noticed` are other values in its rows that somebody else changed meanwhile.
    """

    rows: int
    conflicts: list[Conflict]
    noticed: list[Conflict]


class Claim(NamedTuple):
    """A claimed row: its columns as they were found, and those that were written, before and after."""

    found: Row
    before: Row
    after: Row


GONE = ""
"""Stands for the column where the whole row is gone."""
TAKEN = "*"
"""Stands for the column where the row is of another kind now: the application's."""


def read(
    backend: Backend, table: Table, keys: Iterable[Key], columns: Iterable[str], where: str = "true"
) -> dict[Key, Row]:
    """Return the given columns of the rows with *keys*, by key; a row that is not there is left out. One query."""
    places = {f"k{number}": "TEXT" for number in range(len(table.key))}
    backend.load("runner_keys", places, keys)
    match = " AND ".join(f"t.{name} = k.k{number}" for number, name in enumerate(table.key))
    wanted = ", ".join(f"t.{name}" for name in (*table.key, *columns))
    found = backend.rows(f"SELECT {wanted} FROM {table.name} t JOIN runner_keys k ON {match} WHERE {where}")
    return {tuple(row.pop(name) for name in table.key): row for row in found}


def digest(backend: Backend, table: Table, keys: Iterable[Key]) -> str:
    """Return the digest of the rows with *keys*, whole, in the order of their keys."""
    columns = [name for name in backend.columns(table.name) if name not in table.key]
    return of_rows(sorted(read(backend, table, keys, columns).items()))


def digest_of_others(backend: Backend, table: Table, keys: Iterable[Key]) -> str:
    """Return the digest of every row of *table* but those with *keys*, whole, in the order of their keys."""
    places = [f"k{number}" for number in range(len(table.key))]
    backend.load("runner_keys", dict.fromkeys(places, "TEXT"), keys)
    key = ", ".join(table.key)
    return of_rows(
        backend.stream(
            f"SELECT * FROM {table.name} WHERE ({key}) NOT IN (SELECT {', '.join(places)} FROM runner_keys)"
            f" ORDER BY {key}"
        )
    )


class Changes:
    """The writes of one passage through a stage. Every method wants to be called inside a transaction."""

    def __init__(self, backend: Backend, stage_id: int) -> None:
        self._backend = backend
        self._stage_id = stage_id

    def claim(self, table: Table, columns: tuple[str, ...], keys: Iterable[Key]) -> dict[Key, Row]:
        """
        Remember how the rows with *keys* look in *columns*, before anything is written to them; return them.

        A row that this stage has claimed already keeps what was remembered first.
        """
        found = read(self._backend, table, keys, columns)
        self._backend.execute_many(
            "INSERT INTO runner_changes (stage_id, table_name, row_key, claimed_json, before_json, after_json)"
            " VALUES (:stage_id, :table, :key, :claimed, '{}', '{}')"
            " ON CONFLICT (stage_id, table_name, row_key) DO NOTHING",
            (
                {"stage_id": self._stage_id, "table": table.name, "key": canonical(key), "claimed": canonical(row)}
                for key, row in found.items()
            ),
        )
        return found

    def claimed(self, table: Table) -> dict[Key, Claim]:
        """Return every row of *table* that the stage has claimed, as it was found and as it was written."""
        return self._claims(table.name)

    def claimed_digest(self) -> str:
        """Return one digest over all rows that the stage has claimed, as they were then."""
        return of_rows(
            self._backend.stream(
                "SELECT table_name, row_key, claimed_json FROM runner_changes WHERE stage_id = :stage_id"
                " ORDER BY table_name, row_key",
                {"stage_id": self._stage_id},
            )
        )

    def digest_now(self) -> str:
        """Return the digest of the same rows and columns as they are now; equal to `claimed_digest` if none differs."""
        rows = []
        for table in TABLES:
            claims = self._claims(table.name)
            columns = sorted({name for claim in claims.values() for name in claim.found})
            for key, now in read(self._backend, table, claims, columns).items() if claims else ():
                found = canonical({name: now[name] for name in claims[key].found})
                rows.append((table.name, canonical(key), found))
        return of_rows(sorted(rows))

    def write(self, table: Table, wanted: Mapping[Key, Row], expected: Mapping[Key, Row] | None = None) -> list[Change]:
        """
        Set columns of claimed rows and store what they were before; return the rows that really changed.

        A row whose columns differ from *expected*, where that is given, is left alone, as is one that is gone.
        """
        columns = sorted({name for row in wanted.values() for name in row})
        changes = []
        for key, now in read(self._backend, table, wanted, columns).items():
            if expected is not None and any(now[name] != value for name, value in expected.get(key, {}).items()):
                continue
            after = {name: value for name, value in wanted[key].items() if now[name] != value}
            if after.keys() - set(table.bookkeeping):
                changes.append(Change(table.name, key, {name: now[name] for name in after}, after))
        self._remember(table, changes)
        set_columns(self._backend, table, changes)
        return changes

    def _remember(self, table: Table, changes: list[Change]) -> None:
        """Add to the stored images: the first value before, the latest after."""
        claims = self._claims(table.name)
        unclaimed = [change.key for change in changes if change.key not in claims]
        if unclaimed:
            raise ValueError(f"rows of {table.name} are written without having been claimed: {unclaimed[:3]}")
        self._backend.execute_many(
            "UPDATE runner_changes SET before_json = :before, after_json = :after"
            " WHERE stage_id = :stage_id AND table_name = :table AND row_key = :key",
            (
                {
                    "stage_id": self._stage_id,
                    "table": table.name,
                    "key": canonical(change.key),
                    "before": canonical({**change.before, **_still_ours(change, claims[change.key])}),
                    "after": canonical({**claims[change.key].after, **change.after}),
                }
                for change in changes
            ),
        )

    def _claims(self, table: str) -> dict[Key, Claim]:
        return {
            tuple(json.loads(key)): Claim(read_back(found), read_back(before), read_back(after))
            for key, found, before, after in self._backend.stream(
                "SELECT row_key, claimed_json, before_json, after_json FROM runner_changes"
                " WHERE stage_id = :stage_id AND table_name = :table",
                {"stage_id": self._stage_id, "table": table},
            )
        }

    def undo(self, older: Iterable[int] = (), without: Mapping[str, Collection[Key]] | None = None) -> Undone:
        """
        Put back every value as it was before the stage, and compare every claimed row with how it was found.

        A value that is what it was already is done; one that is neither that nor what the stage wrote is a conflict.
        *older* are stages that will be taken back after this one: a person who resolves a conflict may have set a
        value to what it was before one of them, and that is right too. Rows *without* (by table) are left as they are:
        they are going to be removed. A row that has become the application's own is left alone too.
        """
        undone = Undone(0, [], [])
        older = tuple(older)
        there = self._backend.tables()
        for table in TABLES:
            gone = (without or {}).get(table.name, ())
            claims = {key: claim for key, claim in self._claims(table.name).items() if key not in gone}
            if table.name not in there:
                _, conflicts, noticed = _judge(table, claims, {}, {})
                undone = Undone(undone.rows, undone.conflicts + conflicts, undone.noticed + noticed)
                continue
            taken = self._taken(table, claims)
            undone.noticed.extend(Conflict(table.name, key, TAKEN, None, None) for key in taken)
            claims = {key: claim for key, claim in claims.items() if key not in taken}
            if claims:
                goals = _goals(self._backend, older, table.name)
                undone = self._put_back(table, claims, goals, undone)
        if undone.conflicts:
            self._keep_only(undone.conflicts)
        return undone

    def _taken(self, table: Table, claims: Collection[Key]) -> Collection[Key]:
        """Return those of *claims* whose rows have become the application's own."""
        return read(self._backend, table, claims, (), f"NOT ({table.ours})") if table.ours and claims else ()

    def _keep_only(self, conflicts: list[Conflict]) -> None:
        """
        Forget what is taken back by now, all but *conflicts*: the stage stands on, and will be asked for no more.

        Older stages are taken back below it. Their values would otherwise be conflicts, when it is tried again.
        """
        left: dict[tuple[str, Key], set[str]] = {}
        for conflict in conflicts:
            left.setdefault((conflict.table, conflict.key), set()).add(conflict.column)
        self._backend.execute_many(
            "UPDATE runner_changes SET claimed_json = :claimed, before_json = :before, after_json = :after"
            " WHERE stage_id = :stage_id AND table_name = :table AND row_key = :key",
            [
                {
                    "stage_id": self._stage_id,
                    "table": table.name,
                    "key": canonical(key),
                    "claimed": canonical({n: v for n, v in claim.found.items() if n in names}),
                    "before": canonical({n: v for n, v in claim.before.items() if n in names}),
                    "after": canonical({n: v for n, v in claim.after.items() if n in names}),
                }
                for table in TABLES
                for key, claim in self._claims(table.name).items()
                if GONE not in (names := left.get((table.name, key), set()))
            ],
        )

    def _put_back(
        self, table: Table, claims: dict[Key, Claim], goals: dict[tuple[Key, str], list[Any]], so_far: Undone
    ) -> Undone:
        judged = _judge(table, claims, read(self._backend, table, claims, _columns(claims)), goals)
        set_columns(self._backend, table, judged.changes)
        return Undone(
            so_far.rows + len(judged.changes), so_far.conflicts + judged.conflicts, so_far.noticed + judged.noticed
        )

    def foresee_undo(self, older: Iterable[int], restored: dict[tuple[str, Key], Row]) -> list[Conflict]:
        """
        Return what would keep `undo` from being exact; reads only.

        *restored* are the columns that newer stages put back before, by table and key; this one's are added to it.
        """
        older = tuple(older)
        there = self._backend.tables()
        conflicts: list[Conflict] = []
        for table in TABLES:
            claims = self._claims(table.name)
            if table.name not in there:
                conflicts += _judge(table, claims, {}, {}).conflicts
                continue
            taken = self._taken(table, claims)
            claims = {key: claim for key, claim in claims.items() if key not in taken}
            if claims:
                rows = read(self._backend, table, claims, _columns(claims))
                by_then = {key: {**row, **restored.get((table.name, key), {})} for key, row in rows.items()}
                judged = _judge(table, claims, by_then, _goals(self._backend, older, table.name))
                for change in judged.changes:
                    restored.setdefault((table.name, change.key), {}).update(change.after)
                conflicts += judged.conflicts
        return conflicts


class _Judged(NamedTuple):
    """What undo writes, what keeps it from being exact, and what others changed besides."""

    changes: list[Change]
    conflicts: list[Conflict]
    noticed: list[Conflict]


def _columns(claims: Mapping[Key, Claim]) -> list[str]:
    return sorted({name for claim in claims.values() for name in (*claim.found, *claim.before)})


def _judge(
    table: Table,
    claims: Mapping[Key, Claim],
    rows: Mapping[Key, Row],
    goals: Mapping[tuple[Key, str], list[Any]],
) -> _Judged:
    """Hold the claimed rows of *table* as they stand against what the stage wrote, and what was there before it."""
    judged = _Judged([], [], [])
    for key, claim in claims.items():
        now = rows.get(key)
        if now is None:
            (judged.conflicts if claim.before else judged.noticed).append(Conflict(table.name, key, GONE, None, None))
            continue
        ours = {name: now[name] for name in claim.before if now[name] == claim.after[name] != claim.before[name]}
        for name in (*claim.before, *(claim.found.keys() - claim.before.keys())):
            value = claim.before[name] if name in ours else now[name]
            conflict = Conflict(table.name, key, name, claim.after.get(name), value, claim.found.get(name))
            if name in table.bookkeeping:
                continue
            if name in claim.before and value != claim.before[name]:
                (judged.noticed if value in goals.get((key, name), ()) else judged.conflicts).append(conflict)
            elif value != claim.found.get(name, value):
                judged.noticed.append(conflict)
        if ours:
            judged.changes.append(Change(table.name, key, ours, {name: claim.before[name] for name in ours}))
    return judged


def _goals(backend: Backend, stages: Iterable[int], table: str) -> dict[tuple[Key, str], list[Any]]:
    """Return what values were before *stages*, by row and column."""
    goals: dict[tuple[Key, str], list[Any]] = {}
    for stage_id in stages:
        for key, before in backend.stream(
            "SELECT row_key, before_json FROM runner_changes WHERE stage_id = :stage_id AND table_name = :table",
            {"stage_id": stage_id, "table": table},
        ):
            for name, value in read_back(before).items():
                goals.setdefault((tuple(json.loads(key)), name), []).append(value)
    return goals


def _still_ours(change: Change, claim: Claim) -> Row:
    """Return those first values to which undo may go back: nobody else wrote between them and *change*."""
    after = claim.after
    return {name: value for name, value in claim.before.items() if change.before.get(name, after[name]) == after[name]}


def follow(backend: Backend, table: Table, written: Iterable[Change]) -> None:
    """
    Tell every passage that still stands what seeds wrote to rows it had claimed: that is how they are found now.

    What is declared stays when a stage is taken back. A value that seeds have written is the stage's no more.
    """
    by_key = {change.key: change.after for change in written}
    if not by_key:
        return
    patches = []
    for stage_id, row_key, *images in backend.stream(
        "SELECT c.stage_id, c.row_key, c.claimed_json, c.before_json, c.after_json FROM runner_changes c"
        " JOIN runner_stages s ON s.id = c.stage_id"
        " WHERE s.state IN ('entered', 'passed') AND c.table_name = :table",
        {"table": table.name},
    ):
        seeded = by_key.get(tuple(json.loads(row_key)))
        if seeded is None:
            continue
        found, before, after = map(read_back, images)
        patches.append(
            {
                "stage_id": stage_id,
                "table": table.name,
                "key": row_key,
                "claimed": canonical({name: seeded.get(name, value) for name, value in found.items()}),
                "before": canonical({name: value for name, value in before.items() if name not in seeded}),
                "after": canonical({name: value for name, value in after.items() if name not in seeded}),
            }
        )
    backend.execute_many(
        "UPDATE runner_changes SET claimed_json = :claimed, before_json = :before, after_json = :after"
        " WHERE stage_id = :stage_id AND table_name = :table AND row_key = :key",
        patches,
    )


def set_columns(backend: Backend, table: Table, changes: list[Change]) -> None:
    """Write the `after` of every change where the row still is as in `before`; StepFailed if one is not."""
    alike: dict[tuple[str, ...], list[Change]] = {}
    for change in changes:
        alike.setdefault(tuple(sorted(change.after)), []).append(change)
    for columns, group in alike.items():
        key = " AND ".join(f"{name} = :key_{name}" for name in table.key)
        same = " AND ".join(f"NOT ({name} {backend.differs} :old_{name})" for name in columns)
        values = ", ".join(f"{name} = :new_{name}" for name in columns)
        written = backend.execute_many(
            f"UPDATE {table.name} SET {values} WHERE {key} AND {same}", (_bound(table, change) for change in group)
        )
        if written != len(group):
            raise StepFailed(
                Problem(
                    f"{len(group) - written} rows of {table.name} were changed by somebody else at the same moment",
                    fix="run the same command again; nothing of this step was kept",
                )
            )


def _bound(table: Table, change: Change) -> Row:
    return {
        **{f"key_{name}": value for name, value in zip(table.key, change.key, strict=True)},
        **{f"old_{name}": value for name, value in change.before.items()},
        **{f"new_{name}": value for name, value in change.after.items()},
    }
