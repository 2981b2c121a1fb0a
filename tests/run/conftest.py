"""The command line as people use it: real processes, real SQLite files, real requests on loopback."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SPEED = 1200
"""Ten minutes take half a second: the schedule of the bundled rollout, as many measurements, little waiting."""


@dataclass(frozen=True)
class Result:
    """What a process left behind."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def events(self):
        return [json.loads(line) for line in self.stderr.splitlines()]

    def told(self, name):
        return [event for event in self.events if event["event"] == name]


@dataclass(frozen=True)
class Project:
    """A folder with the bundled config, made fast, and everything one does in it."""

    folder: Path

    @property
    def database(self):
        return self.folder / "rollout.db"

    def edit(self, file, old, new):
        path = self.folder / file
        text = path.read_text()
        assert re.search(old, text), f"{old} is not in {file}"
        path.write_text(re.sub(old, new, text, count=1))

    def environ(self, **more):
        return {**os.environ, **more}

    def command(self, *arguments):
        return [sys.executable, "-W", "error", "-m", "runner", *arguments]

    def run(self, *arguments, **environ):
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environ(**environ),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert "Traceback" not in done.stderr + done.stdout, done.stderr
        return Result(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments, **environ):
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environ(**environ),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def rows(self, sql, *values):
        with sqlite3.connect(self.database) as connection:
            return connection.execute(sql, values).fetchall()

    def write(self, sql, *values):
        connection = sqlite3.connect(self.database)
        with connection:
            connection.execute(sql, values)
        connection.close()

    def tables(self):
        """Every row of the application's tables, as they stand."""
        names = [
            name
            for (name,) in self.rows("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
            if not name.startswith(("runner_", "sqlite_"))
        ]
        return {name: self.rows(f"SELECT * FROM {name} ORDER BY 1") for name in names}

    def on(self):
        """How many providers are on, and how many rows there are."""
        return self.rows("SELECT sum(status = 'ACTIVE' AND is_enabled), count(*) FROM provider_states")[0]


def make_project(folder, speed=SPEED):
    for name in ("config", "sql"):
        shutil.copytree(ROOT / name, folder / name)
    project = Project(folder)
    project.edit("config/rollout.yaml", "speed: 120", f"speed: {speed}")
    return project


@pytest.fixture
def project(tmp_path):
    return make_project(tmp_path)


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The bundled rollout after its first run, with what that run said. Nobody writes to it."""
    project = make_project(tmp_path_factory.mktemp("finished"))
    return project, project.run("apply")


@pytest.fixture(scope="session")
def seeded(tmp_path_factory):
    """The bundled rollout before its first stage. Nobody writes to it."""
    project = make_project(tmp_path_factory.mktemp("seeded"))
    assert 0 == project.run("apply", "--target-stage", "disabled").exit_code
    return project
