"""
The kill matrix: every command that writes is ended by SIGKILL at every write, one run each, and begun again.

Points are found by counting what a run that nobody kills writes: before and after each write, and within those that
take several pieces, as commits do. `make test` tries a part that changes from day to day, `make test-all` every one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest
from scenes import SCENES
from traced import Point, Write
from worker import Found

PROGRAM = Path(__file__).with_name("worker.py")
PARTS = 8
CHOSEN = os.environ.get("RUNNER_KILL_PART") or f"{datetime.now(UTC).date().toordinal() % PARTS + 1}/{PARTS}"
"""`3/8`, the third of eight parts, or `all`."""
SHOWN = 5

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="watches system calls as Linux lets them be watched")


class Course(NamedTuple):
    scene: str
    folder: Path
    writes: list[Write]

    @property
    def points(self):
        return [point for write in self.writes if write.worked for point in around(write)]


def around(write):
    """Before and after it, and in the middle of one that has several pieces."""
    label, ordinal, pieces, _ = write
    within = [Point(label, ordinal, "within", pieces // 2)] if pieces > 1 else []
    return [Point(label, ordinal, "before"), *within, Point(label, ordinal, "after")]


def kind(label):
    if label.endswith(("-wal", "-journal")):
        return "in commits"
    return (
        "in what is told" if label.startswith("write") and label.endswith(("stderr", "stdout", ".log")) else "in files"
    )


def part(things):
    if CHOSEN == "all":
        return things
    number, parts = map(int, CHOSEN.split("/"))
    return things[number - 1 :: parts]


def workers():
    sharing = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    return max(1, round((os.cpu_count() or 1) * 1.5 / sharing))


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def try_all(course, attempts):
    """Try every one of *attempts*, several at a time; return what was found, in their order."""
    left = iter(enumerate(attempts))
    guard = threading.Lock()
    found = [None] * len(attempts)

    def work(number):
        with start("try", course.scene, course.folder, f"case{number}") as process:
            while True:
                with guard:
                    at, attempt = next(left, (None, None))
                if at is None:
                    break
                process.stdin.write(json.dumps(attempt) + "\n")
                process.stdin.flush()
                found[at] = Found(*json.loads(process.stdout.readline()))
            process.stdin.close()

    with ThreadPoolExecutor(workers()) as pool:
        list(pool.map(work, range(workers())))
    return found


def told(course, what, points, found, wanted, began):
    """Put into words what came of it; the kinds are those of all points."""
    survived = sum(each.kills >= wanted and not each.problems for each in found)
    missed = sum(each.kills < wanted for each in found)
    kinds = ", ".join(f"{count} {name}" for name, count in Counter(kind(point.label) for point in points).items())
    return (
        f"{course.scene}: {survived} of {len(found)} {what} survived"
        + (f", {missed} ended before" if missed else "")
        + (f" (part {CHOSEN} of {len(points)}: {kinds})" if CHOSEN != "all" else f" ({kinds})")
        + f"; {sum(each.lost for each in found)} rows lost, {sum(each.twice for each in found)} twice;"
        f" {time.monotonic() - began:.0f} s"
    )


def explained(attempts, found, wanted):
    bad = [
        f"killed {' and then '.join(map(str, attempt))}:\n  " + "\n  ".join(each.problems or ["not reached"])
        for attempt, each in zip(attempts, found, strict=True)
        if each.problems or each.kills < wanted
    ]
    return "\n".join([*bad[:SHOWN], f"and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""])


@pytest.fixture(scope="module", params=[scene.name for scene in SCENES if CHOSEN == "all" or not scene.is_long])
def course(request, tmp_path_factory):
    """A scene: its state, made, and what its command writes when nobody kills it."""
    folder = tmp_path_factory.mktemp("kill")
    with start("make", request.param, folder) as process:
        made = json.loads(process.communicate(timeout=300)[0])
    assert [] == made["broken"]
    assert {0, 8}.issuperset(made["codes"]), made["said"]
    return Course(request.param, folder, [Write(*write) for write in made["writes"]])


def test_a_kill_anywhere_is_survived(course, record_property):
    began = time.monotonic()
    attempts = part([[point] for point in course.points])

    found = try_all(course, attempts)

    record_property("kill matrix", told(course, "kill points", course.points, found, 1, began))
    bad = explained(attempts, found, 1)
    assert not bad, bad
