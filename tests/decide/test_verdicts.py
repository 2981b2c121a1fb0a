"""
What the gate says: one table, from threshold and ticks to verdict and effect.

The verdict is that after the last tick, the effect what follows if the stage's duration is over then: it goes on, it is
held, or it is given up. The last column names the policy that decides, where it would be otherwise under another.
Cases that ENGINES.md calls traps of a peer have the peer's name.
"""
# ruff: noqa: E501  a row of the table is one line

import re
import shutil
from math import inf, nan
from pathlib import Path
from typing import NamedTuple

import pytest
from readings import (
    ERROR,
    FAIL,
    LAST,
    LOW_SAMPLE,
    MAX,
    MEAN,
    MIN,
    NO_DATA,
    NOTHING,
    P50,
    P90,
    P95,
    P99,
    PASS,
    SUM,
    WARN,
    broken,
    gate_of,
    limits,
    one,
    read,
    stale,
)

from runner.config.load import load
from runner.config.model import Policy, Threshold
from runner.decide.gate import Effect, Verdict
from runner.errors import InvalidConfig
from runner.samples import Sample

ROOT = Path(__file__).parents[2]
GO_ON, HOLD, BREACH = Effect.GO_ON, Effect.HOLD, Effect.BREACH
SILENCE, SOURCE = "on_no_data", "on_error"
TOTAL, IN_A_ROW = "failure_limit", "consecutive_failure_limit"

UP_TO_5 = limits(SUM, max=5)
UP_TO_5_OF_10 = limits(SUM, max=5, min_samples=10)
UP_TO_1000_MS = limits(MEAN, max=1000, min_samples=3)
BY_PROVIDER = limits(MEAN, max=1000, by_provider=True)
FROM_70_PERCENT = limits(LAST, min=70, min_samples=50)
FROM_70_TO_90 = limits(LAST, min=70, max=90)
WARN_FROM_80_TO_85 = limits(LAST, min=70, max=90, warn_min=80, warn_max=85)
ONLY_WARN = limits(LAST, warn_max=5)
NEVER_WAIT = limits(SUM, max=5, on_no_data=Policy.ROLLBACK)
NO_ERROR = limits(SUM, max=5, on_error=Policy.ROLLBACK)

ONE_FAIL = limits(LAST, max=5, failure_limit=1)
NOT_TWICE = limits(LAST, max=5, failure_limit=None, consecutive_failure_limit=1)
BOTH = limits(LAST, max=5, failure_limit=2, consecutive_failure_limit=1)
GOOD, BAD = read(1.0), read(9.0)
TWO_METRICS = (limits(SUM, "m", max=5), limits(LAST, "n", min=70))


class Case(NamedTuple):
    """A row of the table. Where several thresholds are judged, or several providers, `verdict` has one for each."""

    name: str
    threshold: Threshold | tuple[Threshold, ...]
    ticks: list
    verdict: Verdict | tuple[Verdict, ...]
    effect: Effect
    policy: str = ""

    @property
    def verdicts(self):
        return self.verdict if isinstance(self.verdict, tuple) else (self.verdict,)

    @property
    def thresholds(self):
        return (self.threshold,) if isinstance(self.threshold, Threshold) else self.threshold

    def gate(self, ticks=None, **changed):
        thresholds = [threshold._replace(**changed) for threshold in self.thresholds]
        return gate_of(thresholds, *(self.ticks if ticks is None else ticks), subjects=["a", "b", "a"])


def both(first, second):
    """One tick, in which provider a and provider b were read."""
    return first._replace(subject="a"), second._replace(subject="b")


TABLE = {
    "nothing was seen": [
        ("no tick", UP_TO_5, [], NO_DATA, HOLD, SILENCE),
        ("no sample", UP_TO_5, [NOTHING], NO_DATA, HOLD, SILENCE),
        ("no tick, and no patience", NEVER_WAIT, [], NO_DATA, BREACH, SILENCE),
        ("no sample, and no patience", NEVER_WAIT, [NOTHING], NO_DATA, BREACH, SILENCE),
        ("NULL, or no row", UP_TO_5, [read()], NO_DATA, HOLD, SILENCE),
        ("requests without a number", UP_TO_5, [read(count=100)], NO_DATA, HOLD, SILENCE),
        ("the number of another metric", UP_TO_5, [read(1.0, metric="other")], NO_DATA, HOLD, SILENCE),
        ("no samples wanted, none there", limits(SUM, max=5, min_samples=0), [NOTHING], NO_DATA, HOLD, SILENCE),
        ("nothing, and only a warning limit", ONLY_WARN, [NOTHING], NO_DATA, HOLD, SILENCE),
        ("good, then silent", UP_TO_5, [read(0.0), NOTHING], NO_DATA, HOLD, SILENCE),
        ("good, then silent, and no patience", NEVER_WAIT, [read(0.0), NOTHING], NO_DATA, BREACH, SILENCE),
        ("silent, then good", UP_TO_5, [NOTHING, read(0.0)], PASS, GO_ON),
    ],
    "no number": [
        ("NaN", UP_TO_5, [read(nan)], NO_DATA, HOLD, SILENCE),
        ("NaN, and no patience", NEVER_WAIT, [read(nan)], NO_DATA, BREACH, SILENCE),
        ("NaN for a floor", FROM_70_PERCENT, [read(nan, count=50)], NO_DATA, HOLD, SILENCE),
        ("infinite", UP_TO_5, [read(inf)], NO_DATA, HOLD, SILENCE),
        ("minus infinite, below every limit", UP_TO_5, [read(-inf)], NO_DATA, HOLD, SILENCE),
        ("infinite, above every floor", FROM_70_PERCENT, [read(inf, count=50)], NO_DATA, HOLD, SILENCE),
        ("one NaN among numbers", UP_TO_1000_MS, [read(1.0, 2.0, nan)], NO_DATA, HOLD, SILENCE),
        ("numbers, then NaN", UP_TO_1000_MS, [read(1.0, 2.0, 3.0), read(nan)], NO_DATA, HOLD, SILENCE),
        ("NaN, then numbers", UP_TO_1000_MS, [read(nan), read(1.0, 2.0, 3.0)], PASS, GO_ON),
        ("what gave no number is not observed", UP_TO_1000_MS, [read(count=9), read(1.0, 2.0)], LOW_SAMPLE, HOLD, SILENCE),
        ("NaN is not observed", UP_TO_1000_MS, [read(nan, nan, nan), read(1.0, 2.0)], LOW_SAMPLE, HOLD, SILENCE),
        ("a NaN hides no failures", UP_TO_5, [both(read(6.0), read(nan))], FAIL, BREACH, TOTAL),
        ("a sum beyond all numbers", limits(SUM, min=1), [read(*[1e308] * 9)], NO_DATA, HOLD, SILENCE),
        ("the same, above a limit", limits(SUM, max=1), [read(*[1e308] * 9)], FAIL, BREACH, TOTAL),
    ],
    "a stale number": [
        ("stale", UP_TO_5, [stale()], NO_DATA, HOLD, SILENCE),
        ("stale, and no patience", NEVER_WAIT, [stale()], NO_DATA, BREACH, SILENCE),
        ("fresh, then stale", FROM_70_TO_90, [read(80.0), stale()], NO_DATA, HOLD, SILENCE),
        ("stale, then fresh", FROM_70_TO_90, [stale(), read(80.0)], PASS, GO_ON),
        ("the same number again is a number", FROM_70_TO_90, [read(80.0)] * 3, PASS, GO_ON),
        ("the last replay's count is not the next one's", FROM_70_PERCENT, [read(90.0, count=50), NOTHING], NO_DATA, HOLD, SILENCE),
    ],
    "the source does not answer": [
        ("error", UP_TO_5, [broken()], ERROR, HOLD, SOURCE),
        ("error, and no patience", NO_ERROR, [broken()], ERROR, BREACH, SOURCE),
        ("good, then an error", UP_TO_5, [read(0.0), broken()], ERROR, HOLD, SOURCE),
        ("good, then an error, and no patience", NO_ERROR, [read(0.0), broken()], ERROR, BREACH, SOURCE),
        ("an error, then good", UP_TO_5, [broken(), read(0.0)], PASS, GO_ON),
        ("an error long ago, and no patience", NO_ERROR, [broken(), read(0.0)], PASS, GO_ON),
        ("a number with an error", UP_TO_5, [read(0.0, error="half an answer")], ERROR, HOLD, SOURCE),
        ("one source of two", UP_TO_5, [both(read(0.0), broken())], ERROR, HOLD, SOURCE),
        ("an error hides no failures", UP_TO_5, [both(read(6.0), broken())], FAIL, BREACH, TOTAL),
        ("an error for a floor", FROM_70_PERCENT, [broken()], ERROR, HOLD, SOURCE),
        ("an error is no silence", limits(LAST, max=5, on_no_data=Policy.ROLLBACK), [broken()], ERROR, HOLD, SOURCE),
        ("silence is no error", NO_ERROR, [NOTHING], NO_DATA, HOLD, SILENCE),
    ],
    "too few": [
        ("one short", FROM_70_PERCENT, [read(90.0, count=49)], LOW_SAMPLE, HOLD, SILENCE),
        ("enough", FROM_70_PERCENT, [read(90.0, count=50)], PASS, GO_ON),
        ("too few and bad: the next replay may be whole", FROM_70_PERCENT, [read(10.0, count=49)], LOW_SAMPLE, HOLD, SILENCE),
        ("two half replays are none", FROM_70_PERCENT, [read(90.0, count=25)] * 2, LOW_SAMPLE, HOLD, SILENCE),
        ("two times", UP_TO_1000_MS, [read(10.0, 20.0)], LOW_SAMPLE, HOLD, SILENCE),
        ("two times, slow: a mean comes down again", UP_TO_1000_MS, [read(5e3, 5e3)], LOW_SAMPLE, HOLD, SILENCE),
        ("three times in three ticks", UP_TO_1000_MS, [read(10.0), read(20.0), read(30.0)], PASS, GO_ON),
        ("a percentile of two", limits(P95, max=10, min_samples=3), [read(99.0, 99.0)], LOW_SAMPLE, HOLD, SILENCE),
        ("five failures of five", UP_TO_5_OF_10, [read(5.0, count=5)], LOW_SAMPLE, HOLD, SILENCE),
        ("too few, and no patience", limits(LAST, max=5, min_samples=2, on_no_data=Policy.ROLLBACK), [GOOD], LOW_SAMPLE, BREACH, SILENCE),
        ("too few is no error", limits(LAST, max=5, min_samples=2, on_error=Policy.ROLLBACK), [GOOD], LOW_SAMPLE, HOLD, SILENCE),
    ],
    "too few, and certain all the same": [
        ("six failures of six", UP_TO_5_OF_10, [read(6.0, count=6)], FAIL, BREACH, TOTAL),
        ("six failures in two ticks", UP_TO_5_OF_10, [read(3.0, count=3)] * 2, FAIL, BREACH, TOTAL),
        ("a maximum too high", limits(MAX, max=9, min_samples=10), [read(10.0)], FAIL, BREACH, TOTAL),
        ("a minimum too low", limits(MIN, min=9, min_samples=10), [read(8.0)], FAIL, BREACH, TOTAL),
        ("a maximum too low may rise", limits(MAX, min=9, min_samples=10), [read(8.0)], LOW_SAMPLE, HOLD, SILENCE),
        ("a minimum too high may fall", limits(MIN, max=9, min_samples=10), [read(10.0)], LOW_SAMPLE, HOLD, SILENCE),
        ("a sum too low may grow", limits(SUM, min=9, min_samples=10), [read(8.0)], LOW_SAMPLE, HOLD, SILENCE),
        ("not forgiven for silence", limits(SUM, max=5, failure_limit=1), [read(6.0), NOTHING], FAIL, BREACH, TOTAL),
        ("not forgiven for an error", limits(SUM, max=5, failure_limit=1), [read(6.0), broken()], FAIL, BREACH, TOTAL),
        ("not forgiven for a NaN", limits(SUM, max=5, failure_limit=1), [read(6.0), read(nan)], FAIL, BREACH, TOTAL),
    ],
    "exactly on the limit, and just beyond": [
        ("on the floor", FROM_70_TO_90, [read(70.0)], PASS, GO_ON),
        ("below the floor", FROM_70_TO_90, [read(69.999999)], FAIL, BREACH, TOTAL),
        ("on the ceiling", FROM_70_TO_90, [read(90.0)], PASS, GO_ON),
        ("above the ceiling", FROM_70_TO_90, [read(90.000001)], FAIL, BREACH, TOTAL),
        ("on a sum's limit", UP_TO_5, [read(5.0)], PASS, GO_ON),
        ("one beyond a sum's limit", UP_TO_5, [read(5.0), read(1.0)], FAIL, BREACH, TOTAL),
        ("minus nought is nought", limits(LAST, min=0, max=0), [read(-0.0)], PASS, GO_ON),
        ("ten tenths are one", limits(SUM, min=1), [read(*[0.1] * 10)], PASS, GO_ON),
        ("ten tenths are no more than one", limits(SUM, max=1), [read(0.1)] * 10, PASS, GO_ON),
    ],
    "warn and fail limits": [
        ("on the lower warning limit", WARN_FROM_80_TO_85, [read(80.0)], PASS, GO_ON),
        ("on the upper warning limit", WARN_FROM_80_TO_85, [read(85.0)], PASS, GO_ON),
        ("below the lower", WARN_FROM_80_TO_85, [read(79.9)], WARN, GO_ON),
        ("above the upper", WARN_FROM_80_TO_85, [read(85.1)], WARN, GO_ON),
        ("warned, on the limit that fails", WARN_FROM_80_TO_85, [read(90.0)], WARN, GO_ON),
        ("beyond both", WARN_FROM_80_TO_85, [read(90.1)], FAIL, BREACH, TOTAL),
        ("below both", WARN_FROM_80_TO_85, [read(69.9)], FAIL, BREACH, TOTAL),
        ("only a warning limit, far beyond it", ONLY_WARN, [read(1e300)], WARN, GO_ON),
        ("a warning from too few", limits(LAST, warn_max=5, min_samples=2), [read(9.0)], LOW_SAMPLE, HOLD, SILENCE),
    ],
    "each statistic looks at its own number": [
        ("sum", limits(SUM, max=9), [read(1.0, 9.0, 2.0)], FAIL, BREACH, TOTAL),
        ("mean", limits(MEAN, max=4), [read(1.0, 9.0, 2.0)], PASS, GO_ON),
        ("last", limits(LAST, max=2), [read(1.0, 9.0, 2.0)], PASS, GO_ON),
        ("minimum of all ticks", limits(MIN, min=1), [read(9.0), read(1.0), read(2.0)], PASS, GO_ON),
        ("minimum too low", limits(MIN, min=1), [read(1.0), read(0.9)], FAIL, BREACH, TOTAL),
        ("maximum of all ticks", limits(MAX, max=9), [read(9.0), read(1.0)], PASS, GO_ON),
        ("maximum too high", limits(MAX, max=9), [read(1.0), read(9.1)], FAIL, BREACH, TOTAL),
        ("median", limits(P50, max=1), [read(1.0, 9.0)], PASS, GO_ON),
        ("median too high", limits(P50, max=1), [read(1.0, 9.0, 9.0)], FAIL, BREACH, TOTAL),
        ("p90", limits(P90, max=1), [read(*[1.0] * 9, 9.0)], PASS, GO_ON),
        ("p90 too high", limits(P90, max=1), [read(*[1.0] * 8, 9.0, 9.0)], FAIL, BREACH, TOTAL),
        ("p95", limits(P95, max=1), [read(*[1.0] * 19, 9.0)], PASS, GO_ON),
        ("p95 too high", limits(P95, max=1), [read(*[1.0] * 18, 9.0, 9.0)], FAIL, BREACH, TOTAL),
        ("p99", limits(P99, max=1), [read(*[1.0] * 99, 9.0)], PASS, GO_ON),
        ("p99 too high", limits(P99, max=1), [read(*[1.0] * 98, 9.0, 9.0)], FAIL, BREACH, TOTAL),
        ("p99 of one", limits(P99, max=1), [read(9.0)], FAIL, BREACH, TOTAL),
    ],
    "one outlier": [
        ("in a mean of many", limits(MEAN, max=1000), [read(*[10.0] * 99, 30_000.0)], PASS, GO_ON),
        ("in a mean of few", limits(MEAN, max=1000), [read(*[10.0] * 9, 30_000.0)], FAIL, BREACH, TOTAL),
        ("in a p95", limits(P95, max=1000), [read(*[10.0] * 99, 30_000.0)], PASS, GO_ON),
        ("in a maximum", limits(MAX, max=1000), [read(*[10.0] * 99, 30_000.0)], FAIL, BREACH, TOTAL),
    ],
    "count against rate": [
        ("6 failures of 6,000, counted", UP_TO_5, [read(6.0, count=6000)], FAIL, BREACH, TOTAL),
        ("6 failures of 6,000, as a rate", limits(MEAN, max=1), [read(*[100.0] * 6, *[0.0] * 5994)], PASS, GO_ON),
        ("5 failures of 5, counted", UP_TO_5, [read(5.0, count=5)], PASS, GO_ON),
        ("5 failures of 5, as a rate", limits(MEAN, max=1), [read(*[100.0] * 5)], FAIL, BREACH, TOTAL),
        ("a count grows with the stage", UP_TO_5, [read(1.0)] * 6, FAIL, BREACH, TOTAL),
        ("a rate does not", limits(MEAN, max=1), [read(1.0)] * 6, PASS, GO_ON),
        ("a rate of too few proves nothing", limits(MEAN, max=1, min_samples=10), [read(0.0)], LOW_SAMPLE, HOLD, SILENCE),
    ],
    "tolerated failures": [
        ("none is tolerated", limits(LAST, max=5), [GOOD, BAD], FAIL, BREACH, TOTAL),
        ("one, recovered", ONE_FAIL, [BAD, GOOD], PASS, GO_ON, TOTAL),
        ("one, that lasts: it may recover", ONE_FAIL, [GOOD, BAD], FAIL, HOLD, TOTAL),
        ("one, that lasts, and no patience for silence", ONE_FAIL._replace(on_no_data=Policy.ROLLBACK), [BAD], FAIL, HOLD, TOTAL),
        ("one too many", ONE_FAIL, [BAD, GOOD, BAD], FAIL, BREACH, TOTAL),
        ("two of two", limits(LAST, max=5, failure_limit=2), [BAD, BAD, GOOD], PASS, GO_ON, TOTAL),
        ("three of two", limits(LAST, max=5, failure_limit=2), [BAD, BAD, GOOD, BAD], FAIL, BREACH, TOTAL),
        ("once in a row", NOT_TWICE, [BAD, GOOD], PASS, GO_ON, IN_A_ROW),
        ("twice in a row", NOT_TWICE, [GOOD, BAD, BAD], FAIL, BREACH, IN_A_ROW),
        ("not even once in a row", NOT_TWICE._replace(consecutive_failure_limit=0), [GOOD, BAD], FAIL, BREACH, IN_A_ROW),
        ("flapping, never twice in a row", NOT_TWICE, [BAD, GOOD] * 9, PASS, GO_ON, IN_A_ROW),
        ("flapping, caught by the total", BOTH, [BAD, GOOD, BAD, GOOD, BAD], FAIL, BREACH, TOTAL),
        ("in a row, before the total", BOTH._replace(failure_limit=5), [GOOD, BAD, BAD], FAIL, BREACH, IN_A_ROW),
        ("silence is no recovery", NOT_TWICE, [BAD, NOTHING, BAD], FAIL, BREACH, IN_A_ROW),
        ("an error is no recovery", NOT_TWICE, [BAD, broken(), BAD], FAIL, BREACH, IN_A_ROW),
        ("a warning is one", NOT_TWICE._replace(warn_max=3), [BAD, read(4.0), BAD], FAIL, HOLD, IN_A_ROW),
        ("too few is no failure", limits(LAST, min=5, min_samples=2), [read(1.0)] * 9, LOW_SAMPLE, HOLD, SILENCE),
        ("a breach is not taken back", limits(LAST, max=5), [BAD, *[GOOD] * 10], PASS, BREACH, TOTAL),
        ("nor one in a row", NOT_TWICE, [BAD, BAD, *[GOOD] * 10], PASS, BREACH, IN_A_ROW),
        ("nor by silence", limits(LAST, max=5), [BAD, NOTHING], NO_DATA, BREACH, TOTAL),
    ],
    "several thresholds, several providers": [
        ("all of the providers together", UP_TO_5, [both(read(3.0), read(3.0))], FAIL, BREACH, TOTAL),
        ("each by itself", BY_PROVIDER, [both(read(10.0), read(10.0))], (PASS, PASS), GO_ON),
        ("a slow one hides behind no fast one", BY_PROVIDER, [both(read(10.0), read(1001.0))], (PASS, FAIL), BREACH, TOTAL),
        ("a silent one does not pass", BY_PROVIDER, [read(10.0, subject="a")], (PASS, NO_DATA), HOLD, SILENCE),
        ("one after the other", BY_PROVIDER, [read(1.0, subject="a"), read(1.0, subject="b")], (NO_DATA, PASS), HOLD, SILENCE),
        ("one with an error", BY_PROVIDER, [both(read(10.0), broken())], (PASS, ERROR), HOLD, SOURCE),
        ("one with a NaN", BY_PROVIDER, [both(read(10.0), read(nan))], (PASS, NO_DATA), HOLD, SILENCE),
        ("a number of nobody is nobody's", BY_PROVIDER, [read(10.0)], (NO_DATA, NO_DATA), HOLD, SILENCE),
        ("a stranger's neither", BY_PROVIDER, [read(10.0, subject="c")], (NO_DATA, NO_DATA), HOLD, SILENCE),
        ("no provider at all", BY_PROVIDER, [NOTHING], (NO_DATA, NO_DATA), HOLD, SILENCE),
        ("one threshold fails, one passes", TWO_METRICS, [(read(6.0), read(80.0, metric="n"))], (FAIL, PASS), BREACH, TOTAL),
        ("one waits, one passes", TWO_METRICS, [read(0.0)], (PASS, NO_DATA), HOLD, SILENCE),
    ],
    "what peers get wrong": [
        ("Argo Rollouts: ended without a measurement", UP_TO_5, [], NO_DATA, HOLD, SILENCE),
        ("Argo Rollouts: NaN where only failure is declared", limits(LAST, max=5), [read(nan)], NO_DATA, HOLD, SILENCE),
        ("Argo Rollouts: five errors of the source, then health", limits(LAST, max=5), [*[broken()] * 5, GOOD], PASS, GO_ON),
        ("Argo Rollouts: five errors, and on", limits(LAST, max=5), [*[broken()] * 5], ERROR, HOLD, SOURCE),
        ("Flagger: no data is no failed check", limits(LAST, max=5), [NOTHING] * 9 + [GOOD], PASS, GO_ON),
        ("Flagger: a failing query neither", limits(LAST, max=5), [broken()] * 9 + [GOOD], PASS, GO_ON),
        ("Flagger: NaN from any source", FROM_70_TO_90, [read(80.0), read(nan)], NO_DATA, HOLD, SILENCE),
        ("Flagger: failures in a row are forgotten", NOT_TWICE, [BAD, GOOD, BAD, GOOD], PASS, GO_ON, IN_A_ROW),
        ("Kayenta: half of the metrics without data", TWO_METRICS, [read(1.0)], (PASS, NO_DATA), HOLD, SILENCE),
        ("Kayenta: all of them without data", TWO_METRICS, [NOTHING], (NO_DATA, NO_DATA), HOLD, SILENCE),
    ],
}  # fmt: skip
CASES = [Case(*row) for rows in TABLE.values() for row in rows]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_gate_says(case):
    gate = case.gate()

    assert case.verdicts == tuple(judgement.verdict for judgement in gate.judgements)
    assert case.effect is gate.effect


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_stage_is_left_on_passing_verdicts_alone(case):
    good = all(verdict in {PASS, WARN} for verdict in case.verdicts)

    assert (case.effect is GO_ON) == (good and not case.gate().breaches)


@pytest.mark.parametrize("case", [case for case in CASES if case.effect is BREACH and FAIL in case.verdicts])
def test_a_breach_shows_at_the_tick_that_makes_it_certain(case):
    breached = [bool(case.gate(case.ticks[:number]).breaches) for number in range(len(case.ticks) + 1)]

    assert [False] * len(case.ticks) + [True] == breached


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_policy_that_is_named_is_the_one_that_decides(case):
    for policy in (SILENCE, SOURCE, TOTAL, IN_A_ROW):
        effect = case.gate(**_contrary(case, policy)).effect

        assert (policy == case.policy) == (effect is not case.effect), policy


def _contrary(case, policy):
    """Return what makes *policy* decide otherwise in *case*: the other word, or a limit that is never or always met."""
    if policy in {SILENCE, SOURCE}:
        declared = getattr(case.thresholds[0], policy)
        return {policy: Policy.HOLD if declared is Policy.ROLLBACK else Policy.ROLLBACK}
    strictly = case.policy == policy and case.effect is not BREACH
    return {policy: 0 if strictly else 1000}


def test_every_verdict_effect_and_policy_is_in_the_table():
    assert set(Verdict) == {verdict for case in CASES for verdict in case.verdicts}
    assert set(Effect) == {case.effect for case in CASES}
    assert {SILENCE, SOURCE, TOTAL, IN_A_ROW, ""} == {case.policy for case in CASES}


def test_the_table_is_long_and_names_every_case_once():
    print(f"{len(CASES)} cases, {len(CONFIGURED) + len(REFUSED)} more from a config")
    assert len(CASES) >= 80
    assert len(CASES) == len({case.name for case in CASES})


# what a config makes of it: defaults, and a stage's own keys over the rollout's

CONFIGURED = [
    ("errors are counted", "errors: {max: 5}", "", [read(3.0)] * 2, FAIL, BREACH),
    ("response times are averaged", "response_time_ms: {max: 1000}", "", [read(400.0), read(1500.0)], PASS, GO_ON),
    ("a rate is averaged over requests", "error_pct: {max: 1}", "", [read(100.0), read(*[0.0] * 99)], PASS, BREACH),
    ("the last replay counts", "cache_hit_rate_pct: {min: 70, failure_limit: 1}", "", [read(60.0), read(70.0)], PASS, GO_ON),
    ("the last answer of a query counts", "backlog: {max: 5, failure_limit: 1}", "", [read(9.0), read(5.0)], PASS, GO_ON),
    ("a failing tick is a breach", "backlog: {max: 5}", "", [BAD, GOOD], PASS, BREACH),
    ("in a row, and no limit in all", "backlog: {max: 5, consecutive_failure_limit: 1}", "", [BAD, GOOD] * 5, PASS, GO_ON),
    ("in a row and in all", "backlog: {max: 5, failure_limit: 1, consecutive_failure_limit: 1}", "", [BAD, GOOD, BAD], FAIL, BREACH),
    ("a missing number is waited for", "backlog: {max: 5}", "", [NOTHING], NO_DATA, HOLD),
    ("so is a source", "backlog: {max: 5}", "", [broken()], ERROR, HOLD),
    ("a single number is enough", "backlog: {max: 5}", "", [GOOD], PASS, GO_ON),
    ("a stage's own limit, wider", "errors: {max: 5}", "errors: {max: 20}", [read(6.0)], PASS, GO_ON),
    ("a stage's own limit, narrower", "errors: {max: 5}", "errors: {max: 0}", [read(1.0)], FAIL, BREACH),
    ("a stage's other end", "backlog: {max: 5}", "backlog: {min: 2}", [GOOD], FAIL, BREACH),
    ("what a stage does not say stays", "errors: {max: 5, min_samples: 10}", "errors: {max: 20}", [GOOD], LOW_SAMPLE, HOLD),
    ("a stage's own statistic", "response_time_ms: {max: 1000}", "response_time_ms: {statistic: max}", [read(1.0, 1500.0)], FAIL, BREACH),
    ("a stage's own warning", "errors: {max: 5}", "errors: {warn_max: 0}", [GOOD], WARN, GO_ON),
    ("a stage's own patience with silence", "backlog: {max: 5}", "backlog: {on_no_data: rollback}", [NOTHING], NO_DATA, BREACH),
    ("a stage's own patience with a source", "backlog: {max: 5}", "backlog: {on_error: rollback}", [broken()], ERROR, BREACH),
    ("a stage's own tolerance", "backlog: {max: 5}", "backlog: {failure_limit: 1}", [BAD, GOOD], PASS, GO_ON),
    ("a metric of one stage alone", "errors: {max: 5}", "backlog: {max: 5}", [BAD], FAIL, BREACH),
]  # fmt: skip
REFUSED = [
    ("Argo Rollouts: a metric without a condition", "backlog: {}", "", "the threshold backlog has no limit"),
    ("Argo Rollouts: nothing is measured", "", "", "the stage dark_mode has no threshold, and would pass unmeasured"),
    ("Flagger: a typo in a metric's name", "eror: {max: 5}", "", "a threshold is set for eror, but no metric has this name"),
    ("the same in a stage", "errors: {max: 5}", "eror: {max: 5}", "a threshold is set for eror, but no metric has this name"),
    ("a limit that is no number", "errors: {max: .nan}", "", ".nan"),
    ("one beyond all numbers", "errors: {max: .inf}", "", ".inf"),
    ("limits that nothing meets", "backlog: {min: 5, max: 4}", "", "the threshold backlog has min 5, above max 4"),
    ("limits that nothing meets in a stage", "backlog: {min: 5}", "backlog: {max: 4}", "the threshold backlog has min 5, above max 4"),
    ("more samples than there will be", "backlog: {max: 5, min_samples: 2}", "", "backlog wants 2 samples, but"),
    ("no samples wanted", "backlog: {max: 5, min_samples: 0}", "", "min_samples"),
]  # fmt: skip


@pytest.fixture
def declare(tmp_path):
    """Return what loads the bundled rollout with other thresholds: the rollout's, and those of its first stage."""

    def declare(general, own):
        for folder in ("config", "sql"):
            shutil.copytree(ROOT / folder, tmp_path / folder)
        path = tmp_path / "config" / "rollout.yaml"
        text = re.sub(r"(?ms)^thresholds:.*?(?=^stages:)", f"thresholds: {{{general}}}\n\n", path.read_text())
        more = "  backlog: {kind: sql, query: SELECT 1}\n  error_pct: {kind: probe, reading: error_rate}\n"
        text = text.replace("\nmetrics:\n", f"\nmetrics:\n{more}")
        text = text.replace("    mode: observe\n", f"    mode: observe\n    thresholds: {{{own}}}\n")
        path.write_text(text)
        return load(path, None, {})

    return declare


@pytest.mark.parametrize(
    ("name", "general", "own", "ticks", "verdict", "effect"), CONFIGURED, ids=[row[0] for row in CONFIGURED]
)
def test_a_config_declares_what_the_gate_judges_by(declare, name, general, own, ticks, verdict, effect):
    stage = declare(general, own).stages[0]
    metric = (own or general).partition(":")[0]

    gate = gate_of(
        [threshold for threshold in stage.thresholds if threshold.metric == metric],
        *(
            [sample._replace(metric=metric) for sample in ([tick] if isinstance(tick, Sample) else tick)]
            for tick in ticks
        ),
    )

    assert (verdict, effect) == (one(gate).verdict, gate.effect)


def test_what_a_stage_declares_holds_for_no_other(declare):
    first, second, *_ = declare("errors: {max: 5}", "errors: {max: 20}, backlog: {max: 1}").stages

    assert {"errors": 20, "backlog": 1} == {threshold.metric: threshold.max for threshold in first.thresholds}
    assert {"errors": 5} == {threshold.metric: threshold.max for threshold in second.thresholds}


@pytest.mark.parametrize(("name", "general", "own", "what"), REFUSED, ids=[name for name, *_ in REFUSED])
def test_a_config_under_which_nothing_would_be_judged_is_refused(declare, name, general, own, what):
    with pytest.raises(InvalidConfig) as caught:
        declare(general, own)

    assert what in caught.value.problems[0].what
