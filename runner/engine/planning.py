"""
Every step that apply would take, in order, as plain data. Reads only, and takes no lock.

What apply would refuse is refused here, with the same words: a plan that is made can be applied.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from runner.act.switch import ON, is_settled
from runner.clock import timestamp
from runner.config.model import DISABLED
from runner.config.secret import masked
from runner.decide.machine import State
from runner.decide.steps import Coming, Open, stage_steps
from runner.engine.survey import Survey
from runner.store import lock
from runner.store.changes import Changes
from runner.store.tables import PORTFOLIO_RATIONALES, PROVIDER_STATES, TABLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from runner.act.seed import Difference, RowDifference, Seeds
    from runner.config.model import Fault, Migration, Rollout, Statement
    from runner.decide.steps import Step
    from runner.store.backend import Backend, Row
    from runner.store.changes import Key
    from runner.store.ledger import Run, StageEntry

VERSION = 1
"""Of the JSON form. Grows when a key changes its meaning or goes away; new keys do not count."""


def plan(rollout: Rollout, backend: Backend, now: datetime, target: str | None) -> dict[str, Any]:
    """
    Return what apply would do with *rollout* on the way to stage *target* (None: where it heads for by itself).

    Mismatch and StepFailed as apply would raise them before its first write.
    """
    return _Planning(rollout, backend, now).document(target)


class _Seeding(NamedTuple):
    """The seed steps, and what is told beside them: rows that are declared no more, and what stands by then."""

    steps: list[Step]
    undeclared: list[str]
    coming: Coming


class _Planning:
    def __init__(self, rollout: Rollout, backend: Backend, now: datetime) -> None:
        self._rollout = rollout
        self._backend = backend
        self._now = now
        self._survey = Survey(rollout, backend)

    def document(self, target: str | None) -> dict[str, Any]:
        survey = self._survey
        run = survey.unfinished()
        aim = survey.aim(run, target)
        back_to = self._back_to(run, aim)
        steps: list[Step]
        undeclared: list[str] = []
        newer: list[str] = []
        if back_to is None:
            steps, undeclared, newer = self._forward(aim)
        else:
            steps = self._back(survey.beyond(back_to))
        takes_s = sum(step["takes_s"] for step in steps if step["step"] == "stage")
        return {
            "version": VERSION,
            **self._place(),
            "stands_at": survey.stands_at(),
            "target_stage": aim if back_to is None else back_to,
            "direction": "forward" if back_to is None else "back",
            "run": _brief(run) if run else None,
            "accept_changes": survey.changed_since(run) if run else [],
            "pending": bool(steps) or run is not None or survey.ledger.latest_run(self._rollout.name) is None,
            "steps": steps,
            "snapshot": self._rollout.snapshots.before_run and run is None and bool(self._backend.tables()),
            "exit_criteria": len(self._rollout.criteria) if back_to is None and self._ends_at(aim) else 0,
            "takes_s": takes_s,
            "earliest_end_at": timestamp(self._now + timedelta(seconds=takes_s)),
            "irreversible": [said for step in steps for said in _irreversible(step)],
            "undeclared": undeclared,
            "newer": newer,
        }

    def _ends_at(self, stage: str) -> bool:
        return stage == self._rollout.stages[-1].name

    def _place(self) -> dict[str, Any]:
        environment = self._rollout.environment
        holder = lock.holder(self._backend)
        return {
            "rollout": self._rollout.name,
            "environment": environment.name,
            "database": masked(environment.database),
            "speed": environment.speed,
            "faults": [_fault(fault) for fault in self._rollout.faults],
            "made_at": timestamp(self._now),
            "held_by": str(holder) if holder and holder.stands(self._now) else None,
        }

    def _back_to(self, run: Run | None, aim: str) -> str | None:
        """Return the stage that apply walks back to; None where it goes forward."""
        if run is not None and State(run.state).goes_back:
            return run.back_to or DISABLED
        return self._survey.route(aim).back_to

    def _forward(self, aim: str) -> tuple[list[Step], list[str], list[str]]:
        survey = self._survey
        migrations = survey.pending()
        begun = {row["version"] for row in survey.ledger.migrations() if row["state"] == "begun"}
        seeding = self._seeding(foreseen=bool(migrations) or not survey.ledger.exists)
        stages = survey.route(aim).forward
        entry = survey.open_stage()
        opened = self._opened(entry) if entry else None
        steps = [_migration(migration, begun=migration.version in begun) for migration in migrations]
        steps += seeding.steps
        steps += stage_steps(self._rollout, stages, survey.passed(), seeding.coming, opened)
        newer = [] if stages or migrations else survey.find_newer()
        return steps, seeding.undeclared, newer

    # seeds

    def _seeding(self, *, foreseen: bool) -> _Seeding:
        found = _Seeding([], [], Coming(set(), {}, self._at))
        for (name, load), note in zip(
            self._survey.seeds(foreseen=foreseen), (self._note_providers, self._note_caches), strict=True
        ):
            seeds = load(self._now)
            if not foreseen:
                seeds.check()
            counts = seeds.compare()
            differences = [] if counts.is_none else list(seeds.differences())
            found.undeclared.extend(seeds.undeclared())
            note(found.coming, seeds, differences)
            if differences:
                found.steps.append(_seed(name, counts, differences))
        return found

    def _at(self, seconds: float) -> Any:
        return self._backend.time(self._now + timedelta(seconds=seconds))

    def _note_providers(self, coming: Coming, seeds: Seeds, differences: list[RowDifference]) -> None:
        rows = dict(seeds.standing(*ON))
        for difference in differences:
            rows[difference.key] = {**rows.get(difference.key, {}), **difference.after}
        coming.on.update(key for key, row in rows.items() if all(row[name] == value for name, value in ON.items()))

    def _note_caches(self, coming: Coming, seeds: Seeds, differences: list[RowDifference]) -> None:
        coming.expires.update((key[0], row["expires_at"]) for key, row in seeds.standing("expires_at"))
        ttl_s = {entry.key: entry.ttl_s for entry in self._rollout.caches} if differences else {}
        at = {seconds: self._at(seconds) for seconds in set(ttl_s.values())}
        coming.expires.update((difference.key[0], at[ttl_s[difference.key[0]]]) for difference in differences)

    # stages

    def _opened(self, entry: StageEntry) -> Open:
        """Return how far the open stage has come, and the rows that it has claimed and not switched yet."""
        claims = Changes(self._backend, entry.id).claimed(PROVIDER_STATES)
        waiting = frozenset(key for key, claim in claims.items() if not is_settled(claim))
        return Open(entry.ticks, waiting)

    def _back(self, entries: list[StageEntry]) -> list[Step]:
        """Return the steps that undo *entries*, newest first, and what will keep them from being exact."""
        restored: dict[tuple[str, Key], Row] = {}
        steps = []
        for number, entry in enumerate(entries, start=1):
            older = [stage.id for stage in entries[number:]]
            conflicts = Changes(self._backend, entry.id).foresee_undo(older, restored)
            steps.append({**self._take_back(entry), "conflicts": [str(conflict) for conflict in conflicts]})
        return steps

    def _take_back(self, entry: StageEntry) -> Step:
        """Return the step that undoes a stage: every row that it wrote, as it is and as it will be."""
        changes = Changes(self._backend, entry.id)
        rows = [
            {"table": table.name, "key": "/".join(map(str, key)), "before": claim.after, "after": claim.before}
            for table in TABLES
            for key, claim in sorted(changes.claimed(table).items())
            if claim.before
        ]
        return {"step": "take_back", "stage": entry.stage, "mode": entry.mode, "state": entry.state, "rows": rows}


def _fault(fault: Fault) -> str:
    """Say what the stand-in is told to do."""
    since = f" since {fault.since}" if fault.since else ""
    return f"{fault.provider} {fault.kind}{since}"


def _brief(run: Run) -> dict[str, Any]:
    names = ("id", "state", "target_stage", "back_to", "message", "stopped", "started_at")
    return {name: getattr(run, name) for name in names}


def _migration(migration: Migration, *, begun: bool) -> Step:
    return {
        "step": "migration",
        "version": migration.version,
        "name": migration.name,
        "checksum": migration.checksum,
        "begun": begun,
        "in_transaction": migration.in_transaction,
        "destructive": migration.destructive,
        "statements": _statements(migration.up),
        "verify": _statements(migration.verify),
        "rollback": _statements(migration.down),
    }


def _statements(statements: Iterable[Statement]) -> list[dict[str, Any]]:
    return [statement._asdict() for statement in statements]


def _seed(name: str, counts: Difference, differences: Sequence[RowDifference]) -> Step:
    table = {"providers": PROVIDER_STATES, "caches": PORTFOLIO_RATIONALES}[name]
    return {
        "step": "seed",
        "seed": name,
        "table": table.name,
        **counts._asdict(),
        "rows": [
            {
                "what": difference.what.value,
                "key": "/".join(map(str, difference.key)),
                "before": difference.before,
                "after": difference.after,
            }
            for difference in differences
        ],
        "rollback": {"deletes": counts.add, "sets_back": counts.change},
    }


def _irreversible(step: Step) -> list[dict[str, str]]:
    """Say why a step cannot be undone but by a snapshot; nothing where it can."""
    if step["step"] != "migration":
        return []
    name = f"{step['version']}_{step['name']}"
    if step["destructive"]:
        return [{"migration": name, "why": "it is declared destructive"}]
    return [] if step["rollback"] else [{"migration": name, "why": "it has no migrate:down"}]
