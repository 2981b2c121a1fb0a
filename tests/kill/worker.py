"""
A program that kills: makes the state of a scene, or takes attempts from stdin and says of each what came of it.

    python worker.py make SCENE FOLDER
    python worker.py try SCENE FOLDER CASE < attempts

Attempts and what is found are JSON, one a line.
"""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import commands
import endings
from endings import Ending
from scenes import SCENES, Scene, make
from traced import Point

if TYPE_CHECKING:
    from collections.abc import Sequence

PATIENCE_S = 120
"""No attempt takes longer; one that does has lost its way."""
PATIENCE = 10
TIMES = 3
"""The command is run so often undisturbed: a kill may come when all is done, and the one after that, too."""


class Found(NamedTuple):
    """
    What came of an attempt: how many of its kills took place, and what is not as it should be.

    `lost` and `twice` count rows, of all tables; `writes` is how many the last command made.
    """

    kills: int
    problems: list[str]
    lost: int
    twice: int
    writes: int


class Course:
    """A scene in *folder*: the state it begins on, how the command ends undisturbed, and what comes of kills."""

    def __init__(self, scene: Scene, folder: Path, case: str = "case") -> None:
        self._scene = scene
        self._folder = folder
        self._case = folder / case
        self._database = self._case / "rollout.db"

    def make(self) -> dict[str, Any]:
        """Make the state, run the command a few times, one after the other, and keep how each ended."""
        base = self._folder / "base"
        base.mkdir(parents=True)
        known: dict[str, Any] = {"command": make(base, self._scene), "codes": [], "endings": []}
        known |= {"facts": endings.facts(base / "rollout.db"), "finished": _finished(base / "rollout.db")}
        self._begin()
        said, writes = [], []
        for _ in range(TIMES):
            done = commands.run(self._case, known["command"], self._scene.environ)
            known["codes"].append(done.exit_code)
            known["endings"].append(endings.ending(self._case))
            said.append(done.stdout + done.stderr)
            writes.append(done.writes)
        (self._folder / "known.json").write_text(json.dumps(known))
        return {"codes": known["codes"], "broken": endings.broken(self._database), "said": said, "writes": writes[0]}

    def _begin(self) -> None:
        shutil.rmtree(self._case, ignore_errors=True)
        shutil.copytree(self._folder / "base", self._case)

    def attempt(self, kills: Sequence[Point]) -> Found:
        """
        Run the command and kill it, as often as is said, look at what stands, and let it go on; compare.

        Where answers came later than their tick, which a busy machine brings about, a kill may lose them, and a breach
        come a tick later for that: then it is done again.
        """
        known = json.loads((self._folder / "known.json").read_text())
        for _ in range(PATIENCE):
            self._begin()
            attempt = _Attempt(self._case, self._scene, known)
            found = attempt.kill(kills)
            if not (found.problems and attempt.is_late):
                return found
        return found._replace(problems=[f"answers came later than their tick {PATIENCE} times: too busy a machine"])


class _Attempt:
    """One command in *case*, killed and begun again. *known* is how it ends undisturbed."""

    def __init__(self, case: Path, scene: Scene, known: dict[str, Any]) -> None:
        self._case = case
        self._scene = scene
        self._known = known
        self._problems: list[str] = []
        self._told: Counter[str] = Counter()
        self._done = 0
        self.is_late = False

    def kill(self, kills: Sequence[Point]) -> Found:
        happened = 0
        for kill in (*kills, None):
            done = commands.run(self._case, tuple(self._known["command"]), self._scene.environ, kill)
            self._hear(done)
            if done.exit_code is not None:
                break
            happened += 1
            self._look()
        code = self._known["codes"][self._done]
        if happened and code != done.exit_code:
            self._problems.append(f"exit code {done.exit_code} instead of {code}: {done.stdout[-1000:]}")
        expected = Ending(*self._known["endings"][self._done])
        found = endings.ending(self._case)
        self._hold(self._case / "rollout.db")
        different = endings.differences(expected, found)
        self._problems += map(str, different)
        if not expected.snapshots <= found.snapshots <= expected.snapshots + happened:
            self._problems.append(f"{found.snapshots} snapshots instead of {expected.snapshots}")
        lost, twice = sum(len(each.lost) for each in different), sum(len(each.more) for each in different)
        return Found(happened, self._problems, lost, twice, len(done.writes))

    def _hear(self, done: commands.Done) -> None:
        """Note what was told; every line has to be whole."""
        if "Traceback" in done.stdout + done.stderr:
            self._problems.append(done.stderr[-2000:])
            return
        self._told.update(json.loads(line)["event"] for line in done.stderr.splitlines())

    def _look(self) -> None:
        """Look at what a kill has left, before anybody goes on."""
        beside = self._case / "tmp-beside"
        beside.mkdir()
        for path in self._case.glob("rollout.db*"):
            if path.is_file():
                shutil.copy(path, beside)
        self._hold(beside / "rollout.db")
        self.is_late = self.is_late or endings.is_late(beside / "rollout.db")
        self._done = _finished(beside / "rollout.db") - self._known["finished"]
        shutil.rmtree(beside)
        status = commands.run(self._case, ("status", "--json"))
        holder = json.loads(status.stdout)["holder"] if status.exit_code == 0 else None
        if status.exit_code != 0 or (holder and not holder["is_gone"]):
            self._problems.append(f"status after the kill: {status.exit_code}, {holder}, {status.stderr[-1000:]}")

    def _hold(self, database: Path) -> None:
        """Hold what stands against the rules, and against what was told."""
        self._problems += [*endings.broken(database), *endings.damaged(self._case)]
        for event, count in endings.facts(database).items():
            if self._told[event] > count - self._known["facts"][event]:
                self._problems.append(f"{event} was told {self._told[event]} times, and is not stored so often")


def _finished(database: Path) -> int:
    """Return how many runs have come to their end."""
    if not database.exists():
        return 0
    with closing(sqlite3.connect(database)) as conn:
        if conn.execute("SELECT 1 FROM sqlite_master WHERE name = 'runner_runs'").fetchone() is None:
            return 0
        return conn.execute("SELECT count(*) FROM runner_runs WHERE finished_at IS NOT NULL").fetchone()[0]


def _give_up(*_: object) -> NoReturn:
    raise TimeoutError(f"no end after {PATIENCE_S} s")


def main(what: str, scene: str, *folder: str) -> None:
    commands.import_all()
    signal.signal(signal.SIGALRM, _give_up)
    course = Course(next(each for each in SCENES if each.name == scene), Path(folder[0]), *folder[1:])
    if what == "make":
        print(json.dumps(course.make()))
        return
    for line in sys.stdin:
        signal.alarm(PATIENCE_S)
        try:
            found = course.attempt([Point(*kill) for kill in json.loads(line)])
        except Exception as fault:  # noqa: BLE001  what went wrong here is one problem of many, and told as such
            found = Found(1, [f"{type(fault).__name__}: {fault}"], 0, 0, 0)
        signal.alarm(0)
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
