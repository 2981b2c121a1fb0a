"""squawk, another lint, for PostgreSQL: asked where it is installed, and never a reason to fail."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from runner.decide.lint.rules import SQUAWK
from runner.decide.risk import Finding, Risk
from runner.errors import Where

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.config.model import Migration

TIMEOUT_S = 60


class Squawked(NamedTuple):
    """What squawk found; None, and why, where it could not be asked."""

    findings: list[Finding] | None
    why: str = ""


def squawk(migrations: Sequence[Migration]) -> Squawked:
    """Ask squawk about the up sections of *migrations*, as they will be run: with their timeouts, in a transaction."""
    program = _program()
    if program is None:
        return Squawked(None, "is not installed")
    found: list[Finding] = []
    try:
        for in_transaction in (True, False):
            asked = [each for each in migrations if each.in_transaction is in_transaction]
            found += _ask(program, asked, "--assume-in-transaction" if in_transaction else "--no-assume-in-transaction")
    except subprocess.TimeoutExpired:
        return Squawked(None, f"did not answer in {TIMEOUT_S} s")
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        return Squawked(None, f"could not be understood: {type(error).__name__}")
    return Squawked(found)


def _program() -> str | None:
    """Return where squawk is: on the path, or beside the Python that runs us."""
    beside = Path(sys.executable).with_name("squawk")
    return shutil.which("squawk") or (str(beside) if beside.is_file() else None)


def _ask(program: str, migrations: list[Migration], mode: str) -> list[Finding]:
    """Run squawk once for all of *migrations*; it exits with 1 where it finds something."""
    if not migrations:
        return []
    with tempfile.TemporaryDirectory(prefix="runner-lint-") as folder:
        files = {str(Path(folder, f"{number}.sql")): each for number, each in enumerate(migrations)}
        for file, migration in files.items():
            Path(file).write_text(_laid_out(migration), encoding="utf-8")
        command = [program, "--reporter", "json", mode, *files]
        done = subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, check=False)  # noqa: S603  no shell
    return [_finding(each, files[each["file"]]) for each in json.loads(done.stdout)]


def _laid_out(migration: Migration) -> str:
    """Return the up section with every statement on its line of the file; line 1, a marker at the most, is free."""
    timeout = migration.lock_timeout_s
    text = "" if timeout is None else f"SET lock_timeout = '{round(timeout * 1000)}ms';"
    line = 1
    for statement in migration.up:
        text += "\n" * (statement.line - line) + f" {statement.sql.rstrip('; ')};"
        line = max(line, statement.line) + statement.sql.count("\n")
    return text + "\n"


def _finding(told: dict[str, Any], migration: Migration) -> Finding:
    where = Where(str(migration.path), int(told["line"]) + 1)
    fix = str(told.get("help") or "see https://squawkhq.com/docs/rules")
    return Finding(f"{SQUAWK}{told['rule_name']}", Risk.CAUTION, str(told["message"]), where, fix)
