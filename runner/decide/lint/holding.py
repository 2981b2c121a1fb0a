"""The locks that a migration holds on PostgreSQL while it goes on: each stays until the commit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.decide.lint.acts import Kind
from runner.decide.lint.locks import locks
from runner.decide.lint.site import Told

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.decide.lint.acts import Act
    from runner.decide.lint.locks import Lock
    from runner.decide.lint.site import Site


class Holding:
    """What is locked, and what is to be said of it."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._stopped: list[str] = []
        self._taken: list[Lock] = []
        self._timeout = site.migration.lock_timeout_s is not None

    def take(self, act: Act) -> Iterator[Told]:
        """Note what *act* locks, and tell of rows that it changes while something is locked."""
        changing = act.kind in {Kind.UPDATE, Kind.DELETE} and not self._site.is_new(act)
        if self._stopped and (changing or act.has("from_query")):
            what = f"rows of {act.table} are changed while {', '.join(self._stopped)} is locked"
            yield Told("rows-changed-under-lock", what, "put the change of the rows into a migration of its own")
        self._taken += locks(act, self._site)
        self._timeout |= act.kind is Kind.SET and act.name == "lock_timeout"

    def say(self, found: list[Told]) -> Iterator[Told]:
        """Yield *found* of a statement, and beside it, or by itself, which locks the statement takes."""
        if not self._taken:
            yield from found
            return
        strongest = max(self._taken, key=lambda lock: lock.strength)
        tables = sorted({lock.table for lock in self._taken if lock.mode == strongest.mode})
        said = str(strongest._replace(table=" and ".join(tables)))
        first, *more = found or [Told("lock-taken", "", "nothing, where it is short")]
        yield first._replace(what=f"{first.what}; {said}" if first.what else said)
        yield from more
        if strongest.stops_writers:
            yield from self._stop(tables, said)
        self._taken = []

    def _stop(self, tables: list[str], said: str) -> Iterator[Told]:
        """Tell once for each file that nothing bounds the wait, and once that it locks table after table."""
        if not self._timeout:
            self._timeout = True
            fix = "write `-- migrate:up lock_timeout:3s`: the migration gives up then, and can be tried again"
            yield Told("no-lock-timeout", f"{said}, and so does everybody behind it while it waits itself", fix)
        alone = len(self._stopped) == 1
        new = [table for table in tables if table not in self._stopped]
        if alone and new:
            what = f"{', '.join([*self._stopped, *new])} are locked one after the other"
            yield Told("several-tables-locked", what, "give each table a migration of its own")
        self._stopped += new
