"""
What if: past runs, held against the thresholds of another config. Reads the ledger, and writes nothing.

A run that its own config does not lead to its own ending tells nothing, and what was not measured is not made up.
"""

from __future__ import annotations

from contextlib import closing
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from runner.config.database import NotADatabase, engine_of
from runner.config.secret import masked
from runner.config.wording import listed
from runner.decide.machine import State
from runner.engine.bygone import NotKnown, as_it_was
from runner.engine.rejudge import Ending, Result, Terms, rejudge
from runner.errors import Mismatch, Problem, StepFailed
from runner.store.connect import exists, open_backend
from runner.store.ledger import Ledger
from runner.store.measured import Measured, rollouts

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from runner.config.model import Rollout
    from runner.store.backend import Backend
    from runner.store.ledger import Run, StageEntry

VERSION = 1
"""Of the JSON form. Grows when a key changes its meaning or goes away; new keys do not count."""
RUNS = 20
"""So many runs are looked at where nobody says otherwise."""


class Outcome(StrEnum):
    """What a run would have come to, beside what it came to."""

    SAME = "same"
    WOULD_PASS = "would_pass"  # noqa: S105  not a password
    """It was rolled back, and what was measured up to then does not breach now."""
    WOULD_ROLL_BACK = "would_roll_back"
    ELSEWHERE = "elsewhere"
    """It was rolled back, and would be at another tick or stage."""
    CANNOT_BE_TOLD = "cannot_be_told"


def replayed(rollout: Rollout, database: str, runs: int = RUNS) -> dict[str, Any]:
    """
    Return what `replay` finds in the ledger of *database*, a URL or the path of a file, and which database that was.

    It is read as it is at one moment, and no file is made. StepFailed where there is no database or no ledger in it,
    Mismatch where it knows other rollouts only, or is of a form that is newer than this runner.
    """
    url = database if "://" in database else f"sqlite:///{quote(database)}"
    shown = masked(url)
    try:
        engine = engine_of(url)
    except NotADatabase as error:
        raise StepFailed(Problem(f"what is to be replayed {error}", fix=error.fix)) from error
    if not exists(url, engine):
        raise StepFailed(Problem(f"there is no database {shown}", fix="name the one that the runs are recorded in"))
    with closing(open_backend(url, engine, read_only=True)) as backend, backend.one_moment():
        return {"database": shown, **replay(rollout, backend, runs, shown)}


def replay(rollout: Rollout, backend: Backend, runs: int = RUNS, where: str = "this database") -> dict[str, Any]:
    """
    Say of each of the last *runs* runs that went forward and measured something how it would end under *rollout*.

    Newest first. *where* is what messages call the database.
    """
    if not Ledger(backend).exists:
        fix = "name the database that the rollout was applied to"
        raise StepFailed(Problem(f"there is no ledger in {where}: no rollout was ever applied to it", fix=fix))
    measured = Measured(backend, rollout.name, runs)
    if not measured.runs and (known := rollouts(backend)) and rollout.name not in known:
        what = f"the ledger in {where} has no run of {rollout.name}; it has runs of {listed(known, 'and')}"
        fix = "name the database that this rollout was applied to; one that was renamed begins anew"
        raise Mismatch(Problem(what, fix=fix))
    lines = _Replay(rollout, backend).lines(measured)
    counts = {outcome.value: sum(line["outcome"] == outcome for line in lines) for outcome in Outcome}
    return {"version": VERSION, "rollout": rollout.name, "total": len(lines), **counts, "runs": lines}


class _Recorded(NamedTuple):
    """How a run ended, the state that it is in, and the stage and tick (from 1) at which it was left."""

    ending: str
    state: str
    stage: str
    tick: int
    because: str | None


class _Past(NamedTuple):
    """A run, its passages, and what came of each under the new config; or why that cannot be told."""

    run: Run
    entries: list[StageEntry]
    then: Rollout | None
    endings: dict[str, Ending]
    fault: str | None


class _Replay:
    def __init__(self, rollout: Rollout, backend: Backend) -> None:
        self._now = rollout
        self._ledger = Ledger(backend)
        self._configs: dict[str, Rollout | NotKnown] = {}
        self._terms: dict[tuple[str, str, str], Terms] = {}

    def lines(self, measured: Measured) -> list[dict[str, Any]]:
        """Return a line for each run, newest first; reads all samples once, in the order of the stages."""
        pasts = {run.id: _Past(run, [], None, {}, None) for run in measured.runs}
        with closing(measured.samples()) as samples, closing(measured.verdicts()) as verdicts:
            for entry in measured.entries():
                if entry.run_id in pasts:
                    past = pasts[entry.run_id]
                    past.entries.append(entry)
                    if past.fault is None:
                        pasts[entry.run_id] = self._with(past, entry, samples.of(entry.id), verdicts.of(entry.id))
        return [_line(past, self._now) for past in pasts.values()]

    def _with(
        self, past: _Past, entry: StageEntry, samples: Iterable[tuple[Any, ...]], verdicts: Iterable[tuple[Any, ...]]
    ) -> _Past:
        """Return *past* with one more passage judged again."""
        run = past.run
        try:
            then = self._config(run.config_digest)
            owed = any(ending.owes for ending in past.endings.values())
            ending = rejudge(self._stage(then, run, entry.stage), entry, samples, verdicts, owed=owed)
        except NotKnown as unknown:
            return past._replace(fault=str(unknown))
        return past._replace(then=then, endings={**past.endings, entry.stage: ending})

    def _stage(self, then: Rollout, run: Run, stage: str) -> Terms:
        key = (run.config_digest, run.environment, stage)
        if key not in self._terms:
            self._terms[key] = Terms(then, self._now, stage, run.environment)
        return self._terms[key]

    def _config(self, digest: str) -> Rollout:
        """Return the config that runs under *digest* went by; NotKnown where that cannot be said."""
        if digest not in self._configs:
            try:
                self._configs[digest] = as_it_was(self._now, self._declared(digest))
            except NotKnown as unknown:
                self._configs[digest] = unknown
        found = self._configs[digest]
        if isinstance(found, NotKnown):
            raise found
        return found

    def _declared(self, digest: str) -> Any:
        try:
            return self._ledger.config(digest)
        except (ValueError, TypeError, RecursionError) as error:
            raise NotKnown("the config that it went by cannot be read") from error


def _line(past: _Past, now: Rollout) -> dict[str, Any]:
    """Return what a run came to, what it would have come to, and each of its stages."""
    recorded = _recorded(past)
    found = _found(past, recorded, now)
    return {
        "run_id": str(past.run.id),
        "environment": str(past.run.environment),
        "started_at": str(past.run.started_at),
        "outcome": found.outcome.value,
        "recorded": _plain(recorded) if recorded else None,
        "replayed": found.replayed,
        "why": list(found.why),
        "stages": [
            {"stage": str(entry.stage), "ticks": entry.ticks, "result": ending.result.value, "tick": ending.tick}
            for entry in past.entries
            if (ending := past.endings.get(entry.stage))
        ],
    }


def _plain(recorded: _Recorded) -> dict[str, Any]:
    """Return it as JSON can write it, whatever a ledger that no runner wrote may hold."""
    return {name: value if isinstance(value, int | None) else str(value) for name, value in recorded._asdict().items()}


class _Found(NamedTuple):
    outcome: Outcome
    replayed: dict[str, Any] | None
    why: Sequence[str] = ()


def _recorded(past: _Past) -> _Recorded | None:
    """Return how a run ended; None where the ledger contradicts itself."""
    run, last = past.run, past.entries[-1]
    if last.breach:
        return _Recorded("rolled_back", run.state, last.stage, last.ticks, str(last.breach))
    if any(entry.breach for entry in past.entries) or run.state == State.ROLLED_BACK:
        return None
    if run.state == State.COMPLETED and run.back_to is None:
        return _Recorded("completed", run.state, last.stage, last.ticks, None) if last.left_at else None
    return _Recorded("cut_off", run.state, last.stage, last.ticks, run.message or run.stopped)


def _found(past: _Past, recorded: _Recorded | None, now: Rollout) -> _Found:
    if past.fault or past.then is None:
        return _Found(Outcome.CANNOT_BE_TOLD, None, [past.fault or "it has no passage through a stage"])
    if recorded is None:
        return _Found(Outcome.CANNOT_BE_TOLD, None, ["the ledger contradicts itself about how it ended"])
    try:
        route = _route(past, past.then, now)
    except NotKnown as unknown:
        return _Found(Outcome.CANNOT_BE_TOLD, None, [str(unknown)])
    return _outcome(past, recorded, route)


def _route(past: _Past, then: Rollout, now: Rollout) -> list[str]:
    """
    Return the stages that the run would go through now, up to where its record ends, in order.

    NotKnown where the record is of stages in another order, or ends in a stage that is no longer declared.
    """
    before, after = ([stage.name for stage in side.stages] for side in (then, now))
    names = [entry.stage for entry in past.entries]
    places = [after.index(name) for name in names if name in after]
    if places != sorted(set(places)):
        raise NotKnown("the stages are declared in another order now")
    if names[-1] not in after:
        raise NotKnown(f"it ended in {names[-1]}, which is no longer declared")
    first = before.index(names[0])
    start = max((after.index(name) + 1 for name in before[:first] if name in after), default=0)
    if places[:1] < [start]:
        raise NotKnown("the stages are declared in another order now")
    end = after.index(names[-1]) + 1
    if past.run.state == State.COMPLETED and past.run.back_to is None and names[-1] == before[-1]:
        end = len(after)
    return after[start:end]


def _outcome(past: _Past, recorded: _Recorded, route: list[str]) -> _Found:
    why: list[str] = []
    for name in route:
        ending = past.endings.get(name)
        if ending is None:
            why.append(f"the stage {name} is new, and nothing was measured in it")
        elif ending.result is Result.BREACHES:
            return _breached(recorded, name, ending, list(dict.fromkeys([*why, *ending.why])))
        elif ending.result is Result.UNKNOWN or (ending.result is Result.GOES_ON and name != recorded.stage):
            why += ending.why
    last = past.endings[recorded.stage]
    if not why and last.result is Result.GOES_ON and recorded.ending == "completed":
        why += last.why
    if not why and _ends_before_it_was_cut_off(recorded, last):
        why.append(f"{recorded.stage} passes at tick {last.tick} now, and what would have come then is not recorded")
    if why:
        return _Found(Outcome.CANNOT_BE_TOLD, None, list(dict.fromkeys(why)))
    if recorded.ending == "rolled_back":
        goes_on = {"ending": "goes_on", "stage": recorded.stage, "tick": last.tick, "because": []}
        return _Found(Outcome.WOULD_PASS, goes_on, last.why)
    same = {"ending": recorded.ending, "stage": recorded.stage, "tick": last.tick, "because": []}
    return _Found(Outcome.SAME, same)


def _ends_before_it_was_cut_off(recorded: _Recorded, last: Ending) -> bool:
    return recorded.ending == "cut_off" and last.result is Result.PASSES and last.tick < recorded.tick


def _breached(recorded: _Recorded, stage: str, ending: Ending, why: list[str]) -> _Found:
    """Return what a breach makes of a run; where something before it is not known, it came then at the latest."""
    found = {
        "ending": "rolled_back",
        "stage": stage,
        "tick": ending.tick,
        "at_the_latest": bool(why),
        "because": list(ending.because),
    }
    if recorded.ending != "rolled_back":
        return _Found(Outcome.WOULD_ROLL_BACK, found, why)
    if why:
        return _Found(Outcome.CANNOT_BE_TOLD, found, why)
    same = (stage, ending.tick) == (recorded.stage, recorded.tick)
    return _Found(Outcome.SAME if same else Outcome.ELSEWHERE, found)
