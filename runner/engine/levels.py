"""
The three rollback levels, asked for by a person.

Gradual walks back through the stages and observes at each; standard removes the seeded rows as well; emergency reverts
the migrations too. Standard and emergency are one transaction each. What is not the rollout's own is never touched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.act import live, unseed
from runner.clock import timestamp
from runner.config.model import DISABLED, Level, Mode
from runner.decide.machine import Signal, State
from runner.engine.assessment import assess
from runner.engine.back import Conflicting, WayBack
from runner.engine.passage import Breach, Passage, measuring, stop_if_asked
from runner.engine.site import Outcome, open_site
from runner.errors import ExitCode, Mismatch, Problem, StatementFailed, Stuck, Where
from runner.store.changes import Changes, digest_of_others
from runner.store.names import quoted
from runner.store.tables import TABLES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from runner.act.revert import Reverting
    from runner.clock import Clock
    from runner.config.model import Rollout, Stage
    from runner.engine.assessment import Assessment
    from runner.engine.passage import Desk
    from runner.events import Teller
    from runner.measure.probe import Prober
    from runner.store.backend import Backend
    from runner.store.changes import Conflict, Key
    from runner.store.ledger import Run, StageEntry
    from runner.store.lock import Lock
    from runner.store.tables import Table


class Levels:
    """Rolls *rollout* back in the database behind *backend*. *snapshot* is called with a reason before any write."""

    def __init__(
        self,
        rollout: Rollout,
        backend: Backend,
        clock: Clock,
        tell: Teller,
        make_prober: Callable[[], Prober],
        snapshot: Callable[[str], str | None],
        lock: Lock | None = None,
    ) -> None:
        self._site = open_site(rollout, backend, clock, lock)
        self._tell = tell.bind(rollout=rollout.name)
        self._make_prober = make_prober
        self._snapshot = snapshot

    def roll_back(self, level: Level) -> Outcome:
        """
        Carry *level* out and verify it; the same command goes on with one that was cut off.

        Raises Stuck where a person has to decide, Mismatch where a migration's file is not the one that was applied.
        """
        site = self._site
        if not site.ledger.exists:  # not even the lock is written to a database that the rollout has never seen
            return Outcome(ExitCode.DONE, DISABLED)
        with site.held():
            began = site.clock.now()
            unfinished = self._unfinished(level)
            found = assess(site, level)
            if unfinished is None and found.is_nothing:
                return Outcome(ExitCode.DONE, site.survey.stands_at())
            if found.obstacles:
                raise Stuck(*found.obstacles)
            goes_on = unfinished is not None and unfinished.state == State.ROLLING_BACK
            snapshot = None if goes_on else self._snapshot(f"before rollback {level}")
            with site.lock.transaction():
                site.ledger.create()
                run = self._begin(level, unfinished, snapshot, began)
            self._tell = self._tell.bind(run_id=run.id, rollback=level)
            self._tell("run.resumed" if unfinished else "run.started", target_stage=DISABLED, state=run.state)
            with site.recorded(run, self._tell):
                return self._gradually(run) if level is Level.GRADUAL else self._at_once(run, level)

    def _unfinished(self, level: Level) -> Run | None:
        """Return the rollback of this level that was cut off; Mismatch where one that goes further was."""
        run = self._site.unfinished()
        if run is None or run.level is None:
            return None
        if _goes_further(level, run.level):
            return None
        if run.level != level:
            raise Mismatch(
                Problem(
                    f"run {run.id} is a rollback of level {run.level} that is not finished",
                    fix=f"finish it: runner rollback --level {run.level}; or end it: runner abort",
                )
            )
        return run

    def _begin(self, level: Level, run: Run | None, snapshot: str | None, began: datetime) -> Run:
        """Write a run of *level*, or take *run* up; one that was on its way forward is ended by it."""
        site = self._site
        if run is None:
            self._end_unfinished(level)
            run = site.begin(DISABLED, level, began)
        if run.state != State.ROLLING_BACK:
            # a person may abort one that is stuck: only a gradual one then leaves stages behind that it had begun with
            back_to = DISABLED if level is Level.GRADUAL else site.survey.stands_at()
            signal = Signal.TURNED_BACK if run.state == State.RUNNING else Signal.RETRIED
            message = run.message or f"rollback of level {level}"
            site.move(run, signal, back_to=back_to, message=message, stopped=None)
            site.ledger.record_step(run.id, "snapshot", {"id": snapshot}, site.clock.now())
        return site.again(run)

    def _end_unfinished(self, level: Level) -> None:
        """End the run that a person turns back; its stages are the rollback's now."""
        site = self._site
        run = site.unfinished()
        if run is None:
            return
        if not State(run.state).goes_back:
            site.move(run, Signal.TURNED_BACK, back_to=DISABLED)
        site.ledger.update_run(run.id, message=f"ended by a rollback of level {level}")
        site.finish(run, Signal.ABORTED)

    # gradual

    def _gradually(self, run: Run) -> Outcome:
        stages = self._site.rollout.stages
        with measuring(self._site, stages, self._make_prober, {}) as desk:
            back = WayBack(self._site, self._tell, lambda entry: self._observe(desk, run, entry.stage))
            self._take_up(desk, run, back)
            return back.undo_down_to(run, Signal.UNDONE)

    def _take_up(self, desk: Desk, run: Run, back: WayBack) -> None:
        """Finish the observation that a rollback was in when it was cut off, or that it had not begun yet."""
        standing = back.to_be_undone(run)
        if not standing:
            return
        if standing[0].run_id == run.id:
            self._observe(desk, run, standing[0].stage, standing[0])
            return
        entries = self._site.ledger.stages(rollout=run.rollout)
        stepped_back = any(entry.undone_by == run.id for entry in entries)
        observed = any(entry.run_id == run.id and entry.stage == standing[0].stage for entry in entries)
        if stepped_back and not observed:
            self._observe(desk, run, standing[0].stage)

    def _observe(self, desk: Desk, run: Run, name: str, entry: StageEntry | None = None) -> None:
        """Measure at stage *name* for a while, now that what came after it is taken back; a breach ends it early."""
        site = self._site
        stage = _observation(site.rollout, name)
        if stage is None:
            return
        passage = Passage(desk, run, stage, self._tell, lambda _: None)
        passage.open(entry)
        breach = None
        try:
            passage.observe()
        except Breach as found:
            breach = str(found)
        with site.lock.transaction():
            at = timestamp(site.clock.now())
            site.ledger.update_stage(
                passage.entry.id, state="undone", breach=breach, left_at=at, undone_at=at, undone_by=run.id
            )
        self._tell(
            "stage.observed",
            stage=name,
            ticks=passage.entry.ticks,
            breach=breach,
            **site.ledger.figures(passage.entry.id),
        )

    # standard and emergency

    def _at_once(self, run: Run, level: Level) -> Outcome:
        site = self._site
        stop_if_asked(site.clock)
        try:
            with site.lock.transaction():
                summary, noticed = self._take_back(run, assess(site, level))
                site.ledger.record_step(run.id, "rollback", summary, site.clock.now())
                site.finish(run, Signal.UNDONE)
        except Stuck as stuck:
            for conflict in stuck.conflicts if isinstance(stuck, Conflicting) else ():
                self._tell("change.conflicted", **conflict._asdict())
            WayBack(site, self._tell).stick(run, stuck)
            raise
        self._tell_taken_back(summary, noticed)
        self._tell("run.rolled_back", final_stage=DISABLED, cause=run.message, verified=True)
        return Outcome(ExitCode.DONE, site.survey.stands_at(), run.id)

    def _tell_taken_back(self, summary: dict[str, Any], noticed: list[Conflict]) -> None:
        for change in noticed:
            self._tell("change.noticed", **change._asdict())
        for name, rows in summary["removed"].items():
            self._tell("seed.removed", table=name, removed=rows, put_back=summary["put_back"][name])
        for migration in summary["reverted"]:
            self._tell("migration.reverted", migration=migration)
        for kept in summary["kept"]:
            self._tell("table.retained", **kept)

    def _take_back(self, run: Run, found: Assessment) -> tuple[dict[str, Any], list[Conflict]]:
        """Do all of *found* and compare; inside a transaction that Stuck rolls back."""
        if found.obstacles:
            raise Stuck(*found.obstacles)
        site = self._site
        backend = site.backend
        there = backend.objects()
        tables = [table for table in TABLES if table.name in found.remove]
        others = {table.name: self._digest_of_others(table, found) for table in tables if table.name not in found.going}
        noticed, conflicts = self._undo_stages(run, found)
        put_back = {}
        for table in tables:
            put_back[table.name], more = unseed.put_back(backend, table, found.put_back[table.name])
            conflicts += more
        if conflicts:
            raise Conflicting(conflicts, f"runner rollback --level {found.level}", "nothing was changed")
        for number, migration in enumerate(found.reverting):
            _revert(backend, migration, found.reverting[:number])
            site.ledger.revert_migration(migration.migration.version, run.id)
        _verify_objects(there, backend.objects(), found.reverting)
        for table in tables:
            if table.name in others:
                _remove(backend, table, found)
                _verify_others(table, others[table.name], self._digest_of_others(table, found))
        site.ledger.forget_seeds(site.rollout.name)
        return {
            "removed": {table.name: len(found.remove[table.name]) for table in tables},
            "put_back": put_back,
            "reverted": [f"{each.migration.version}_{each.migration.name}" for each in found.reverting],
            "skipped": [what for each in found.reverting for what in each.skipped],
            "kept": [{"table": kept.table, "rows": kept.rows, "reason": kept.reason} for kept in found.kept],
            "staying": found.staying,
        }, noticed

    def _undo_stages(self, run: Run, found: Assessment) -> tuple[list[Conflict], list[Conflict]]:
        """Put back what stages wrote to rows that stay; return what others changed in them, and what is in the way."""
        site = self._site
        back = WayBack(site, self._tell)
        gone = {table.name: self._gone(table, found) for table in TABLES}
        noticed: list[Conflict] = []
        conflicts: list[Conflict] = []
        for number, entry in enumerate(found.stages, start=1):
            older = (stage.id for stage in found.stages[number:])
            undone = Changes(site.backend, entry.id).undo(older, gone)
            live.forget_props(site.backend, entry.id)
            back.note(entry, undone.noticed)
            back.close(run, entry, "undone")
            noticed += undone.noticed
            conflicts += undone.conflicts
        return noticed, conflicts

    def _gone(self, table: Table, found: Assessment) -> set[Key]:
        """Return the rows of which nothing has to be put back: they will be removed, or went with their table."""
        if table.name in found.remove:
            return set(found.remove[table.name])
        return {key for entry in found.stages for key in Changes(self._site.backend, entry.id).claimed(table)}

    def _digest_of_others(self, table: Table, found: Assessment) -> str:
        """Return the digest of the rows of *table* that nobody of the rollout ever wrote to."""
        backend = self._site.backend
        written = {*found.remove[table.name], *found.put_back[table.name]}
        for entry in found.stages:
            written |= Changes(backend, entry.id).claimed(table).keys()
        return digest_of_others(backend, table, written)


def _goes_further(level: Level, other: str) -> bool:
    """Say whether *level* does all that *other* would have done, and more."""
    levels = list(Level)  # the furthest first
    return other in levels and levels.index(level) < levels.index(Level(other))


def _revert(backend: Backend, each: Reverting, before: list[Reverting]) -> None:
    """Run a down section. What those *before* it have left is named first: it may be why this one fails."""
    try:
        backend.run(each.migration, each.run)
    except StatementFailed as failure:
        raise Stuck(
            *_left_over(before, backend.objects()),
            Problem(
                f"the down section of migration {each.migration.version}_{each.migration.name} failed:"
                f" {failure.__cause__}",
                failure.problems[0].where,
                "nothing was changed; remove by hand what is in its way (the file has to stay as it was applied), and"
                " run the same command again; or bring a snapshot back: runner restore; or end it: runner abort",
            ),
        ) from failure


def _remove(backend: Backend, table: Table, found: Assessment) -> None:
    rows = found.remove[table.name]
    removed = unseed.remove(backend, table, rows)
    if removed != len(rows):
        raise Stuck(
            Problem(
                f"{len(rows) - removed} of {len(rows)} rows of {table.name} are not removed: a trigger keeps them",
                fix="nothing was changed; drop the trigger, and run the same command again",
            )
        )


def _verify_others(table: Table, before: str, now: str) -> None:
    if before != now:
        raise Stuck(
            Problem(
                f"rows of others in {table.name} would not be as they were after the rollback",
                fix="nothing was changed; look for a trigger on it, or a down section, that writes to them, and run the"
                " same command again without it",
            )
        )


def _verify_objects(before: frozenset[str], now: frozenset[str], reverted: list[Reverting]) -> None:
    """Make sure that what the reverted migrations made is gone, and that nothing else is."""
    problems = _left_over(reverted, now)
    made = frozenset().union(*(each.made for each in reverted))
    if lost := sorted(before - made - now):
        problems.append(
            Problem(
                f"{', '.join(lost)} would go with what the rollout made, and is not the rollout's",
                fix=f"nothing was changed; drop it yourself ({_drops(lost)}), and run the same command again",
            )
        )
    if problems:
        raise Stuck(*problems)


def _left_over(reverted: Iterable[Reverting], now: frozenset[str]) -> list[Problem]:
    return [
        Problem(
            f"the down section of migration {each.migration.version}_{each.migration.name} leaves {', '.join(left)}",
            Where(str(each.migration.path)),
            f"nothing was changed; drop by hand what it leaves ({_drops(left)}), and run the same command again",
        )
        for each in reverted
        if (left := sorted(each.made & now))
    ]


def _drops(names: list[str]) -> str:
    kinds_and_names = (name.split(" ", 1) for name in names)
    return " ".join(f"DROP {kind.upper()} {quoted(name)};" for kind, name in kinds_and_names)


def _observation(rollout: Rollout, name: str) -> Stage | None:
    """Return what is observed at stage *name* on the way back; None where it is no longer declared."""
    found = next((stage for stage in rollout.stages if stage.name == name), None)
    if found is None:
        return None
    duration_s = max(rollout.rollback.observe_s, found.interval_s)
    return found._replace(mode=Mode.OBSERVE, duration_s=duration_s, deadline_s=duration_s, activate=None, refresh=None)
