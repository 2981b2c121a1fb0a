"""
Apply, resume, roll back: read what is stored, take the next step, store it, and so on until the target is reached.

A run that was cut off is the same loop begun again. Where there is nothing to do, nothing is written and no lock taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.act import migrate
from runner.config.model import AT_ONCE, DISABLED, OnBreach
from runner.decide.machine import Signal, State
from runner.engine.back import WayBack
from runner.engine.keeping import Keeper
from runner.engine.passage import NONE, Breach, Passage, measuring, stop_if_asked
from runner.engine.retention import prune
from runner.engine.site import Outcome, open_site
from runner.errors import ExitCode, Mismatch, Problem, Where
from runner.store import rehearsed

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from runner.clock import Clock
    from runner.config.model import Rollout, Stage
    from runner.engine.passage import Desk, Injections
    from runner.events import Teller
    from runner.measure.probe import Prober
    from runner.store.backend import Backend
    from runner.store.ledger import Run, StageEntry
    from runner.store.lock import Lock

BY_A_PERSON = "aborted by a person"


def nothing_to_check(_: datetime) -> None:
    """Go on."""


class Engine:
    """
    Carries *rollout* into the database behind *backend*.

    *make_prober* is called only by a run that measures. *injections* are the breaches that a rehearsal orders.
    """

    def __init__(
        self,
        rollout: Rollout,
        backend: Backend,
        clock: Clock,
        tell: Teller,
        make_prober: Callable[[], Prober],
        injections: Injections = NONE,
        lock: Lock | None = None,
    ) -> None:
        self._rollout = rollout
        self._backend = backend
        self._clock = clock
        self._tell = tell.bind(rollout=rollout.name)
        self._make_prober = make_prober
        self._injections = injections
        self._site = open_site(rollout, backend, clock, lock)
        self._survey = self._site.survey
        self._ledger = self._site.ledger
        self._lock = self._site.lock

    def _way_back(self) -> WayBack:
        return WayBack(self._site, self._tell)

    def apply(
        self,
        target: str | None = None,
        *,
        accept_changes: bool = False,
        check: Callable[[datetime], None] = nothing_to_check,
    ) -> Outcome:
        """
        Go from where the database stands to stage *target* (the last one if None), and say how that ended.

        *check* may raise, inside the lock and before anything is written: a plan that was saved is held against now.
        Raises RunnerError where a step fails, history does not match, somebody else works here, an undo is not exact,
        or a signal asks for a stop; the database is then as the problem says, and the same command goes on.
        """
        with self._site.held():
            check(self._clock.now())
            if self._survey.is_done(target, self._clock.now()):
                return Outcome(ExitCode.DONE, self._survey.stands_at())
            self._refuse_unrehearsed(target)
            self._keep_tables()
            with self._lock.transaction():
                self._ledger.create()
                run, resumed = self._begin(target, accept_changes=accept_changes)
            self._tell = self._tell.bind(run_id=run.id)
            self._tell("run.resumed" if resumed else "run.started", target_stage=run.target_stage, state=run.state)
            outcome = self._carry_on(run)
            prune(self._site, self._tell)
            return outcome

    def _refuse_unrehearsed(self, target: str | None) -> None:
        """Refuse to go forward with what was not rehearsed, where the environment requires that."""
        if not self._rollout.environment.must_rehearse:
            return
        run = self._site.unfinished()
        aim = target or (run.target_stage if run else self._rollout.stages[-1].name)
        if (run and State(run.state).goes_back) or self._survey.route(aim).back_to is not None:
            return
        rehearsed.require(self._rollout)

    def _keep_tables(self) -> None:
        """Take a snapshot before a new run, unless that is declared otherwise; one that goes on has its own."""
        if self._rollout.snapshots.before_run and self._site.unfinished() is None:
            Keeper(self._rollout, self._backend, self._clock, self._tell).take("before a run")

    def abort(self) -> Outcome:
        """End the unfinished run: take its open stage back, or leave a stuck one as it stands."""
        if self._site.unfinished() is None:
            return Outcome(ExitCode.DONE, self._survey.stands_at())
        with self._site.held():
            run = self._site.unfinished()  # another runner may have ended it before the lock was ours
            if run is None:
                return Outcome(ExitCode.DONE, self._survey.stands_at())
            self._tell = self._tell.bind(run_id=run.id)
            if run.state == State.STUCK:
                return self._abandon(run)
            with self._lock.transaction():
                if run.state != State.ROLLING_BACK:
                    self._site.move(run, Signal.TURNED_BACK, back_to=self._survey.stands_at())
                self._ledger.update_run(run.id, message=BY_A_PERSON)
            return self._way_back().undo_down_to(self._site.again(run), Signal.ABORTED)

    def _abandon(self, run: Run) -> Outcome:
        """
        Leave what could not be taken back as it is, and say in the run what that was.

        A rollback that is one transaction changed nothing: its stages stand as they did before it.
        """
        entries = [] if run.level in AT_ONCE else self._way_back().to_be_undone(run)
        with self._lock.transaction():
            for entry in entries:
                self._way_back().close(run, entry, "abandoned")
            self._ledger.update_run(run.id, message=f"{BY_A_PERSON}, who left it as it was: {run.stopped}")
            self._site.finish(run, Signal.ABORTED)
        self._tell("run.aborted", final_stage=self._survey.stands_at(), cause=run.stopped, verified=False)
        return Outcome(ExitCode.DONE, self._survey.stands_at(), run.id)

    # runs

    def _begin(self, target: str | None, *, accept_changes: bool) -> tuple[Run, bool]:
        """Begin a run, or take up the one that is unfinished; inside the lock, so that what is read still holds."""
        rollout, ledger = self._rollout, self._ledger
        run = self._site.unfinished()
        aim = self._survey.aim(run, target)
        if run is None:
            return self._site.begin(aim), False
        self._refuse_other_config(run, accept_changes=accept_changes)
        ledger.keep_config(rollout.digest, rollout.declared)
        ledger.update_run(run.id, config_digest=rollout.digest, target_stage=aim, stopped=None)
        if run.state == State.STUCK:
            self._site.move(run, Signal.RETRIED)
        return self._site.again(run), True

    def _refuse_other_config(self, run: Run, *, accept_changes: bool) -> None:
        found = [] if accept_changes else self._survey.changed_since(run)
        if not found:
            return
        changed = "\n".join(f"    {line}" for line in found)
        raise Mismatch(
            Problem(
                f"run {run.id} is not finished, and the config is no longer the one it began with:\n{changed}",
                Where(str(self._rollout.path)),
                "go on with the new one: --accept-changes; or bring the old one back; or end the run: runner abort",
            )
        )

    def _carry_on(self, run: Run) -> Outcome:
        """Take *run* from the state it is in to its end, and tell how that was."""
        with self._site.recorded(run, self._tell):
            if run.state == State.ROLLING_BACK:
                return self._go_on_back(run)
            if self._survey.route(run.target_stage).back_to is not None:
                return self._turn_back(run)
            self._migrate(run)
            self._seed(run)
            return self._travel(run)

    # steps

    def _migrate(self, run: Run) -> None:
        todo = self._survey.pending()
        for migration in todo:
            stop_if_asked(self._clock)
            migrate.apply(self._backend, self._ledger, self._lock, self._clock, migration, run.id)
            self._tell("migration.applied", version=migration.version, name=migration.name)

    def _seed(self, run: Run) -> None:
        for step, seeds in self._survey.seeds():
            stop_if_asked(self._clock)
            now = self._clock.now()
            declared = seeds(now)
            found = declared.compare()
            if found.is_none:
                continue
            with self._lock.transaction():
                declared.write(run.id)
                counts = {**found._asdict(), "undeclared": len(declared.undeclared())}
                self._ledger.record_step(run.id, step, counts, now)
            if found.add or found.change:
                self._tell("seed.applied", step=step, added=found.add, changed=found.change, left=found.leave)
            if found.warm:
                self._tell("cache.warmed", rows=found.warm, reason="expired")

    def _travel(self, run: Run) -> Outcome:
        """Go on through the stages to the target of *run*."""
        open_entry = self._survey.open_stage()
        stages = self._survey.route(run.target_stage).forward
        with measuring(self._site, stages, self._make_prober, self._injections) as desk:
            for stage in stages:
                stop_if_asked(self._clock)
                breach = self._pass_through(desk, run, stage, open_entry)
                if breach:
                    return breach
                open_entry = None
        with self._lock.transaction():
            self._site.finish(run, Signal.TARGET_REACHED)
        self._tell("run.completed", final_stage=self._survey.stands_at())
        return Outcome(ExitCode.DONE, self._survey.stands_at(), run.id)

    def _pass_through(self, desk: Desk, run: Run, stage: Stage, open_entry: StageEntry | None) -> Outcome | None:
        """Go through one stage; the outcome of the run if that was its end."""
        passage = Passage(desk, run, stage, self._tell, lambda missing: self._hold(run, stage, missing))
        passage.open(open_entry)
        try:
            passage.observe()
        except Breach as breach:
            return self._breached(run, passage, str(breach))
        with self._lock.transaction():
            passage.leave()
            self._site.move(run, Signal.STAGE_PASSED)
        passage.tell("stage.passed", ticks=passage.entry.ticks, **desk.ledger.figures(passage.entry.id))
        return None

    def _hold(self, run: Run, stage: Stage, missing: list[str]) -> None:
        if self._site.again(run).state == State.HOLDING:
            return
        with self._lock.transaction():
            self._site.move(run, Signal.DATA_MISSING)
        self._tell("stage.held", stage=stage.name, waiting_for=missing)

    # the way back

    def _breached(self, run: Run, passage: Passage, cause: str) -> Outcome:
        message = f"{passage.stage.name} breached: {cause}"
        back_to = self._survey.stands_at() if self._rollout.rollback.on_breach is OnBreach.PREVIOUS else DISABLED
        with self._lock.transaction():
            self._ledger.update_stage(passage.entry.id, breach=cause)
            self._site.move(run, Signal.BREACHED, back_to=back_to, message=message)
        passage.tell("stage.breached", cause=cause)
        return self._way_back().undo_down_to(self._site.again(run), Signal.UNDONE)

    def _turn_back(self, run: Run) -> Outcome:
        with self._lock.transaction():
            self._site.move(run, Signal.TURNED_BACK, back_to=run.target_stage)
        return self._way_back().undo_down_to(self._site.again(run), Signal.TARGET_REACHED)

    def _go_on_back(self, run: Run) -> Outcome:
        """Finish a way back that was cut off, or that was stuck."""
        ends = {None: Signal.TARGET_REACHED, BY_A_PERSON: Signal.ABORTED}
        return self._way_back().undo_down_to(run, ends.get(run.message, Signal.UNDONE))
