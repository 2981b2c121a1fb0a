"""
A stage that never seems to end: do memory, open files, the cost of a tick and the ledger's growth stay what they are?

`python -m bench soak` takes 100,000 ticks through the real engine, a real SQLite file and real requests to the
stand-in, by a clock that only the engine moves. `--real 20m` lets `runner apply` run for so long by the real clock, a
tick every 100 ms, and looks at it from outside: how far its ticks are from their schedule, too.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing, suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from bench import data
from bench.pairs import RUNNER, environment

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runner.clock import Clock
    from runner.events import Event

TICKS = 100_000
READINGS = 50
INTERVAL_S = 5
SPEED = 50
"""An interval is 100 ms then."""
STAGE = "soak"
FEW = "{providers: [stub]}"
"""Four rows and four requests a tick, where there are very many ticks; by the real clock there are all 28."""
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

MEMORY_MIB = 4.0
"""So much may come and go: what is freed is not always given back."""
COST = 1.5
GROWTH = 1.1
"""The last two fifths may take so many times what the second and third took."""
LOG_BYTES = 16 * 2**20
"""The log is written over again and again, unless somebody reads for ever."""
LATE_INTERVALS = 1.0
DRIFT_INTERVALS = 0.1


class Reading(NamedTuple):
    """
    How the process stood after so many ticks: its processor time, memory and open files.

    `size_bytes` are those of the database, `log_bytes` those of its write-ahead log.
    """

    ticks: int
    cpu_s: float
    rss_mib: float
    open_files: int
    size_bytes: int
    log_bytes: int


class Schedule(NamedTuple):
    """How late ticks were, in intervals: half of them, 99 of 100, the worst, and how much later the last tenth was."""

    p50: float
    p99: float
    worst: float
    drift: float


def config(folder: Path, ticks: int, activate: str = "all") -> Path:
    """
    Write the bundled rollout with one long stage in which what is selected goes live; return its path.

    Every kind of metric is measured, percentiles by provider too. Cache entries do not expire: the clock runs ahead.
    """
    path = data.bundled(folder, speed=SPEED)
    stage = f"  - {{name: {STAGE}, mode: active, duration: {ticks * INTERVAL_S}s, interval: {INTERVAL_S}s, "
    stage += f"activate: {activate}, refresh: all}}\n\n"
    text, *_ = path.read_text("utf-8").partition("\nexit_criteria:")
    text = re.sub(r"(?ms)(?<=^stages:\n).*?(?=^rollback:)", stage, text)
    for old, new in {
        "sqlite:///rollout.db": f"sqlite:///{folder}/{data.DATABASE}",
        "\nmetrics:\n": "\nmetrics:\n  slow_ms: {kind: probe, reading: response_time}\n"
        "  rows_on: {kind: sql, query: SELECT count(*) FROM provider_states WHERE is_enabled}\n",
        "every stage; a stage may set its own\n": "every stage\n  rows_on: {min: 1}\n"
        "  slow_ms: {max: 4000, statistic: p95, by: provider}\n",
        "errors:             {max: 5}": "errors: {max: 5, statistic: last}",  # one that is lost to noise is no breach
    }.items():
        assert old in text, old  # noqa: S101  it would measure something else
        text = text.replace(old, new)
    path.write_text(text, "utf-8")
    caches = folder / "config" / "caches.yaml"
    caches.write_text(re.sub(r"ttl: \d+h", "ttl: 9999d", caches.read_text("utf-8")), "utf-8")
    return path


def read(pid: int | str, database: Path, ticks: int, cpu_s: float = 0.0) -> Reading:
    """Return how a process and its database stand."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    log = Path(f"{database}-wal")
    log_bytes = log.stat().st_size if log.exists() else 0
    return Reading(ticks, cpu_s, pages * PAGE_BYTES / 2**20, files, _size(database), log_bytes)


def _size(database: Path) -> int:
    """Return the size of the database with all that was committed, whether it is in the file yet or in its log."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        pages, page_bytes = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    return int(pages * page_bytes)


def run_ahead(
    path: Path,
    clock: Clock,
    ticks: int = 0,
    tell: Callable[[Reading], None] = lambda _: None,
    target: str | None = None,
) -> list[Reading]:
    """
    Apply the rollout at *path* in this process, by *clock*, and return how it stood on the way.

    *ticks* is how many there are in all, of which every fiftieth is looked at; 0: nobody looks.
    """
    from runner.cli.door import make_prober  # noqa: PLC0415  the other half looks at a process of its own
    from runner.config.load import load  # noqa: PLC0415
    from runner.engine.loop import Engine  # noqa: PLC0415
    from runner.errors import ExitCode  # noqa: PLC0415
    from runner.events import Teller  # noqa: PLC0415
    from runner.store.connect import open_backend  # noqa: PLC0415

    rollout = load(path, None, {})
    place = rollout.environment
    database = Path(place.database.removeprefix("sqlite:///"))
    found: list[Reading] = []

    def note(event: Event) -> None:
        if ticks and event.name == "tick.recorded" and event.fields["tick"] % max(1, ticks // READINGS) == 0:
            found.append(read("self", database, event.fields["tick"], time.process_time()))
            tell(found[-1])

    with closing(open_backend(place.database, place.engine, create=True)) as backend:
        engine = Engine(rollout, backend, clock, Teller(clock.now, note), partial(make_prober, rollout, clock))
        outcome = engine.apply(target)
    assert outcome.exit_code is ExitCode.DONE, outcome  # noqa: S101  a breach ends it early
    return found


def run_real(folder: Path, seconds: float) -> tuple[list[Reading], Schedule]:
    """Let `runner apply` run for so long, and return how it stood on the way, and how well it kept its schedule."""
    interval_s = INTERVAL_S / SPEED
    ticks = int(seconds / interval_s)
    log, database = folder / "events.jsonl", folder / data.DATABASE
    command = [RUNNER, "apply", str(config(folder, ticks))]
    found = []
    with log.open("wb") as events:
        process = subprocess.Popen(command, cwd=folder, env=environment(), stdout=subprocess.DEVNULL, stderr=events)
        try:
            while process.poll() is None:
                time.sleep(max(0.2, seconds / READINGS))
                if process.poll() is None and 0 < (done := _ticks(database)) < ticks:
                    found.append(read(process.pid, database, done, _cpu_s(process.pid)))
        finally:
            process.terminate()
    if process.returncode:
        raise RuntimeError(f"runner apply ended with {process.returncode}\n{log.read_text()[-2000:]}")
    with log.open(encoding="utf-8") as lines:
        return found, _schedule([json.loads(line) for line in lines], interval_s)


def _ticks(database: Path) -> int:
    """Return how many ticks are stored; 0 before the stage is entered."""
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        row = connection.execute("SELECT max(ticks) FROM runner_stages").fetchone()
        return int(row[0] or 0)
    return 0


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _schedule(events: Sequence[dict[str, str]], interval_s: float) -> Schedule:
    """Hold the times at which ticks were told against those at which they were due."""
    start, *_ = (_at(event) for event in events if event["event"] == "stage.entered")
    ticks = [_at(event) for event in events if event["event"] == "tick.recorded"]
    late = [(at - start).total_seconds() / interval_s - number for number, at in enumerate(ticks)]
    tenth = max(1, len(late) // 10)
    in_order = sorted(late)
    return Schedule(
        median(late), in_order[len(late) * 99 // 100], in_order[-1], median(late[-tenth:]) - median(late[:tenth])
    )


def _at(event: dict[str, str]) -> datetime:
    return datetime.fromisoformat(event["timestamp"])


def problems(readings: Sequence[Reading]) -> list[str]:
    """Say what did not stay what it was. The first fifth does not count: caches and windows fill."""
    fifth = len(readings) // 5
    early, late = readings[fifth : 3 * fifth], readings[3 * fifth :]
    found = []
    grown_mib = median(each.rss_mib for each in late) - median(each.rss_mib for each in early)
    if grown_mib > MEMORY_MIB:
        found.append(f"memory grew by {grown_mib:.1f} MiB")
    if max(each.open_files for each in late) > max(each.open_files for each in early):
        found.append(f"open files grew to {max(each.open_files for each in late)}")
    if (ratio := _per_tick(late, "cpu_s") / _per_tick(early, "cpu_s")) > COST:
        found.append(f"a tick became {ratio:.2f} times as dear")
    if (ratio := _per_tick(late, "size_bytes") / _per_tick(early, "size_bytes")) > GROWTH:
        found.append(f"the ledger grows {ratio:.2f} times as fast")
    if (log_bytes := max(each.log_bytes for each in readings)) > LOG_BYTES:
        found.append(f"the write-ahead log has grown to {log_bytes:,} bytes")
    return found


def _per_tick(readings: Sequence[Reading], name: str) -> float:
    first, last = readings[0], readings[-1]
    difference: float = getattr(last, name) - getattr(first, name)
    return difference / (last.ticks - first.ticks)


def late(schedule: Schedule) -> list[str]:
    """Say how the schedule was not kept."""
    found = []
    if schedule.p99 > LATE_INTERVALS:
        found.append(f"one tick in a hundred was {schedule.p99:.2f} intervals late")
    if schedule.drift > DRIFT_INTERVALS:
        found.append(f"the last tenth of the ticks was {schedule.drift:.2f} intervals later than the first")
    return found


def summary(readings: Sequence[Reading]) -> str:
    """Return the figures of a run as one line."""
    fifth = len(readings) // 5
    rest = readings[fifth:]
    rss = [each.rss_mib for each in rest]
    return (
        f"{readings[-1].ticks:,} ticks: {_per_tick(rest, 'cpu_s') * 1000:.2f} ms of processor time a tick,"
        f" {_per_tick(rest, 'size_bytes'):,.0f} bytes a tick ({readings[-1].size_bytes / 2**20:.1f} MiB in all),"
        f" memory {min(rss):.1f} to {max(rss):.1f} MiB,"
        f" open files {min(each.open_files for each in rest)} to {max(each.open_files for each in rest)},"
        f" write-ahead log {max(each.log_bytes for each in readings) / 2**20:.1f} MiB at the most"
    )


def main(arguments: Sequence[str]) -> int:
    """Soak, print the figures, and end with 1 where something did not stay what it was."""
    from runner.config.duration import seconds  # noqa: PLC0415

    parser = argparse.ArgumentParser(prog="python -m bench soak", description="Run long, and see what grows.")
    parser.add_argument("--ticks", type=int, default=TICKS, help="how many, by a clock that runs ahead")
    parser.add_argument("--real", type=seconds, metavar="DURATION", help="run so long by the real clock instead: 20m")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="runner-soak-") as folder:
        if asked.real:
            readings, schedule = run_real(Path(folder), asked.real)
            print(summary(readings))
            print(
                f"schedule, in intervals of {1000 * INTERVAL_S / SPEED:.0f} ms: half of the ticks within"
                f" {schedule.p50:.3f}, 99 % within {schedule.p99:.3f}, worst {schedule.worst:.3f},"
                f" drift {schedule.drift:+.3f}"
            )
            wrong = problems(readings) + late(schedule)
        else:
            from tests.ground import FakeClock  # noqa: PLC0415  the clock of the tests

            begun = time.perf_counter()
            path = config(Path(folder), asked.ticks, FEW)
            readings = run_ahead(path, FakeClock(), asked.ticks, _progress)
            print(f"{summary(readings)}, {time.perf_counter() - begun:.0f} s")
            wrong = problems(readings)
    print("\n".join(wrong) or "nothing grew that should not")
    return int(bool(wrong))


def _progress(reading: Reading) -> None:
    print(f"{reading.ticks:>9,}  {reading.rss_mib:.1f} MiB  {reading.size_bytes:,} bytes", file=sys.stderr)
