"""
Apply, resume, roll back: read what is stored, take the next step, store it, and so on until the target is reached.

A run that was cut off is the same loop begun again. Where there is nothing to do, nothing is written and no lock taken.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from runner.act import live, migrate
from runner.clock import timestamp
from runner.config.model import DISABLED, Kind, OnBreach
from runner.decide.diff import differences
from runner.decide.machine import Signal, State, after
from runner.engine.passage import Breach, Desk, Passage, stop_if_asked
from runner.engine.survey import Survey
from runner.errors import ExitCode, Interrupted, Mismatch, Problem, RunnerError, StepFailed, Stuck, Where
from runner.store.changes import Changes
from runner.store.digest import canonical
from runner.store.lock import Lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runner.clock import Clock
    from runner.config.model import Rollout, Stage
    from runner.events import Teller
    from runner.measure.probe import Prober
    from runner.store.backend import Backend
    from runner.store.changes import Conflict
    from runner.store.ledger import Run, StageEntry

BY_A_PERSON = "aborted by a person"
SHOWN = 8
"""So many conflicts are shown to a person; the log has them all."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an apply ended. `run_id` is None where there was nothing to do."""

    exit_code: ExitCode
    stage: str
    run_id: str | None = None


class Engine:
    """
    Carries *rollout* into the database behind *backend*.

    *make_prober* is called only by a run that measures.
    """

    def __init__(
        self, rollout: Rollout, backend: Backend, clock: Clock, tell: Teller, make_prober: Callable[[], Prober]
    ) -> None:
        self._rollout = rollout
        self._backend = backend
        self._clock = clock
        self._tell = tell.bind(rollout=rollout.name)
        self._make_prober = make_prober
        self._survey = Survey(rollout, backend)
        self._ledger = self._survey.ledger
        self._lock = Lock(backend, clock)

    def apply(self, target: str | None = None, *, accept_changes: bool = False) -> Outcome:
        """
        Go from where the database stands to stage *target* (the last one if None), and say how that ended.

        Raises RunnerError where a step fails, history does not match, somebody else works here, an undo is not exact,
        or a signal asks for a stop; the database is then as the problem says, and the same command goes on.
        """
        with self._lock.held():
            if self._survey.is_done(target, self._clock.now()):
                return Outcome(ExitCode.DONE, self._survey.stands_at())
            with self._lock.transaction():
                self._ledger.create()
                run, resumed = self._begin(target, accept_changes=accept_changes)
            self._tell = self._tell.bind(run_id=run.id)
            self._tell("run.resumed" if resumed else "run.started", target_stage=run.target_stage, state=run.state)
            return self._carry_on(run)

    def abort(self) -> Outcome:
        """End the unfinished run: take its open stage back, or leave a stuck one as it stands."""
        if self._unfinished() is None:
            return Outcome(ExitCode.DONE, self._survey.stands_at())
        with self._lock.held():
            run = self._unfinished()  # another runner may have ended it before the lock was ours
            if run is None:
                return Outcome(ExitCode.DONE, self._survey.stands_at())
            self._tell = self._tell.bind(run_id=run.id)
            if run.state == State.STUCK:
                return self._abandon(run)
            with self._lock.transaction():
                if run.state != State.ROLLING_BACK:
                    self._move(run, Signal.TURNED_BACK, back_to=self._survey.stands_at())
                self._ledger.update_run(run.id, message=BY_A_PERSON)
            return self._undo_down_to(self._again(run), Signal.ABORTED)

    def _abandon(self, run: Run) -> Outcome:
        """Leave what could not be taken back as it is, and say in the run what that was."""
        with self._lock.transaction():
            for entry in self._to_be_undone(run):
                self._close(run, entry, "abandoned")
            self._ledger.update_run(run.id, message=f"{BY_A_PERSON}, who left it as it was: {run.stopped}")
            self._finish(run, Signal.ABORTED)
        self._tell("run.aborted", final_stage=self._survey.stands_at(), cause=run.stopped, verified=False)
        return Outcome(ExitCode.DONE, self._survey.stands_at(), run.id)

    # runs

    def _unfinished(self) -> Run | None:
        """Return the run that waits to be gone on with; None where there is none."""
        run = self._ledger.latest_run(self._rollout.name)
        return None if run is None or State(run.state).is_final else run

    def _begin(self, target: str | None, *, accept_changes: bool) -> tuple[Run, bool]:
        """Begin a run, or take up the one that is unfinished; inside the lock, so that what is read still holds."""
        rollout, ledger = self._rollout, self._ledger
        run = self._unfinished()
        if run is None:
            aim = target or rollout.stages[-1].name
            fresh = ledger.begin_run(
                rollout.name,
                rollout.environment.name,
                rollout.digest,
                rollout.declared,
                aim,
                State.RUNNING,
                self._clock.now(),
            )
            return fresh, False
        self._refuse_other_config(run, accept_changes=accept_changes)
        self._refuse_other_target(run, target)
        ledger.keep_config(rollout.digest, rollout.declared)
        ledger.update_run(run.id, config_digest=rollout.digest, target_stage=target or run.target_stage, stopped=None)
        if run.state == State.STUCK:
            self._move(run, Signal.RETRIED)
        return self._again(run), True

    def _refuse_other_config(self, run: Run, *, accept_changes: bool) -> None:
        going_back = run.state in {State.ROLLING_BACK, State.STUCK}
        if run.config_digest == self._rollout.digest or accept_changes or going_back:
            return
        found = differences(self._ledger.config(run.config_digest), self._rollout.declared)
        changed = "\n".join(f"    {line}" for line in found or ["a value that is not shown"])
        raise Mismatch(
            Problem(
                f"run {run.id} is not finished, and the config is no longer the one it began with:\n{changed}",
                Where(str(self._rollout.path)),
                "go on with the new one: --accept-changes; or bring the old one back; or end the run: runner abort",
            )
        )

    def _refuse_other_target(self, run: Run, target: str | None) -> None:
        """A rollback that was begun is finished first; and what a run aims at has to be declared."""
        if run.state in {State.ROLLING_BACK, State.STUCK}:
            if target in {None, run.target_stage}:
                return
            what = f"run {run.id} is on its way back to {run.back_to}"
            raise Mismatch(Problem(what, fix="let it finish: run `runner apply` without --target-stage first"))
        aim = target or run.target_stage
        if aim != DISABLED and aim not in {stage.name for stage in self._rollout.stages}:
            what = f"run {run.id} was on its way to {aim}, which is no longer declared"
            raise Mismatch(Problem(what, Where(str(self._rollout.path)), "name another stage: --target-stage"))

    def _again(self, run: Run) -> Run:
        found = self._ledger.latest_run(run.rollout)
        assert found is not None  # noqa: S101  it was just written
        return found

    def _move(self, run: Run, signal: Signal, **values: object) -> None:
        """Store the state that follows from *signal*; inside a transaction."""
        state = State(self._again(run).state)
        self._ledger.update_run(run.id, state=after(state, signal), **values)

    def _finish(self, run: Run, signal: Signal) -> None:
        self._move(run, signal, finished_at=timestamp(self._clock.now()), final_stage=self._survey.stands_at())

    def _carry_on(self, run: Run) -> Outcome:
        """Take *run* from the state it is in to its end, and tell how that was."""
        try:
            if run.state == State.ROLLING_BACK:
                return self._go_on_back(run)
            if self._survey.route(run.target_stage).back_to is not None:
                return self._turn_back(run)
            self._migrate(run)
            self._seed(run)
            return self._travel(run)
        except Stuck:
            raise
        except Interrupted as stop:
            self._keep_reason(run, "interrupted by a signal")
            self._tell("run.interrupted", exit_code=stop.exit_code)
            raise
        except RunnerError as failure:
            self._keep_reason(run, "; ".join(problem.what for problem in failure.problems))
            self._tell("run.failed", problems=[problem.plain() for problem in failure.problems])
            raise

    def _keep_reason(self, run: Run, reason: str) -> None:
        """Store what stopped *run*, for those who look later; no more than an attempt, for the database may be it."""
        with suppress(RunnerError), self._lock.transaction():
            self._ledger.update_run(run.id, stopped=reason)

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
                self._ledger.record_step(run.id, step, found._asdict(), now)
            if found.add or found.change:
                self._tell("seed.applied", step=step, added=found.add, changed=found.change, left=found.leave)
            if found.warm:
                self._tell("cache.warmed", rows=found.warm, reason="expired")

    def _travel(self, run: Run) -> Outcome:
        """Go on through the stages to the target of *run*."""
        open_entry = self._survey.open_stage()
        stages = self._survey.route(run.target_stage).forward
        with self._measuring(stages) as desk:
            for stage in stages:
                stop_if_asked(self._clock)
                breach = self._pass_through(desk, run, stage, open_entry)
                if breach:
                    return breach
                open_entry = None
        with self._lock.transaction():
            self._finish(run, Signal.TARGET_REACHED)
        self._tell("run.completed", final_stage=self._survey.stands_at())
        return Outcome(ExitCode.DONE, self._survey.stands_at(), run.id)

    @contextmanager
    def _measuring(self, stages: tuple[Stage, ...]) -> Iterator[Desk]:
        """Make what measuring needs, where there is anything to measure, and close it afterwards."""
        probes = stages and any(metric.kind is Kind.PROBE for metric in self._rollout.metrics)
        reader = self._backend.reader()
        prober = self._make_prober() if probes else None
        try:
            yield Desk(self._rollout, self._backend, reader, self._ledger, self._lock, self._clock, prober)
        finally:
            if prober:
                prober.close()
            reader.close()

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
            self._move(run, Signal.STAGE_PASSED)
        passage.tell("stage.passed", ticks=passage.entry.ticks, **desk.ledger.figures(passage.entry.id))
        return None

    def _hold(self, run: Run, stage: Stage, missing: list[str]) -> None:
        if self._again(run).state == State.HOLDING:
            return
        with self._lock.transaction():
            self._move(run, Signal.DATA_MISSING)
        self._tell("stage.held", stage=stage.name, waiting_for=missing)

    # the way back

    def _breached(self, run: Run, passage: Passage, cause: str) -> Outcome:
        message = f"{passage.stage.name} breached: {cause}"
        back_to = self._survey.stands_at() if self._rollout.on_breach is OnBreach.PREVIOUS else DISABLED
        with self._lock.transaction():
            self._ledger.update_stage(passage.entry.id, breach=cause)
            self._move(run, Signal.BREACHED, back_to=back_to, message=message)
        passage.tell("stage.breached", cause=cause)
        return self._undo_down_to(self._again(run), Signal.UNDONE)

    def _turn_back(self, run: Run) -> Outcome:
        with self._lock.transaction():
            self._move(run, Signal.TURNED_BACK, back_to=run.target_stage)
        return self._undo_down_to(self._again(run), Signal.TARGET_REACHED)

    def _go_on_back(self, run: Run) -> Outcome:
        """Finish a way back that was cut off, or that was stuck."""
        ends = {None: Signal.TARGET_REACHED, BY_A_PERSON: Signal.ABORTED}
        return self._undo_down_to(run, ends.get(run.message, Signal.UNDONE))

    def _undo_down_to(self, run: Run, end: Signal) -> Outcome:
        """
        Undo every stage that stands beyond where *run* goes back to, newest first, each in one transaction.

        One that cannot be undone exactly does not keep the older ones from it; Stuck tells of it afterwards.
        """
        entries = self._to_be_undone(run)
        conflicts: list[Conflict] = []
        for number, entry in enumerate(entries, start=1):
            conflicts += self._undo(run, entry, entries[number:])
        if conflicts:
            self._stick(run, conflicts)
        with self._lock.transaction():
            self._finish(run, end)
        told = {
            Signal.UNDONE: "run.rolled_back",
            Signal.TARGET_REACHED: "run.walked_back",
            Signal.ABORTED: "run.aborted",
        }
        self._tell(told[end], final_stage=self._survey.stands_at(), cause=run.message, verified=True)
        code = ExitCode.ROLLED_BACK if end is Signal.UNDONE else ExitCode.DONE
        return Outcome(code, self._survey.stands_at(), run.id)

    def _undo(self, run: Run, entry: StageEntry, older: list[StageEntry]) -> list[Conflict]:
        """Take one stage back and compare; return what kept it from being exact."""
        with self._lock.transaction():
            changes = Changes(self._backend, entry.id)
            undone = changes.undo(stage.id for stage in older)
            if not (undone.conflicts or undone.noticed) and changes.digest_now() != changes.claimed_digest():
                what = f"the rows of stage {entry.stage} do not have the digest that they had before it"
                raise StepFailed(Problem(what, fix="nothing of this stage was taken back; please report this"))
            live.forget_props(self._backend, entry.id)
            self._note(entry, undone.noticed)
            if not undone.conflicts:
                self._close(run, entry, "undone")
        for change in undone.noticed:
            self._tell("change.noticed", stage=entry.stage, **change._asdict())
        for change in undone.conflicts:
            self._tell("change.conflicted", stage=entry.stage, **change._asdict())
        if not undone.conflicts:
            self._tell(
                "stage.undone",
                stage=entry.stage,
                rows=undone.rows,
                digest=entry.digest,
                verified=True,
                changed_by_others=len(undone.noticed),
            )
        return undone.conflicts

    def _note(self, entry: StageEntry, noticed: list[Conflict]) -> None:
        """Keep with the stage which values of its rows others had changed meanwhile."""
        if noticed:
            known = entry.summary.get("changed_by_others", [])
            summary = {**entry.summary, "changed_by_others": [*known, *(str(change) for change in noticed)]}
            self._ledger.update_stage(entry.id, summary_json=canonical(summary))

    def _stick(self, run: Run, conflicts: list[Conflict]) -> NoReturn:
        """Write that a person is needed, and say for what."""
        first = {(conflict.table, conflict.key, conflict.column): str(conflict) for conflict in reversed(conflicts)}
        told = list(reversed(first.values()))
        more = [f"and {len(told) - SHOWN} more"] if len(told) > SHOWN else []
        what = f"the rollback is not exact: others changed {_count(told, 'value')} that it had to take back"
        with self._lock.transaction():
            self._move(run, Signal.UNDO_FAILED, stopped="; ".join((what, *told[:SHOWN], *more)))
        self._tell("run.stuck", conflicts=len(told))
        raise Stuck(
            Problem(
                "\n    ".join((what, *told[:SHOWN], *more)),
                fix="set them to what is right, and run `runner apply` again: it goes on with the rollback;"
                " or leave them as they are: `runner abort`",
            )
        )

    def _to_be_undone(self, run: Run) -> list[StageEntry]:
        """Return the stages that stand beyond the one *run* goes back to, newest first. The ledger knows the order."""
        standing = self._ledger.standing(run.rollout)
        passed = (entry.id for entry in standing if entry.stage == run.back_to and entry.state == "passed")
        limit = max(passed, default=0)
        return [entry for entry in reversed(standing) if entry.id > limit]

    def _close(self, run: Run, entry: StageEntry, state: str) -> None:
        self._ledger.update_stage(entry.id, state=state, undone_at=timestamp(self._clock.now()), undone_by=run.id)


def _count(things: list[str], noun: str) -> str:
    return f"{len(things)} {noun}{'' if len(things) == 1 else 's'}"
