"""The form of a table in SQLite, as much as copying, comparing and putting back need to know of it."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any, NamedTuple

from runner.store.names import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable

ROW_NUMBERS = ("rowid", "_rowid_", "oid")
"""The names of a row's number; a column of the same name hides one."""
GROUP = 50
"""So many conditions stand in one pair of brackets: SQLite takes no expression that is deeper than 1,000."""


class Thing(NamedTuple):
    """An object of a schema: `table` is the one it belongs to, `sql` what makes it."""

    kind: str
    name: str
    table: str
    sql: str

    @property
    def is_virtual(self) -> bool:
        """Whether it is a virtual table: its rows stand in tables of their own, named after it."""
        return self.kind == "table" and self.sql[:14].upper() == "CREATE VIRTUAL"


class Form(NamedTuple):
    """
    How the rows of a table are read and written.

    `columns` are those that are stored, `key` what finds a row, `shown` what a person calls it: all of them ready to be
    put into SQL. `number` is set where a row's number is not one of the columns and has to be copied with them.
    `loose` are the columns that may hold 1 as well as 1.0. `is_plain` says that `SELECT *` gives just the columns.
    """

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    shown: tuple[str, ...]
    number: str | None
    loose: frozenset[str]
    is_plain: bool

    def fill(self, to: str, source: str) -> str:
        """Return the statement that copies every row from schema *source* to schema *to*."""
        table = quoted(self.name)
        if self.is_plain and self.number is None:  # the form that SQLite copies page by page, without a look inside
            return f"INSERT INTO {to}.{table} SELECT * FROM {source}.{table}"
        names = ", ".join(self.written)
        return f"INSERT INTO {to}.{table} ({names}) SELECT {names} FROM {source}.{table}"

    @property
    def written(self) -> tuple[str, ...]:
        """What has to be written for a row to be the same row."""
        return (self.number, *self.columns) if self.number else self.columns

    def same_row(self) -> str:
        """Return the condition under which rows a and b have the same key."""
        return " AND ".join(f"a.{name} = b.{name}" for name in self.key)

    def same_values(self) -> str:
        """Return the condition under which rows a and b are equal to the byte."""
        terms = [f"a.{name} IS b.{name} COLLATE BINARY" for name in self.columns]
        terms += [f"typeof(a.{name}) = typeof(b.{name})" for name in self.columns if name in self.loose]
        groups = (" AND ".join(terms[start : start + GROUP]) for start in range(0, len(terms), GROUP))
        return " AND ".join(f"({group})" for group in groups)


class Uncopyable(Exception):
    """A table that cannot be copied exactly, and why."""


def things(conn: sqlite3.Connection, schema: str) -> list[Thing]:
    """Return every object of *schema* that somebody made, in the order in which they were made."""
    return [
        Thing(*row)
        for row in conn.execute(
            f"SELECT type, name, tbl_name, sql FROM {schema}.sqlite_master"
            " WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite^_%' ESCAPE '^' ORDER BY rowid"
        )
    ]


def form(conn: sqlite3.Connection, schema: str, table: str) -> Form:
    """Read the form of *table*, which is no virtual one; Uncopyable where its rows cannot be told apart."""
    found = conn.execute(
        "SELECT name, type, pk, hidden FROM pragma_table_xinfo(?, ?) ORDER BY cid", [table, schema]
    ).fetchall()
    columns = [name for name, _, _, hidden in found if not hidden]
    primary = [name for name, _, place, _ in sorted(found, key=lambda row: row[2]) if place]
    number = _row_number(conn, schema, table, {name.lower() for name, *_ in found})
    key = tuple(map(quoted, primary))
    is_numbered = len(primary) == 1 and not _has_key_index(conn, schema, table)  # INTEGER PRIMARY KEY is the number
    if number is None and not primary:
        raise Uncopyable(f"table {table} hides the numbers of its rows behind columns of their names")
    return Form(
        name=table,
        columns=tuple(map(quoted, columns)),
        key=key if number is None else (number,),
        shown=key or (str(number),),
        number=None if is_numbered else number,
        loose=frozenset(quoted(name) for name, declared, _, hidden in found if not hidden and _is_loose(declared)),
        is_plain=len(columns) == len(found),
    )


def _row_number(conn: sqlite3.Connection, schema: str, table: str, columns: set[str]) -> str | None:
    """Return the name of a row's number; None in a table WITHOUT ROWID, or where columns hide it."""
    for name in ROW_NUMBERS:
        if name not in columns:
            try:
                conn.execute(f"SELECT {name} FROM {schema}.{quoted(table)} LIMIT 0")
            except sqlite3.OperationalError:
                return None
            return name
    return None


def _has_key_index(conn: sqlite3.Connection, schema: str, table: str) -> bool:
    found = conn.execute("SELECT 1 FROM pragma_index_list(?, ?) WHERE origin = 'pk'", [table, schema]).fetchone()
    return found is not None


def _is_loose(declared: str) -> bool:
    """Say whether a column keeps whole numbers and reals apart: one without an affinity does."""
    kind = declared.upper()
    if any(word in kind for word in ("INT", "CHAR", "CLOB", "TEXT")):
        return False
    return kind in {"", "ANY"} or "BLOB" in kind


def count(conn: sqlite3.Connection, schema: str, table: str) -> int:
    """Return how many rows *table* has."""
    found: int = conn.execute(f"SELECT count(*) FROM {schema}.{quoted(table)}").fetchone()[0]
    return found


def count_equal(conn: sqlite3.Connection, known: Form, left: str, right: str) -> int:
    """Return how many rows stand in both schemas under the same key and are equal to the byte."""
    return _count_pairs(conn, known, left, right, known.same_values())


def count_both(conn: sqlite3.Connection, known: Form, left: str, right: str) -> int:
    """Return how many rows stand in both schemas under the same key."""
    return _count_pairs(conn, known, left, right, "1")


def _count_pairs(conn: sqlite3.Connection, known: Form, left: str, right: str, condition: str) -> int:
    table = quoted(known.name)
    found: int = conn.execute(
        f"SELECT count(*) FROM {left}.{table} AS a CROSS JOIN {right}.{table} AS b"
        f" ON {known.same_row()} WHERE {condition}"
    ).fetchone()[0]
    return found


def is_equal(conn: sqlite3.Connection, known: Form, left: str, right: str) -> bool:
    """Say whether the table has the same rows in both schemas, to the byte."""
    rows = count(conn, left, known.name)
    return rows == count(conn, right, known.name) == count_equal(conn, known, left, right)


def in_order(tables: Iterable[Thing]) -> list[Thing]:
    """Put virtual tables before those that hold their rows, which are named after them."""
    return sorted(tables, key=lambda thing: (not thing.is_virtual, thing.name.lower()))


def plain(value: Any) -> str:
    """Return a value of a key as a person reads it."""
    return value.hex() if isinstance(value, bytes) else str(value)
