"""Which lock a statement takes on PostgreSQL, on which table, and who waits for it (chapter 13.3 of its manual)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from runner.decide.lint.acts import Default, Kind
from runner.decide.lint.commands import EXCLUSIVE, SHARE_ROW, SHARE_UPDATE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.decide.lint.acts import Act
    from runner.decide.lint.site import Site

SHARE = "SHARE"
STRENGTH = ("", SHARE_UPDATE, SHARE, SHARE_ROW, "EXCLUSIVE", EXCLUSIVE)
"""From least to most. What is weaker lets everybody read and write and all but the rarest changes of the schema."""
WAITS = {
    SHARE_UPDATE: "other changes of its schema wait",
    SHARE: "writers wait",
    SHARE_ROW: "writers wait",
    "EXCLUSIVE": "writers wait",
    EXCLUSIVE: "readers and writers wait",
}


class Lock(NamedTuple):
    """A lock on a table, by PostgreSQL's own name."""

    mode: str
    table: str

    @property
    def strength(self) -> int:
        """Its place in STRENGTH; 0 is none that anybody waits for."""
        return STRENGTH.index(self.mode) if self.mode in STRENGTH else 0

    @property
    def stops_writers(self) -> bool:
        return self.strength >= STRENGTH.index(SHARE)

    def __str__(self) -> str:
        return f"takes {self.mode} on {self.table}: {WAITS[self.mode]}"


_FIXED = {
    Kind.DROP_TABLE: EXCLUSIVE,
    Kind.RENAME_TABLE: EXCLUSIVE,
    Kind.ADD_COLUMN: EXCLUSIVE,
    Kind.DROP_COLUMN: EXCLUSIVE,
    Kind.RENAME_COLUMN: EXCLUSIVE,
    Kind.ALTER_TYPE: EXCLUSIVE,
    Kind.SET_NOT_NULL: EXCLUSIVE,
    Kind.DROP_CONSTRAINT: EXCLUSIVE,
    Kind.REWRITE: EXCLUSIVE,
    Kind.TRUNCATE: EXCLUSIVE,
    Kind.VALIDATE_CONSTRAINT: SHARE_UPDATE,
}
_UNLESS_CONCURRENTLY = {
    Kind.CREATE_INDEX: (SHARE, SHARE_UPDATE),
    Kind.DROP_INDEX: (EXCLUSIVE, SHARE_UPDATE),
    Kind.REINDEX: (SHARE, SHARE_UPDATE),
    Kind.REFRESH: (EXCLUSIVE, "EXCLUSIVE"),
}


def locks(act: Act, site: Site) -> list[Lock]:
    """Return what *act* locks of what stood before the migration, strongest first."""
    found = [lock for lock in _locks(act, site) if lock.strength and lock.table and lock.table not in site.new]
    return sorted(found, key=lambda lock: -lock.strength)


def _locks(act: Act, site: Site) -> Iterator[Lock]:
    for reference in act.references:
        yield Lock(SHARE_ROW, reference.table)
    if act.kind in _FIXED:
        yield Lock(_FIXED[act.kind], act.table)
    elif act.kind in _UNLESS_CONCURRENTLY:
        table = act.table or site.known.indexes.get(act.name, f"the table of {act.name}")
        yield Lock(_UNLESS_CONCURRENTLY[act.kind][act.has("concurrently")], table)
    elif act.kind in {Kind.ALTER_TABLE, Kind.LOCK}:
        yield Lock(act.what, act.table)
    elif act.kind is Kind.ADD_CONSTRAINT:
        yield Lock(SHARE_ROW if act.what == "foreign key" else EXCLUSIVE, act.table)
    elif act.kind is Kind.CREATE_TABLE and act.has("partition"):
        yield from (Lock(EXCLUSIVE, other) for other in act.others)
    elif act.kind in {Kind.CREATE, Kind.DROP} and act.table:
        yield Lock(SHARE_ROW if act.kind is Kind.CREATE and act.what == "trigger" else EXCLUSIVE, act.table)


def rewrites(act: Act, site: Site) -> str:
    """Say why *act* writes every row of its table again; empty where it does not."""
    if act.kind is Kind.REWRITE:
        return "is written again"
    if act.kind is Kind.ALTER_TYPE:
        before = site.known.column(act.table, act.name)
        kept = before is not None and _widens(before.type, act.to)
        return "" if kept else f"is written again: {act.name} becomes {act.to}"
    column = act.columns[0]
    if column.default is Default.EACH or column.stored or column.numbered:
        return f"is written again: {act.name} gets a value of its own in every row"
    return ""


TEXT = frozenset({"TEXT", "VARCHAR"})


def _widens(old: str, new: str) -> bool:
    """Say whether every *old* is a *new* as it is stored; then PostgreSQL changes no row."""
    name, _, length = old.partition("(")
    wider, _, most = new.partition("(")
    if name not in TEXT or wider not in TEXT:
        return old == new
    return not most or (bool(length) and int(length.rstrip(")")) <= int(most.rstrip(")")))
