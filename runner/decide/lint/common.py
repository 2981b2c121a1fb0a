"""What is dangerous on either engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.decide.lint.acts import Act, Default, Kind
from runner.decide.lint.site import Told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runner.decide.lint.site import Site

    Judge = Callable[[Act, Site], Iterator[Told]]

RELEASE = "stop using it in one release, and drop it in the next"
IN_PARTS = "say in a WHERE which rows are meant, or put lint:ignore with the reason above it"


def _drop_table(act: Act, site: Site) -> Iterator[Told]:
    if act.has("cascade"):
        yield _cascades(act.table)
    if not site.is_new(act) and act.table not in site.rebuilds:
        yield Told("table-dropped", f"the table {act.table} is dropped, with its rows", _declared(site))


def _drop_column(act: Act, site: Site) -> Iterator[Told]:
    if act.has("cascade"):
        yield _cascades(f"{act.table}.{act.name}")
    if not site.is_new(act):
        yield Told("column-dropped", f"the column {act.table}.{act.name} is dropped, with its values", _declared(site))


def _declared(site: Site) -> str:
    """Say what to do about something that cannot be brought back."""
    return RELEASE if site.migration.destructive else f"{RELEASE}; write `-- migrate:up destructive:true`"


def _cascades(name: str) -> Told:
    fix = "drop by name what depends on it, and leave CASCADE out"
    return Told("drop-cascades", f"the drop of {name} takes along whatever depends on it", fix)


def _drop_index(act: Act, site: Site) -> Iterator[Told]:
    if not site.is_made(act.name):
        fix = "make sure that no query needs it; make its successor first, if there is one"
        yield Told("index-dropped", f"the index {act.name} is dropped", fix)


def _drop_constraint(act: Act, site: Site) -> Iterator[Told]:
    if not (site.is_new(act) or site.is_made(act.name)):
        fix = "make sure that something else keeps wrong rows out"
        yield Told("constraint-dropped", f"the constraint {act.name} of {act.table} is dropped", fix)


WHOLE = {"schema", "database", "owned"}


def _drop(act: Act, site: Site) -> Iterator[Told]:
    if act.what in WHOLE:
        what = "everything that a role owns" if act.what == "owned" else f"the {act.what} {act.name}"
        yield Told("schema-dropped", f"{what} is dropped, with all that lies in it", "drop table by table")
    elif not (site.is_made(act.name) or site.is_new(act)):
        if act.has("cascade"):
            yield _cascades(act.name)
        yield Told("object-dropped", f"the {act.what} {act.name} is dropped", "make sure that nothing uses it any more")


TWO_NAMES = "add the new one beside it, let both be written, and drop the old one in a later release"


def _rename(act: Act, site: Site) -> Iterator[Told]:
    if site.is_new(act):
        return
    if act.kind is Kind.RENAME_COLUMN:
        what = f"the column {act.table}.{act.name} is renamed to {act.to}"
    elif act.kind is Kind.RENAME_TABLE:
        what = f"the table {act.table} is {'moved' if act.has('moved') else 'renamed'} to {act.to}"
    else:
        what = f"the {act.what} {act.name} is renamed"
    fix = "leave a view of the old name where it was" if act.kind is Kind.RENAME_TABLE else TWO_NAMES
    yield Told("renamed", what, fix)


def _update(act: Act, site: Site) -> Iterator[Told]:
    if act.has("unbounded") and not site.is_new(act):
        yield Told("unbounded-update", f"every row of {act.table} is updated", IN_PARTS)
    yield from _conflict(act, site)


def _delete(act: Act, site: Site) -> Iterator[Told]:
    if act.has("unbounded") and not site.is_new(act):
        yield Told("unbounded-delete", f"every row of {act.table} is deleted", IN_PARTS)


def _triggered(act: Act, _: Site) -> Iterator[Told]:
    """Tell what a trigger will do; it runs later, when a table that is new now has rows."""
    if act.has("unbounded"):
        code = "unbounded-delete" if act.what == "deleted" else "unbounded-update"
        yield Told(code, f"every row of {act.table} is {act.what} whenever the trigger {act.name} runs", IN_PARTS)


NAMED = {Kind.CREATE, Kind.DROP, Kind.RENAME}
"""What is done to things that are called by `name`, as a view is."""
OURS = ("runner_", "sqlite_master", "sqlite_schema", "sqlite_temp_master", "sqlite_temp_schema")


def ledger(act: Act) -> Iterator[Told]:
    """Tell that *act* changes tables of the runner, or the database's table of its own schema."""
    if act.kind is Kind.READ:
        return
    names = {act.table, *(each.table for each in act.references)}
    names |= {act.to} if act.kind is Kind.RENAME_TABLE else set()
    names |= {act.name} if act.kind in NAMED else set()
    for name in sorted(each for each in names if each.rpartition(".")[2].startswith(OURS)):
        fix = "leave it alone; what the runner keeps, its commands change"
        yield Told("ledger-touched", f"{name} is not a migration's to change", fix)
    if act.kind is Kind.PRAGMA and act.name == "writable_schema" and act.what:
        yield Told("ledger-touched", "PRAGMA writable_schema opens the schema's own table to writes", "remove it")


def _truncate(act: Act, site: Site) -> Iterator[Told]:
    if act.has("cascade"):
        yield _cascades(f"the rows of {act.table}")
    if not site.is_new(act):
        fix = "delete the rows that are meant, by a condition, or leave them"
        yield Told("truncated", f"every row of {act.table} is removed", fix)


def _conflict(act: Act, site: Site) -> Iterator[Told]:
    """Tell what a conflict does: REPLACE deletes rows, ROLLBACK ends the transaction."""
    if act.has("replace", "replacing") and not site.is_new(act):
        fix = "write INSERT … ON CONFLICT … DO UPDATE, which changes the row that is there"
        yield Told("insert-or-replace", f"a row of {act.table} that conflicts is deleted and made anew", fix)
    if act.has("rollback"):
        fix = "leave OR ROLLBACK out: the runner takes the transaction back where a statement fails"
        yield Told("transaction-ended", f"a conflict in {act.table} takes the whole transaction back", fix)


def _add_column(act: Act, site: Site) -> Iterator[Told]:
    column = act.columns[0]
    filled = column.default is not Default.NONE or column.stored or column.numbered
    if column.not_null and not filled and not column.primary and not site.is_new(act):
        fix = "give it a DEFAULT, or add it without NOT NULL, fill it, and make it NOT NULL later"
        what = f"the column {act.table}.{act.name} is added as NOT NULL without a default"
        yield Told("not-null-without-default", what, fix)


def _unique(act: Act, site: Site) -> Iterator[Told]:
    """Tell of what has to be unique from now on; act is an index or a constraint."""
    unique = act.has("unique") or (act.what in {"unique", "primary key"} and not act.has("using_index"))
    if unique and not site.is_new(act):
        what = f"rows of {act.table} that stand must be unique for {act.name or 'it'} to be made"
        yield Told("unique-on-existing", what, "look for duplicates first, and let migrate:verify count them")


def _vacuum(_: Act, site: Site) -> Iterator[Told]:
    if site.migration.in_transaction:
        yield needs_no_transaction("VACUUM")


def needs_no_transaction(what: str) -> Told:
    """Tell that *what* stands in a transaction."""
    fix = "put it alone into a migration with `-- migrate:up transaction:false` and a migrate:verify"
    return Told("needs-no-transaction", f"{what} cannot run in a transaction, and this migration is one", fix)


COMMON: dict[Kind, Judge] = {
    Kind.DROP_TABLE: _drop_table,
    Kind.DROP_COLUMN: _drop_column,
    Kind.DROP_INDEX: _drop_index,
    Kind.DROP_CONSTRAINT: _drop_constraint,
    Kind.DROP: _drop,
    Kind.RENAME_TABLE: _rename,
    Kind.RENAME_COLUMN: _rename,
    Kind.RENAME: _rename,
    Kind.INSERT: _conflict,
    Kind.UPDATE: _update,
    Kind.DELETE: _delete,
    Kind.TRIGGERED: _triggered,
    Kind.TRUNCATE: _truncate,
    Kind.ADD_COLUMN: _add_column,
    Kind.CREATE_INDEX: _unique,
    Kind.ADD_CONSTRAINT: _unique,
    Kind.VACUUM: _vacuum,
}
