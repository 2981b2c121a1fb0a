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
"""Who uses such a folder holds it. The system lets it go when the process ends, however it ends."""
WHOLE_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


@contextmanager
def scratch() -> Iterator[Path]:
    """Give an empty folder (0700) in the system's temporary one, and remove it with all that is in it."""
    _clear_away()
    try:
        folder, number = _make()
    except OSError as error:
        fix = "name a folder with room for a copy of the database: TMPDIR=/srv/tmp runner rehearse …"
        where = Where(tempfile.gettempdir())
        raise StepFailed(Problem(f"no temporary folder can be made: {error.strerror}", where, fix)) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(number)


def _make() -> tuple[Path, int]:
    """Make a folder and hold it. One that somebody cleared away before it was held is made again."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        with suppress(FileNotFoundError):
            number = os.open(folder, WHOLE_FOLDER)
            fcntl.flock(number, fcntl.LOCK_EX)
            if folder.exists():
                return folder, number
            os.close(number)


def _clear_away() -> None:
    """Remove folders that nobody holds."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):
            number = os.open(folder, WHOLE_FOLDER)
            try:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(number)
