"""
What rehearsals proved, kept as files beside the database: one for each config, environment and set of migrations.

The database itself is only read by a rehearsal, so this cannot stand in its ledger.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from runner.errors import Problem, StepFailed, Where
from runner.store.connect import state_folder
from runner.store.digest import canonical, of_text

if TYPE_CHECKING:
    from pathlib import Path

    from runner.config.model import Rollout

FORM = 1


class Shown(NamedTuple):
    """A kept rehearsal: when it was, whether everything was proved, and what was not."""

    at: str
    passed: bool
    unproved: tuple[str, ...]


def subject(rollout: Rollout) -> str:
    """Return the digest of what is rehearsed: the config as declared, the environment's name, and the migrations."""
    migrations = {migration.version: migration.checksum for migration in rollout.migrations}
    return of_text(canonical([rollout.name, rollout.environment.name, rollout.digest, migrations]))


def keep(rollout: Rollout, report: dict[str, Any]) -> Path:
    """Keep the *report* of a rehearsal of *rollout*, whole or not at all; return its file."""
    path = _path(rollout)
    said = {"version": FORM, "subject": subject(rollout), **report}
    part = path.with_suffix(f".part{os.getpid()}")
    try:
        for folder in (path.parent.parent, path.parent):
            folder.mkdir(mode=0o700, exist_ok=True)
        number = os.open(part, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
        with os.fdopen(number, "w", encoding="utf-8") as file:
            json.dump({**said, "checksum": of_text(canonical(said))}, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        what = f"the rehearsal's result could not be kept: {error.strerror}"
        raise StepFailed(Problem(what, Where(str(path)), "make room or give the right to write there")) from error
    return path


def found(rollout: Rollout) -> Shown | None:
    """Return the last rehearsal of just this *rollout*; None where there is none, or its file was changed."""
    try:
        said = json.loads(_path(rollout).read_text("utf-8"))
        checksum = said.pop("checksum")
        if checksum != of_text(canonical(said)) or said["subject"] != subject(rollout) or said["version"] != FORM:
            return None
        unproved = tuple(f"{proof['kind']} {proof['name']}" for proof in said["proofs"] if not proof["proved"])
        return Shown(said["rehearsed_at"], said["passed"], unproved)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _path(rollout: Rollout) -> Path:
    place = rollout.environment
    name = subject(rollout).partition(":")[2][:16]
    return state_folder(place.database, place.engine) / "rehearsals" / f"{rollout.name}-{name}.json"
