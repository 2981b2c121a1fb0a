"""
Whether ticks keep their schedule while a provider is slow: nothing that answers late may move a later tick.

As long as an answer is under way a tick lasts to the end of its interval, so tick k is expected k intervals after the
stage was entered. The last one is left out: it waits for the answers that are still to come, which is its purpose.
"""

from __future__ import annotations

import json
import subprocess
from datetime import datetime
from typing import TYPE_CHECKING

from bench import data
from bench.pairs import RUNNER, Line, environment

if TYPE_CHECKING:
    from pathlib import Path

SPEED = 300
"""The bundled stage has an interval of 30 s: a tenth of a second at this speed."""

INTERVAL_MS = 30_000 / SPEED
STAGE = "dark_mode"
FAULT = "draftkings:slow=400ms"
"""Four intervals: from the fourth tick on there are always answers under way to the three before it."""


def measure(folder: Path) -> list[Line]:
    """Compare the largest deviation from the schedule with the interval."""
    config = data.bundled(folder, speed=SPEED)
    command = [RUNNER, "apply", str(config), "--target-stage", STAGE]
    faults = {**environment(), "RUNNER_STAND_IN_FAULTS": FAULT}
    done = subprocess.run(command, cwd=folder, env=faults, capture_output=True, text=True, check=True)
    late_ms = _deviations_ms([json.loads(line) for line in done.stderr.splitlines()])
    worst = max(map(abs, late_ms))
    what = f"ticks: farthest of {len(late_ms)} from the schedule, one provider slow"
    return [Line(what, worst, INTERVAL_MS, worst / INTERVAL_MS, "ms", 0.5)]


def _deviations_ms(events: list[dict[str, str]]) -> list[float]:
    """Return how much later than due each tick but the last was told."""
    start, *_ = (_at(event) for event in events if event["event"] == "stage.entered")
    *ticks, _ = (_at(event) for event in events if event["event"] == "tick.recorded")
    return [(at - start).total_seconds() * 1000 - number * INTERVAL_MS for number, at in enumerate(ticks, 1)]


def _at(event: dict[str, str]) -> datetime:
    return datetime.fromisoformat(event["timestamp"])
