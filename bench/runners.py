"""
Many runners at once on one database: one works, the others are refused; one that waits takes over after a kill.

Every round begins without a database. The time to be refused is compared with as many `validate` at once, which read
the same config and open nothing; the time to take over with how often one that waits looks. `BENCH_ROUNDS` sets how
many rounds there are.
"""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import time
from contextlib import closing
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from bench import data
from bench.pairs import RUNNER, Line, environment
from runner.store.lock import POLL_S

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RUNNERS = 32
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "20"))
SLOW, FAST = 10, 100_000
"""At the one speed a run takes longer than starting all others does; at the other it is over soon."""
GIVE_UP_S = 120
LIMIT_OF_REFUSALS, LIMIT_OF_TAKEOVERS = 2, 4
ONCE = {
    "runner_runs": "rollout",
    "runner_migrations": "version",
    "runner_seeds": "table_name, row_key",
    "runner_steps": "run_id, step",
    "runner_stages": "rollout, stage",
    "runner_samples": "stage_id, tick, metric, subject",
    "provider_states": "provider_name, sport",
    "portfolio_rationales": "cache_key",
}
"""What there is once of each in these tables."""


class Round(NamedTuple):
    """What came of one round; `doubled` counts rows."""

    workers: int
    refused: int
    named: int
    refused_s: float
    validated_s: float
    taken_over_s: float
    doubled: int


def measure(folder: Path) -> list[Line]:
    """Go through every round."""
    rounds = [_round(folder / str(number)) for number in range(ROUNDS)]
    workers = {each.workers for each in rounds}
    others, named, doubled = (sum(each[field] for each in rounds) for field in (1, 2, 6))
    takeovers_s = [each.taken_over_s for each in rounds]
    return [
        Line(
            f"runners: {RUNNERS} at once, {ROUNDS} rounds, how many work",
            max(workers),
            1,
            max(workers) if workers == {1} and not doubled else RUNNERS,
            "",
            1,
            (
                f"workers in each round: {', '.join(map(str, sorted(workers)))}; rows that are there twice: {doubled}",
                f"refused with exit code 6: {others} of {ROUNDS * (RUNNERS - 1)}; named the one at work: {named}",
            ),
        ),
        Line(
            f"runners: {RUNNERS} at once, until the last is refused",
            median(each.refused_s for each in rounds),
            median(each.validated_s for each in rounds),
            median(each.refused_s / each.validated_s for each in rounds),
            "s",
            LIMIT_OF_REFUSALS,
        ),
        Line(
            "runners: taken over after a kill, by one that waits",
            median(takeovers_s) * 1000,
            POLL_S * 1000,
            median(takeovers_s) / POLL_S,
            "ms",
            LIMIT_OF_TAKEOVERS,
            (f"the slowest of {ROUNDS}: {max(takeovers_s) * 1000:.0f} ms",),
        ),
    ]


def _round(folder: Path) -> Round:
    config = data.bundled(folder, speed=SLOW)
    begun = time.perf_counter()
    for each in [_start(folder, f"validate{number}", "validate") for number in range(RUNNERS)]:
        each.wait()
    validated_s = time.perf_counter() - begun

    begun = time.perf_counter()
    runners = [_start(folder, str(number), "apply") for number in range(RUNNERS)]
    while sum(each.poll() is None for each in runners) > 1 and time.perf_counter() < begun + GIVE_UP_S:
        time.sleep(0.01)
    refused_s = time.perf_counter() - begun
    at_work = [number for number, each in enumerate(runners) if each.returncode is None]
    if len(at_work) != 1:
        raise RuntimeError(f"{len(at_work)} are at work; exit codes: {[each.returncode for each in runners]}")
    worker = runners[at_work[0]]
    words = f"another runner works on this database: process {worker.pid} on {socket.gethostname()} since 2"
    others = [number for number, each in enumerate(runners) if each.returncode == 6]
    named = sum(words in (folder / f"{number}.out").read_text("utf-8") for number in others)
    began = sum(any(_told(folder, str(number), "run.started")) for number in range(RUNNERS))

    waiting = _start(folder, "waiting", "apply", "--lock-timeout", "2m")
    _await(folder, "waiting", "lock.awaited")
    worker.kill()
    killed = time.perf_counter()
    _await(folder, "waiting", "run.resumed")
    taken_over_s = time.perf_counter() - killed
    for each in (worker, waiting):
        each.kill()
        each.wait()

    config.write_text(config.read_text("utf-8").replace(f"speed: {SLOW}}}", f"speed: {FAST}}}"), "utf-8")
    if code := _start(folder, "last", "apply", "--accept-changes").wait():
        raise RuntimeError(f"the run did not end well: {code}\n{(folder / 'last.out').read_text('utf-8')}")
    return Round(began, len(others), named, refused_s, validated_s, taken_over_s, _doubled(folder / data.DATABASE))


def _start(folder: Path, name: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Start our command; what it says goes to files: a pipe that nobody empties would stop it."""
    with (folder / f"{name}.out").open("wb") as out, (folder / f"{name}.err").open("wb") as err:
        return subprocess.Popen((RUNNER, *arguments), cwd=folder, env=environment(), stdout=out, stderr=err)


def _told(folder: Path, name: str, event: str) -> Iterator[bool]:
    lines = (folder / f"{name}.err").read_text("utf-8").splitlines(keepends=True)
    return (json.loads(line)["event"] == event for line in lines if line.endswith("\n"))


def _await(folder: Path, name: str, event: str) -> None:
    give_up = time.perf_counter() + GIVE_UP_S
    while not any(_told(folder, name, event)):
        if time.perf_counter() > give_up:
            raise RuntimeError(f"no {event}: {(folder / f'{name}.out').read_text('utf-8')}")
        time.sleep(0.002)


def _doubled(database: Path) -> int:
    with closing(sqlite3.connect(database)) as connection:
        return sum(
            connection.execute(f"SELECT count(*) - count(DISTINCT {_one(key)}) FROM {table}").fetchone()[0]
            for table, key in ONCE.items()
        )


def _one(key: str) -> str:
    return " || '/' || ".join(key.split(", "))
