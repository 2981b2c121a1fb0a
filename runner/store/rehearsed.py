"""
What rehearsals proved, kept as files beside the database: one for each config, environment and set of migrations.

The database itself is only read by a rehearsal, so this cannot stand in its ledger.
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from runner.errors import Mismatch, Problem, StepFailed, Where
from runner.store.connect import state_folder
from runner.store.digest import canonical, from_file, of_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runner.config.model import Rollout

FORM = 1
PART = ".part"


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
    part = path.with_suffix(PART)
    try:
        for folder in (path.parent.parent, path.parent):
            folder.mkdir(mode=0o700, exist_ok=True)
        with _alone_in(path.parent):
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


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Hold *folder* for the block, as the only one; what a kill has left there half written is cleared away."""
    number = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(number, fcntl.LOCK_EX)
        for left in folder.glob(f"*{PART}"):
            left.unlink()
        yield
    finally:
        os.close(number)


def found(rollout: Rollout) -> Shown | None:
    """Return the last rehearsal of just this *rollout*; None where there is none, or its file was changed."""
    try:
        said = from_file(_path(rollout).read_bytes())
        checksum = said.pop("checksum")
        if checksum != of_text(canonical(said)) or said["subject"] != subject(rollout) or said["version"] != FORM:
            return None
        unproved = tuple(f"{proof['kind']} {proof['name']}" for proof in said["proofs"] if not proof["proved"])
        return Shown(said["rehearsed_at"], said["passed"], unproved)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def require(rollout: Rollout) -> None:
    """Raise Mismatch unless just this *rollout* was rehearsed, and everything was proved."""
    rehearsal = found(rollout)
    if rehearsal and rehearsal.passed:
        return
    name = rollout.environment.name
    what = f"{name} requires a rehearsal, and this config, with these migrations, was not rehearsed for it"
    if rehearsal:
        unproved = ", ".join(rehearsal.unproved)
        what = f"this config was rehearsed for {name} at {rehearsal.at}, and not everything was proved: {unproved}"
    command = f"runner rehearse {rollout.path} --env {name}"
    raise Mismatch(Problem(what, Where(str(rollout.path)), f"run `{command}`, and apply what it proves"))


def _path(rollout: Rollout) -> Path:
    place = rollout.environment
    name = subject(rollout).partition(":")[2][:16]
    return state_folder(place.database, place.engine) / "rehearsals" / f"{rollout.name}-{name}.json"
