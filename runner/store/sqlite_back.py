"""
A copy put back into its SQLite database: what would be lost, and then the rows, to the byte.

Works inside the caller's transaction, on a connection that has the copy attached as `kept` and does not enforce foreign
keys. A table that still has the form of the copy keeps its rows where they are equal; only the others are written.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from runner.store.backend import Loss
from runner.store.names import quoted
from runner.store.sqlite_form import (
    Thing,
    Uncopyable,
    count,
    count_both,
    count_equal,
    form,
    in_order,
    is_equal,
    plain,
    things,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from runner.store.sqlite_form import Form

FEW = 1_000_000
"""So many rows are exchanged one by one, which takes memory for each; where more differ, the table is refilled."""
SHOWN = 3
"""So many keys of each kind of loss are named."""
OURS = "runner_"


class NotEqual(Exception):
    """What was put back is not what the copy holds, or rows of other tables are left without what they refer to."""


class Beside:
    """The copy that is attached to *conn* as `kept`. *keys* are natural keys of tables, for people to read."""

    def __init__(self, conn: sqlite3.Connection, keys: Mapping[str, tuple[str, ...]]) -> None:
        self._conn = conn
        self._keys = keys
        kept = conn.execute("SELECT kind, name, table_name, sql FROM kept.runner_snapshot")
        self._kept = [Thing(*row) for row in kept]
        self._known: tuple[int, tuple[Loss, ...]] | None = None

    def columns(self, table: str) -> tuple[str, ...]:
        """Return the columns of a table as the copy has it; none where it has no such table."""
        return tuple(name for (name,) in self._conn.execute("SELECT name FROM pragma_table_info(?, 'kept')", [table]))

    def losses(self) -> tuple[Loss, ...]:
        """Return what putting the copy back would take away from each table; counts again only after a change."""
        version = self._conn.execute("PRAGMA main.data_version").fetchone()[0]
        if self._known is None or self._known[0] != version:
            now = {thing.name: thing for thing in things(self._conn, "main") if thing.kind == "table"}
            found = (self._loss(thing, now.get(thing.name)) for thing in self._tables())
            self._known = version, tuple(found)
        return self._known[1]

    def dropped(self, made: Iterable[str]) -> tuple[Loss, ...]:
        """Return what would be lost with the tables among *made* (each `kind name`), which the copy does not have."""
        now = {thing.name for thing in things(self._conn, "main") if thing.kind == "table" and not thing.is_virtual}
        names = sorted(now & {name.removeprefix("table ") for name in self._strange(made)})
        return tuple(Loss(name, added=count(self._conn, "main", name), is_dropped=True) for name in names)

    def bring_back(self, made: Collection[str]) -> None:
        """
        Put the application's tables back as the copy has them, and drop what *made* names and the copy does not have.

        Raises NotEqual where that cannot be done exactly; the caller takes everything back then.
        """
        losses = {loss.table: loss for loss in self.losses()}
        strange = self._strange(made)
        self._clear(losses)
        self._drop(strange)
        for thing in self._tables():
            self._put_back(thing, losses[thing.name])
        self._make_missing()
        self._put_sequences_back()
        self._compare()
        changed = {name for name, loss in losses.items() if not loss.is_none}
        self._refuse_dangling(changed | {name.partition(" ")[2] for name in strange})

    def _tables(self) -> list[Thing]:
        return in_order(thing for thing in self._kept if thing.kind == "table" and not thing.name.startswith(OURS))

    def _names(self) -> set[str]:
        """Return the names of the application's tables and views that the copy has."""
        found = {thing.name for thing in self._kept if thing.kind in {"table", "view"}}
        return {name for name in found if not name.startswith(OURS)}

    def _strange(self, made: Iterable[str]) -> list[str]:
        """Return those of *made* that the copy does not have; whatever stands on another comes before it."""
        there = {f"{thing.kind} {thing.name}" for thing in self._kept}
        order = ("trigger", "view", "index", "table")
        return sorted(set(made) - there, key=lambda name: (order.index(name.partition(" ")[0]), name))

    # what would be lost

    def _loss(self, kept: Thing, now: Thing | None) -> Loss:
        if kept.is_virtual:
            return Loss(kept.name, is_remade=now is None or now.sql != kept.sql)
        before = form(self._conn, "kept", kept.name)
        rows = count(self._conn, "kept", kept.name)
        if now is None or now.is_virtual:
            return Loss(kept.name, rows, removed=rows, is_remade=True)
        there = count(self._conn, "main", kept.name)
        if now.sql == kept.sql:
            return self._compared(before, before, there, rows)
        replaced = Loss(kept.name, rows, added=there, removed=rows, is_remade=True)
        try:
            after = form(self._conn, "main", kept.name)
        except Uncopyable:  # it goes, whatever it is like
            return replaced
        common = tuple(name for name in before.columns if name in after.columns)
        if before.key != after.key or not common:
            return replaced
        columns = tuple(name for name in after.columns if name not in before.columns)
        return self._compared(before._replace(columns=common), after, there, rows)._replace(
            is_remade=True, columns=columns
        )

    def _compared(self, known: Form, after: Form, there: int, rows: int) -> Loss:
        same = count_equal(self._conn, known, "main", "kept")
        both = same if same == there == rows else count_both(self._conn, known, "main", "kept")
        found = Loss(known.name, rows, added=there - both, changed=both - same, removed=rows - both)
        shown = self._shown(known, after)
        missing = f"NOT EXISTS (SELECT 1 FROM {{}}.{quoted(known.name)} AS b WHERE {known.same_row()})"
        changed = (
            f"EXISTS (SELECT 1 FROM kept.{quoted(known.name)} AS b"
            f" WHERE {known.same_row()} AND NOT ({known.same_values()}))"
        )
        return found._replace(
            added_keys=self._named(found.added, known, shown, "main", missing.format("kept")),
            changed_keys=self._named(found.changed, known, shown, "main", changed),
            removed_keys=self._named(found.removed, known, shown, "kept", missing.format("main")),
        )

    def _shown(self, known: Form, after: Form) -> tuple[str, ...]:
        """Return the columns by which a person knows a row: the natural key where there is one."""
        natural = tuple(map(quoted, self._keys.get(known.name, ())))
        return natural if natural and {*natural} <= {*known.columns} & {*after.columns} else known.shown

    def _named(self, rows: int, known: Form, shown: tuple[str, ...], schema: str, condition: str) -> tuple[str, ...]:
        if not rows:
            return ()
        columns = ", ".join(f"a.{name}" for name in shown)
        found = self._conn.execute(
            f"SELECT {columns} FROM {schema}.{quoted(known.name)} AS a WHERE {condition} LIMIT {SHOWN}"
        )
        return tuple("/".join(map(plain, row)) for row in found)

    # putting back

    def _clear(self, losses: Mapping[str, Loss]) -> None:
        """Drop what is in the way: triggers, which would fire, and what stands otherwise than the copy has it."""
        kept = {(thing.kind, thing.name): thing.sql for thing in self._kept}
        names = self._names()
        for thing in things(self._conn, "main"):
            if thing.table not in names or thing.kind == "table":
                continue
            is_same = kept.get((thing.kind, thing.name)) == thing.sql
            is_rebuilt = thing.kind == "index" and thing.table in losses and _is_filled(losses[thing.table])
            if thing.kind == "trigger" or is_rebuilt or not is_same:
                self._drop([f"{thing.kind} {thing.name}"])

    def _drop(self, names: Iterable[str]) -> None:
        for kind, _, name in (each.partition(" ") for each in names):
            self._conn.execute(f"DROP {kind.upper()} IF EXISTS main.{quoted(name)}")

    def _put_back(self, table: Thing, loss: Loss) -> None:
        now = {thing.name: thing for thing in things(self._conn, "main") if thing.kind == "table"}.get(table.name)
        if now is None or now.sql != table.sql:
            self._drop([f"table {table.name}"])
            self._conn.execute(table.sql)
        if table.is_virtual:
            return
        known = form(self._conn, "kept", table.name)
        if _is_filled(loss) or now is None or now.sql != table.sql:
            self._conn.execute(f"DELETE FROM main.{quoted(table.name)}")
            self._conn.execute(known.fill("main", "kept"))
        elif not loss.is_none:
            self._exchange(known)

    def _exchange(self, known: Form) -> None:
        """Take out the rows that the copy does not have like this, and put in those that are then missing."""
        table, names = quoted(known.name), ", ".join(known.written)
        self._conn.execute(
            f"DELETE FROM main.{table} AS a WHERE NOT EXISTS"
            f" (SELECT 1 FROM kept.{table} AS b WHERE {known.same_row()} AND {known.same_values()})"
        )
        self._conn.execute(
            f"INSERT INTO main.{table} ({names}) SELECT {names} FROM kept.{table} AS a WHERE NOT EXISTS"
            f" (SELECT 1 FROM main.{table} AS b WHERE {known.same_row()})"
        )

    def _make_missing(self) -> None:
        """Make the indexes, views and triggers that the copy knows and that are not there."""
        there = {(thing.kind, thing.name) for thing in things(self._conn, "main")}
        for thing in self._kept:
            if (thing.kind, thing.name) not in there and not thing.table.startswith(OURS):
                self._conn.execute(thing.sql)

    def _put_sequences_back(self) -> None:
        tables = {thing.name for thing in self._tables()}
        if self._conn.execute("SELECT 1 FROM kept.sqlite_master WHERE name = 'sqlite_sequence'").fetchone() is None:
            return
        kept = dict(self._conn.execute("SELECT name, seq FROM kept.sqlite_sequence").fetchall())
        for name in tables:
            self._conn.execute("DELETE FROM main.sqlite_sequence WHERE name = ?", [name])
            if name in kept:
                self._conn.execute("INSERT INTO main.sqlite_sequence (name, seq) VALUES (?, ?)", [name, kept[name]])

    # proof

    def _compare(self) -> None:
        """Make sure that everything is as the copy has it: the form of all, and every row."""
        names = self._names()
        now = {thing for thing in things(self._conn, "main") if thing.table in names}
        if now != {thing for thing in self._kept if thing.table in names}:
            raise NotEqual("tables, indexes, views or triggers are not as the snapshot has them")
        for thing in self._tables():
            if not thing.is_virtual:
                known = form(self._conn, "kept", thing.name)
                if not is_equal(self._conn, known, "main", "kept"):
                    raise NotEqual(f"table {thing.name} is not as the snapshot has it")

    def _refuse_dangling(self, changed: set[str]) -> None:
        """Raise NotEqual where rows now refer to nothing that did not do so before."""
        for thing in things(self._conn, "main"):
            if thing.kind != "table" or thing.is_virtual:
                continue
            keys = self._conn.execute('SELECT "table" FROM pragma_foreign_key_list(?, ?)', [thing.name, "main"])
            parents = {parent for (parent,) in keys}
            if not parents or not ({thing.name, *parents} & changed):
                continue
            after = _dangling(self._conn, thing.name)
            if after and (more := after - self._dangling_before(thing.name)):
                told = ", ".join(f"{rows} of {thing.name} to {parent}" for parent, rows in more.items())
                raise NotEqual(f"rows would refer to rows that the snapshot does not have: {told}")

    def _dangling_before(self, table: str) -> Counter[str]:
        """Look at *table* as it was before this transaction, which another connection still sees."""
        path = next(file for _, name, file in self._conn.execute("PRAGMA database_list") if name == "main")
        with closing(sqlite3.connect(f"{Path(path).as_uri()}?mode=ro", uri=True)) as conn:
            return _dangling(conn, table)


def _is_filled(loss: Loss) -> bool:
    """Say whether so much of the table is different that it is emptied and filled anew, its indexes made afterwards."""
    rows = loss.added + loss.changed + loss.removed
    return loss.is_remade or rows > min(FEW, loss.rows // 2 + 1_000)


def _dangling(conn: sqlite3.Connection, table: str) -> Counter[str]:
    """Count the rows of *table* that refer to nothing, by the table they refer to."""
    found: Counter[str] = Counter()
    try:
        rows = conn.execute("SELECT parent FROM pragma_foreign_key_check(?, 'main')", [table])
        found.update(parent for (parent,) in rows)
    except sqlite3.OperationalError as error:  # the parent has no such key: it had none before
        found[str(error)] += 1
    return found
