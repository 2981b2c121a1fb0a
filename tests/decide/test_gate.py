from math import nan

import pytest
from readings import (
    ERROR,
    FAIL,
    LAST,
    LOW_SAMPLE,
    MEAN,
    NO_DATA,
    NOTHING,
    P50,
    P95,
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

from runner.config.model import Mode, Selector, Stage, Threshold
from runner.decide.gate import WINDOW, Effect, Gate, Tally

UP_TO_5 = limits(SUM, max=5)
FROM_70_PERCENT = limits(LAST, min=70, min_samples=50)
FROM_70_TO_90 = limits(LAST, min=70, max=90)
ONLY_WARN = limits(LAST, warn_max=5)


def test_a_threshold_of_the_whole_counts_every_provider_together():
    gate = gate_of(UP_TO_5, (read(3.0, subject="a"), read(3.0, subject="b")), subjects=["a", "b"])

    assert (FAIL, 6.0, "") == (one(gate).verdict, one(gate).value, one(gate).subject)


def test_thresholds_do_not_see_one_another():
    gate = Gate([Threshold("m", SUM, max=5), Threshold("n", SUM, max=5)], [])

    gate.take([read(6.0), read(1.0, metric="n")])

    assert [FAIL, PASS] == [judgement.verdict for judgement in gate.judgements]


GOOD, BAD = read(1.0), read(9.0)


def test_a_tolerated_failure_that_recovered_lets_the_stage_go_on():
    gate = gate_of(limits(LAST, max=5, failure_limit=1), BAD, GOOD)

    assert ([], []) == (gate.breaches, gate.missing)
    assert (1, 0) == (one(gate).fails, one(gate).consecutive_fails)


def test_a_tolerated_failure_that_lasts_does_not_let_the_stage_go_on():
    gate = gate_of(limits(LAST, max=5, failure_limit=1), GOOD, BAD)

    assert ([], gate.judgements) == (gate.breaches, gate.missing)


def test_silence_and_errors_are_no_failures():
    gate = gate_of(UP_TO_5, NOTHING, broken(), stale(), read(nan))

    assert (0, 0) == (one(gate).fails, one(gate).consecutive_fails)


@pytest.mark.parametrize(
    ("verdict", "goes_on"),
    [(PASS, True), (WARN, True), (FAIL, False), (NO_DATA, False), (LOW_SAMPLE, False), (ERROR, False)],
)
def test_only_pass_and_warn_let_a_stage_go_on(verdict, goes_on):
    assert goes_on is verdict.lets_go_on


@pytest.mark.parametrize(
    ("threshold", "tick", "text"),
    [
        (FROM_70_PERCENT, read(74.0, count=50), "m is 74, at least 70 is wanted (last of 50 samples)"),
        (UP_TO_5, read(1.0), "m is 1, at most 5 is wanted (sum of 1 sample)"),
        (FROM_70_TO_90, read(12.345), "m is 12.35, at least 70 and at most 90 is wanted (last of 1 sample)"),
        (limits(P95, max=1000), read(100.5), "m is 100.5, at most 1000 is wanted (p95 of 1 sample)"),
        (limits(MEAN, max=0.25), read(0.0), "m is 0, at most 0.25 is wanted (mean of 1 sample)"),
        (ONLY_WARN, read(1.0), "m is 1, a number is wanted (last of 1 sample)"),
        (UP_TO_5, NOTHING, "m was not measured, at most 5 is wanted"),
        (UP_TO_5, read(nan), "m was not measured, at most 5 is wanted"),
        (UP_TO_5, stale(), "m was not measured (the newest number is old), at most 5 is wanted"),
        (UP_TO_5, broken("no such table: t"), "m could not be measured: no such table: t"),
    ],
)
def test_a_judgement_says_the_number_the_limits_and_what_it_stands_on(threshold, tick, text):
    assert text == str(one(gate_of(threshold, tick)))


def test_a_judgement_by_provider_says_whose():
    gate = gate_of(limits(MEAN, max=1000, by_provider=True), read(1500.0, subject="a"), subjects=["a", "b"])

    assert [
        "m of a is 1500, at most 1000 is wanted (mean of 1 sample)",
        "m of b was not measured, at most 1000 is wanted",
    ] == [str(judgement) for judgement in gate.judgements]


def test_a_percentile_is_exact_over_the_latest_ten_thousand_values():
    tally = Tally(P50)

    tally.add([read(*[1.0] * WINDOW)])
    tally.add([read(*[2.0] * (WINDOW // 2))])
    assert tally.value == 1.0

    tally.add([read(2.0)])
    assert tally.value == 2.0
    assert WINDOW + WINDOW // 2 + 1 == tally.count


STAGE = Stage("a", Mode.OBSERVE, 90, 30, 150, (), Selector())
"""Three ticks, and five to its deadline."""


@pytest.mark.parametrize(
    ("ticks", "waits", "effect"),
    [
        ([GOOD] * 2, False, Effect.HOLD),
        ([GOOD] * 3, False, Effect.GO_ON),
        ([GOOD] * 3, True, Effect.HOLD),
        ([GOOD, GOOD, NOTHING], False, Effect.HOLD),
        ([GOOD, GOOD, NOTHING, NOTHING], True, Effect.HOLD),
        ([GOOD, GOOD, NOTHING, GOOD], False, Effect.GO_ON),
        ([GOOD] * 5, False, Effect.GO_ON),
        ([GOOD] * 5, True, Effect.BREACH),
        ([NOTHING] * 5, False, Effect.BREACH),
        ([BAD], False, Effect.BREACH),
        ([GOOD, BAD, GOOD], False, Effect.BREACH),
    ],
)
def test_a_stage_is_held_until_nothing_is_missing_and_breached_at_its_deadline(ticks, waits, effect):
    gate = gate_of(limits(LAST, max=5), *ticks)

    assert effect is gate.after(STAGE, len(ticks) - 1, waits=waits)


def test_a_part_of_a_gate_judges_what_the_whole_takes():
    strict, loose = limits(LAST, max=0), limits(LAST, max=5)
    whole = Gate([strict, loose], [])
    part = whole.part([loose])

    whole.take([GOOD])

    assert ([PASS], [], [strict]) == (
        [each.verdict for each in part.judgements],
        part.breaches,
        [each.threshold for each in whole.breaches],
    )
