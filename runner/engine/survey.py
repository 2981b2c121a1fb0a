"""What stands in the database, and whether anything is left to do. Reads only, and imports no more than that takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.act import seed
from runner.config.model import DISABLED, Mode
from runner.decide import plan
from runner.decide.diff import differences
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
    from runner.store.ledger import Run, StageEntry


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
        if self.unfinished() is not None:
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
        self.newer = self.find_newer()
        return True

    def find_newer(self) -> list[str]:
        """Return the keys of the rows that the stage reached selects, but were declared after it had been passed."""
        standing = [entry for entry in self.ledger.standing(self._rollout.name) if entry.mode == Mode.ACTIVE]
        declared = {stage.name: stage.activate for stage in self._rollout.stages}
        activate = declared.get(standing[-1].stage) if standing else None
        if activate is None:
            return []
        claimed: set[Key] = set()
        for entry in standing:
            claimed |= Changes(self._backend, entry.id).claimed(PROVIDER_STATES).keys()
        return ["/".join(target.key) for target in self._rollout.select(activate) if target.key not in claimed]

    def unfinished(self) -> Run | None:
        """Return the run that waits to be gone on with; None where there is none."""
        run = self.ledger.latest_run(self._rollout.name)
        return None if run is None or State(run.state).is_final else run

    def aim(self, run: Run | None, target: str | None) -> str:
        """
        Return the stage that apply heads for: *target*, or that of the unfinished *run*, or the last one.

        Mismatch where the run has to end first: a rollback is finished by the command that began it, a way back before
        there is another aim, and what a run aims at has to be declared.
        """
        stages = [stage.name for stage in self._rollout.stages]
        if run is None:
            return target or stages[-1]
        if run.level is not None:
            what = f"run {run.id} is a rollback ({run.level}) that is not finished"
            fix = f"finish it: runner rollback --level {run.level}; or end it: runner abort"
            raise Mismatch(Problem(what, fix=fix))
        aim = target or run.target_stage
        if State(run.state).goes_back:
            if aim != run.target_stage:
                what = f"run {run.id} is on its way back to {run.back_to}"
                raise Mismatch(Problem(what, fix="let it finish: run `runner apply` without --target-stage first"))
        elif aim != DISABLED and aim not in stages:
            what = f"run {run.id} was on its way to {aim}, which is no longer declared"
            raise Mismatch(Problem(what, Where(str(self._rollout.path)), "name another stage: --target-stage"))
        return aim

    def changed_since(self, run: Run) -> list[str]:
        """Return what is declared otherwise than when *run* began, value by value; a way back does not ask for it."""
        if run.config_digest == self._rollout.digest or State(run.state).goes_back:
            return []
        found = differences(self.ledger.config(run.config_digest), self._rollout.declared)
        return found or ["a value that is not shown"]

    def run_without_criteria(self) -> Run | None:
        """Return the last run, if it reached the last stage and its exit criteria failed, or were never looked at."""
        run = self.ledger.latest_run(self._rollout.name)
        last = self._rollout.stages[-1].name
        if run is None or run.level or run.final_stage != last or not self._rollout.criteria:
            return None
        found = self.ledger.exit_criteria(run.id)
        return run if found is None or found["verdict"] == "fail" else None

    def pending(self) -> list[Migration]:
        """Return the migrations that are still to be applied; Mismatch where history is not what is declared."""
        return plan.pending(self._rollout.migrations, self.applied())

    def applied(self) -> dict[str, plan.Applied]:
        """Return every migration that the ledger knows, by version."""
        return {
            row["version"]: plan.Applied(row["version"], row["name"], row["checksum"], row["applied_at"], row["state"])
            for row in self.ledger.migrations()
        }

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

    def beyond(self, stage: str | None) -> list[StageEntry]:
        """Return the stages that stand beyond *stage*, newest first. The ledger knows the order."""
        standing = self.ledger.standing(self._rollout.name)
        passed = (entry.id for entry in standing if entry.stage == stage and entry.state == "passed")
        limit = max(passed, default=0)
        return [entry for entry in reversed(standing) if entry.id > limit]

    def stands_at(self) -> str:
        """Return the last stage that was passed and not undone."""
        return (self.passed() or [DISABLED])[-1]

    def seeds(self, *, foreseen: bool = False) -> Iterator[tuple[str, Callable[[datetime], seed.Seeds]]]:
        """
        Yield what is declared for each table: its name as a step, and how to load it as of some time.

        *foreseen*: to be compared only, while migrations are still to come.
        """
        rollout, backend = self._rollout, self._backend
        yield "providers", lambda now: seed.providers(backend, rollout.targets, now, foreseen=foreseen)
        yield "caches", lambda now: seed.caches(backend, rollout.caches, now, foreseen=foreseen)
