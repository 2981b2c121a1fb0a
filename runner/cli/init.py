"""`runner init`: the first files of a project, made for the database that is there."""

from __future__ import annotations

import contextlib
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from runner.cli.door import print_problems, say, surroundings
from runner.errors import ExitCode, InvalidConfig, Problem, RunnerError, StepFailed, Where

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.engine.starting import Start

NEW = "sqlite:///rollout.db"
AFTER = (
    ("runner validate", "checks every file"),
    ("runner plan", "every step that apply would take; nothing is written"),
    ("runner rehearse", "all of it on a copy, with every way back"),
    ("runner apply", "does it"),
)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=".")
@click.option("--database", metavar="URL_OR_PATH", help="The database that is there: its tables are read, and it only.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(folder: Path, database: str | None, *, as_json: bool) -> int:
    """Write a small, commented, valid config into FOLDER, for the database that is there.

    Providers, sports, cache entries and exit criteria come from its tables, which are only read. Without --database
    there is one example of each, for a new database. No file that is there is written over.
    """
    try:
        started = _start(folder, database)
        written = _write(folder, started)
    except RunnerError as failure:
        print_problems(failure, as_json=as_json)
        return failure.exit_code
    except OSError as failure:
        known = surroundings(failure)
        print_problems(known, as_json=as_json)
        return known.exit_code
    _tell(folder, written, started, as_json=as_json)
    return ExitCode.DONE


def _start(folder: Path, database: str | None) -> Start:
    """Look at the database, and at the migrations that are there."""
    from runner.config.starter import MIGRATIONS, word
    from runner.engine import starting

    there = {path.name for path in (folder / MIGRATIONS).glob("*.sql")}
    if database is None:
        return starting.example("rollout", NEW, has_migrations=bool(there))
    from runner.store.connect import exists, imagine, open_backend

    url, engine, path = _named(database)
    name = word(path.stem)
    opened = open_backend(url, engine, read_only=True) if exists(url, engine) else imagine(url, engine)
    with contextlib.closing(opened) as backend, backend.one_moment():
        return starting.start(backend, name, _from(folder, path), there)


def _named(database: str) -> tuple[str, str, Path]:
    """Return the URL, the engine and the file of *database*, which is a URL or a path; it has to be there."""
    from runner.config.database import NotADatabase, engine_of
    from runner.store.connect import location

    url = database if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", database) else _url(Path(database))
    try:
        engine = engine_of(url)
    except NotADatabase as error:
        raise click.BadParameter(f"it {error}; {error.fix}", param_hint="--database") from error
    try:
        path = Path(location(url, engine) or "")
    except ValueError as error:
        raise click.BadParameter(f"{error}; no file is called so", param_hint="--database") from error
    if not path.is_file():
        why = "there is no database file at"
        advice = "correct the path, or leave --database out to begin with a new one"
        raise click.BadParameter(f"{why} {path}; {advice}", param_hint="--database")
    return url, engine, path


def _url(path: Path) -> str:
    from urllib.parse import quote

    return f"sqlite:///{quote(os.fsencode(path))}"


def _from(folder: Path, path: Path) -> str:
    """Return the URL of *path* for a runner that is started in *folder*: relative where it stands below."""
    home = folder.resolve()
    return _url(path.relative_to(home) if path.is_relative_to(home) else path)


def _write(folder: Path, started: Start) -> list[str]:
    """Write every file, or none: what is there already is told, all of it at once."""
    from runner.config import starter
    from runner.config.wording import listed

    files = starter.files(started.found)
    there = [name for name in files if os.path.lexists(folder / name)]
    if there:
        names = listed((str(folder / name) for name in there), "and")
        fix = "init writes over nothing: move it away, or name another folder; nothing was written"
        raise StepFailed(Problem(f"there already: {names}", Where(str(folder / there[-1])), fix))
    _refuse_invalid(files)
    made: list[Path] = []
    try:
        for name, content in files.items():
            _make(folder / name, content, made)
    except BaseException:
        for path in reversed(made):
            path.rmdir() if path.is_dir() else path.unlink()
        raise
    return [*files]


def _make(path: Path, content: str, made: list[Path]) -> None:
    """Make the file at *path*, which is not there, and the folders above it; note each in *made*."""
    folders = [folder for folder in (path.parent, *path.parent.parents) if not folder.is_dir()]
    for folder in reversed(folders):
        folder.mkdir()
        made.append(folder)
    with path.open("x", encoding="utf-8") as stream:
        made.append(path)
        stream.write(content)


def _refuse_invalid(files: Mapping[str, str]) -> None:
    """Read in another folder what would be written: a name in the database that makes it invalid is told now."""
    import tempfile

    from runner.config.load import load
    from runner.config.starter import FOLDER, MIGRATIONS

    with tempfile.TemporaryDirectory(prefix="runner-init-") as name:
        for file, content in files.items():
            _make(Path(name) / file, content, [])
        (Path(name) / MIGRATIONS).mkdir(parents=True, exist_ok=True)
        try:
            load(Path(name) / FOLDER / "rollout.yaml", environ={})
        except InvalidConfig as wrong:
            what = "no valid config can be made for this database"
            fix = "begin without --database, and fill in the config by hand"
            raise StepFailed(*(Problem(f"{what}: {problem.what}", fix=fix) for problem in wrong.problems)) from wrong


def _tell(folder: Path, written: list[str], started: Start, *, as_json: bool) -> None:
    import shlex

    from runner.config.secret import masked

    found = started.found
    if as_json:
        files = [str(folder / name) for name in written]
        say(json.dumps({"version": 1, "written": files, "notes": started.notes, "next": [name for name, _ in AFTER]}))
        return
    rows = sum(len(provider.sports or found.sports) for provider in found.providers)
    entries = sum(len(kind.entries) for kind in found.types)
    held = f"{len(found.providers)} providers in {rows} rows, {entries} cache entries, {len(found.tables)} other tables"
    lines = [
        f"{found.name} on {masked(found.database)}: {held}; written:",
        *(f"  {folder / name}" for name in written),
        *(f"note: {note}" for note in started.notes),
        "",
        "Next:",
    ]
    if folder.resolve() != Path.cwd():
        lines.append(f"  cd {shlex.quote(str(folder))}")
    say("\n".join([*lines, *(f"  {name:<16}  # {why}" for name, why in AFTER)]))
