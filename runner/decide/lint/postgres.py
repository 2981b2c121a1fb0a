"""What is dangerous on PostgreSQL: who waits for whom, and for how long."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.decide.lint.acts import Default, Kind
from runner.decide.lint.common import needs_no_transaction
from runner.decide.lint.locks import locks, rewrites
from runner.decide.lint.site import Told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runner.decide.lint.acts import Act
    from runner.decide.lint.site import Site

    Judge = Callable[[Act, Site], Iterator[Told]]

LATER = "add it NOT VALID, and in a later migration VALIDATE CONSTRAINT, which lets everybody read and write"
CONCURRENTLY = "write CONCURRENTLY, alone in a migration with `-- migrate:up transaction:false` and a migrate:verify"
BESIDE = "add a new column, fill it in parts, let the application change over, and drop the old one"
USING_INDEX = "make a unique index CONCURRENTLY first, and add the constraint USING INDEX"


def _rewrite(act: Act, site: Site) -> Iterator[Told]:
    if act.has("vacuum") and site.migration.in_transaction:
        yield needs_no_transaction("VACUUM")
    why = "" if site.is_new(act) else rewrites(act, site)
    if why:
        fix = "do it in a maintenance window" if act.kind is Kind.REWRITE else BESIDE
        yield Told("table-rewritten", f"the table {act.table or 'of every name'} {why}", fix)


def _add_column(act: Act, site: Site) -> Iterator[Told]:
    yield from _rewrite(act, site)
    if site.is_new(act):
        return
    column = act.columns[0]
    if column.unique or column.primary:
        what = f"an index of {act.table}.{act.name} is made under the lock"
        yield Told("constraint-builds-index", what, f"add the column alone; {USING_INDEX}")
    if column.checked or (column.references and column.default is not Default.NONE):
        what = f"every row of {act.table} is checked for {act.name}"
        yield Told("constraint-scans-table", what, f"add the column alone; then the constraint: {LATER}")


def _set_not_null(act: Act, site: Site) -> Iterator[Told]:
    if not site.is_new(act) and (act.table, act.name) not in site.known.never_null:
        fix = f"add CHECK ({act.name} IS NOT NULL) NOT VALID, validate it in a later migration, then SET NOT NULL"
        yield Told("constraint-scans-table", f"every row of {act.table} is looked at for a NULL in {act.name}", fix)


def _add_constraint(act: Act, site: Site) -> Iterator[Told]:
    if site.is_new(act) or act.has("not_valid", "using_index"):
        return
    name = act.name or f"the {act.what}"
    if act.what in {"unique", "primary key", "exclude"}:
        fix = "do it in a maintenance window" if act.what == "exclude" else USING_INDEX
        yield Told("constraint-builds-index", f"the index of {name} is made under the lock on {act.table}", fix)
    else:
        yield Told("constraint-scans-table", f"every row of {act.table} is checked for {name}", LATER)


def _validate(act: Act, site: Site) -> Iterator[Told]:
    if site.is_made(act.name) and not site.is_new(act):
        what = f"every row of {act.table} is checked for {act.name} in the transaction that locked it"
        yield Told("constraint-scans-table", what, "put VALIDATE CONSTRAINT into a migration of its own")


def _index(act: Act, site: Site) -> Iterator[Told]:
    if act.has("concurrently"):
        if site.migration.in_transaction:
            yield needs_no_transaction("CONCURRENTLY")
        looked_at = any("indisvalid" in each.sql.lower() for each in site.migration.verify)
        if act.kind is Kind.CREATE_INDEX and act.has("exists") and not looked_at:
            what = f"the index {act.name} may be there from a try that failed, and IF NOT EXISTS takes it for done"
            yield Told("index-may-be-invalid", what, "ask pg_index.indisvalid in migrate:verify")
    elif act.kind is not Kind.DROP_INDEX and not site.is_new(act):
        again = "again " if act.kind is Kind.REINDEX else ""
        what = f"the index {act.name} is made {again}while {act.table} cannot be written".replace("  ", " ")
        yield Told("index-locks-writes", what, CONCURRENTLY)


def _alter(act: Act, site: Site) -> Iterator[Told]:
    if act.has("disabled") and not site.is_new(act):
        what = f"triggers of {act.table} are disabled: {act.name}"
        yield Told("triggers-disabled", what, "leave them on, or check afterwards what they would have")
    if act.has("row_security") and not site.is_new(act):
        what = f"who sees which rows of {act.table} changes"
        yield Told("row-security-changed", what, "make its policies first, and try it with the application's role")
    if act.has("concurrently") and site.migration.in_transaction:
        yield needs_no_transaction("CONCURRENTLY")


def _whole(act: Act, site: Site) -> Iterator[Told]:
    if act.what in {"database", "tablespace"} and site.migration.in_transaction:
        verb = "CREATE" if act.kind is Kind.CREATE else "DROP"
        yield needs_no_transaction(f"{verb} {act.what.upper()}")


def _add_value(act: Act, _: Site) -> Iterator[Told]:
    fix = "put it into a migration of its own, before those that use it; a table with a foreign key is easier to change"
    yield Told("enum-value-added", f"the type {act.name} gets a value that stays for good", fix)


def _lock(act: Act, site: Site) -> Iterator[Told]:
    if locks(act, site):
        what = f"the table {act.table} is locked until the migration is over"
        yield Told("table-locked", what, "leave it out: each statement takes the lock that it needs")


def _refresh(act: Act, site: Site) -> Iterator[Told]:
    if not (act.has("concurrently") or site.is_made(act.table)):
        what = f"the view {act.table} cannot be read until its query has run"
        yield Told("view-refreshed", what, "write REFRESH MATERIALIZED VIEW CONCURRENTLY; it needs a unique index")


def _set(act: Act, _: Site) -> Iterator[Told]:
    if act.name == "session_replication_role":
        yield Told("triggers-disabled", "session_replication_role says which triggers run", "leave them on")


def _grant(act: Act, _: Site) -> Iterator[Told]:
    what = f"everybody is granted {act.name}"
    yield Told("granted-to-everybody", what, "grant it to the roles that need it")


POSTGRES: dict[Kind, Judge] = {
    Kind.ADD_COLUMN: _add_column,
    Kind.ALTER_TYPE: _rewrite,
    Kind.REWRITE: _rewrite,
    Kind.SET_NOT_NULL: _set_not_null,
    Kind.ADD_CONSTRAINT: _add_constraint,
    Kind.VALIDATE_CONSTRAINT: _validate,
    Kind.CREATE_INDEX: _index,
    Kind.DROP_INDEX: _index,
    Kind.REINDEX: _index,
    Kind.ALTER_TABLE: _alter,
    Kind.CREATE: _whole,
    Kind.DROP: _whole,
    Kind.ADD_VALUE: _add_value,
    Kind.LOCK: _lock,
    Kind.REFRESH: _refresh,
    Kind.SET: _set,
    Kind.GRANT: _grant,
}
