"""
The gate of a stage: thresholds and samples in, verdicts out.

Silence is never health. A threshold passes only on a finite number inside its limits from enough observations; a metric
that was not measured, a NaN, a number that is too old, and a source that does not answer are verdicts of their own and
never a pass. The one comparison of a value with its limits stands in `_compare`.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, insort
from dataclasses import dataclass
from enum import StrEnum
from math import inf, isfinite
from typing import TYPE_CHECKING

from runner.config.model import Policy, Statistic

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from runner.config.model import Stage, Threshold
    from runner.samples import Sample

RISING = frozenset({Statistic.SUM, Statistic.MAX})
PERCENTILE = {Statistic.P50: 50, Statistic.P90: 90, Statistic.P95: 95, Statistic.P99: 99}
WINDOW = 10_000
"""
A percentile is exact over the latest so many values. Memory stays flat however long the stage is: 160 kB at the most
for each threshold and subject. A stage that gives fewer values is judged by all of them.
"""


UNIT = 1 << 1074
"""Every number is a whole number of 1 / UNIT: what is added up in those is exact."""


class Verdict(StrEnum):
    """What one threshold says; never merged into a yes or no before the last moment."""

    PASS = "pass"  # noqa: S105  not a password
    WARN = "warn"
    FAIL = "fail"
    NO_DATA = "no_data"
    LOW_SAMPLE = "low_sample"
    ERROR = "error"

    @property
    def lets_go_on(self) -> bool:
        """Whether a stage may be left on this verdict."""
        return self is Verdict.PASS or self is Verdict.WARN


class Effect(StrEnum):
    """What follows for the stage, now that its duration is over."""

    GO_ON = "go_on"
    HOLD = "hold"
    BREACH = "breach"


class Tally:
    """
    What a stage has seen of one metric and subject. `value` is the statistic so far, None where there is no number yet.

    Takes the samples tick by tick; needs constant memory. How the values are spread over ticks makes no difference to
    the statistic, but for `last`: sums are exact, and rounded once.
    """

    def __init__(self, statistic: Statistic) -> None:
        self.statistic = statistic
        self.count = 0
        self.error: str | None = None
        self.note: str | None = None
        self.missing = True
        self.value: float | None = None
        self._total = 0
        self._numbers = 0
        self._low = float("inf")
        self._high = float("-inf")
        self._last: float | None = None
        self._recent = array("d")
        self._oldest = 0
        self._sorted = array("d")

    def add(self, samples: Sequence[Sample]) -> None:
        """
        Take what one tick found; nothing found is told apart from a number.

        One sample without a number leaves the whole tick without one, but what else was read counts all the same: a
        NaN beside six failures does not hide them. Only samples that are whole count as observed.
        """
        self.error = self.note = None
        if self.statistic is Statistic.LAST:
            self.count, self._last = 0, None
        values = 0
        numbers: list[float] = []
        for sample in samples:
            self.note = self.note or sample.note
            if sample.error:
                self.error = self.error or sample.error
                continue
            finite = [value for value in sample.values if isfinite(value)]
            values += len(sample.values)
            numbers += finite
            if finite and len(finite) == len(sample.values):
                self.count += sample.observations
        self.missing = bool(self.error) or not numbers or len(numbers) < values
        if numbers:
            self._take(numbers)
        self.value = self._statistic()

    def _take(self, numbers: list[float]) -> None:
        self._numbers += len(numbers)
        self._last = numbers[-1]
        if self.statistic in PERCENTILE:
            self._remember(numbers)
        elif self.statistic in {Statistic.SUM, Statistic.MEAN}:
            self._total += sum(map(_units, numbers))
        else:
            self._low = min(self._low, *numbers)
            self._high = max(self._high, *numbers)

    def _statistic(self) -> float | None:
        if not self._numbers:
            return None
        if self.statistic in PERCENTILE:
            return self._sorted[-(-PERCENTILE[self.statistic] * len(self._sorted) // 100) - 1]
        if self.statistic is Statistic.SUM:
            return _ratio(self._total, UNIT)
        if self.statistic is Statistic.MEAN:
            return _ratio(self._total, UNIT * self._numbers)
        return {Statistic.MIN: self._low, Statistic.MAX: self._high, Statistic.LAST: self._last}[self.statistic]

    def _remember(self, numbers: Iterable[float]) -> None:
        for number in numbers:
            if len(self._recent) < WINDOW:
                self._recent.append(number)
            else:
                del self._sorted[bisect_left(self._sorted, self._recent[self._oldest])]
                self._recent[self._oldest] = number
                self._oldest = (self._oldest + 1) % WINDOW
            insort(self._sorted, number)


def _compare(threshold: Threshold, value: float) -> Verdict:
    """Compare *value* with the limits, both ends allowed. One that is too large for a number may fail, never pass."""

    def outside(low: float | None, high: float | None) -> bool:
        return (low is not None and value < low) or (high is not None and value > high)

    if outside(threshold.min, threshold.max):
        return Verdict.FAIL
    if not isfinite(value):
        return Verdict.NO_DATA
    return Verdict.WARN if outside(threshold.warn_min, threshold.warn_max) else Verdict.PASS


def _is_certain(threshold: Threshold, value: float) -> bool:
    """Say whether more samples cannot bring *value* back inside: a sum or maximum too high, a minimum too low."""
    statistic = threshold.statistic
    if threshold.max is not None and value > threshold.max and statistic in RISING:
        return True
    return threshold.min is not None and value < threshold.min and statistic is Statistic.MIN


def judge(threshold: Threshold, tally: Tally) -> Verdict:
    """
    Say whether what was seen so far lets the stage go on.

    Too few observations are LOW_SAMPLE, unless the limit is already broken for good. A tick without a finite number is
    NO_DATA, one whose source could not be read is ERROR, whatever was seen before.
    """
    value = tally.value
    if value is not None and _is_certain(threshold, value):
        return Verdict.FAIL
    if tally.error:
        return Verdict.ERROR
    if tally.missing or value is None:
        return Verdict.NO_DATA
    if tally.count < threshold.min_samples:
        return Verdict.LOW_SAMPLE
    return _compare(threshold, value)


@dataclass(slots=True)
class Judgement:
    """
    A threshold's standing in a stage: the latest verdict, the number behind it, and how often it failed.

    `is_breached` says that it failed more often than is tolerated; good samples do not take that back.
    """

    threshold: Threshold
    subject: str
    verdict: Verdict = Verdict.NO_DATA
    value: float | None = None
    count: int = 0
    error: str | None = None
    note: str | None = None
    fails: int = 0
    consecutive_fails: int = 0
    is_breached: bool = False

    def take(self, tally: Tally) -> None:
        """Judge the stage as *tally* has it now, and count the failures."""
        self.verdict, self.value, self.count = judge(self.threshold, tally), tally.value, tally.count
        self.error, self.note = tally.error, tally.note
        if self.verdict is Verdict.FAIL:
            self.fails += 1
            self.consecutive_fails += 1
        elif self.verdict.lets_go_on:
            self.consecutive_fails = 0
        total, in_a_row = self.threshold.failure_limit, self.threshold.consecutive_failure_limit
        self.is_breached |= (total is not None and self.fails > total) or (
            in_a_row is not None and self.consecutive_fails > in_a_row
        )

    @property
    def holds(self) -> bool:
        """
        Whether it is waited for, rather than a reason to roll back at the end of the stage.

        A failure that is still tolerated is: the policies are about numbers that are missing.
        """
        policies = {
            Verdict.ERROR: self.threshold.on_error,
            Verdict.NO_DATA: self.threshold.on_no_data,
            Verdict.LOW_SAMPLE: self.threshold.on_no_data,
        }
        return policies.get(self.verdict, Policy.HOLD) is Policy.HOLD

    def __str__(self) -> str:
        who = f"{self.threshold.metric} of {self.subject}" if self.subject else self.threshold.metric
        if self.error:
            return f"{who} could not be measured: {self.error}"
        low, high = self.threshold.min, self.threshold.max
        if self.verdict is Verdict.WARN:
            low, high = self.threshold.warn_min, self.threshold.warn_max
        if self.value is None or self.verdict is Verdict.NO_DATA:
            why = f" ({self.note})" if self.note else ""
            return f"{who} was not measured{why}, {_limits(low, high)}"
        basis = f"{self.threshold.statistic} of {self.count} {'sample' if self.count == 1 else 'samples'}"
        if self.verdict is Verdict.LOW_SAMPLE:
            basis += f", {self.threshold.min_samples} are wanted"
        return f"{who} is {_number(self.value, low, high)}, {_limits(low, high)} ({basis})"


class Gate:
    """All thresholds of a stage. *subjects* are the providers that a threshold by provider must hear of."""

    def __init__(self, thresholds: Iterable[Threshold], subjects: Iterable[str]) -> None:
        names = tuple(dict.fromkeys(subjects))
        self.judgements = [
            Judgement(threshold, subject)
            for threshold in thresholds
            for subject in ((names or ("",)) if threshold.by_provider else ("",))
        ]
        self._tallies = {_source(judgement): Tally(judgement.threshold.statistic) for judgement in self.judgements}
        self._seen = [(judgement, self._tallies[_source(judgement)]) for judgement in self.judgements]

    def part(self, thresholds: Iterable[Threshold]) -> Gate:
        """Return a gate of some of these thresholds: it hears of all that this one takes, and is given nothing."""
        chosen = set(thresholds)
        part = Gate((), ())
        part.judgements = [judgement for judgement in self.judgements if judgement.threshold in chosen]
        return part

    def take(self, samples: Iterable[Sample]) -> None:
        """Take what one tick found and judge every threshold anew."""
        found: dict[tuple[str, str], list[Sample]] = {}
        for sample in samples:
            found.setdefault((sample.metric, ""), []).append(sample)
            if sample.subject:
                found.setdefault((sample.metric, sample.subject), []).append(sample)
        for (metric, subject, _), tally in self._tallies.items():
            tally.add(found.get((metric, subject), ()))
        for judgement, tally in self._seen:
            judgement.take(tally)

    @property
    def breaches(self) -> list[Judgement]:
        """The thresholds that failed more often than they may."""
        return [judgement for judgement in self.judgements if judgement.is_breached]

    @property
    def missing(self) -> list[Judgement]:
        """The thresholds that do not let the stage be left, though they have not failed it."""
        return [judgement for judgement in self.judgements if not judgement.verdict.lets_go_on]

    @property
    def effect(self) -> Effect:
        """What follows at the end of the duration, or after it: nothing that is missing ever lets a stage go on."""
        if self.breaches or not all(judgement.holds for judgement in self.missing):
            return Effect.BREACH
        return Effect.HOLD if self.missing else Effect.GO_ON

    def after(self, stage: Stage, tick: int, *, waits: bool) -> Effect:
        """
        Say what follows for *stage* now that *tick* (the first is 0) is judged.

        A breach ends it at once. It is held until its duration is over, and then while anything is missing, or it
        *waits* for rows to be switched on: until its deadline, which breaches it.
        """
        if self.breaches:
            return Effect.BREACH
        if tick + 1 < stage.ticks:
            return Effect.HOLD
        effect = self.effect
        if effect is Effect.GO_ON and waits:
            effect = Effect.HOLD
        return Effect.BREACH if effect is Effect.HOLD and tick + 1 >= stage.deadline_ticks else effect


def _source(judgement: Judgement) -> tuple[str, str, Statistic]:
    """Return what a threshold is held against: two of the same have one tally."""
    return judgement.threshold.metric, judgement.subject, judgement.threshold.statistic


def _limits(low: float | None, high: float | None) -> str:
    wanted = []
    if low is not None:
        wanted.append(f"at least {_number(low)}")
    if high is not None:
        wanted.append(f"at most {_number(high)}")
    return f"{' and '.join(wanted) or 'a number'} is wanted"


def _number(value: float, *limits: float | None) -> str:
    """Write *value* short, but with as many digits as it takes to tell it from *limits*."""
    texts = (f"{value:.{digits}f}".rstrip("0").rstrip(".") for digits in range(2, 17))
    return next((text for text in texts if value in limits or float(text) not in limits), repr(value))


def _units(number: float) -> int:
    """Return of how many 1 / UNIT *number* is, exactly."""
    top, bottom = number.as_integer_ratio()
    return top << 1075 - bottom.bit_length()  # by UNIT // bottom: the bottom is a power of two


def _ratio(top: int, bottom: int) -> float:
    """Return the number nearest to the exact ratio; one that is too large for any is infinite."""
    try:
        return top / bottom
    except OverflowError:
        return inf if top > 0 else -inf
