"""Where a run takes place, and the record that is kept of it: what going forward and going back have in common."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from runner.clock import timestamp
from runner.decide.machine import Signal, State, after
from runner.engine.survey import Survey
from runner.errors import ExitCode, Interrupted, RunnerError, Stuck
from runner.store.lock import Lock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from runner.clock import Clock
    from runner.config.model import Rollout
    from runner.events import Teller
    from runner.store.backend import Backend
    from runner.store.ledger import Ledger, Run


class Outcome(NamedTuple):
    """How a command that writes ended. `run_id` is None where there was nothing to do."""

    exit_code: ExitCode
    stage: str
    run_id: str | None = None


class Site(NamedTuple):
    """A rollout, the database that it goes into, and what guards and records it. Made by `open_site`."""

    rollout: Rollout
    backend: Backend
    clock: Clock
    survey: Survey
    ledger: Ledger
    lock: Lock

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock for the block; whoever held it before may have made the ledger meanwhile."""
        with self.lock.held():
            self.ledger.look_again()
            yield

    def unfinished(self) -> Run | None:
        """Return the run that waits to be gone on with; None where there is none."""
        return self.survey.unfinished()

    def begin(self, target: str, level: str | None = None, at: datetime | None = None) -> Run:
        """Write a new run that began *at* some time, or now; inside a transaction."""
        rollout = self.rollout
        return self.ledger.begin_run(
            rollout.name,
            rollout.environment.name,
            rollout.digest,
            rollout.declared,
            target,
            State.RUNNING,
            at or self.clock.now(),
            level,
        )

    def again(self, run: Run) -> Run:
        """Return *run* as it is stored now."""
        found = self.ledger.latest_run(run.rollout)
        assert found is not None  # noqa: S101  it was just written
        return found

    def move(self, run: Run, signal: Signal, **values: object) -> None:
        """Store the state that follows from *signal*; inside a transaction."""
        state = State(self.again(run).state)
        self.ledger.update_run(run.id, state=after(state, signal), **values)

    def finish(self, run: Run, signal: Signal) -> None:
        """Store the state that *signal* ends a run in; inside a transaction."""
        self.move(run, signal, finished_at=timestamp(self.clock.now()), final_stage=self.survey.stands_at())

    @contextmanager
    def recorded(self, run: Run, tell: Teller) -> Iterator[None]:
        """Keep with *run* what stops the block before its end, and tell it."""
        try:
            yield
        except Stuck:
            raise
        except Interrupted as stop:
            self._keep_reason(run, "interrupted by a signal")
            tell("run.interrupted", exit_code=stop.exit_code)
            raise
        except RunnerError as failure:
            self._keep_reason(run, "; ".join(problem.what for problem in failure.problems))
            tell("run.failed", problems=[problem.plain() for problem in failure.problems])
            raise

    def _keep_reason(self, run: Run, reason: str) -> None:
        """Store what stopped *run*, for those who look later; no more than an attempt, for the database may be it."""
        with suppress(RunnerError), self.lock.transaction():
            self.ledger.update_run(run.id, stopped=reason)


def open_site(rollout: Rollout, backend: Backend, clock: Clock, lock: Lock | None = None) -> Site:
    """Return the site of *rollout* in the database behind *backend*; its lock waits for nobody unless one is given."""
    survey = Survey(rollout, backend)
    return Site(rollout, backend, clock, survey, survey.ledger, lock or Lock(backend, clock))
