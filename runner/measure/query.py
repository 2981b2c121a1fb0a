"""Numbers and texts from queries, on a connection that cannot write."""

from __future__ import annotations

from datetime import UTC, datetime
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


def ask(reader: Backend, metric: Metric, now: datetime, monotonic: Callable[[], float]) -> Sample:
    """
    Run the query of *metric* on a connection that cannot write, for its timeout at the most.

    NULL, no row, and a number that is older *now* than it may be are no value. A query that fails, takes too long, or
    does not give what it should is a sample with an error.
    """
    try:
        rows = first_rows(reader, metric.query or "", metric.timeout_s, monotonic)
        value, age_s = _number(rows, now if metric.max_age_s else None)
    except NoAnswer as failure:
        return Sample(metric.name, (), 0, error=str(failure))
    if value is None:
        return Sample(metric.name, (), 0)
    if metric.max_age_s and abs(age_s) > metric.max_age_s:
        return Sample(metric.name, (), 0, note=_stale(age_s, metric.max_age_s))
    return Sample(metric.name, (value,), 1)


def _number(rows: list[tuple[Any, ...]], now: datetime | None) -> tuple[float | None, float]:
    """Return the number that a query gave and, where there is a *now*, its age in seconds; NoAnswer where none is."""
    wanted = 2 if now else 1
    if len(rows) > 1 or any(len(row) > wanted for row in rows):
        raise NoAnswer("the query gives more than one number")
    if any(len(row) < wanted for row in rows):
        raise NoAnswer("the query gives no time beside its number, and max_age wants one")
    value, *at = rows[0] if rows else (None,)
    if value is None:
        return None, 0.0
    if isinstance(value, str | bytes):
        raise NoAnswer(f"the query gives {value!r:.60}, which is not a number")
    try:
        return float(value), (now - _moment(at[0])).total_seconds() if now else 0.0
    except (ValueError, OverflowError, OSError) as error:
        raise NoAnswer(f"the query gives {at[0]!r:.60}, which is not a time") from error


def _moment(at: Any) -> datetime:
    """Return the time that a query gave, as the engine's own value, ISO 8601 (UTC unless it says) or Unix seconds."""
    if isinstance(at, int | float):
        return datetime.fromtimestamp(at, UTC)
    moment = at if isinstance(at, datetime) else datetime.fromisoformat(at if isinstance(at, str) else "")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _stale(age_s: float, most_s: float) -> str:
    """Say how far a number is from now; one from ahead, by a wrong time zone say, would otherwise never grow old."""
    where = f"{age_s:.0f} s ago" if age_s > 0 else f"{-age_s:.0f} s ahead"
    return f"the newest number is of {where}, max_age is {most_s:g} s"
