"""
Time and waiting as a value that is passed in: what receives no clock cannot wait.

The ground floor: imports nobody.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import Protocol


class Stop:
    """
    A request to stop, made by a signal and honoured at the next safe point.

    `signal` is the number of the signal that asked, None as long as nobody has.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._asked = threading.Event()

    def ask(self, signal: int) -> None:
        """Ask for a stop; the first one who asks is remembered."""
        if self.signal is None:
            self.signal = signal
        self._asked.set()

    def wait(self, seconds: float) -> bool:
        """Wait until somebody asks, *seconds* at the most; say whether somebody did."""
        return self._asked.wait(seconds)


class Clock(Protocol):
    """What the time is, and a way to wait. `now` is aware and in UTC; `monotonic` never jumps and is in seconds."""

    stop: Stop

    def now(self) -> datetime:
        """Return the wall-clock time in UTC."""

    def monotonic(self) -> float:
        """Return seconds since some fixed point; only differences mean anything."""

    def sleep_until(self, moment: float) -> None:
        """Wait until `monotonic()` reaches *moment*, or until a stop is asked for."""


class WallClock:
    """The real clock."""

    def __init__(self) -> None:
        self.stop = Stop()

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep_until(self, moment: float) -> None:
        remaining = moment - time.monotonic()
        if remaining > 0:
            self.stop.wait(remaining)


def timestamp(moment: datetime) -> str:
    """Write *moment* as ISO 8601 in UTC with milliseconds, `2026-08-02T14:10:00.000Z`: the form of ledger and log."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
