"""The lint of migrations as plain data: those of a config, or files that somebody names. No database is opened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from runner.config.load import shown_path
from runner.config.sqlfile import InvalidMigration, migration_files, read_migration
from runner.config.wording import plain as plain_text
from runner.decide.lint.migrations import ENGINES, examined
from runner.decide.review import Judged
from runner.decide.risk import Risk, reaches
from runner.engine.squawk import Squawked, squawk
from runner.errors import InvalidConfig, Problem, Where

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from runner.config.model import Migration
    from runner.decide.review import Judge
    from runner.decide.risk import Finding

    Found = dict[str, Any]

VERSION = 1
"""Of the JSON form. Grows when a key changes its meaning or goes away; new keys do not count."""
FOLDERS = {**{engine: engine for engine in ENGINES}, "postgresql": "postgres"}
"""The engine that a folder of migrations is for, by its name."""


class Linted(NamedTuple):
    """
    What was found in *files* for *engine*; `squawk` says why squawk was not asked, and is empty where it was.

    `let_through` has a finding for each that a comment lets through: a review tells of them.
    """

    engine: str
    files: list[str]
    findings: list[Finding]
    let_through: list[Finding]
    squawk: str = ""


def linted(migrations: Sequence[Migration], engine: str, only: Iterable[str] | None = None) -> Linted:
    """
    Lint *migrations*, and tell of those alone whose paths are in *only*; the others say what stood before.

    For PostgreSQL squawk joins in, where it is installed.
    """
    wanted = {str(each.path) for each in migrations} if only is None else set(only)
    asked = [each for each in migrations if str(each.path) in wanted]
    also = squawk(asked) if engine == "postgres" else Squawked(None)
    found = examined(migrations, engine, also.findings)
    left, let_through = ([each for each in part if each.where.file in wanted] for part in found)
    return Linted(engine, [str(each.path) for each in asked], left, let_through, also.why)


def of_files(paths: Iterable[Path], engine: str | None) -> list[Linted]:
    """
    Lint the files at *paths*, for *engine* or the one that their folder is called after, sqlite where it is neither.

    A folder stands for the migrations in it. What else lies beside a file says what stood before. Raises InvalidConfig
    where one of them is not valid.
    """
    folders: dict[Path, list[Path]] = {}
    for path in dict.fromkeys(file for each in paths for file in _files_at(each)):
        folders.setdefault(path.parent, []).append(path)
    invalid: list[InvalidMigration] = []
    found = []
    for folder, asked in folders.items():
        meant = engine or FOLDERS.get(folder.resolve().name, "sqlite")
        migrations = _with_siblings(folder, asked, meant, invalid)
        found.append(linted(migrations, meant, {shown_path(path) for path in asked}))
    if invalid:
        raise InvalidConfig(*(problem for each in invalid for problem in each.problems))
    return found


def _files_at(path: Path) -> list[Path]:
    """Return the migrations in the folder *path*, which has to have one; *path* itself where it is no folder."""
    if not path.is_dir():
        return [path]
    shown = plain_text(shown_path(path))
    try:
        found = migration_files(path.iterdir())
    except OSError as error:
        what = f"the folder {shown} cannot be read: {error.strerror}"
        raise InvalidConfig(Problem(what, Where(shown_path(path)), "make it readable")) from None
    if not found:
        fix = "name the folder of one engine's migrations, such as sql/sqlite"
        raise InvalidConfig(Problem(f"the folder {shown} holds no .sql file", Where(shown_path(path)), fix))
    return found


def _with_siblings(folder: Path, asked: list[Path], engine: str, invalid: list[InvalidMigration]) -> list[Migration]:
    """Read the migrations of *folder*; one that is not valid counts only where it was *asked* for."""
    try:
        beside = [path for path in folder.iterdir() if path not in asked]
    except OSError:  # the folder may be searched and not listed; and whoever opens a file that is not there says so
        beside = []
    found = []
    for path in migration_files([*asked, *beside]):
        try:
            found.append(read_migration(path, shown_path(path), engine))
        except InvalidMigration as error:
            if path in asked:
                invalid.append(error)
    return found


def facts(parts: Iterable[Linted], judge: Judge | None = None) -> Found:
    """
    Return what was found as plain data, ready for JSON; `engine` is None where there are several.

    *judge* knows what the config makes of risks; files alone have none.
    """
    told = list(parts)
    findings = [plain(each, judge) for part in told for each in part.findings]
    engines = {part.engine for part in told}
    counts = {str(risk): sum(each["risk"] == risk for each in findings) for risk in reversed(Risk)}
    return {
        "version": VERSION,
        "engine": engines.pop() if len(engines) == 1 else None,
        "files": [file for part in told for file in part.files],
        "squawk": next((part.squawk for part in told if part.squawk), None),
        "counts": counts,
        "findings": findings,
        "let_through": [plain(each, judge) for part in told for each in part.let_through],
    }


def plain(finding: Finding, judge: Judge | None = None) -> Found:
    """Return *finding* as flat data, with the risk that *judge* gives it."""
    judged = judge(finding.code, finding.risk) if judge else Judged(finding.risk, finding.risk)
    return {
        "code": finding.code,
        **judged.plain(),
        "what": finding.what,
        **finding.where._asdict(),
        "fix": finding.fix,
    }


def exceeds(found: Found, limit: str) -> bool:
    """Say whether the lint found something as dangerous as *limit*, or more; what is let through does not count."""
    return reaches((each["risk"] for each in found["findings"]), limit)
