"""A statement's text becomes what it does; every way of reading is tried before it is called not understood."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from runner.decide.lint.acts import Act, Kind, NotUnderstood
from runner.decide.lint.commands import POSTGRES, POSTGRES_ALTER, SQLITE, inserted, spoken
from runner.decide.lint.text import IDENTIFIER, alter_table, body_of_trigger, known_as, without_comments
from runner.decide.lint.tree import acts

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_CHARACTERS = 100_000
"""A longer statement, other than rows to insert, is not read: parsing takes a second for each so many."""

WRITTEN = {Kind.INSERT: "inserted", Kind.UPDATE: "updated", Kind.DELETE: "deleted"}
"""What a trigger does to rows, in a word."""
_TRIGGER = re.compile(r"CREATE\s+(?:TEMP(?:ORARY)?\s+)?TRIGGER\b", re.IGNORECASE)
_TABLE_OPTION = r"(?:STRICT|WITHOUT\s+ROWID)"
_TABLE_OPTIONS = re.compile(rf"\)\s*{_TABLE_OPTION}(?:\s*,\s*{_TABLE_OPTION})*\s*\Z", re.IGNORECASE)
_UPDATE_OR = re.compile(r"\AUPDATE\s+OR\s+(\w+)\s+", re.IGNORECASE)
_ADD_UNTYPED = re.compile(rf"ADD\s+(?:COLUMN\s+)?{IDENTIFIER}", re.IGNORECASE)
_DROP_SHORT = re.compile(r"\ADROP\s+(?!COLUMN\b|CONSTRAINT\b)", re.IGNORECASE)


def read(sql: str, engine: str) -> tuple[Act, ...]:
    """Return what *sql*, one statement for *engine* (sqlite or postgres), does; NotUnderstood says why it cannot."""
    text = without_comments(sql)
    rows = inserted(text)
    if rows is not None:
        return rows
    if len(text) > MOST_CHARACTERS:
        raise NotUnderstood(f"it has {len(text):,} characters, and {MOST_CHARACTERS:,} are the most that are read")
    found = spoken(text, SQLITE if engine == "sqlite" else POSTGRES)
    if found is not None:
        return (*found, *_triggered(text, found[0].name)) if engine == "sqlite" else found
    altered = alter_table(text)
    if altered is not None:
        return tuple(_altering(*altered, engine))
    return _sqlite(text) if engine == "sqlite" else tuple(acts(text, engine))


def _triggered(text: str, name: str) -> Iterator[Act]:
    """Yield which tables the trigger *name* will write; `what` says how, and `unbounded` that it means every row."""
    for statement in body_of_trigger(text) if _TRIGGER.match(text) else ():
        for act in inserted(statement) or _sqlite(statement):
            if act.kind in WRITTEN:
                yield Act(Kind.TRIGGERED, act.table, name, what=WRITTEN[act.kind], flags=act.flags & {"unbounded"})


def _sqlite(text: str) -> tuple[Act, ...]:
    """Read what is SQLite's own, and what sqlglot does not know of it."""
    conflict = _UPDATE_OR.match(text)
    plain = _UPDATE_OR.sub("UPDATE ", _TABLE_OPTIONS.sub(")", text))
    flag = conflict[1].lower() if conflict else ""
    return tuple(act._replace(flags=act.flags | {flag}) if flag else act for act in acts(plain, "sqlite"))


def _altering(table: str, actions: list[str], engine: str) -> list[Act]:
    """Read each action by itself: one that is unknown does not hide the others."""
    flags = {"many"} if len(actions) > 1 else set()
    found: list[Act] = []
    for action in actions:
        said = spoken(action, POSTGRES_ALTER) if engine == "postgres" else None
        if said is None:
            said = tuple(acts(f"ALTER TABLE {table} {_in_full(action)}", engine))
        found += [act._replace(table=known_as(table), flags=act.flags | flags) for act in said]
    return found


def _in_full(action: str) -> str:
    """Return *action* with what sqlglot wants to see: the word COLUMN, and a type (BLOB is what SQLite calls none)."""
    return f"{action} BLOB" if _ADD_UNTYPED.fullmatch(action) else _DROP_SHORT.sub("DROP COLUMN ", action)
