"""
The ledger as a snapshot has it: state goes back to what it was, history stays.

Works inside the transaction that brings the snapshot back, where its tables stand beside the others as `kept.<table>`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from runner.clock import timestamp

if TYPE_CHECKING:
    from datetime import datetime

    from runner.store.backend import Backend, Beside

STATE = ("runner_migrations", "runner_seeds", "runner_changes", "runner_props", "runner_made_rows")
"""Tables that say how things are; the others say what was done, and are added to only."""
PASSAGE = ("state", "ticks", "digest", "summary_json", "breach", "left_at", "undone_at", "undone_by")


def made_since(backend: Backend) -> frozenset[str]:
    """Return what migrations made that the snapshot does not know as done, each as `kind name`."""
    rows = backend.stream(
        "SELECT objects_json FROM runner_migrations WHERE version NOT IN"
        " (SELECT version FROM kept.runner_migrations WHERE state = 'done')"
    )
    return frozenset(name for (made,) in rows for name in json.loads(made))


def migrations_since(backend: Backend) -> list[str]:
    """Return the migrations that stand, and that the snapshot does not know as done: version and name, in order."""
    rows = backend.stream(
        "SELECT version, name FROM runner_migrations WHERE state <> 'reverted' AND version NOT IN"
        " (SELECT version FROM kept.runner_migrations WHERE state = 'done') ORDER BY length(version), version"
    )
    return ["_".join(row) for row in rows]


def set_back(backend: Backend, beside: Beside, run_id: str, at: datetime) -> None:
    """
    Set the state in the ledger back to that of the snapshot; runs, configs, steps and measurements stay.

    Stages that were entered since and still stand become `abandoned`, by *run_id*. One that was open then is open
    again, and what was measured in it since is forgotten: its ticks are counted from where they stood.
    """
    for table in STATE:
        backend.execute(f"DELETE FROM {table}")
        _copy(backend, beside, table)
    _set_stages_back(backend, run_id, at)
    for table in ("runner_samples", "runner_verdicts"):
        backend.execute(f"DELETE FROM {table} WHERE {_OPEN}")
        _copy(backend, beside, table, _OPEN)
    begun = "substr(name, 1, 15) = 'objects_before_'"
    backend.execute(f"DELETE FROM runner_meta WHERE {begun}")
    _copy(backend, beside, "runner_meta", begun)


_OPEN = "stage_id IN (SELECT id FROM kept.runner_stages WHERE state = 'entered')"


def _copy(backend: Backend, beside: Beside, table: str, condition: str = "1 = 1") -> None:
    """Copy the rows that meet *condition*, in the columns that this form of the table and the snapshot's both have."""
    common = ", ".join(name for name in backend.columns(table) if name in beside.columns(table))
    if common:
        backend.execute(f"INSERT INTO {table} ({common}) SELECT {common} FROM kept.{table} WHERE {condition}")


def _set_stages_back(backend: Backend, run_id: str, at: datetime) -> None:
    columns = ", ".join(PASSAGE)
    backend.execute(
        f"UPDATE runner_stages SET ({columns}) ="
        f" (SELECT {columns} FROM kept.runner_stages AS k WHERE k.id = runner_stages.id)"
        " WHERE id IN (SELECT id FROM kept.runner_stages)"
    )
    backend.execute(
        "UPDATE runner_stages SET state = 'abandoned', undone_at = :at, undone_by = :run_id"
        " WHERE state IN ('entered', 'passed') AND id NOT IN (SELECT id FROM kept.runner_stages)",
        {"at": timestamp(at), "run_id": run_id},
    )
