"""
Commands in turn, A B A B …, each a whole process with its time and peak memory.

The median of the pairwise ratios is what counts: whatever slows the machine down slows down both halves of a pair.
A peak counts what the process inherited when it was forked: this one stays small, and nothing here loads much.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

PYTHON = sys.executable
BIN = Path(PYTHON).parent
RUNNER = str(BIN / "runner")
FLOORS = Path(__file__).parent / "floors"


class Spent(NamedTuple):
    """What one process took."""

    seconds: float
    peak_mib: float


@dataclass(frozen=True, slots=True)
class Job:
    """A command to be measured in *folder*; `prepare` runs before it, every time, and is not measured."""

    command: tuple[str, ...]
    folder: Path
    prepare: Callable[[], None] = lambda: None

    def run(self) -> Spent:
        """Run it once. A command that fails has no time: its output is raised."""
        self.prepare()
        with tempfile.TemporaryFile() as errors:
            start = time.perf_counter()
            process = subprocess.Popen(
                self.command, cwd=self.folder, env=environment(), stdout=subprocess.DEVNULL, stderr=errors
            )
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - start
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                errors.seek(0)
                said = errors.read().decode(errors="replace")[-2000:]
                raise RuntimeError(f"{' '.join(self.command)} ended with {process.returncode}\n{said}")
        return Spent(seconds, usage.ru_maxrss / 1024)


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the table: a figure, its floor, and their ratio. Without a limit it is told and not judged."""

    what: str
    ours: float
    floor: float
    ratio: float
    unit: str
    limit: float | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def is_over(self) -> bool:
        """Whether the ratio is beyond its limit."""
        return self.limit is not None and self.ratio > self.limit


def seconds(what: str, ours: list[Spent], floor: list[Spent], limit: float | None = None, *, times: int = 1) -> Line:
    """Compare times, in ms where they are short; the floor counts *times* what it took."""
    ours_s, floor_s = [spent.seconds for spent in ours], [spent.seconds * times for spent in floor]
    unit, scale = ("s", 1) if median(ours_s) >= 1 else ("ms", 1000)
    return Line(what, median(ours_s) * scale, median(floor_s) * scale, _ratio(ours_s, floor_s), unit, limit)


def peak(what: str, ours: list[Spent], floor: list[Spent]) -> Line:
    """Compare peaks of memory."""
    ours_mib, floor_mib = ([spent.peak_mib for spent in side] for side in (ours, floor))
    return Line(what, median(ours_mib), median(floor_mib), _ratio(ours_mib, floor_mib), "MiB")


def _ratio(ours: list[float], floor: list[float]) -> float:
    return median(a / b for a, b in zip(ours, floor, strict=True))


def in_turn(rounds: int, *jobs: Job) -> list[list[Spent]]:
    """Run all once unmeasured, to warm caches and compile bytecode, then *rounds* times in turn; a list for each."""
    for job in jobs:
        job.run()
    found = [[job.run() for job in jobs] for _ in range(rounds)]
    return [list(column) for column in zip(*found, strict=True)]


def runner(folder: Path, *arguments: str, prepare: Callable[[], None] = lambda: None) -> Job:
    """Return our own command as a job."""
    return Job((RUNNER, *arguments), folder, prepare)


def floor(folder: Path, script: str, *arguments: str, prepare: Callable[[], None] = lambda: None) -> Job:
    """Return one of the scripts in floors/ as a job."""
    return Job((PYTHON, str(FLOORS / f"{script}.py"), *arguments), folder, prepare)


def environment() -> dict[str, str]:
    """
    Return the environment of every measured process.

    Bytecode is kept, as it is where runner is installed: an editable install in a shell that forbids it (as many
    containers do) would compile every module anew and measure the compiler.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RUNNER_", "PYTHON"))}
    return {**kept, "PYTHONPYCACHEPREFIX": str(Path(tempfile.gettempdir()) / f"runner-bench-pycache-{os.getuid()}")}
