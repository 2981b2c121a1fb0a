"""What stands in the database, and whether anything is left to do. Reads only, and imports no more than that takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.act import seed
from runner.config.model import DISABLED, Mode
from runner.decide import plan
from runner.decide.machine import State
from runner.errors import Mismatch, Problem, Where
from runner.store.changes import Changes
from runner.store.ledger import Ledger
from runner.store.tables import PROVIDER_STATES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from runner.config.model import Migration, Rollout
    from runner.store.backend import Backend
    from runner.store.changes import Key
    from runner.store.ledger import StageEntry


class Survey:
    """*rollout* as it is declared, against the database behind *backend*."""

    def __init__(self, rollout: Rollout, backend: Backend) -> None:
        self._rollout = rollout
        self._backend = backend
        self.ledger = Ledger(backend)
        self.undeclared: list[str] = []
        """Rows that were seeded once and are declared no more; known after `is_done` found nothing to do."""
        self.newer: list[str] = []
        """Rows that the stage reached selects, but were declared after it had been passed; known likewise."""

    def is_done(self, target: str | None, now: datetime) -> bool:
        """
        Say whether everything that is declared up to stage *target* (None: the last one) stands already.

        Raises Mismatch where the migrations' history is not what is declared.
        """
        run = self.ledger.latest_run(self._rollout.name)
        if run is not None and not State(run.state).is_final:
            return False
        if self.route(target or self._rollout.stages[-1].name):
            return False
        if self.pending() or run is None:
            return False
        self.undeclared = []
        for _, seeds in self.seeds():
            declared = seeds(now)
            if not declared.compare().is_none:
                return False
            self.undeclared += declared.undeclared()
        self.newer = self._newer_than_stage()
        return True

    def _newer_than_stage(self) -> list[str]:
        standing = [entry for entry in self.ledger.standing(self._rollout.name) if entry.mode == Mode.ACTIVE]
        activate = self._rollout.stage(standing[-1].stage).activate if standing else None
        if activate is None:
            return []
        claimed: set[Key] = set()
        for entry in standing:
            claimed |= Changes(self._backend, entry.id).claimed(PROVIDER_STATES).keys()
        return ["/".join(target.key) for target in self._rollout.select(activate) if target.key not in claimed]

    def pending(self) -> list[Migration]:
        """Return the migrations that are still to be applied; Mismatch where history is not what is declared."""
        applied = {
            row["version"]: plan.Applied(row["version"], row["name"], row["checksum"], row["applied_at"], row["state"])
            for row in self.ledger.migrations()
        }
        return plan.pending(self._rollout.migrations, applied)

    def route(self, target: str) -> plan.Route:
        """
        Return the way from where the rollout stands to *target*; an open stage is the first to go on with, or to leave.

        Mismatch where the stages that were passed or are open do not fit those that are declared.
        """
        route = plan.route(self._rollout, self.passed(), target)
        open_stage = self.open_stage()
        if open_stage is None or route.back_to is not None:
            return route
        if not route.forward:
            return plan.Route(back_to=target)
        if route.forward[0].name != open_stage.stage:
            raise Mismatch(
                Problem(
                    f"stage {open_stage.stage} is not finished, but {route.forward[0].name} is declared in its place",
                    Where(str(self._rollout.path)),
                    "declare the stages as they were, or end the run: runner abort",
                )
            )
        return route

    def passed(self) -> list[str]:
        """Return the stages that were passed and not undone, oldest first."""
        return [entry.stage for entry in self.ledger.standing(self._rollout.name) if entry.state == "passed"]

    def open_stage(self) -> StageEntry | None:
        """Return the stage that was entered and not left; None where there is none."""
        standing = self.ledger.standing(self._rollout.name)
        return standing[-1] if standing and standing[-1].state == "entered" else None

    def stands_at(self) -> str:
        """Return the last stage that was passed and not undone."""
        return (self.passed() or [DISABLED])[-1]

    def seeds(self) -> Iterator[tuple[str, Callable[[datetime], seed.Seeds]]]:
        """Yield what is declared for each table: its name as a step, and how to load it as of some time."""
        rollout, backend = self._rollout, self._backend
        yield "providers", lambda now: seed.providers(backend, rollout.targets, now)
        yield "caches", lambda now: seed.caches(backend, rollout.caches, now)
