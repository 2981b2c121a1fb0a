"""Numbers and texts from queries, on a connection that cannot write."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from runner.errors import StepFailed
from runner.samples import Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runner.config.model import Metric
    from runner.store.backend import Backend


class NoAnswer(Exception):
    """A query failed or took too long. The text says why."""


def first_rows(
    reader: Backend, sql: str, timeout_s: float, monotonic: Callable[[], float], values: Mapping[str, Any] | None = None
) -> list[tuple[Any, ...]]:
    """Return the first two rows of a query; NoAnswer where it fails, or takes longer than *timeout_s*."""
    try:
        with reader.deadline(timeout_s, monotonic):
            return list(islice(reader.stream(sql, values), 2))
    except StepFailed as failure:
        raise NoAnswer(cause(failure, timeout_s)) from failure


def cause(failure: StepFailed, timeout_s: float) -> str:
    """Return what the database said; that it was interrupted means that the time was over."""
    said = failure.problems[0].what
    return f"no answer within {timeout_s:g} s" if "interrupted" in said else said


def ask(reader: Backend, metric: Metric, monotonic: Callable[[], float]) -> Sample:
    """
    Run the query of *metric* on a connection that cannot write, for its timeout at the most.

    NULL and no row are no value. A query that fails, takes too long, or gives no number is a sample with an error.
    """
    try:
        rows = first_rows(reader, metric.query or "", metric.timeout_s, monotonic)
    except NoAnswer as failure:
        return Sample(metric.name, (), 0, error=str(failure))
    if len(rows) > 1 or any(len(row) > 1 for row in rows):
        return Sample(metric.name, (), 0, error="the query gives more than one number")
    value = rows[0][0] if rows else None
    if value is None:
        return Sample(metric.name, (), 0)
    if isinstance(value, str | bytes):
        return Sample(metric.name, (), 0, error=f"the query gives {value!r:.60}, which is not a number")
    return Sample(metric.name, (float(value),), 1)
