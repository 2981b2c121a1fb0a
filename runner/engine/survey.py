"""What stands in the database, and whether anything is left to do. Reads only, and imports no more than that takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.act import seed
from runner.config.model import DISABLED
from runner.decide import plan
from runner.decide.machine import State
from runner.store.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from runner.config.model import Migration, Rollout
    from runner.store.backend import Backend


class Survey:
    """*rollout* as it is declared, against the database behind *backend*."""

    def __init__(self, rollout: Rollout, backend: Backend) -> None:
        self._rollout = rollout
        self._backend = backend
        self.ledger = Ledger(backend)

    def is_done(self, target: str | None, now: datetime) -> bool:
        """
        Say whether everything that is declared up to stage *target* (None: the last one) stands already.

        Raises Mismatch where the migrations' history is not what is declared.
        """
        run = self.ledger.latest_run(self._rollout.name)
        if run is not None and not State(run.state).is_final:
            return False
        if plan.route(self._rollout, self.stands_at(), target or self._rollout.stages[-1].name):
            return False
        if self.pending() or run is None:
            return False
        return all(seeds(now).compare().is_none for _, seeds in self.seeds())

    def pending(self) -> list[Migration]:
        """Return the migrations that are still to be applied; Mismatch where history is not what is declared."""
        applied = {
            row["version"]: plan.Applied(
                row["version"], row["name"], row["checksum"], row["applied_at"], row["state"] == "done"
            )
            for row in self.ledger.migrations()
        }
        return plan.pending(self._rollout.migrations, applied)

    def goes_back(self, target: str) -> bool:
        """Say whether *target* is behind a stage that was passed or is open."""
        standing = self.ledger.standing(self._rollout.name)
        return bool(standing) and standing[-1].position > self._rollout.position(target)

    def stands_at(self) -> str:
        """Return the last stage that was passed and not undone."""
        passed = [entry.stage for entry in self.ledger.standing(self._rollout.name) if entry.state == "passed"]
        return passed[-1] if passed else DISABLED

    def seeds(self) -> Iterator[tuple[str, Callable[[datetime], seed.Seeds]]]:
        """Yield what is declared for each table: its name as a step, and how to load it as of some time."""
        rollout, backend = self._rollout, self._backend
        yield "providers", lambda now: seed.providers(backend, rollout.targets, now)
        yield "caches", lambda now: seed.caches(backend, rollout.caches, now)
