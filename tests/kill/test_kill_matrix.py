"""
The kill matrix: every command that writes is ended by SIGKILL at every write, one run each, and begun again.

Points are found by counting what a run that nobody kills writes: before and after each write, and within those that
take several pieces, as commits do. `make test` tries a part that changes from day to day, `make test-all` every one.
"""

from __future__ import annotations

import json
import os
import re
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
from scenes import SCENES, Scene
from traced import Point, Write
from worker import Found

PROGRAM = Path(__file__).with_name("worker.py")
PARTS = 60
CHOSEN = os.environ.get("RUNNER_KILL_PART") or f"{datetime.now(UTC).date().toordinal() % PARTS + 1}/{PARTS}"
"""`3/8`, the third of eight parts, or `all`."""
BUSY = 1.5
"""So many victims for each processor: they wait most of the time."""
SHOWN = 5
CLOSER = 3
"""So often a kill that was not reached is tried nearer."""
SIDES = ("before", "after")
DATABASE = re.compile(r"\.db(-wal|-shm|-journal)?$")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="watches system calls as Linux lets them be watched")


class Course(NamedTuple):
    scene: Scene
    folder: Path
    writes: list[Write]

    @property
    def points(self):
        return [point for write in self.writes if write.worked for point in around(write)]

    @property
    def twice(self):
        """
        Every point, and where to kill what goes on from there: a second one for each, that walks.

        What is done again from the start was killed anywhere already: there every fourth is enough.
        """
        places = {write[:2]: place for place, write in enumerate(self.writes)}
        for number, point in enumerate(self.points[:: 4 if self.scene.begins_anew else 1]):
            left = len(self.writes) - places[point[:2]]
            yield [point, Point("", 1 + 7 * number % left, SIDES[number % 2])]

    @property
    def from_the_middle(self):
        """One point, and every place where to kill what goes on from there."""
        point = self.points[len(self.points) // 2]
        [found] = try_all(self, [[point]])
        return [[point, Point("", number + 1, side)] for number in range(found.writes) for side in SIDES]


def around(write):
    """Before and after it, and in the middle of one that has several pieces."""
    label, ordinal, pieces, _ = write
    within = [Point(label, ordinal, "within", pieces // 2)] if pieces > 1 else []
    return [Point(label, ordinal, "before"), *within, Point(label, ordinal, "after")]


def kind(label):
    if label.endswith(("stderr", "stdout", ".log")):
        return "in what is told"
    return "in the database" if DATABASE.search(label) else "in files"


def part(things):
    if CHOSEN == "all":
        return things
    number, parts = map(int, CHOSEN.split("/"))
    return things[number - 1 :: parts]


def workers():
    sharing = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    return max(1, round((os.cpu_count() or 1) * BUSY / sharing))


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
        with start("try", course.scene.name, course.folder, f"case{number}") as process:
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
        list(pool.map(work, range(min(workers(), len(attempts)))))
    return found


def try_until_reached(course, attempts, wanted):
    """
    Try every one of *attempts*; where what goes on made fewer writes than the last kill counts, count less far.

    How many are left after a kill is known only to whoever goes on: what was batched may come in fewer pieces.
    """
    attempts, found = [*attempts], try_all(course, attempts)
    for _ in range(CLOSER):
        short = [at for at, each in enumerate(found) if each.kills < wanted and each.writes and not each.problems]
        for at in short:
            *first, last = attempts[at]
            attempts[at] = [*first, last._replace(ordinal=1 + last.ordinal % found[at].writes)]
        for at, each in zip(short, try_all(course, [attempts[at] for at in short]), strict=True):
            found[at] = each
    return attempts, found


def told(course, what, among, found, wanted, began):
    """Put into words what came of it; *among* are all the points of which these may be a part."""
    survived = sum(each.kills >= wanted and not each.problems for each in found)
    kinds = ", ".join(f"{count} {name}" for name, count in Counter(kind(each[0].label) for each in among).items())
    share = "" if CHOSEN == "all" else f"part {CHOSEN} of {len(among)}: "
    return (
        f"{course.scene.name}: {survived} of {len(found)} {what} survived ({share}{kinds});"
        f" {sum(each.lost for each in found)} rows lost, {sum(each.twice for each in found)} twice;"
        f" {time.monotonic() - began:.0f} s"
    )


def explained(attempts, found, wanted):
    """Return what is not as it should be, for people to read."""
    bad = [
        f"killed {' and then '.join(' '.join(map(str, point)) for point in attempt)}:\n  "
        + "\n  ".join(each.problems or ["not reached"])
        for attempt, each in zip(attempts, found, strict=True)
        if each.problems or each.kills < wanted
    ]
    return "\n".join([*bad[:SHOWN], f"and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""]).strip()


def try_them(course, what, among, wanted, tell):
    """Try the part of *among* that is due, tell what came of it, and return what is wrong."""
    began = time.monotonic()
    attempts, found = try_until_reached(course, part(among), wanted)
    tell("kill matrix", told(course, what, among, found, wanted, began))
    return explained(attempts, found, wanted)


@pytest.fixture(scope="module", params=[scene for scene in SCENES if CHOSEN == "all" or not scene.is_long])
def course(request, tmp_path_factory):
    """A scene: its state, made, and what its command writes when nobody kills it."""
    folder = tmp_path_factory.mktemp("kill")
    with start("make", request.param.name, folder) as process:
        made = json.loads(process.communicate(timeout=300)[0])
    assert [] == made["broken"]
    assert {0, 8}.issuperset(made["codes"]), made["said"]
    return Course(request.param, folder, [Write(*write) for write in made["writes"]])


def test_a_kill_anywhere_is_survived(course, record_property):
    wrong = try_them(course, "kill points", [[point] for point in course.points], 1, record_property)

    assert not wrong, wrong


def test_a_second_kill_while_it_goes_on_is_survived(course, record_property):
    if course.scene.is_long:
        return  # the same steps, more often

    wrong = try_them(course, "second kills", [*course.twice], 2, record_property)

    assert not wrong, wrong


def test_a_kill_anywhere_on_the_way_on_is_survived(course, record_property):
    if course.scene.begins_anew or course.scene.is_long:
        return  # what is done again has been killed anywhere already

    wrong = try_them(course, "kills on the way on", course.from_the_middle, 2, record_property)

    assert not wrong, wrong
