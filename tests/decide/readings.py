"""Made-up numbers to judge: samples, thresholds, and a gate that has taken them."""

from runner.config.model import Statistic, Threshold
from runner.decide.gate import PERCENTILE, Gate, Verdict
from runner.samples import Sample

PASS, WARN, FAIL = Verdict.PASS, Verdict.WARN, Verdict.FAIL
NO_DATA, LOW_SAMPLE, ERROR = Verdict.NO_DATA, Verdict.LOW_SAMPLE, Verdict.ERROR
SUM, MEAN, LAST, MIN, MAX = Statistic.SUM, Statistic.MEAN, Statistic.LAST, Statistic.MIN, Statistic.MAX
P50, P90, P95, P99 = PERCENTILE

NOTHING = ()
"""A tick without a sample."""


def read(*values, count=None, subject="", error=None, note=None, metric="m"):
    return Sample(metric, values, len(values) if count is None else count, subject, error, note)


def broken(cause="no answer", subject=""):
    """The source did not answer."""
    return read(error=cause, subject=subject)


def stale():
    """The source answered with a number of long ago."""
    return read(note="the newest number is old")


def limits(statistic, metric="m", **more):
    return Threshold(metric, statistic, **more)


def gate_of(thresholds, *ticks, subjects=()):
    """Return a gate that took *ticks*, each one sample or several."""
    gate = Gate([thresholds] if isinstance(thresholds, Threshold) else thresholds, subjects)
    for tick in ticks:
        gate.take((tick,) if isinstance(tick, Sample) else tick)
    return gate


def one(gate):
    [judgement] = gate.judgements
    return judgement
