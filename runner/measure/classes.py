"""Python classes, looked at in a process of their own: a bad import can neither hurt this one nor hold it up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

PROGRAM = Path(__file__).with_name("importing.py")
GRACE_S = 5.0
"""So much longer the system waits before it ends a process whose runner is gone."""


class NoClass(Exception):
    """The process that imports has nothing to tell. The text says why."""


def look_at(paths: tuple[str, ...], timeout_s: float) -> dict[str, dict[str, Any]]:
    """
    Import each of *paths* (`package.module:Class`), all in one process, and return what there is to tell of them.

    That is `fields`, sorted (None where it has none that can be told), or `error`, what the import raised. NoClass
    where the process does not end in time, or ends by itself.
    """
    try:
        with TemporaryFile() as file:  # without a name: nothing is left of it, not even after a kill
            code = _run(file.fileno(), [str(timeout_s + GRACE_S), *paths], timeout_s)
            file.seek(0)
            text = file.read()
    except OSError as error:
        raise NoClass(f"no process for the import can be started: {error.strerror}") from error
    try:
        found: dict[str, dict[str, Any]] = json.loads(text)
    except ValueError:
        how = f"was ended by signal {-code}" if code < 0 else f"ended the process with exit code {code}"
        raise NoClass(f"the import {how}") from None
    return found


def _run(file: int, arguments: list[str], timeout_s: float) -> int:
    """Run the program and return its exit code; whatever it started ends with it."""
    process = subprocess.Popen(  # noqa: S603  our own program, and no shell
        [sys.executable, "-P", str(PROGRAM), str(file), *arguments],
        pass_fds=[file],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        raise NoClass(f"the import did not end within {timeout_s:g} s") from None
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
