"""Metrics that are one number from a query."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from runner.errors import StepFailed
from runner.samples import Sample

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.config.model import Metric
    from runner.store.backend import Backend


def ask(reader: Backend, metric: Metric, monotonic: Callable[[], float]) -> Sample:
    """
    Run the query of *metric* on a connection that cannot write, for its timeout at the most.

    NULL and no row are no value. A query that fails, takes too long, or gives no number is a sample with an error.
    """
    try:
        with reader.deadline(metric.timeout_s, monotonic):
            rows = list(islice(reader.stream(metric.query or ""), 2))
    except StepFailed as failure:
        cause = failure.problems[0].what
        return Sample(
            metric.name, (), 0, error=f"no answer within {metric.timeout_s:g} s" if "interrupted" in cause else cause
        )
    if len(rows) > 1 or any(len(row) > 1 for row in rows):
        return Sample(metric.name, (), 0, error="the query gives more than one number")
    value = rows[0][0] if rows else None
    if value is None:
        return Sample(metric.name, (), 0)
    if isinstance(value, str | bytes):
        return Sample(metric.name, (), 0, error=f"the query gives {value!r:.60}, which is not a number")
    return Sample(metric.name, (float(value),), 1)
