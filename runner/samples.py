"""
What one measurement found, whoever made it and whoever judges it.

The ground floor: imports nobody.
"""

from __future__ import annotations

from typing import NamedTuple


class Sample(NamedTuple):
    """
    One measurement of one metric, in the metric's own unit.

    `subject` is the provider it speaks of, empty where it speaks of the whole. `values` are the numbers that were read:
    one response time for each answered request, one number of failures, one hit rate; empty where there was nothing to
    read. `observations` says how many stand behind them (requests made, look-ups replayed). `error` says why the source
    could not be read, `note` why there is no value though it could.
    """

    metric: str
    values: tuple[float, ...]
    observations: int
    subject: str = ""
    error: str | None = None
    note: str | None = None


class Finding(NamedTuple):
    """
    What was found out about one exit criterion.

    `value` is what its expectation is held against, `shown` is what people read of it. `error` says why there is no
    value: then nothing else counts.
    """

    value: float | str | None = None
    shown: str = ""
    error: str | None = None
