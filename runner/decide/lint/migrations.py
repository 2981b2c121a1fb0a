"""
The door of the lint: migrations go in, findings come out.

Pure, and it never fails: what it cannot read is a finding. The up sections are judged for danger, one after the other,
each by what those before it made. A down section takes things away by nature: it is only asked whether it takes enough.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.decide.lint.acts import NotUnderstood
from runner.decide.lint.common import COMMON, ledger
from runner.decide.lint.holding import Holding
from runner.decide.lint.ignores import Heard, heard
from runner.decide.lint.known import Known
from runner.decide.lint.postgres import POSTGRES
from runner.decide.lint.reading import read
from runner.decide.lint.rules import BY_CODE
from runner.decide.lint.site import Site, Told
from runner.decide.lint.sqlite import SQLITE
from runner.decide.lint.whole import left_behind, missing
from runner.decide.risk import Finding
from runner.errors import Where

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from runner.config.model import Migration, Statement
    from runner.decide.lint.acts import Act

    Read = list[tuple[Statement, tuple[Act, ...] | NotUnderstood]]

ENGINES = {"sqlite": SQLITE, "postgres": POSTGRES}
"""What is dangerous on which engine, beside what is on both."""
SHOWN = 60
"""Characters of a statement that a finding shows."""


def lint(migrations: Iterable[Migration], engine: str, others: Sequence[Finding] | None = None) -> list[Finding]:
    """Return what is dangerous about *migrations*, and no comment in them lets through; see `examined`."""
    return examined(migrations, engine, others).left


def examined(migrations: Iterable[Migration], engine: str, others: Sequence[Finding] | None = None) -> Heard:
    """
    Return what is dangerous about *migrations* on *engine* (a key of ENGINES), in their order, and what is let through.

    *others* are findings of another lint, squawk, that join in and are let through by the same comments; None where it
    was not asked.
    """
    known = Known()
    joining: dict[str, list[Finding]] = {}
    for finding in others or ():
        joining.setdefault(finding.where.file, []).append(finding)
    found = Heard([], [])
    for migration in migrations:
        told = [*_File(migration, known, engine).findings(), *joining.get(str(migration.path), ())]
        for whole, part in zip(found, heard(migration, told, squawked=others is not None), strict=True):
            whole.extend(sorted(part, key=lambda finding: finding.where.line or 0))
    return found


class _File:
    """One migration being judged; *known* learns from it."""

    def __init__(self, migration: Migration, known: Known, engine: str) -> None:
        self._migration = migration
        self._engine = engine
        self._up, self._down = (_read(part, engine) for part in (migration.up, migration.down))
        acts = [act for _, acts in self._up if not isinstance(acts, NotUnderstood) for act in acts]
        self._site = Site(migration, known, acts)
        self._holding = Holding(self._site)

    def findings(self) -> Iterator[Finding]:
        """Yield what is to be told of the file, before anybody lets some of it through."""
        yield from (self._finding(told, 1) for told in missing(self._migration))
        for statement, acts in self._up:
            if isinstance(acts, NotUnderstood):
                yield self._finding(_not_understood(statement, acts), statement.line)
                continue
            for told in dict.fromkeys(self._judged(acts)):
                yield self._finding(told, statement.line)
        yield from self._way_back()

    def _finding(self, told: Told, line: int) -> Finding:
        return Finding(told.code, BY_CODE[told.code].risk, told.what, Where(str(self._migration.path), line), told.fix)

    def _judged(self, acts: tuple[Act, ...]) -> Iterator[Told]:
        """Yield what is told of a statement, and take it in."""
        found: list[Told] = []
        for act in acts:
            found += ledger(act)
            for judges in (COMMON, ENGINES[self._engine]):
                if act.kind in judges:
                    found += judges[act.kind](act, self._site)
            if self._engine == "postgres":
                found += self._holding.take(act)
            self._site.learn(act)
        yield from self._holding.say(sorted(found, key=lambda told: -BY_CODE[told.code].risk.rank))

    def _way_back(self) -> Iterator[Finding]:
        """Yield what the down section must not touch, and leaves behind; of what cannot be read, only that."""
        unread = [(statement, acts) for statement, acts in self._down if isinstance(acts, NotUnderstood)]
        for statement, why in unread:
            yield self._finding(_not_understood(statement, why), statement.line)
        for statement, act in _each(self._down):
            yield from (self._finding(told, statement.line) for told in ledger(act))
        if unread or not self._migration.down or self._migration.destructive:
            return
        up = [(statement.line, act) for statement, act in _each(self._up)]
        for line, told in left_behind(up, [act for _, act in _each(self._down)]):
            yield self._finding(told, line)


def _read(statements: Iterable[Statement], engine: str) -> Read:
    found: Read = []
    for statement in statements:
        try:
            found.append((statement, read(statement.sql, engine)))
        except NotUnderstood as why:
            found.append((statement, why))
    return found


def _each(read: Read) -> Iterator[tuple[Statement, Act]]:
    for statement, acts in read:
        if not isinstance(acts, NotUnderstood):
            yield from ((statement, act) for act in acts)


def _not_understood(statement: Statement, why: NotUnderstood) -> Told:
    shown = " ".join(statement.sql.split())
    shown = shown if len(shown) <= SHOWN else f"{shown[: SHOWN - 1]}…"
    fix = "judge it yourself, and say so above it: `-- lint:ignore not-understood REASON`"
    return Told("not-understood", f"the lint could not read `{shown}`: {why}", fix)
