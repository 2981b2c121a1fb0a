"""What the gate never does, whatever the numbers are."""

from fractions import Fraction
from itertools import accumulate
from math import isfinite, nan

import pytest
from hypothesis import assume, given, strategies
from hypothesis.strategies import booleans, composite, integers, lists, randoms, sampled_from
from readings import FAIL, LAST, MAX, MEAN, MIN, NOTHING, PASS, SUM, WARN, broken, gate_of, limits, one, read

from runner.config.model import Policy, Statistic
from runner.decide import gate
from runner.decide.gate import PERCENTILE, Effect, Tally
from runner.samples import Sample

SUBJECTS = ("a", "b")
numbers = integers(-1000, 1000).map(float)
counts = integers(0, 1000).map(float)
readings = numbers | sampled_from([nan, float("inf"), float("-inf")])
SEVERITY = (Effect.GO_ON, Effect.HOLD, Effect.BREACH)


@composite
def samples(draw):
    return read(
        *draw(lists(readings, max_size=4)),
        count=draw(integers(0, 5)),
        subject=draw(sampled_from(["", *SUBJECTS])),
        error=draw(sampled_from([None, None, None, "no answer"])),
    )


@composite
def thresholds(draw, statistics=Statistic):
    policies = sampled_from(Policy)
    return limits(
        draw(sampled_from(list(statistics))),
        min=draw(strategies.none() | numbers),
        max=draw(strategies.none() | numbers),
        warn_max=draw(strategies.none() | numbers),
        min_samples=draw(integers(0, 8)),
        by_provider=draw(booleans()),
        failure_limit=draw(strategies.none() | integers(0, 3)),
        consecutive_failure_limit=draw(strategies.none() | integers(0, 2)),
        on_no_data=draw(policies),
        on_error=draw(policies),
    )


ticks_of_samples = lists(lists(samples(), max_size=4), max_size=6)


def textbook(statistic, values):
    """Say what the statistic of *values* is, by its definition."""
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


def is_whole(sample):
    return bool(sample.values) and all(map(isfinite, sample.values)) and not sample.error


def proves(threshold, ticks):
    """Say, from the definition alone, whether *ticks* of one subject prove that *threshold* is kept."""
    if not ticks or not ticks[-1] or not any(sample.values for sample in ticks[-1]):
        return False
    if any(sample.error or not all(map(isfinite, sample.values)) for sample in ticks[-1]):
        return False
    counted = ticks[-1:] if threshold.statistic is LAST else ticks
    if sum(s.observations for tick in counted for s in tick if is_whole(s)) < threshold.min_samples:
        return False
    read_values = [v for tick in ticks for s in tick if not s.error for v in s.values if isfinite(v)]
    value = float(textbook(threshold.statistic, read_values))
    return (threshold.min is None or value >= threshold.min) and (threshold.max is None or value <= threshold.max)


@given(thresholds(), ticks_of_samples)
def test_no_samples_without_enough_passing_values_ever_pass_a_stage(threshold, ticks):
    for number in range(len(ticks) + 1):
        taken = gate_of(threshold, *ticks[:number], subjects=SUBJECTS)
        heard = [""] if not threshold.by_provider else SUBJECTS
        proved = [
            proves(threshold, [[s for s in tick if who in {"", s.subject}] for tick in ticks[:number]]) for who in heard
        ]

        assert proved == [judgement.verdict in {PASS, WARN} for judgement in taken.judgements]
        if not all(proved):
            assert taken.effect is not Effect.GO_ON


@given(thresholds(), ticks_of_samples, sampled_from([NOTHING, broken(), read(), read(nan), read(1.0, error="late")]))
def test_a_stage_is_never_left_on_a_tick_that_shows_nothing(threshold, ticks, nothing):
    assert gate_of(threshold, *ticks, nothing, subjects=SUBJECTS).effect is not Effect.GO_ON


@given(thresholds(), ticks_of_samples, ticks_of_samples)
def test_a_breach_is_never_taken_back(threshold, before, later):
    taken = gate_of(threshold, *before, subjects=SUBJECTS)
    breached = {judgement.subject for judgement in taken.breaches}

    for tick in later:
        taken.take(tick)
        now = {judgement.subject for judgement in taken.breaches}
        assert breached <= now
        assert not now or taken.effect is Effect.BREACH
        breached = now


BEYOND = {  # what no later sample can bring back
    SUM: limits(SUM, max=500, min_samples=5),
    MAX: limits(MAX, max=500, min_samples=5),
    MIN: limits(MIN, min=500, min_samples=5),
}


@pytest.mark.parametrize("statistic", BEYOND)
@given(
    lists(lists(counts, max_size=4), max_size=6),
    lists(lists(counts, max_size=4).map(lambda values: read(*values)) | sampled_from([NOTHING, broken(), read(nan)])),
)
def test_what_is_certain_stays_so_whatever_comes_later(statistic, before, later):
    threshold = BEYOND[statistic]
    seen = [value for values in before for value in values]
    assume(seen)
    value = textbook(statistic, seen)
    assume(value < threshold.min if statistic is MIN else value > threshold.max)
    taken = gate_of(threshold, *(read(*values) for values in before))

    assert (FAIL, Effect.BREACH) == (one(taken).verdict, taken.effect)
    for tick in later:
        taken.take((tick,) if isinstance(tick, Sample) else tick)
        assert (FAIL, Effect.BREACH) == (one(taken).verdict, taken.effect)


@given(
    thresholds([statistic for statistic in Statistic if statistic is not LAST]),
    lists(strategies.floats(-1e300, 1e300), min_size=1, max_size=30),
    lists(integers(1, 5)),
    lists(integers(1, 5)),
)
def test_the_verdict_does_not_depend_on_how_ticks_are_cut(threshold, values, one_way, other_way):
    threshold = threshold._replace(by_provider=False)
    first, second = (one(gate_of(threshold, *cut(values, widths))) for widths in (one_way, other_way))

    assert (first.value, first.count, first.verdict) == (second.value, second.count, second.verdict)


def cut(values, widths):
    """Yield *values* as samples of so many each, and what is left as one."""
    ends = [end for end in accumulate(widths) if end < len(values)]
    for start, end in zip([0, *ends], [*ends, len(values)], strict=True):
        yield read(*values[start:end])


@given(thresholds(), ticks_of_samples, numbers, numbers)
def test_limits_that_fail_are_stronger_than_limits_that_warn(threshold, ticks, warn_min, warn_max):
    warning = threshold._replace(warn_min=warn_min, warn_max=warn_max)
    plain = threshold._replace(warn_min=None, warn_max=None)
    with_warnings, without = (gate_of(each, *ticks, subjects=SUBJECTS) for each in (warning, plain))

    assert [j.verdict for j in without.judgements] == [
        PASS if j.verdict is WARN else j.verdict for j in with_warnings.judgements
    ]
    assert (without.effect, len(without.breaches)) == (with_warnings.effect, len(with_warnings.breaches))


@given(
    sampled_from(list(Statistic)),
    booleans(),
    lists(lists(counts, min_size=1, max_size=4), min_size=1, max_size=6),
    integers(1, 100).map(float),
    strategies.data(),
)
def test_more_failing_values_never_turn_a_fail_into_a_pass(statistic, is_floor, ticks, beyond, data):
    assume(not (is_floor and statistic is SUM))  # what is too low all the same makes the sum larger
    threshold = limits(statistic, min=400) if is_floor else limits(statistic, max=400)
    assume(one(gate_of(threshold, *(read(*values) for values in ticks))).verdict is FAIL)
    failing = threshold.min - beyond if is_floor else threshold.max + beyond
    place = data.draw(integers(0, len(ticks)))
    place = len(ticks) if statistic is LAST else place
    more = [*ticks[:place], [failing], *ticks[place:]]

    assert one(gate_of(threshold, *(read(*values) for values in more))).verdict is FAIL


@given(thresholds(), ticks_of_samples, integers(0, 3), integers(0, 3))
def test_who_tolerates_more_failures_never_breaches_earlier(threshold, ticks, few, more):
    few, more = sorted((few, more))
    strict, patient = (
        gate_of(threshold._replace(failure_limit=limit), *ticks, subjects=SUBJECTS).effect for limit in (few, more)
    )

    assert SEVERITY.index(strict) >= SEVERITY.index(patient)


@given(sampled_from(list(PERCENTILE)), lists(lists(numbers, min_size=1, max_size=20), min_size=1, max_size=10))
def test_a_percentile_is_that_of_the_sorted_list(statistic, ticks):
    tally = Tally(statistic)

    for values in ticks:
        tally.add([read(*values)])

    assert textbook(statistic, [value for values in ticks for value in values]) == tally.value


@given(sampled_from(list(PERCENTILE)), lists(lists(numbers, min_size=1, max_size=20), min_size=1, max_size=10))
def test_a_percentile_of_more_values_than_the_window_is_that_of_the_latest(statistic, ticks):
    tally = Tally(statistic)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gate, "WINDOW", 7)
        for values in ticks:
            tally.add([read(*values)])

    assert textbook(statistic, [value for values in ticks for value in values][-7:]) == tally.value


@given(thresholds([each for each in Statistic if each is not LAST]), ticks_of_samples, randoms())
def test_the_order_of_samples_within_a_tick_does_not_matter(threshold, ticks, random):
    shuffled = [random.sample(tick, len(tick)) for tick in ticks]

    one_way, other_way = (gate_of(threshold, *each, subjects=SUBJECTS) for each in (ticks, shuffled))

    def standing(gate):
        return [(j.subject, j.verdict, j.value, j.count, j.fails, j.is_breached) for j in gate.judgements]

    assert standing(one_way) == standing(other_way)


@given(thresholds(), ticks_of_samples)
def test_a_gate_that_takes_the_stored_ticks_again_says_the_same(threshold, ticks):
    once, again = (gate_of(threshold, *ticks, subjects=SUBJECTS) for _ in range(2))

    assert once.judgements == again.judgements
    assert [str(judgement) for judgement in once.judgements] == [str(judgement) for judgement in again.judgements]
