"""What is told of a migration file as a whole: its way back, and whether anybody looks at what it did."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from runner.decide.lint.acts import Kind
from runner.decide.lint.site import Told

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from runner.config.model import Migration
    from runner.decide.lint.acts import Act


def missing(migration: Migration) -> Iterator[Told]:
    """Tell which sections are not there; a migration that is declared destructive needs no way back."""
    if not migration.down and not migration.destructive:
        fix = "write what takes it back below `-- migrate:down`, or `-- migrate:up destructive:true` where nothing can"
        yield Told("down-missing", "there is no migrate:down", fix)
    if not migration.verify:
        fix = "write below `-- migrate:verify` queries that are true once it is done"
        yield Told("verify-missing", "there is no migrate:verify", fix)


class _Undone(NamedTuple):
    """What a down section takes away: tables (a rebuilt one counts), things by name, columns, and names given back."""

    tables: set[str]
    names: set[str]
    columns: set[tuple[str, str]]
    renamed: set[tuple[str, str, str]]
    everything: bool


def left_behind(up: Iterable[tuple[int, Act]], down: Iterable[Act]) -> Iterator[tuple[int, Told]]:
    """Tell what *up*, whose acts come with their lines, makes and neither it nor *down* takes away."""
    acts = list(up)
    undone = _undone([*down, *(act for _, act in acts if act.kind in TAKING)])
    made = {act.table for _, act in acts if act.kind is Kind.CREATE_TABLE}
    called = {act.to: act.table for _, act in acts if act.kind is Kind.RENAME_TABLE and act.table in made}
    for line, act in acts if not undone.everything else ():
        later = next((new for new, old in called.items() if old == act.table), act.table)
        what = _stays(act, later, undone, made)
        if what:
            fix = "take it back below `-- migrate:down`"
            yield line, Told("down-incomplete", f"migrate:down leaves {what}", fix)


TAKING = {Kind.DROP_TABLE, Kind.DROP_INDEX, Kind.DROP_COLUMN, Kind.DROP_CONSTRAINT, Kind.DROP}


def _undone(acts: list[Act]) -> _Undone:
    names = TAKING - {Kind.DROP_TABLE, Kind.DROP_COLUMN}
    return _Undone(
        {act.table for act in acts if act.kind is Kind.DROP_TABLE},
        {act.name for act in acts if act.kind in names},
        {(act.table, act.name) for act in acts if act.kind is Kind.DROP_COLUMN},
        {(act.table, act.name, act.to) for act in acts if act.kind in {Kind.RENAME_TABLE, Kind.RENAME_COLUMN}},
        any(act.kind is Kind.DROP and act.what in {"schema", "owned"} for act in acts),
    )


def _stays(act: Act, table: str, undone: _Undone, made: set[str]) -> str:
    """Say what of *act* stays, its table being called *table* in the end; empty where nothing does."""
    if {act.table, table} & undone.tables:
        return ""
    if act.kind is Kind.CREATE_TABLE:
        return f"the table {table}"
    if act.table in made:
        return ""  # it goes with its table
    if act.kind in {Kind.RENAME_TABLE, Kind.RENAME_COLUMN}:
        return _keeps_its_name(act, undone)
    return "" if _is_undone(act, undone) else _part(act)


def _is_undone(act: Act, undone: _Undone) -> bool:
    if act.kind is Kind.ADD_COLUMN:
        return (act.table, act.name) in undone.columns
    return not act.name or act.name in undone.names or act.has("replace") or act.what == "extension"


def _part(act: Act) -> str:
    """Name what *act* makes beside tables; empty where it makes nothing that could stay."""
    return {
        Kind.ADD_COLUMN: f"the column {act.table}.{act.name}",
        Kind.CREATE_INDEX: f"the index {act.name}",
        Kind.ADD_CONSTRAINT: f"the constraint {act.name} of {act.table}",
        Kind.CREATE: f"the {act.what} {act.name}",
    }.get(act.kind, "")


def _keeps_its_name(act: Act, undone: _Undone) -> str:
    if act.kind is Kind.RENAME_TABLE:
        back = (act.to, "", act.table) in undone.renamed or act.to in undone.tables
        return "" if back or act.has("moved") else f"the table {act.table} under its new name {act.to}"
    back = (act.table, act.to, act.name) in undone.renamed
    return "" if back else f"the column {act.table}.{act.name} under its new name {act.to}"
