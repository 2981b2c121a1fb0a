"""A folder for what must not outlive a command, not even one that was killed: the next one clears it away."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from runner.errors import Problem, StepFailed, Where

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = "runner-rehearsal-"
OWNER = ".owner"
"""Who uses the folder holds this file. The system lets it go when the process ends, however it ends."""


@contextmanager
def scratch() -> Iterator[Path]:
    """Give an empty folder (0700) in the system's temporary one, and remove it with all that is in it."""
    _clear_away()
    try:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    except OSError as error:
        fix = "name a folder with room for a copy of the database: TMPDIR=/srv/tmp runner rehearse …"
        where = Where(tempfile.gettempdir())
        raise StepFailed(Problem(f"no temporary folder can be made: {error.strerror}", where, fix)) from error
    number = os.open(folder / OWNER, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(number, fcntl.LOCK_EX)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(number)


def _clear_away() -> None:
    """Remove folders whose owner is gone."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):
            number = os.open(folder / OWNER, os.O_RDWR)
            try:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(number)
