"""Durations as people write them: `30s`, `10m`, `1h30m`, `1500ms`, `2d`. A number without a unit is not one."""

from __future__ import annotations

import re

UNITS_S = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
DIGITS = {"d": 5, "h": 6, "m": 8, "s": 9, "ms": 9}
"""So many are allowed: any duration from now on ends before the year 9999, the last that a timestamp can be of."""

PATTERN = "^(?=.*[1-9])" + "".join(f"([0-9]{{1,{DIGITS[unit]}}}{unit})?" for unit in UNITS_S) + "$"
"""Larger units first, each at most once, and not nothing in all. The schemas hold the same pattern."""

_DURATION = re.compile(PATTERN)
_PART = re.compile("([0-9]+)(ms|[dhms])")


def seconds(text: str) -> float:
    """Return how long *text* is, in seconds; ValueError where it is not a duration."""
    if not _DURATION.fullmatch(text):
        raise ValueError(f"{text!r} is not a duration")
    return round(sum(int(number) * UNITS_S[unit] for number, unit in _PART.findall(text)), 3)


def written(duration_s: float) -> str:
    """Return *duration_s* as people write it in a config: `1h30m`."""
    left_ms = round(duration_s * 1000)
    parts = []
    for unit, unit_s in UNITS_S.items():
        count, left_ms = divmod(left_ms, round(unit_s * 1000))
        parts += [f"{count}{unit}"] if count else []
    return "".join(parts) or "0s"
