"""
Tables of an SQLite database, copied to a file of their own: at one moment, and compared row by row.

The copy is an SQLite database with the same tables, without their indexes and triggers; how those are made stands in
its table `runner_snapshot`. All of it is read in one transaction of its own connection, so the copy is of one moment;
in WAL mode nobody waits for it.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from runner.store.mentions import Mentions
from runner.store.sqlite_form import Thing, Uncopyable, count, form, in_order, is_equal, things

if TYPE_CHECKING:
    from collections.abc import Container
    from pathlib import Path

CACHE_KIB = 16_384
LEFT_ALONE = {"no action", "restrict"}
"""What a foreign key does that writes nothing to the table that has it."""


def copy(source: Path, target: Path, mentioned: Container[str]) -> dict[str, int]:
    """
    Copy every table of *source* whose name is *mentioned*, and what hangs on it, to the empty file *target*.

    Returns how many rows each has. Raises sqlite3.Error, or Uncopyable with what cannot be copied, and why.
    """
    with closing(_opened(source, target)) as conn:
        conn.execute("BEGIN")
        chosen = _chosen(things(conn, "source"), mentioned, conn)
        rows = {thing.name: _copy_table(conn, thing) for thing in chosen if thing.kind == "table"}
        _copy_sequences(conn, rows)
        conn.execute("CREATE TABLE runner_snapshot (kind TEXT, name TEXT, table_name TEXT, sql TEXT)")
        conn.executemany("INSERT INTO runner_snapshot VALUES (?, ?, ?, ?)", chosen)
        conn.execute("COMMIT")
        _check(conn)
    return rows


def _opened(source: Path, target: Path) -> sqlite3.Connection:
    """Open *target* with *source* beside it, which cannot be written to."""
    uri = f"{source.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as conn:
        encoding = conn.execute("PRAGMA encoding").fetchone()[0]
        page_size = conn.execute("PRAGMA page_size").fetchone()[0]
    conn = sqlite3.connect(f"{target.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)
    for setting in (
        f"encoding='{encoding}'",
        f"page_size={page_size}",
        "journal_mode=OFF",  # a copy that was cut short is thrown away, whole
        "synchronous=OFF",  # whoever asked for the file sees to it that it reaches the disk
        f"cache_size=-{CACHE_KIB}",
        "foreign_keys=OFF",
        "ignore_check_constraints=ON",  # a copy takes what is there
    ):
        conn.execute(f"PRAGMA {setting}").close()
    conn.execute("ATTACH ? AS source", [uri])
    conn.execute(f"PRAGMA source.cache_size=-{CACHE_KIB}")
    return conn


def _chosen(found: list[Thing], mentioned: Container[str], conn: sqlite3.Connection) -> list[Thing]:
    """Return the tables and views that are wanted, and their indexes and triggers."""
    wanted = _reached(found, {thing.table for thing in found if thing.name in mentioned}, conn)
    chosen = [thing for thing in found if thing.table in wanted or thing.name in wanted]
    tables = in_order(thing for thing in chosen if thing.kind == "table")
    return [*tables, *(thing for thing in chosen if thing.kind != "table")]


def _reached(found: list[Thing], wanted: set[str], conn: sqlite3.Connection) -> set[str]:
    """
    Add to *wanted* what a write to it can write to on its way.

    That is what its triggers speak of, tables whose foreign keys follow it, and where a virtual table has its rows.
    """
    tables = {thing.name for thing in found if thing.kind == "table"}
    followed = {table: _follows(conn, table) for table in tables}
    while True:
        named = Mentions(thing.sql for thing in found if thing.kind == "trigger" and thing.table in wanted)
        stems = tuple(f"{thing.name}_" for thing in found if thing.is_virtual and thing.name in wanted)
        lower = {name.lower() for name in wanted}
        more = {
            table
            for table in tables - wanted
            if table in named or (stems and table.startswith(stems)) or followed[table] & lower
        }
        if not more:
            return wanted
        wanted = wanted | more


def _follows(conn: sqlite3.Connection, table: str) -> set[str]:
    """Return the tables, in lower case, whose changes change or remove rows of *table*, by its foreign keys."""
    keys = conn.execute(
        "SELECT lower(\"table\"), on_update, on_delete FROM pragma_foreign_key_list(?, 'source')", [table]
    )
    return {parent for parent, *actions in keys if not LEFT_ALONE.issuperset(action.lower() for action in actions)}


def _copy_table(conn: sqlite3.Connection, table: Thing) -> int:
    """Copy one table, compare it, and return how many rows it has."""
    if table.is_virtual:
        return 0
    known = form(conn, "source", table.name)
    try:
        conn.execute(table.sql)
    except sqlite3.OperationalError as error:
        raise Uncopyable(f"table {table.name} cannot be made a second time: {error}") from error
    conn.execute(known.fill("main", "source"))
    if not is_equal(conn, known, "main", "source"):
        raise Uncopyable(f"the copy of table {table.name} is not equal to the table")
    return count(conn, "main", table.name)


def _copy_sequences(conn: sqlite3.Connection, tables: dict[str, int]) -> None:
    """Copy the numbers that AUTOINCREMENT goes on from; the tables' own copies made their rows in sqlite_sequence."""
    there = conn.execute("SELECT 1 FROM main.sqlite_master WHERE name = 'sqlite_sequence'").fetchone()
    if there is None:
        return
    conn.execute("DELETE FROM main.sqlite_sequence")
    found = conn.execute("SELECT name, seq FROM source.sqlite_sequence").fetchall()
    conn.executemany("INSERT INTO main.sqlite_sequence VALUES (?, ?)", [row for row in found if row[0] in tables])


def _check(conn: sqlite3.Connection) -> None:
    found = conn.execute("PRAGMA main.integrity_check(1)").fetchone()[0]
    if found != "ok":
        raise Uncopyable(f"the copy is not sound: {found}")
