"""
One passage of the past through a stage, judged again by the gate: as it was declared then, and as other configs do.

The first has to lead to the ending that the ledger has, tick by tick and figure by figure; only then do the others
say anything. No number is made up: where one that decides was not recorded, NotKnown or `unknown` says which.
"""

from __future__ import annotations

import json
from collections import Counter
from enum import StrEnum
from itertools import groupby
from math import ceil, isfinite
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from runner.config.model import Kind, Reading, Statistic
from runner.decide.gate import Effect, Gate
from runner.engine.bygone import (
    NotKnown,
    answers_in_time,
    asked_otherwise,
    may_wait,
    otherwise,
    selected,
    unmeasured,
)
from runner.samples import Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from runner.config.model import Rollout, Stage, Threshold
    from runner.decide.gate import Judgement
    from runner.store.ledger import StageEntry

Row = tuple[Any, ...]

MOST_SILENT = 10_000
"""More ticks in a row without a single answer than any stage has: whoever wrote them was not the runner."""


class Result(StrEnum):
    """What comes of a stage under another config."""

    PASSES = "passes"
    BREACHES = "breaches"
    GOES_ON = "goes_on"
    """Nothing breaches it as far as it was recorded, and that is not to its end."""
    UNKNOWN = "unknown"


class Ending(NamedTuple):
    """
    What comes of a stage at *tick* (the first is 1): because of which figures, and what about it is not known.

    `owes` says that answers may have been under way when it was recorded to end: they came in the stage after it.
    """

    result: Result
    tick: int
    because: tuple[dict[str, Any], ...] = ()
    why: tuple[str, ...] = ()
    owes: bool = False


class Terms:
    """
    What a stage was judged by *then*, and is *now*, with what is the same for every passage in one environment.

    Where the stage is no longer declared, `now` is None. NotKnown where it was not declared then.
    """

    def __init__(self, then: Rollout, now: Rollout, stage: str, environment: str) -> None:
        self.then = _stage(then, stage)
        if self.then is None:
            raise NotKnown(f"the config that it went by last has no stage {stage}")
        self.now = _stage(now, stage)
        self.asked = Counter(provider for provider, _ in selected(then, self.then.probe))
        self.may_wait = may_wait(then, self.then)
        self.in_time = answers_in_time(then, self.then, environment)
        self.kinds = {metric.name: metric.kind for metric in then.metrics}
        self.readings = {metric.name: metric.reading for metric in then.metrics if metric.reading}
        self.hindered = tuple(otherwise(then, now, stage)) if self.now else ()
        missing = unmeasured(then, now, self.now) if self.now else {}
        asked = asked_otherwise(then, now, self.now) if self.now and self.may_wait else None
        self.rows_unknown = asked is not None
        self.unknown = tuple(dict.fromkeys([*missing.values(), *([f"{stage}: {asked}"] if asked else [])]))
        self.known = tuple(each for each in self.now.thresholds if each.metric not in missing) if self.now else ()

    @property
    def singles(self) -> frozenset[str]:
        """The metrics that give exactly one sample a tick."""
        return frozenset(name for name, kind in self.kinds.items() if kind is not Kind.PROBE)

    @property
    def counts_answers(self) -> bool:
        """Whether the verdicts that are stored say of how many answers: none can be missing unseen."""
        return any(
            self.kinds.get(threshold.metric) is Kind.PROBE and threshold.statistic is not Statistic.LAST
            for threshold in (self.then.thresholds if self.then else ())
        )


def _stage(rollout: Rollout, name: str) -> Stage | None:
    return next((stage for stage in rollout.stages if stage.name == name), None)


def rejudge(
    terms: Sequence[Terms], entry: StageEntry, samples: Iterable[Row], verdicts: Iterable[Row], *, owed: bool
) -> tuple[Ending, ...]:
    """
    Return what comes of a passage under each of *terms*, all of one past; rows as `store.measured` gives them.

    *owed*: answers of the stage before it may have come in this one. NotKnown where what is stored of it does not lead
    to its recorded ending.
    """
    if not isinstance(entry.ticks, int):
        raise NotKnown(f"how many ticks {entry.stage} had cannot be read")
    return _Passage(terms, entry, owed=owed).end(samples, verdicts)


class _Passage:
    """What was recorded of one passage, read once, however many configs are held against it."""

    def __init__(self, terms: Sequence[Terms], entry: StageEntry, *, owed: bool) -> None:
        self._terms = terms[0]
        self._entry = entry
        self._owed = owed
        then = terms[0].then
        assert then is not None  # noqa: S101  Terms raises where there is none
        self._then: Stage = then
        known = [threshold for each in terms for threshold in each.known]
        self._gate = Gate(dict.fromkeys((*then.thresholds, *known)), self._terms.asked)  # what is in several, once
        self._old = self._gate.part(then.thresholds)
        self._answers = _Answers(self._terms)
        self._whole: set[tuple[tuple[str, str], ...]] = set()
        self._singles = self._terms.singles
        self._probes = sum(kind is Kind.PROBE for kind in self._terms.kinds.values())
        self._sides = [_Side(each, entry, self._gate.part(each.known), self._none_was_late) for each in terms]

    def end(self, rows: Iterable[Row], verdicts: Iterable[Row]) -> tuple[Ending, ...]:
        for tick, samples in _ticks(self._entry, rows):
            self._refuse_missing(tick, samples)
            self._gate.take(samples)
            self._answers.take(samples)
            followed, waits = self._as_recorded(tick)
            for side in self._sides:
                side.go_on(tick, followed, waits=waits)
        self._compare(verdicts)
        owes = bool(self._probes) and (self._owed or not self._answers.all_came(self._entry.ticks - 1))
        return tuple(side.end()._replace(owes=owes) for side in self._sides)

    def _none_was_late(self, tick: int) -> bool:
        """Say whether nobody waited for answers at that tick, nor would have; where the last tick was, nobody knows."""
        return not self._probes or (not self._owed and tick + 1 < self._then.ticks and self._answers.all_came(tick))

    def _refuse_missing(self, tick: int, samples: Sequence[Sample]) -> None:
        """Raise NotKnown where samples of a tick are gone: each metric gives one, each provider one for every probe."""
        terms = self._terms
        whose = tuple([(sample.metric, sample.subject) for sample in samples])
        if whose in self._whole:
            return
        found = Counter(whose)
        by_provider = Counter(subject for metric, subject in found if metric not in self._singles)
        if not (by_provider.keys() <= terms.asked.keys() and {metric for metric, _ in found} <= terms.kinds.keys()):
            raise NotKnown(f"{self._entry.stage} has samples that the config it went by last does not ask for")
        if max(found.values(), default=1) > 1:
            raise NotKnown(f"{self._entry.stage} has samples of one thing twice at tick {tick + 1}")
        singles = sum((metric, "") in found for metric in self._singles)
        expected = set(terms.asked) if not (self._singles or terms.counts_answers) else by_provider
        if singles < len(self._singles) or any(by_provider[name] != self._probes for name in expected):
            raise _not_kept(self._entry, tick)
        self._whole = {whose}

    def _recorded(self, tick: int) -> Effect | None:
        """Return what followed that tick, as the ledger has it; None where a person or a signal cut the stage off."""
        if tick + 1 < self._entry.ticks:
            return Effect.HOLD
        if self._entry.breach:
            return Effect.BREACH
        return Effect.GO_ON if self._entry.left_at else None

    def _as_recorded(self, tick: int) -> tuple[Effect | None, bool | None]:
        """
        Return what followed that tick, and whether the stage waited for rows; None where that is not known.

        What was cut off after a tick that breached it is as good as breached. NotKnown where the gate says otherwise
        than the ledger.
        """
        recorded = self._recorded(tick)
        free = self._old.after(self._then, tick, waits=False)
        held = self._old.after(self._then, tick, waits=True) if self._terms.may_wait else free
        if recorded not in {free, held, None}:
            raise NotKnown(
                f"the numbers recorded in {self._entry.stage} do not lead to how it ended: under its own config it"
                f" {_WORDS[free]} at tick {tick + 1} of {self._entry.ticks}"
            )
        followed = free if recorded is None and free is Effect.BREACH else recorded
        if not self._terms.may_wait or recorded is Effect.GO_ON:
            return followed, False
        if recorded is held and free is not held:
            return followed, True
        return followed, False if not self._owed and self._answers.all_passed(tick) else None

    def _compare(self, verdicts: Iterable[Row]) -> None:
        """Raise NotKnown unless the verdicts that are stored are those of the gate, figure by figure."""
        stored = {(row[0], row[1]): tuple(row[2:]) for row in verdicts}
        if self._entry.ticks and stored != {_who(each): _figures(each) for each in self._old.judgements}:
            raise NotKnown(
                f"the numbers recorded in {self._entry.stage} do not give the figures that were judged: samples are not"
                " kept any more, or it was gone on with under another config"
            )


class _Side:
    """What comes of a passage under one config, tick by tick."""

    def __init__(self, terms: Terms, entry: StageEntry, new: Gate, none_was_late: Callable[[int], bool]) -> None:
        then = terms.then
        assert then is not None  # noqa: S101  Terms raises where there is none
        self._then: Stage = then
        self._terms = terms
        self._entry = entry
        self._new = new
        self._none_was_late = none_was_late
        self._is_shaky = False
        self._ending = self._beforehand()

    def go_on(self, tick: int, followed: Effect | None, *, waits: bool | None) -> None:
        """Take one more tick, all that was measured in it being in the gate."""
        if self._ending is None:
            self._ending = self._decide(tick, followed, waits=waits)

    def end(self) -> Ending:
        """Return what came of it, now that there is no more."""
        return self._ending or self._as_far_as_recorded()

    def _beforehand(self) -> Ending | None:
        """Return the ending that no measurement changes: what is declared otherwise about the stage itself."""
        if self._terms.now is None or self._terms.hindered:
            return Ending(Result.UNKNOWN, self._entry.ticks, why=self._terms.hindered)
        return None

    def _decide(self, tick: int, followed: Effect | None, *, waits: bool | None) -> Ending | None:
        """Return how the stage ends with that tick, which *followed* it then; None where it goes on, or is cut off."""
        now = self._terms.now
        assert now is not None  # noqa: S101  then there is an ending beforehand
        if (tick + 1 >= now.ticks) != (tick + 1 >= self._then.ticks):
            self._is_shaky |= not (self._terms.in_time or self._none_was_late(tick))
        possible = (True, False) if waits is None or self._terms.rows_unknown else (waits,)
        effects = {self._new.after(now, tick, waits=each) for each in possible}
        cut_off = followed is None or (followed is Effect.BREACH and not self._entry.breach)
        if effects == {Effect.HOLD} or (cut_off and (followed or Effect.BREACH not in effects)):
            return None
        if self._is_shaky:
            return Ending(Result.UNKNOWN, tick + 1, why=(*self._terms.unknown, self._late()))
        if len(effects) > 1:
            why = f"whether {now.name} had switched every row on by tick {tick + 1} is not recorded"
            return Ending(Result.UNKNOWN, tick + 1, why=(*self._terms.unknown, why))
        if effects == {Effect.BREACH}:
            return Ending(Result.BREACHES, tick + 1, self._because(waits=bool(waits)), self._terms.unknown)
        result = Result.UNKNOWN if self._terms.unknown else Result.PASSES
        return Ending(result, tick + 1, why=self._terms.unknown)

    def _late(self) -> str:
        stage = self._entry.stage
        return f"{stage} ends at another tick now, and whether answers were late there is not recorded"

    def _because(self, *, waits: bool) -> tuple[dict[str, Any], ...]:
        found = [_fact(judgement) for judgement in self._new.breaches or self._new.missing]
        if waits and not self._new.breaches:
            text = "rows are not active: no probe of them has passed"
            found.append({"metric": None, "subject": "", "value": None, "text": text})
        return tuple(found)

    def _as_far_as_recorded(self) -> Ending:
        now, ticks = self._terms.now, self._entry.ticks
        assert now is not None  # noqa: S101  then there is an ending beforehand
        if self._is_shaky and not self._entry.left_at:
            return Ending(Result.UNKNOWN, ticks, why=(*self._terms.unknown, self._late()))
        if ticks >= now.ticks and (self._entry.breach or self._entry.left_at):
            missing = "; ".join(str(each) for each in self._new.missing) or "rows are not active"
            most = f"{ticks} of {now.deadline_ticks} ticks"
            why = f"{now.name} is still held as far as it was recorded, {most} to its deadline: {missing}"
            return Ending(Result.UNKNOWN, ticks, why=(*self._terms.unknown, why))
        why = f"nothing breaches {now.name} as far as it was recorded, {ticks} of {now.ticks} ticks"
        result = Result.UNKNOWN if self._terms.unknown else Result.GOES_ON
        return Ending(result, ticks, why=(*self._terms.unknown, why))


_WORDS = {Effect.HOLD: "goes on", Effect.GO_ON: "passes", Effect.BREACH: "is rolled back"}


class _Answers:
    """How many answers came of each provider, and how many of them were good, as far as that was recorded."""

    def __init__(self, terms: Terms) -> None:
        self._asked = terms.asked
        self._reading = next((each for each in Reading if each in terms.readings.values()), None)
        self._metric = next((name for name, each in terms.readings.items() if each is self._reading), None)
        self._came: Counter[str] = Counter()
        self._passed: Counter[str] = Counter()

    def take(self, samples: Iterable[Sample]) -> None:
        metric, came, passed = self._metric, self._came, self._passed
        for sample in samples:
            if sample.metric == metric:
                came[sample.subject] += sample.observations
                passed[sample.subject] += self._good(sample)

    def _good(self, sample: Sample) -> int:
        if self._reading is Reading.ERRORS:
            failed = sum(sample.values)
            return sample.observations - ceil(failed) if isfinite(failed) else 0
        return sum(not value for value in sample.values) if self._reading is Reading.ERROR_RATE else len(sample.values)

    def all_came(self, tick: int) -> bool:
        """Say whether every request that was made up to that tick was answered by its end."""
        return all(self._came[name] == rows * (tick + 1) for name, rows in self._asked.items())

    def all_passed(self, tick: int) -> bool:
        """
        Say whether every row had one good answer for sure.

        Each was asked once a tick: if one had none, all the others together could not have had so many.
        """
        return all(self._passed[name] > (rows - 1) * (tick + 1) for name, rows in self._asked.items())


def _ticks(entry: StageEntry, rows: Iterable[Row]) -> Iterator[tuple[int, list[Sample]]]:
    """Yield every tick that was recorded, from 0, with its samples; one in which no answer came in has none."""
    due = 0
    for tick, group in groupby(rows, key=itemgetter(0)):
        if not isinstance(tick, int) or not due <= tick < min(entry.ticks, due + MOST_SILENT):
            raise NotKnown(f"{entry.stage} has samples of a tick that it did not have")
        for silent in range(due, tick):
            yield silent, []
        try:
            yield tick, _samples(list(group))
        except (TypeError, ValueError, ArithmeticError, RecursionError) as error:
            raise NotKnown(f"what {entry.stage} measured at tick {tick + 1} cannot be read") from error
        due = tick + 1
    if entry.ticks > due + MOST_SILENT or (entry.ticks and not due):
        raise _not_kept(entry, due)
    for silent in range(due, entry.ticks):
        yield silent, []


def _not_kept(entry: StageEntry, tick: int) -> NotKnown:
    return NotKnown(f"the samples of {entry.stage} at tick {tick + 1} are not kept any more")


def _samples(rows: list[Row]) -> list[Sample]:
    """Read the samples of one tick; all their numbers at once, which is several times as fast."""
    values = json.loads(f"[{','.join(row[3] for row in rows)}]")
    if not all(isinstance(found, list) and {float, int}.issuperset(map(type, found)) for found in values):
        raise TypeError("values that are no numbers")
    columns = tuple(zip(*rows, strict=True))[1:]
    if any(not kinds.issuperset(map(type, column)) for column, kinds in zip(columns, _KINDS, strict=True)):
        raise TypeError("a column that holds something else")
    if min(row[4] for row in rows) < 0:
        raise ValueError("fewer than no observations")
    return [
        Sample(metric, tuple(map(float, found)), count, subject, error)
        for (_, metric, subject, _, count, error), found in zip(rows, values, strict=True)
    ]


_KINDS: tuple[set[type], ...] = ({str}, {str}, {str}, {int}, {str, type(None)})
"""Of metric, subject, values as JSON, observations and error."""


def _who(judgement: Judgement) -> tuple[str, str]:
    return judgement.threshold.metric, judgement.subject


def _figures(judgement: Judgement) -> Row:
    return (
        judgement.verdict.value,
        judgement.value,
        judgement.count,
        judgement.fails,
        judgement.consecutive_fails,
    )


def _fact(judgement: Judgement) -> dict[str, Any]:
    """Return what a threshold found: the figures, and the sentence that a run would tell."""
    threshold: Threshold = judgement.threshold
    return {
        "metric": threshold.metric,
        "subject": judgement.subject,
        "verdict": judgement.verdict.value,
        "statistic": threshold.statistic.value,
        "value": judgement.value,
        "observations": judgement.count,
        "min": threshold.min,
        "max": threshold.max,
        "text": str(judgement),
    }
