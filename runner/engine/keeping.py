"""
Snapshots: taken before what may have to be taken back, and brought back.

A snapshot holds the tables that the rollout may touch: those that it fills, those that migrations made or speak of, and
the runner's own. Brought back, tables are to the byte what they were; history in the ledger stays.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from runner import __version__
from runner.clock import timestamp
from runner.config.model import DISABLED
from runner.decide.machine import Signal, State
from runner.engine.site import open_site
from runner.errors import Mismatch, Problem, Where
from runner.store import earlier
from runner.store.connect import state_folder
from runner.store.ledger import VERSION
from runner.store.mentions import Mentions
from runner.store.snapshot import Shelf, Snapshot
from runner.store.tables import TABLES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from runner.clock import Clock
    from runner.config.model import Rollout
    from runner.engine.site import Site
    from runner.events import Teller
    from runner.store.backend import Backend, Beside, Loss
    from runner.store.ledger import Run
    from runner.store.lock import Lock

LEVEL = "restore"
"""What the ledger calls the run that brings a snapshot back."""
NEVER = "runner_lock"
"""Who works here is no state of the rollout."""


class Restored(NamedTuple):
    """How a restore ended: the run that did it, what it took away, where the rollout stands, and the way back."""

    run_id: str
    losses: list[Loss]
    stage: str
    taken_before: Snapshot | None


def shelf_of(rollout: Rollout) -> Shelf:
    """Return where the snapshots of *rollout* stand in its environment."""
    named = rollout.snapshots.folder
    place = rollout.environment
    return Shelf(Path(named) if named else state_folder(place.database, place.engine) / "snapshots")


class Keeper:
    """Takes snapshots of what *rollout* may touch in the database behind *backend*, and brings them back."""

    def __init__(
        self, rollout: Rollout, backend: Backend, clock: Clock, tell: Teller, lock: Lock | None = None
    ) -> None:
        self._site = open_site(rollout, backend, clock, lock)
        self._tell = tell.bind(rollout=rollout.name)
        self.shelf = shelf_of(rollout)

    # taking

    def take(self, reason: str, *, is_automatic: bool = True, spare: str | None = None) -> Snapshot | None:
        """
        Take a snapshot because of *reason*, compare it, and remove automatic ones that are too many, but not *spare*.

        None where the database has no table yet. Raises StepFailed where it cannot be written, or not exactly.
        """
        site = self._site
        names = site.backend.tables() - {NEVER}
        if not names:
            return None
        self._make_known()
        began, at = site.clock.monotonic(), site.clock.now()
        with self.shelf.writing(at) as (snapshot_id, path):
            tables = site.backend.copy(self._mentioned(), path)
            described = self._describe(snapshot_id, at, reason, tables, is_automatic=is_automatic)
            snapshot = self.shelf.put(described)
        self._tell(
            "snapshot.taken",
            id=snapshot.id,
            reason=reason,
            tables=len(tables),
            rows=snapshot.rows,
            size_bytes=snapshot.size_bytes,
            seconds=round(site.clock.monotonic() - began, 3),
        )
        in_use = {snapshot.id, spare or ""}  # by a clock that was set back, the new one is the oldest
        for old in self.shelf.prune(snapshot.database_id, site.rollout.snapshots.keep, in_use):
            self._tell("snapshot.pruned", id=old.id, reason=old.reason, created_at=old.created_at)
        return snapshot

    def _make_known(self) -> None:
        """Give the database what tells it from others, where it has that not yet."""
        ledger = self._site.ledger
        if ledger.database_id is None:
            with self._site.backend.transaction():
                ledger.create()

    def _mentioned(self) -> Mentions:
        """Return the names that the rollout may touch, and with them many that are not tables."""
        site = self._site
        ledger = {name for name in site.backend.tables() - {NEVER} if name.startswith("runner_")}
        made = (name.partition(" ")[2] for name in site.ledger.made_objects())
        declared = (
            statement.sql
            for migration in site.rollout.migrations
            for statement in (*migration.up, *migration.down, *migration.verify)
        )
        return Mentions([*(table.name for table in TABLES), *ledger, *made, *declared])

    def _describe(
        self, snapshot_id: str, at: datetime, reason: str, tables: dict[str, int], *, is_automatic: bool
    ) -> Snapshot:
        site = self._site
        place = site.rollout.environment
        return Snapshot(
            id=snapshot_id,
            created_at=timestamp(at),
            reason=reason,
            is_automatic=is_automatic,
            rollout=site.rollout.name,
            environment=place.name,
            stage=site.survey.stands_at(),
            engine=place.engine,
            database_id=str(site.ledger.database_id),
            ledger_version=VERSION,
            runner_version=__version__,
            tables=tables,
            size_bytes=0,
            sha256="",
        )

    # bringing back

    def find(self, snapshot_id: str) -> Snapshot:
        """Return a snapshot that can be brought back; Mismatch where it is damaged, newer, or not of this database."""
        snapshot = self.shelf.read(snapshot_id)
        self._refuse_other(snapshot)
        self.shelf.check(snapshot)
        return snapshot

    def _refuse_other(self, snapshot: Snapshot) -> None:
        site, where = self._site, Where(str(self.shelf.copy_of(snapshot)))
        rollout, engine = site.rollout.name, site.rollout.environment.engine
        if (snapshot.database_id, snapshot.engine) != (site.ledger.database_id, engine):
            raise Mismatch(
                Problem(
                    f"snapshot {snapshot.id} was taken of another database, in environment {snapshot.environment}",
                    where,
                    "choose that one: --env; if this database was made anew, take rows out of the snapshot by hand:"
                    " it is a database of its own",
                )
            )
        if snapshot.rollout != rollout:
            what = f"snapshot {snapshot.id} was taken for rollout {snapshot.rollout}, and this one is {rollout}"
            raise Mismatch(Problem(what, where, "name the config of that rollout"))
        if int(snapshot.ledger_version) > int(VERSION):
            what = (
                f"snapshot {snapshot.id} holds the runner's tables in form {snapshot.ledger_version},"
                f" this runner knows form {VERSION}"
            )
            raise Mismatch(Problem(what, where, f"use runner {snapshot.runner_version}, or a newer one"))

    @contextmanager
    def beside(self, snapshot: Snapshot) -> Iterator[Restoring]:
        """Put *snapshot* beside the database, for a look at what would be lost, and to bring it back."""
        with self._site.backend.beside(self.shelf.copy_of(snapshot)) as beside:
            yield Restoring(self, self._site, self._tell, snapshot, beside)


class Restoring:
    """A snapshot that stands beside the database, to be brought back. Made by `Keeper.beside`."""

    def __init__(self, keeper: Keeper, site: Site, tell: Teller, snapshot: Snapshot, beside: Beside) -> None:
        self._keeper = keeper
        self._site = site
        self._tell = tell
        self._beside = beside
        self.snapshot = snapshot

    def losses(self) -> list[Loss]:
        """Return what was done since to each table that would come back or go, and would be lost."""
        dropped = self._beside.dropped(earlier.made_since(self._site.backend))
        return [loss for loss in (*self._beside.losses(), *dropped) if not loss.is_none]

    def migrations(self) -> list[str]:
        """Return the migrations that stand and would count as not applied."""
        return earlier.migrations_since(self._site.backend)

    def bring_back(self) -> Restored:
        """
        Bring the snapshot back in one transaction, compare every row, and record it as a run.

        Another snapshot is taken before, of just what this one replaces. StepFailed where it cannot be done exactly,
        Locked where another runner works here; nothing is changed then.
        """
        site, snapshot = self._site, self.snapshot
        with site.held():
            with site.lock.transaction():
                before = self._keeper.take(f"before restore {snapshot.id}", spare=snapshot.id)
                losses = self.losses()
                site.ledger.create()
                self._end_runs()
                run = site.begin(snapshot.stage, LEVEL)
                self._beside.bring_back(earlier.made_since(site.backend))
                earlier.set_back(site.backend, self._beside, run.id, site.clock.now())
                site.ledger.update_run(run.id, message=f"restored snapshot {snapshot.id}")
                site.finish(run, Signal.TARGET_REACHED)
            stage = site.survey.stands_at()
            self._tell(
                "snapshot.restored",
                run_id=run.id,
                id=snapshot.id,
                tables=len(snapshot.tables),
                rows=snapshot.rows,
                added=sum(loss.added for loss in losses),
                changed=sum(loss.changed for loss in losses),
                removed=sum(loss.removed for loss in losses),
                final_stage=stage,
            )
        return Restored(run.id, losses, stage, before)

    def _end_runs(self) -> None:
        """End what is unfinished, of whatever rollout: what it was doing is not so any more."""
        for run in self._site.ledger.runs():
            if not State(run.state).is_final:
                self._end(run)

    def _end(self, run: Run) -> None:
        site = self._site
        if State(run.state) in {State.RUNNING, State.HOLDING}:
            site.move(run, Signal.TURNED_BACK, back_to=DISABLED)
        site.ledger.update_run(run.id, message=f"ended by restoring snapshot {self.snapshot.id}")
        site.finish(run, Signal.ABORTED)
