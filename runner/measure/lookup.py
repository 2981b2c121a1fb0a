"""The cache hit rate: the recorded sample of look-ups, replayed against the table as the application reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.errors import StepFailed
from runner.samples import Sample

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from runner.store.backend import Backend


def replay(reader: Backend, metric: str, keys: Sequence[str], now: datetime) -> Sample:
    """
    Look every one of *keys* up, one query each, and return the share found in percent.

    A hit is an entry that is there and has not expired. No keys is no measurement, and the values stay empty. A look-up
    that fails is a sample with an error.
    """
    moment = reader.time(now)
    sql = "SELECT data_json FROM portfolio_rationales WHERE cache_key = :key AND expires_at > :now"
    try:
        hits = sum(reader.scalar(sql, {"key": key, "now": moment}) is not None for key in keys)
    except StepFailed as failure:
        return Sample(metric, (), 0, error=failure.problems[0].what)
    return Sample(metric, (100 * hits / len(keys),) if keys else (), len(keys))
