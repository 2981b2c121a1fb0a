"""Where an act stands: the migration around it, what was there before, and what came since."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from runner.decide.lint.acts import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runner.config.model import Migration
    from runner.decide.lint.acts import Act
    from runner.decide.lint.known import Known


class Told(NamedTuple):
    """What a judge tells: the code, a sentence with the names, and what to do about it."""

    code: str
    what: str
    fix: str


MAKING = {Kind.CREATE, Kind.CREATE_INDEX, Kind.ADD_CONSTRAINT}


class Site:
    """One migration while its up section is judged; `known` is the schema before the act that is looked at."""

    def __init__(self, migration: Migration, known: Known, acts: Iterable[Act]) -> None:
        everything = list(acts)
        self.migration = migration
        self.known = known
        self.new: set[str] = set()
        self.new_parts: set[tuple[str, str]] = set()
        self.emptied: set[str] = set()
        self.made = {act.name for act in everything if act.kind in MAKING}
        self.rebuilds = _rebuilds(everything)
        self.created = {act.table: act for act in everything if act.kind is Kind.CREATE_TABLE}

    def is_new(self, act: Act) -> bool:
        """Say whether this migration made the table, or the very part of it, that *act* is about."""
        return act.table in self.new or (act.table, act.name) in self.new_parts

    def is_made(self, name: str) -> bool:
        """Say whether this migration makes something called *name*, before or after."""
        return name in self.made

    def learn(self, act: Act) -> None:
        """Take in what *act* does, once it is judged."""
        match act.kind:
            case Kind.CREATE_TABLE:
                self.new.add(act.table)
            case Kind.RENAME_TABLE if act.table in self.new:
                self.new.discard(act.table)
                self.new.add(act.to)
            case Kind.ADD_COLUMN:
                self.new_parts.add((act.table, act.name))
            case Kind.DELETE | Kind.TRUNCATE if act.has("unbounded") or act.kind is Kind.TRUNCATE:
                self.emptied.add(act.table)
        self.known.learn(act)


def _rebuilds(acts: list[Act]) -> dict[str, str]:
    """Return which tables are dropped for one that has their rows, and takes their name: the old name, and its."""
    made: set[str] = set()
    copied: set[tuple[str, str]] = set()
    dropped: dict[str, str] = {}
    found = {}
    for act in acts:
        if act.kind is Kind.CREATE_TABLE:
            made.add(act.table)
        elif act.kind is Kind.INSERT and act.table in made:
            copied |= {(other, act.table) for other in act.others}
        elif act.kind is Kind.DROP_TABLE:
            dropped.update({old: new for old, new in copied if old == act.table})
        elif act.kind is Kind.RENAME_TABLE and dropped.get(act.to) == act.table:
            found[act.to] = act.table
    return found
