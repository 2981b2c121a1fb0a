"""What is dangerous on SQLite: what it refuses, and what happens when a table is made anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.decide.lint.acts import Default, Kind
from runner.decide.lint.common import needs_no_transaction
from runner.decide.lint.site import Told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runner.decide.lint.acts import Act
    from runner.decide.lint.site import Site

    Judge = Callable[[Act, Site], Iterator[Told]]

REBUILD = "make a new table with it, copy the rows, drop the old one, and rename the new one"
FOLLOWING = frozenset({"cascade", "set null", "set default"})
OUTSIDE_ONLY = frozenset({"journal_mode", "synchronous"})


def _refused(what: str, fix: str) -> Told:
    return Told("statement-refused", f"SQLite has no {what}", fix)


def _alter(act: Act, _: Site) -> Iterator[Told]:
    what = {
        Kind.ADD_CONSTRAINT: f"ADD CONSTRAINT, wanted for {act.table}",
        Kind.DROP_CONSTRAINT: f"DROP CONSTRAINT, wanted for {act.table}",
        Kind.VALIDATE_CONSTRAINT: "VALIDATE CONSTRAINT",
    }.get(act.kind, f"ALTER COLUMN, wanted for {act.table}.{act.name}")
    yield _refused(what, REBUILD)


def _many(act: Act, _: Site) -> Iterator[Told]:
    if act.has("many"):
        yield _refused("ALTER TABLE with several actions", "write a statement for each")


def _add_column(act: Act, site: Site) -> Iterator[Told]:
    yield from _many(act, site)
    if act.has("exists"):
        yield _refused("ADD COLUMN IF NOT EXISTS", "leave IF NOT EXISTS out: a migration runs once")
    column = act.columns[0]
    why = {
        "UNIQUE": column.unique,
        "a PRIMARY KEY": column.primary,
        "STORED": column.stored,
        "a default that is no constant": column.default in {Default.ONCE, Default.EACH},
        "REFERENCES with a default": bool(column.references) and column.default is not Default.NONE,
    }
    for words, holds in why.items():
        if holds and not (site.is_new(act) and words not in {"UNIQUE", "a PRIMARY KEY"}):
            what = f"the column {act.table}.{act.name} is added with {words}"
            fix = f"leave that out and fill the column, or {REBUILD}"
            yield Told("column-refused", what, fix)


def _drop_table(act: Act, site: Site) -> Iterator[Told]:
    if act.has("many"):
        yield _refused("DROP TABLE with several tables", "write a statement for each")
    if act.has("cascade"):
        yield _refused("DROP TABLE … CASCADE", "leave CASCADE out")
    if site.is_new(act):
        return
    if act.table in site.rebuilds:
        yield from _rebuild(act, site)
    for child in site.known.children(act.table):
        if child.table in site.emptied:
            continue
        aside = f"put the rows of {child.table} aside, delete them before the drop, and bring them back after it"
        if child.on_delete in FOLLOWING:
            done = "are deleted" if child.on_delete == "cascade" else "lose their reference"
            what = f"rows of {child.table} refer to {act.table} ON DELETE {child.on_delete.upper()}, and {done}"
            yield Told("rebuild-cascades", what, aside)
        else:
            what = f"rows of {child.table} refer to {act.table}, and while there are any the drop fails"
            yield Told("parent-dropped", what, aside)


def _rebuild(act: Act, site: Site) -> Iterator[Told]:
    """Tell what a rebuild costs, and what it leaves behind."""
    table, new = act.table, site.created[site.rebuilds[act.table]]
    what = f"the table {table} is made anew: every row is written again"
    yield Told("table-rebuilt", what, "rehearse it on a copy of real size: `runner rehearse`")
    lost = [name for name in site.known.belongings(table) if name and not site.is_made(name)]
    if lost:
        what = f"{', '.join(sorted(lost))} of {table} went with the old table, and nothing makes them again"
        yield Told("rebuild-loses", what, "make them again after the rename")
    old = site.known.tables.get(table)
    gone = [] if old is None or not new.columns else sorted(old.columns.keys() - {each.name for each in new.columns})
    for column in gone:
        what = f"the column {table}.{column} is not in the new table: its values are dropped"
        yield Told(
            "column-dropped", what, "add it to the new table and to the copy, or stop using it one release before"
        )


def _concurrently(act: Act, _: Site) -> Iterator[Told]:
    if act.has("concurrently"):
        yield _refused("CONCURRENTLY", "leave it out: whoever writes waits either way")


def _truncate(act: Act, _: Site) -> Iterator[Told]:
    yield _refused("TRUNCATE", f"write DELETE FROM {act.table}")


def _pragma(act: Act, site: Site) -> Iterator[Told]:
    if not act.what or not site.migration.in_transaction:
        return
    if act.name == "foreign_keys":
        fix = "remove it; while a migration runs, foreign keys are on"
        yield Told("pragma-without-effect", "PRAGMA foreign_keys does nothing inside of a transaction", fix)
    elif act.name in OUTSIDE_ONLY:
        yield needs_no_transaction(f"PRAGMA {act.name}")


SQLITE: dict[Kind, Judge] = {
    Kind.ADD_COLUMN: _add_column,
    Kind.DROP_COLUMN: _many,
    Kind.RENAME_COLUMN: _many,
    Kind.RENAME_TABLE: _many,
    Kind.ALTER_TYPE: _alter,
    Kind.SET_NOT_NULL: _alter,
    Kind.ALTER_TABLE: _alter,
    Kind.ADD_CONSTRAINT: _alter,
    Kind.DROP_CONSTRAINT: _alter,
    Kind.VALIDATE_CONSTRAINT: _alter,
    Kind.DROP_TABLE: _drop_table,
    Kind.CREATE_INDEX: _concurrently,
    Kind.DROP_INDEX: _concurrently,
    Kind.TRUNCATE: _truncate,
    Kind.PRAGMA: _pragma,
}
