"""Migrations: a file's statements and the ledger row that says so, in one transaction."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runner.errors import Problem, StepFailed, Where

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runner.clock import Clock
    from runner.config.model import Migration
    from runner.store.backend import Backend
    from runner.store.ledger import Ledger
    from runner.store.lock import Lock


def apply(
    backend: Backend, ledger: Ledger, lock: Lock, clock: Clock, migration: Migration, run_id: str, known: frozenset[str]
) -> frozenset[str]:
    """
    Apply *migration* and return the schema objects that stand afterwards; *known* are those that stood before.

    One that cannot run in a transaction is recorded as begun, run, verified and recorded as done. Found begun, it is
    verified first and run again only where it has not taken effect.
    """
    if not migration.in_transaction:
        return _apply_outside(backend, ledger, lock, clock, migration, run_id, known)
    with lock.transaction():
        backend.run(migration, migration.up)
        verify(backend, migration)
        now = backend.objects()
        _record(ledger, clock, migration, run_id, now - known, done=True)
    return now


def _apply_outside(
    backend: Backend, ledger: Ledger, lock: Lock, clock: Clock, migration: Migration, run_id: str, known: frozenset[str]
) -> frozenset[str]:
    begun = any(row["version"] == migration.version for row in ledger.migrations())
    if begun:
        known = ledger.objects_before(migration.version)
    else:
        with lock.transaction():
            ledger.keep_objects_before(migration.version, known)
            _record(ledger, clock, migration, run_id, (), done=False)
    if not (begun and all(backend.holds(query) for query in migration.verify)):
        backend.run(migration, migration.up)
        verify(backend, migration)
    now = backend.objects()
    with lock.transaction():
        _record(ledger, clock, migration, run_id, now - known, done=True)
    return now


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


def _record(
    ledger: Ledger, clock: Clock, migration: Migration, run_id: str, objects: Iterable[str], *, done: bool
) -> None:
    ledger.record_migration(
        migration.version, migration.name, migration.checksum, objects, run_id, clock.now(), done=done
    )
