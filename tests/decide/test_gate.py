from fractions import Fraction
from math import inf, isfinite, nan

import pytest
from hypothesis import given, strategies
from hypothesis.strategies import composite, integers, lists, sampled_from

from runner.config.model import Policy, Statistic, Threshold
from runner.decide.gate import PERCENTILE, WINDOW, Gate, Tally, Verdict
from runner.samples import Sample

PASS, WARN, FAIL = Verdict.PASS, Verdict.WARN, Verdict.FAIL
NO_DATA, LOW_SAMPLE, ERROR = Verdict.NO_DATA, Verdict.LOW_SAMPLE, Verdict.ERROR
SUM, MEAN, LAST, MIN, MAX = Statistic.SUM, Statistic.MEAN, Statistic.LAST, Statistic.MIN, Statistic.MAX
P50, P90, P95, P99 = PERCENTILE

NOTHING = ()


def read(*values, count=None, subject="", error=None, metric="m"):
    return Sample(metric, values, len(values) if count is None else count, subject, error)


def broken(cause="no answer", subject=""):
    return read(count=0, error=cause, subject=subject)


def limits(statistic, **more):
    return Threshold("m", statistic, **more)


def gate_of(threshold, *ticks, subjects=()):
    """Return a gate that took *ticks*, each one sample or several."""
    gate = Gate([threshold], subjects)
    for tick in ticks:
        gate.take((tick,) if isinstance(tick, Sample) else tick)
    return gate


def one(gate):
    [judgement] = gate.judgements
    return judgement


UP_TO_5 = limits(SUM, max=5)
UP_TO_5_OF_10 = limits(SUM, max=5, min_samples=10)
UP_TO_1000_MS = limits(MEAN, max=1000, min_samples=3)
FROM_70_PERCENT = limits(LAST, min=70, min_samples=50)
FROM_70_TO_90 = limits(LAST, min=70, max=90)
WARN_FROM_80_TO_85 = limits(LAST, min=70, max=90, warn_min=80, warn_max=85)
ONLY_WARN = limits(LAST, warn_max=5)


@pytest.mark.parametrize(
    ("threshold", "ticks", "verdict"),
    [
        # nothing was seen
        (UP_TO_5, [], NO_DATA),
        (UP_TO_5, [NOTHING], NO_DATA),
        (UP_TO_5, [read()], NO_DATA),
        (UP_TO_5, [read(count=100)], NO_DATA),  # requests were made, no number came of them
        (UP_TO_5, [read(1.0, metric="other")], NO_DATA),
        (limits(SUM, max=5, min_samples=0), [NOTHING], NO_DATA),
        (ONLY_WARN, [NOTHING], NO_DATA),
        (UP_TO_5, [read(0.0), NOTHING], NO_DATA),  # what was good before does not speak for now
        (UP_TO_5, [NOTHING, read(0.0)], PASS),
        # no number
        (UP_TO_5, [read(nan)], NO_DATA),
        (UP_TO_5, [read(inf)], NO_DATA),
        (UP_TO_5, [read(-inf)], NO_DATA),
        (FROM_70_PERCENT, [read(nan, count=50)], NO_DATA),
        (FROM_70_PERCENT, [read(inf, count=50)], NO_DATA),  # more than 70, and no proof of anything
        (UP_TO_1000_MS, [read(1.0, 2.0, nan)], NO_DATA),  # one that is none makes the tick none
        (UP_TO_1000_MS, [read(1.0, 2.0, 3.0), read(nan)], NO_DATA),
        (UP_TO_1000_MS, [read(nan), read(1.0, 2.0, 3.0)], PASS),
        # the source did not answer
        (UP_TO_5, [broken()], ERROR),
        (UP_TO_5, [read(0.0), broken()], ERROR),
        (UP_TO_5, [broken(), read(0.0)], PASS),
        (UP_TO_5, [read(0.0, error="half an answer")], ERROR),
        (UP_TO_5, [(read(0.0, subject="a"), broken(subject="b"))], ERROR),
        (FROM_70_PERCENT, [broken()], ERROR),
        # too few
        (FROM_70_PERCENT, [read(90.0, count=49)], LOW_SAMPLE),
        (FROM_70_PERCENT, [read(90.0, count=50)], PASS),
        (FROM_70_PERCENT, [read(10.0, count=49)], LOW_SAMPLE),  # not yet certain: the next replay may be whole
        (FROM_70_PERCENT, [read(90.0, count=25), read(90.0, count=25)], LOW_SAMPLE),  # the last replay is the sample
        (UP_TO_1000_MS, [read(10.0, 20.0)], LOW_SAMPLE),
        (UP_TO_1000_MS, [read(5000.0, 5000.0)], LOW_SAMPLE),  # a mean may come down again
        (UP_TO_1000_MS, [read(10.0), read(20.0), read(30.0)], PASS),
        (limits(P95, max=10, min_samples=3), [read(99.0, 99.0)], LOW_SAMPLE),
        # too few, and it does not matter any more
        (UP_TO_5_OF_10, [read(5.0, count=5)], LOW_SAMPLE),
        (UP_TO_5_OF_10, [read(6.0, count=6)], FAIL),
        (UP_TO_5_OF_10, [read(3.0, count=3), read(3.0, count=3)], FAIL),
        (limits(MAX, max=9, min_samples=10), [read(10.0)], FAIL),
        (limits(MIN, min=9, min_samples=10), [read(8.0)], FAIL),
        (limits(MAX, min=9, min_samples=10), [read(8.0)], LOW_SAMPLE),  # a higher one may come
        (limits(MIN, max=9, min_samples=10), [read(10.0)], LOW_SAMPLE),  # a lower one may come
        (limits(SUM, min=9, min_samples=10), [read(8.0)], LOW_SAMPLE),  # more may come
        # a limit that is broken for good is not forgiven for silence
        (UP_TO_5, [read(6.0), NOTHING], FAIL),
        (UP_TO_5, [read(6.0), broken()], FAIL),
        (UP_TO_5, [read(6.0), read(nan)], FAIL),
        # exactly on the limit, and just beyond
        (FROM_70_TO_90, [read(70.0)], PASS),
        (FROM_70_TO_90, [read(69.999999)], FAIL),
        (FROM_70_TO_90, [read(90.0)], PASS),
        (FROM_70_TO_90, [read(90.000001)], FAIL),
        (UP_TO_5, [read(5.0)], PASS),
        (UP_TO_5, [read(5.0), read(1.0)], FAIL),
        (limits(LAST, min=0, max=0), [read(-0.0)], PASS),
        # warnings
        (WARN_FROM_80_TO_85, [read(80.0)], PASS),
        (WARN_FROM_80_TO_85, [read(85.0)], PASS),
        (WARN_FROM_80_TO_85, [read(79.9)], WARN),
        (WARN_FROM_80_TO_85, [read(85.1)], WARN),
        (WARN_FROM_80_TO_85, [read(90.0)], WARN),
        (WARN_FROM_80_TO_85, [read(90.1)], FAIL),
        (WARN_FROM_80_TO_85, [read(69.9)], FAIL),
        (ONLY_WARN, [read(1e300)], WARN),
        # sums that are not what adding floats gives
        (limits(SUM, min=1), [read(*[0.1] * 10)], PASS),
        # every statistic looks at its own number
        (limits(SUM, max=9), [read(1.0, 9.0, 2.0)], FAIL),
        (limits(MEAN, max=4), [read(1.0, 9.0, 2.0)], PASS),
        (limits(LAST, max=2), [read(1.0, 9.0, 2.0)], PASS),
        (limits(LAST, max=2), [read(9.0), read(2.0)], PASS),
        (limits(LAST, max=2), [read(2.0), read(9.0)], FAIL),
        (limits(MIN, min=1), [read(9.0), read(1.0), read(2.0)], PASS),
        (limits(MIN, min=1), [read(0.9), read(1.0)], FAIL),
        (limits(MAX, max=9), [read(9.0), read(1.0)], PASS),
        (limits(MAX, max=9), [read(9.1), read(1.0)], FAIL),
        (limits(P50, max=1), [read(1.0, 9.0)], PASS),
        (limits(P50, max=1), [read(1.0, 9.0, 9.0)], FAIL),
        (limits(P90, max=1), [read(*[1.0] * 9, 9.0)], PASS),
        (limits(P90, max=1), [read(*[1.0] * 8, 9.0, 9.0)], FAIL),
        (limits(P95, max=1), [read(*[1.0] * 19, 9.0)], PASS),
        (limits(P95, max=1), [read(*[1.0] * 18, 9.0, 9.0)], FAIL),
        (limits(P99, max=1), [read(*[1.0] * 99, 9.0)], PASS),
        (limits(P99, max=1), [read(*[1.0] * 98, 9.0, 9.0)], FAIL),
        (limits(P99, max=1), [read(9.0)], FAIL),
    ],
)
def test_only_a_number_inside_the_limits_from_enough_samples_passes(threshold, ticks, verdict):
    assert verdict is one(gate_of(threshold, *ticks)).verdict


@pytest.mark.parametrize(
    ("ticks", "verdicts"),
    [
        ([], {"a": NO_DATA, "b": NO_DATA}),
        ([(read(10.0, subject="a"), read(10.0, subject="b"))], {"a": PASS, "b": PASS}),
        ([(read(10.0, subject="a"), read(1001.0, subject="b"))], {"a": PASS, "b": FAIL}),  # a mean of 505.5 in all
        ([read(10.0, subject="a")], {"a": PASS, "b": NO_DATA}),
        ([read(10.0, subject="a"), read(10.0, subject="b")], {"a": NO_DATA, "b": PASS}),
        ([(read(10.0, subject="a"), broken(subject="b"))], {"a": PASS, "b": ERROR}),
        ([(read(10.0, subject="a"), read(nan, subject="b"))], {"a": PASS, "b": NO_DATA}),
        ([read(10.0)], {"a": NO_DATA, "b": NO_DATA}),  # a number of nobody is nobody's
        ([read(10.0, subject="stranger")], {"a": NO_DATA, "b": NO_DATA}),
    ],
)
def test_by_provider_a_slow_one_cannot_hide_and_a_silent_one_does_not_pass(ticks, verdicts):
    gate = gate_of(limits(MEAN, max=1000, by_provider=True), *ticks, subjects=["a", "b", "a"])

    assert verdicts == {judgement.subject: judgement.verdict for judgement in gate.judgements}


def test_a_threshold_of_the_whole_counts_every_provider_together():
    gate = gate_of(UP_TO_5, (read(3.0, subject="a"), read(3.0, subject="b")), subjects=["a", "b"])

    assert (FAIL, 6.0, "") == (one(gate).verdict, one(gate).value, one(gate).subject)


def test_thresholds_do_not_see_one_another():
    gate = Gate([Threshold("m", SUM, max=5), Threshold("n", SUM, max=5)], [])

    gate.take([read(6.0), read(1.0, metric="n")])

    assert [FAIL, PASS] == [judgement.verdict for judgement in gate.judgements]


GOOD, BAD = read(1.0), read(9.0)


@pytest.mark.parametrize(
    ("total", "in_a_row", "ticks", "breached_at"),
    [
        (0, None, [GOOD, BAD], 2),
        (1, None, [BAD, GOOD, GOOD], None),
        (1, None, [BAD, GOOD, BAD], 3),
        (2, None, [BAD, BAD, GOOD, BAD], 4),
        (None, 1, [BAD, BAD], 2),
        (None, 1, [BAD, GOOD, BAD, GOOD, BAD, GOOD], None),  # flapping, never twice in a row
        (None, 1, [BAD, NOTHING, BAD], 3),  # silence is no recovery
        (None, 1, [BAD, broken(), BAD], 3),
        (None, 0, [GOOD, GOOD, BAD], 3),
        (2, 1, [BAD, GOOD, BAD, GOOD, BAD], 5),  # flapping is caught by the total
        (5, 1, [GOOD, BAD, BAD], 3),
        (0, None, [NOTHING, broken(), read(nan)], None),  # no failure: it holds, and never passes
        (0, 0, [GOOD, GOOD, GOOD], None),
    ],
)
def test_more_failing_ticks_than_are_tolerated_are_a_breach(total, in_a_row, ticks, breached_at):
    gate = Gate([limits(LAST, max=5, failure_limit=total, consecutive_failure_limit=in_a_row)], [])
    breached = []

    for number, tick in enumerate(ticks, 1):
        gate.take((tick,) if isinstance(tick, Sample) else tick)
        if gate.breaches:
            breached.append(number)

    assert breached_at == (breached[0] if breached else None)


@pytest.mark.parametrize(("total", "in_a_row"), [(0, None), (None, 0), (0, 0)])
def test_good_samples_do_not_take_a_breach_back(total, in_a_row):
    threshold = limits(LAST, max=5, failure_limit=total, consecutive_failure_limit=in_a_row)

    gate = gate_of(threshold, BAD, *[GOOD] * 10)

    assert (PASS, True) == (one(gate).verdict, one(gate).is_breached)
    assert gate.judgements == gate.breaches


def test_a_tolerated_failure_that_recovered_lets_the_stage_go_on():
    gate = gate_of(limits(LAST, max=5, failure_limit=1), BAD, GOOD)

    assert ([], []) == (gate.breaches, gate.missing)
    assert (1, 0) == (one(gate).fails, one(gate).consecutive_fails)


def test_a_tolerated_failure_that_lasts_does_not_let_the_stage_go_on():
    gate = gate_of(limits(LAST, max=5, failure_limit=1), GOOD, BAD)

    assert ([], gate.judgements) == (gate.breaches, gate.missing)


@pytest.mark.parametrize(
    ("verdict", "goes_on"),
    [(PASS, True), (WARN, True), (FAIL, False), (NO_DATA, False), (LOW_SAMPLE, False), (ERROR, False)],
)
def test_only_pass_and_warn_let_a_stage_go_on(verdict, goes_on):
    assert goes_on is verdict.lets_go_on


def test_every_verdict_stands_in_the_tables_above():
    assert {PASS, WARN, FAIL, NO_DATA, LOW_SAMPLE, ERROR} == set(Verdict)


HOLD, ROLLBACK = Policy.HOLD, Policy.ROLLBACK


@pytest.mark.parametrize(
    ("on_no_data", "on_error", "tick", "holds"),
    [
        (HOLD, ROLLBACK, NOTHING, True),
        (HOLD, ROLLBACK, read(nan), True),
        (HOLD, ROLLBACK, read(1.0, count=1), True),
        (HOLD, ROLLBACK, broken(), False),
        (ROLLBACK, HOLD, NOTHING, False),
        (ROLLBACK, HOLD, read(nan), False),
        (ROLLBACK, HOLD, read(1.0, count=1), False),
        (ROLLBACK, HOLD, broken(), True),
    ],
)
def test_the_policy_says_whether_a_missing_number_is_waited_for(on_no_data, on_error, tick, holds):
    gate = gate_of(limits(LAST, max=5, min_samples=2, on_no_data=on_no_data, on_error=on_error), tick)

    assert gate.judgements == gate.missing
    assert holds is one(gate).holds


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


# whatever the numbers are

numbers = integers(-1000, 1000).map(float)
readings = numbers | sampled_from([nan, inf, -inf])


@composite
def samples(draw):
    values = draw(lists(readings, max_size=4))
    return read(
        *values,
        count=draw(integers(0, 5)),
        subject=draw(sampled_from(["", "a", "b"])),
        error=draw(sampled_from([None, None, None, "no answer"])),
    )


@composite
def thresholds(draw):
    low, high = draw(strategies.none() | numbers), draw(strategies.none() | numbers)
    return limits(
        draw(sampled_from(Statistic)),
        min=low,
        max=high,
        warn_max=draw(strategies.none() | numbers),
        min_samples=draw(integers(0, 8)),
        by_provider=draw(strategies.booleans()),
        failure_limit=draw(strategies.none() | integers(0, 3)),
        consecutive_failure_limit=draw(strategies.none() | integers(0, 2)),
    )


ticks_of_samples = lists(lists(samples(), max_size=4), max_size=6)


def expected_statistic(statistic, values):
    """Say by the textbook what the statistic of *values* is."""
    if statistic in PERCENTILE:
        return sorted(values)[-(-PERCENTILE[statistic] * len(values) // 100) - 1]
    exact = [Fraction(value) for value in values]
    return {
        SUM: sum(exact),
        MEAN: sum(exact) / len(exact),
        LAST: exact[-1],
        MIN: min(exact),
        MAX: max(exact),
    }[statistic]


@given(thresholds(), ticks_of_samples)
def test_a_gate_without_enough_values_inside_the_limits_never_lets_go_on(threshold, ticks):
    gate = gate_of(threshold, *ticks, subjects=["a", "b"])

    for judgement in gate.judgements:
        if not judgement.verdict.lets_go_on:
            continue
        theirs = [[s for s in tick if judgement.subject in {"", s.subject}] for tick in ticks]
        usable = [
            tick
            for tick in theirs
            if any(s.values for s in tick)
            and all(isfinite(value) for s in tick for value in s.values)
            and not any(s.error for s in tick)
        ]
        counted = usable[-1:] if threshold.statistic is LAST else usable
        value = expected_statistic(threshold.statistic, [v for tick in usable for s in tick for v in s.values])
        assert usable[-1] is theirs[-1], "the newest tick has a number"
        assert sum(s.observations for tick in counted for s in tick) >= threshold.min_samples
        assert threshold.min is None or float(value) >= threshold.min
        assert threshold.max is None or float(value) <= threshold.max


@given(thresholds(), ticks_of_samples, ticks_of_samples)
def test_a_breach_is_never_taken_back(threshold, before, later):
    gate = gate_of(threshold, *before, subjects=["a", "b"])
    breached = {judgement.subject for judgement in gate.breaches}

    for tick in later:
        gate.take(tick)
        assert breached <= {judgement.subject for judgement in gate.breaches}
        breached = {judgement.subject for judgement in gate.breaches}


@given(sampled_from(list(PERCENTILE)), lists(lists(numbers, min_size=1, max_size=20), min_size=1, max_size=10))
def test_a_percentile_is_that_of_the_sorted_list(statistic, ticks):
    tally = Tally(statistic)

    for values in ticks:
        tally.add([read(*values)])

    assert expected_statistic(statistic, [value for values in ticks for value in values]) == tally.value


@given(thresholds().filter(lambda threshold: threshold.statistic is not LAST), ticks_of_samples, strategies.randoms())
def test_the_order_of_samples_within_a_tick_does_not_matter(threshold, ticks, random):
    shuffled = [random.sample(tick, len(tick)) for tick in ticks]

    one_way = gate_of(threshold, *ticks, subjects=["a", "b"])
    other_way = gate_of(threshold, *shuffled, subjects=["a", "b"])

    def standing(gate):
        return [(j.subject, j.verdict, j.value, j.count, j.fails, j.is_breached) for j in gate.judgements]

    assert standing(one_way) == standing(other_way)


@given(thresholds(), ticks_of_samples)
def test_a_gate_that_takes_the_stored_ticks_again_says_the_same(threshold, ticks):
    once, again = (gate_of(threshold, *ticks, subjects=["a", "b"]) for _ in range(2))

    assert once.judgements == again.judgements
    assert [str(judgement) for judgement in once.judgements] == [str(judgement) for judgement in again.judgements]
