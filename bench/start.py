"""
How long until a command that has nothing to do is done, against a Python that only imports what it needs.

What is needed, and why:
click       parses the command line, and brings most of the standard library that everybody uses (re, inspect, typing)
pathlib, signal name files, and stop at a safe point when asked to
json        reads the schemas and writes the digest's canonical form
hashlib     makes the digests of the config and of the migrations
yaml        reads the config; it loads all of itself, the C parser too
jsonschema_rs  says that the config has the form it should have
sqlite3     tells where a migration's statement ends (`complete_statement`), and whether there is anything to do
Not needed where nothing is wrong and nothing is to be done: jsonschema (explains faults), sqlite-utils (changes
schemas), structlog (writes events), asyncio and aiohttp (probe).
"""

from __future__ import annotations

import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

from bench import data
from bench.pairs import PYTHON, Job, Line, environment, in_turn, runner, seconds

if TYPE_CHECKING:
    from pathlib import Path

NEEDED = {
    "--help": "click",
    "validate": "click, pathlib, signal, json, hashlib, yaml, jsonschema_rs, sqlite3",
    "status": "click, pathlib, signal, json, hashlib, yaml, jsonschema_rs, sqlite3",
    "apply": "click, pathlib, signal, json, hashlib, yaml, jsonschema_rs, sqlite3",
}
LIMITS = {"validate": 1.3, "apply": 1.3}
LATE = ("aiohttp", "jsonschema", "structlog", "sqlite_utils", "asyncio")
"""What a command that neither changes nor probes anything should never load."""

ROUNDS = 31


def measure(folder: Path) -> list[Line]:
    """Compare each command on a database where all is done already."""
    config = str(data.bundled(folder))
    runner(folder, "apply", config).run()
    return [_line(folder, name, config) for name in NEEDED]


def _line(folder: Path, name: str, config: str) -> Line:
    arguments = (name,) if name == "--help" else (name, config)
    floor = Job((PYTHON, "-c", f"import {NEEDED[name]}"), folder)
    ours, least = in_turn(ROUNDS, runner(folder, *arguments), floor)
    what = "apply, nothing to do" if name == "apply" else name
    line = seconds(f"start: {what}", ours, least, LIMITS.get(name))
    loaded = _loaded(folder, arguments)
    return replace(line, notes=(f"loads {', '.join(loaded)}, which it does not need",)) if loaded else line


def _loaded(folder: Path, arguments: tuple[str, ...]) -> list[str]:
    """Return those of LATE that the command has loaded when it ends."""
    script = (
        "import sys, atexit\n"
        f"atexit.register(lambda: print(*(name for name in {LATE} if name in sys.modules), file=sys.stderr))\n"
        "from runner.cli import main\n"
        "main()\n"
    )
    command = [PYTHON, "-c", script, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=True)
    return done.stderr.split()
