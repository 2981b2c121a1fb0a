"""
What if: past runs, held against the thresholds of two configs, and where these differ. Reads the ledger alone.

A run that its own config does not lead to its own ending tells nothing, and what was not measured is not made up. What
the two configs come to is compared with each other, for what was recorded may be of a third.
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
from runner.engine.bygone import NotKnown, alike, as_it_was, former_names, with_names
from runner.engine.rejudge import Ending, Result, Terms, rejudge
from runner.errors import Mismatch, Problem, StepFailed
from runner.store.connect import exists, open_backend
from runner.store.ledger import Ledger
from runner.store.measured import Measured, rollouts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runner.config.model import Rollout
    from runner.store.backend import Backend
    from runner.store.ledger import Run, StageEntry

VERSION = 1
"""Of the JSON form. Grows when a key changes its meaning or goes away; new keys do not count."""
RUNS = 20
"""So many runs are looked at where nobody says otherwise."""


class Outcome(StrEnum):
    """What a run would have come to under the new config, beside what it would have come to under the old one."""

    SAME = "same"
    """Nothing that was recorded leads to anything else."""
    WOULD_PASS = "would_pass"  # noqa: S105  not a password
    """The old one rolls it back in a stage that the new one lets pass, the whole of which was recorded."""
    WOULD_GO_ON = "would_go_on"
    """The old one rolls it back, the new one not as far as was recorded; nothing is known of what comes after."""
    WOULD_ROLL_BACK = "would_roll_back"
    ELSEWHERE = "elsewhere"
    """Both roll it back, at another tick or stage."""
    CANNOT_BE_TOLD = "cannot_be_told"


def replayed(old: Rollout, new: Rollout, database: str, runs: int = RUNS) -> dict[str, Any]:
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
        return {"database": shown, **replay(old, new, backend, runs, shown)}


def replay(
    old: Rollout, new: Rollout, backend: Backend, runs: int = RUNS, where: str = "this database"
) -> dict[str, Any]:
    """
    Say of each of the last *runs* runs that went forward and measured something how *new* ends it otherwise than *old*.

    Newest first. *where* is what messages call the database.
    """
    if not Ledger(backend).exists:
        fix = "name the database that the rollout was applied to"
        raise StepFailed(Problem(f"there is no ledger in {where}: no rollout was ever applied to it", fix=fix))
    measured = Measured(backend, new.name, runs)
    if not measured.runs and (known := rollouts(backend)) and new.name not in known:
        what = f"the ledger in {where} has no run of {new.name}; it has runs of {listed(known, 'and')}"
        fix = "name the database that this rollout was applied to; one that was renamed begins anew"
        raise Mismatch(Problem(what, fix=fix))
    lines = _Replay(old, new, backend).lines(measured)
    counts = {outcome.value: sum(line["outcome"] == outcome for line in lines) for outcome in Outcome}
    return {
        "version": VERSION,
        "rollout": new.name,
        "total": len(lines),
        "measured_nothing": measured.nothing,
        **counts,
        "runs": lines,
    }


class _Recorded(NamedTuple):
    """How a run ended, the state that it is in, and the stage and tick (from 1) at which it was left."""

    ending: str
    state: str
    stage: str
    tick: int
    because: str | None


class _Past(NamedTuple):
    """A run, its passages, and what came of each under the old config and the new one; or why that cannot be told."""

    run: Run
    entries: list[StageEntry]
    pair: _Pair | None
    endings: dict[str, tuple[Ending, ...]]
    fault: str | None


class _Side(NamedTuple):
    """A config, its stages called what they were called then; `called` says what those are called in it."""

    rollout: Rollout
    called: dict[str, str]


class _Pair(NamedTuple):
    """The config that a run went by, and what it is held against."""

    then: Rollout
    old: _Side
    new: _Side


class _Came(NamedTuple):
    """
    What a run comes to under one config, on a route of stages: its ending at a stage and a tick, None if not known.

    Where something before a breach is not known, it comes at that tick `at_the_latest`.
    """

    ending: str | None
    route: tuple[str, ...] = ()
    stage: str = ""
    tick: int = 0
    because: tuple[dict[str, Any], ...] = ()
    why: tuple[str, ...] = ()

    @property
    def at_the_latest(self) -> bool:
        return self.ending == "rolled_back" and bool(self.why)

    def plain(self, side: _Side) -> dict[str, Any] | None:
        """Return it as JSON can write it; `of_ticks` is how many the stage has now."""
        if self.ending is None:
            return None
        return {
            "ending": self.ending,
            "stage": self.stage,
            "called": side.called.get(self.stage, self.stage),
            "tick": self.tick,
            "of_ticks": side.rollout.stage(self.stage).ticks,
            "at_the_latest": self.at_the_latest,
            "because": list(self.because),
        }


class _Replay:
    def __init__(self, old: Rollout, new: Rollout, backend: Backend) -> None:
        self._old = old
        self._new = new
        self._ledger = Ledger(backend)
        self._configs: dict[str, _Pair | NotKnown] = {}
        self._terms: dict[tuple[str, str, str], tuple[Terms, Terms]] = {}
        self._alike: dict[tuple[str, str], bool] = {}

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
        return [self._line(past) for past in pasts.values()]

    def _with(
        self, past: _Past, entry: StageEntry, samples: Iterable[tuple[Any, ...]], verdicts: Iterable[tuple[Any, ...]]
    ) -> _Past:
        """Return *past* with one more passage judged again."""
        run = past.run
        try:
            pair = self._pair(run.config_digest)
            owed = any(ending.owes for endings in past.endings.values() for ending in endings)
            terms = self._stage(pair, run, entry.stage)
            endings = rejudge(terms, entry, samples, verdicts, owed=owed)
        except NotKnown as unknown:
            return past._replace(fault=str(unknown))
        return past._replace(pair=pair, endings={**past.endings, entry.stage: endings})

    def _stage(self, pair: _Pair, run: Run, stage: str) -> tuple[Terms, Terms]:
        key = (run.config_digest, run.environment, stage)
        if key not in self._terms:
            old, new = (Terms(pair.then, side.rollout, stage, run.environment) for side in (pair.old, pair.new))
            self._terms[key] = (old, new)
        return self._terms[key]

    def _pair(self, digest: str) -> _Pair:
        """Return the config that runs under *digest* went by, and the others; NotKnown where that cannot be said."""
        if digest not in self._configs:
            try:
                self._configs[digest] = self._paired(as_it_was(self._new, self._declared(digest)))
            except NotKnown as unknown:
                self._configs[digest] = unknown
        found = self._configs[digest]
        if isinstance(found, NotKnown):
            raise found
        return found

    def _paired(self, then: Rollout) -> _Pair:
        before, after = former_names(then, self._old, self._old), former_names(then, self._old, self._new)
        return _Pair(then, _side(self._old, before), _side(self._new, after))

    def _declared(self, digest: str) -> Any:
        try:
            return self._ledger.config(digest)
        except (ValueError, TypeError, RecursionError) as error:
            raise NotKnown("the config that it went by cannot be read") from error

    def _line(self, past: _Past) -> dict[str, Any]:
        """Return what a run came to, what it comes to under the old config and the new one, and each of its stages."""
        recorded = _recorded(past)
        pair = past.pair or _Pair(self._new, _side(self._old, {}), _side(self._new, {}))
        old, new = (_came(past, recorded, number) for number in (0, 1))
        outcome = Outcome.SAME if self._is_alike(past, old, new) else _outcome(old, new)
        why = list(dict.fromkeys(new.why))
        if outcome is Outcome.CANNOT_BE_TOLD:
            why += [f"by the old config: {each}" for each in dict.fromkeys(old.why) if each not in why]
        return {
            "run_id": str(past.run.id),
            "environment": str(past.run.environment),
            "started_at": str(past.run.started_at),
            "outcome": outcome.value,
            "recorded": _plain(recorded) if recorded else None,
            "by_old": old.plain(pair.old),
            "replayed": new.plain(pair.new),
            "why": why,
            "stages": [
                {"stage": str(entry.stage), "ticks": entry.ticks, "result": ending.result.value, "tick": ending.tick}
                for entry in past.entries
                for ending in past.endings.get(entry.stage, ())[1:]
            ],
        }

    def _is_alike(self, past: _Past, old: _Came, new: _Came) -> bool:
        """Say whether nothing on the way of the run is declared otherwise, whatever is known of it."""
        if past.pair and old.route and new.route:
            end = new.route.index(new.stage) + 1 if new.ending == "rolled_back" else None
            digest, before, after = past.run.config_digest, past.pair.old.rollout, past.pair.new.rollout
            return old.route[:end] == new.route[:end] and all(
                self._is_alike_in(digest, before, after, stage) for stage in new.route[:end]
            )
        after = with_names(self._new, former_names(self._old, self._old, self._new))
        names, same = ([stage.name for stage in side.stages] for side in (self._old, after))
        return names == same and all(self._is_alike_in("", self._old, after, stage) for stage in names)

    def _is_alike_in(self, digest: str, old: Rollout, new: Rollout, stage: str) -> bool:
        if (digest, stage) not in self._alike:
            self._alike[digest, stage] = alike(old, new, stage)
        return self._alike[digest, stage]


def _side(rollout: Rollout, names: dict[str, str]) -> _Side:
    return _Side(with_names(rollout, names), {was: now for now, was in names.items()})


def _plain(recorded: _Recorded) -> dict[str, Any]:
    """Return it as JSON can write it, whatever a ledger that no runner wrote may hold."""
    return {name: value if isinstance(value, int | None) else str(value) for name, value in recorded._asdict().items()}


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


def _outcome(old: _Came, new: _Came) -> Outcome:
    """Say what is different between two endings that are known; what is known of one alone tells nothing."""
    if old.ending is None or new.ending is None:
        return Outcome.CANNOT_BE_TOLD
    match old.ending == "rolled_back", new.ending == "rolled_back":
        case False, True:
            return Outcome.WOULD_ROLL_BACK
        case True, False:
            return Outcome.WOULD_PASS if new.ending in {"passes", "completed"} else Outcome.WOULD_GO_ON
        case True, True:
            if old.at_the_latest or new.at_the_latest:
                return Outcome.CANNOT_BE_TOLD
            return Outcome.SAME if (old.stage, old.tick) == (new.stage, new.tick) else Outcome.ELSEWHERE
    return Outcome.SAME if old.ending == new.ending else Outcome.CANNOT_BE_TOLD


def _came(past: _Past, recorded: _Recorded | None, number: int) -> _Came:
    """Return what a run comes to under the old config (0) or the new one (1)."""
    if past.fault or past.pair is None:
        return _Came(None, why=(past.fault or "it has no passage through a stage",))
    if recorded is None:
        return _Came(None, why=("the ledger contradicts itself about how it ended",))
    side = (past.pair.old, past.pair.new)[number]
    try:
        route = _route(past, past.pair.then, side.rollout)
    except NotKnown as unknown:
        return _Came(None, why=(str(unknown),))
    return _along(recorded, route, {stage: each[number] for stage, each in past.endings.items()}, side)


def _route(past: _Past, then: Rollout, now: Rollout) -> tuple[str, ...]:
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
    return tuple(after[start:end])


def _along(recorded: _Recorded, route: tuple[str, ...], endings: dict[str, Ending], side: _Side) -> _Came:
    """Return what a run comes to that goes through the stages of *route*."""
    why: list[str] = []
    for name in route:
        ending = endings.get(name)
        if ending is None:
            why.append(f"the stage {side.called.get(name, name)} is new, and nothing was measured in it")
        elif ending.result is Result.BREACHES:
            unknown = tuple(dict.fromkeys([*why, *ending.why]))
            return _Came("rolled_back", route, name, ending.tick, ending.because, unknown)
        elif ending.result is Result.UNKNOWN or (ending.result is Result.GOES_ON and name != recorded.stage):
            why += ending.why
    last = endings[recorded.stage]
    if not why and last.result is Result.GOES_ON and recorded.ending == "completed":
        why += last.why
    if not why and _ends_before_it_was_cut_off(recorded, last):
        why.append(f"{recorded.stage} passes at tick {last.tick} now, and what would have come then is not recorded")
    if why:
        return _Came(None, route, why=tuple(dict.fromkeys(why)))
    rolled_back_no_more = "passes" if last.result is Result.PASSES else "goes_on"
    came = rolled_back_no_more if recorded.ending == "rolled_back" else recorded.ending
    return _Came(came, route, recorded.stage, last.tick, why=last.why if came == "goes_on" else ())


def _ends_before_it_was_cut_off(recorded: _Recorded, last: Ending) -> bool:
    return recorded.ending == "cut_off" and last.result is Result.PASSES and last.tick < recorded.tick
