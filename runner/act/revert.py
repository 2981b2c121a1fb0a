"""Revert migrations: their down sections, without what would drop things that the rollout did not make."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection

    from runner.config.model import Migration, Statement

_GAP = r"(?:\s|--[^\n]*(?:\n|\Z)|/\*(?s:.*?)\*/)*"
_NAME = r"""(?:"(?:[^"]|"")+"|'(?:[^']|'')+'|`(?:[^`]|``)+`|\[[^\]]+\]|[^\s;."'`\[/-]+)"""
_DROP = re.compile(
    rf"{_GAP}DROP\b{_GAP}(?P<kind>TABLE|INDEX|VIEW|TRIGGER)\b{_GAP}(?:IF\b{_GAP}EXISTS\b{_GAP})?"
    rf"(?:{_NAME}{_GAP}\.{_GAP})?(?P<name>{_NAME})",
    re.IGNORECASE,
)


class Reverting(NamedTuple):
    """
    What it takes to revert a migration.

    `made` are the schema objects that it made; `run` its down section; `skipped` what of that would drop objects that
    are not the rollout's, each as `kind name`.
    """

    migration: Migration
    made: frozenset[str]
    run: tuple[Statement, ...]
    skipped: tuple[str, ...]


def dropped(sql: str) -> str | None:
    """Return what a DROP statement drops as `kind name`; None for any other statement."""
    found = _DROP.match(sql)
    return f"{found['kind'].lower()} {_plain(found['name'])}" if found else None


def _plain(name: str) -> str:
    """Return an identifier as the schema has it, without its quotes."""
    if name[0] in "\"'`":
        return name[1:-1].replace(name[0] * 2, name[0])
    return name[1:-1] if name[0] == "[" else name


def reverting(
    migration: Migration, made: Collection[str], by_rollout: Collection[str], there: Collection[str]
) -> Reverting:
    """
    Return what reverting *migration* runs, where *made* are its own objects and *by_rollout* those of all migrations.

    What is *there* and was not made by the rollout stays, whatever the down section says.
    """
    others = {name.lower() for name in there} - {name.lower() for name in by_rollout}
    run: list[Statement] = []
    skipped: list[str] = []
    for statement in migration.down:
        what = dropped(statement.sql)
        if what is not None and what.lower() in others:
            skipped.append(what)
        else:
            run.append(statement)
    return Reverting(migration, frozenset(made), tuple(run), tuple(skipped))
