"""Migrations: a file's statements and the ledger row that says so, in one transaction."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runner.errors import Problem, StepFailed, Where
from runner.store.digest import canonical
from runner.store.names import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runner.clock import Clock
    from runner.config.model import Migration
    from runner.store.backend import Backend
    from runner.store.ledger import Ledger
    from runner.store.lock import Lock


def apply(backend: Backend, ledger: Ledger, lock: Lock, clock: Clock, migration: Migration, run_id: str) -> None:
    """
    Apply *migration* and record which schema objects it really made.

    One that cannot run in a transaction is recorded as begun, run, verified and recorded as done. Found begun, it is
    verified first and run again only where it has not taken effect.
    """
    if not migration.in_transaction:
        _apply_outside(backend, ledger, lock, clock, migration, run_id)
        return
    with lock.transaction():
        before = backend.objects()
        backend.run(migration, migration.up)
        verify(backend, migration)
        made = backend.objects() - before
        _record(ledger, clock, migration, run_id, made, done=True)
        _record_rows(backend, ledger, migration, made)


def _apply_outside(
    backend: Backend, ledger: Ledger, lock: Lock, clock: Clock, migration: Migration, run_id: str
) -> None:
    begun = any(row["version"] == migration.version and row["state"] == "begun" for row in ledger.migrations())
    if not begun:
        with lock.transaction():
            ledger.keep_objects_before(migration.version, backend.objects())
            _record(ledger, clock, migration, run_id, (), done=False)
    if not (begun and all(backend.holds(query) for query in migration.verify)):
        backend.run(migration, migration.up)
        verify(backend, migration)
    with lock.transaction():
        made = backend.objects() - ledger.objects_before(migration.version)
        _record(ledger, clock, migration, run_id, made, done=True)
        _record_rows(backend, ledger, migration, made)


def verify(backend: Backend, migration: Migration) -> None:
    """Run the verify queries of *migration*; StepFailed names the first that is not true."""
    for query in migration.verify:
        if not backend.holds(query):
            raise StepFailed(
                Problem(
                    f"migration {migration.version}_{migration.name} ran, but its verify query is not true",
                    Where(os.path.relpath(migration.path), query.line),
                    "correct the migration or the query, and run the same command again",
                )
            )


def _record_rows(backend: Backend, ledger: Ledger, migration: Migration, made: Iterable[str]) -> None:
    """Note which rows the migration put into tables that it made: a rollback may drop what holds no others."""
    for table in made:
        kind, _, name = table.partition(" ")
        if kind == "table":
            columns = ", ".join(map(quoted, backend.primary_key(name)))
            keys = map(canonical, backend.stream(f"SELECT {columns} FROM {quoted(name)}"))
            ledger.record_made_rows(migration.version, name, keys)


def _record(
    ledger: Ledger, clock: Clock, migration: Migration, run_id: str, objects: Iterable[str], *, done: bool
) -> None:
    ledger.record_migration(
        migration.version, migration.name, migration.checksum, objects, run_id, clock.now(), done=done
    )
