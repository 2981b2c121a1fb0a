from types import SimpleNamespace

import pytest

from runner.config.model import Statistic, Threshold
from runner.decide.drill import injection
from runner.decide.gate import Gate
from runner.samples import Sample

ERRORS = Threshold("errors", Statistic.SUM, max=5)
HIT_RATE = Threshold("cache_hit_rate_pct", Statistic.LAST, min=70, min_samples=50)


def stage(*thresholds):
    return SimpleNamespace(name="dark_mode", thresholds=thresholds)


@pytest.mark.parametrize(
    "threshold",
    [
        ERRORS,
        HIT_RATE,
        Threshold("backlog", Statistic.LAST, max=0),
        Threshold("free", Statistic.MIN, min=0),
        Threshold("balance", Statistic.MAX, max=-7),
        Threshold("balance", Statistic.P95, min=-7, min_samples=20),
        Threshold("response_time_ms", Statistic.MEAN, max=1000, min_samples=10, by_provider=True),
        Threshold("errors", Statistic.SUM, max=5, failure_limit=3),
        Threshold("errors", Statistic.MEAN, max=5, failure_limit=None, consecutive_failure_limit=2),
    ],
)
def test_what_is_injected_at_every_tick_breaches(threshold):
    gate = Gate([threshold], ["draftkings"])
    ordered = injection(stage(threshold))

    for _ in range(5):
        gate.take(ordered.spoil([Sample(threshold.metric, (1.0,), 1, "draftkings")], "draftkings"))

    assert [threshold.metric] == [judgement.threshold.metric for judgement in gate.breaches]


def test_samples_of_other_metrics_stay_as_they_were_measured():
    other = Sample("response_time_ms", (4.0, 5.0), 2, "draftkings")

    spoiled = injection(stage(ERRORS)).spoil([other, Sample("errors", (0.0,), 1, "stub")], "draftkings")

    assert [other, Sample("errors", (11.0,), 1, "stub")] == spoiled


def test_where_nothing_was_measured_the_number_speaks_of_the_first_provider():
    assert [Sample("cache_hit_rate_pct", (-1.0,) * 50, 50, "stub")] == injection(stage(HIT_RATE)).spoil([], "stub")


def test_a_limit_that_only_warns_breaches_nothing():
    warns = Threshold("errors", Statistic.SUM, warn_max=1)

    assert HIT_RATE == injection(stage(warns, HIT_RATE)).threshold
    with pytest.raises(ValueError, match="dark_mode has no limit that fails"):
        injection(stage(warns))
