"""The statistic of a threshold that does not name one."""

from __future__ import annotations

from runner.config.model import Statistic

DEFAULT = {
    ("probe", "errors"): Statistic.SUM,
    ("probe", "error_rate"): Statistic.MEAN,
    ("probe", "response_time"): Statistic.MEAN,
    ("lookup", None): Statistic.LAST,
    ("sql", None): Statistic.LAST,
}
"""A metric's kind and reading: what its samples become."""
