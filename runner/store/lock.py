"""
One runner at a time: a lease in the database itself, so that it holds on every engine.

The lease is checked, and renewed, inside every transaction that its holder commits: one that lost its lease can commit
nothing. A holder on this very machine whose process is gone is not waited for; any other is, until its lease
ends.
"""

from __future__ import annotations

import os
import secrets
import socket
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from runner.clock import timestamp
from runner.errors import Locked, Problem, RunnerError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from runner.clock import Clock
    from runner.store.backend import Backend

LEASE_S = 30.0
FRESH_S = 1.0
"""A lease that was renewed so lately is only checked: a thousand small migrations do not write it a thousand times."""

DDL = """
CREATE TABLE IF NOT EXISTS runner_lock (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    holder TEXT NOT NULL,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    process_started TEXT NOT NULL,
    held_since TEXT NOT NULL,
    expires_at TEXT NOT NULL
)
"""


class Holder(NamedTuple):
    """Who holds the lock: a random token, the machine, the process and since when."""

    holder: str
    host: str
    pid: int
    process_started: str
    held_since: str
    expires_at: str

    @property
    def is_gone(self) -> bool:
        """Whether it is a process of this machine that runs no more. Of another machine nothing can be said."""
        return self.host == host() and process_started(self.pid) != self.process_started

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host.partition('/')[0]} since {self.held_since}"


def host() -> str:
    """Name the machine, and the process namespace on it: a number of a process means nothing in another container."""
    try:
        namespace = Path("/proc/self/ns/pid").readlink().name
    except OSError:
        namespace = ""
    return f"{socket.gethostname()}/{namespace}"


def process_started(pid: int) -> str:
    """Say when process *pid* of this machine began, in the kernel's own unit; empty where there is none."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if state in {"Z", "X"} else fields[18]  # a zombie is dead; its parent has not noticed
    except (OSError, IndexError):
        pass
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return ""
    except PermissionError:
        pass
    return "unknown"


def holder(backend: Backend) -> Holder | None:
    """Return who holds the lock; None where nobody does."""
    if "runner_lock" not in backend.tables():
        return None
    rows = backend.rows("SELECT holder, host, pid, process_started, held_since, expires_at FROM runner_lock")
    return Holder(**rows[0]) if rows else None


class Lock:
    """The lease of one runner on one database. Taken by `take`, given back by `release`; `held` does both."""

    def __init__(self, backend: Backend, clock: Clock) -> None:
        self._backend = backend
        self._clock = clock
        self._token = secrets.token_hex(8)
        self._renewed = clock.monotonic()

    def take(self) -> None:
        """Take the lock at once; Locked says who has it."""
        now = self._clock.now()
        self._refuse_another(now)  # without a lock of the database: its holder may be in a transaction that takes long
        with self._backend.transaction():
            self._backend.execute(DDL)
            self._refuse_another(now)
            self._backend.execute("DELETE FROM runner_lock")
            self._backend.execute(
                "INSERT INTO runner_lock (id, holder, host, pid, process_started, held_since, expires_at)"
                " VALUES (1, :holder, :host, :pid, :process_started, :held_since, :expires_at)",
                {
                    "holder": self._token,
                    "host": host(),
                    "pid": os.getpid(),
                    "process_started": process_started(os.getpid()),
                    "held_since": timestamp(now),
                    "expires_at": _end_of_lease(now),
                },
            )

    def _refuse_another(self, now: datetime) -> None:
        current = holder(self._backend)
        if current and current.expires_at > timestamp(now) and not current.is_gone:
            raise Locked(
                Problem(
                    f"another runner works on this database: {current}",
                    fix=f"wait until it is done; its lease ends at {current.expires_at} if it dies",
                )
            )

    @contextmanager
    def held(self) -> Iterator[None]:
        """Take the lock for the block and give it back, however the block ends."""
        self.take()
        try:
            yield
        finally:
            with suppress(RunnerError):  # what was done is told; a lock that stays is that of a process that is gone
                self.release()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Hold the write lock of the database, having made sure that the lease is ours; renews one a second old."""
        with self._backend.transaction():
            self._renew()
            yield

    def keep(self) -> None:
        """Renew the lease if a third of it is over; for long waits."""
        if self._clock.monotonic() - self._renewed > LEASE_S / 3:
            with self.transaction():
                pass

    def release(self) -> None:
        """Give the lock back; somebody else's stays."""
        with self._backend.transaction():
            self._backend.execute("DELETE FROM runner_lock WHERE holder = :holder", {"holder": self._token})

    def _renew(self) -> None:
        """Make sure that the lease is ours, and write its new end unless that was done a moment ago."""
        if self._clock.monotonic() - self._renewed < FRESH_S:
            ours = self._backend.scalar("SELECT holder FROM runner_lock") == self._token
        else:
            ours = self._extend()
        if not ours:
            current = holder(self._backend)
            raise Locked(
                Problem(
                    f"this runner lost its lease to another: {current or 'somebody who is done already'}",
                    fix="nothing was written since; run the same command again when the other one is done",
                )
            )

    def _extend(self) -> bool:
        renewed = self._backend.execute(
            "UPDATE runner_lock SET expires_at = :expires_at WHERE holder = :holder",
            {"expires_at": _end_of_lease(self._clock.now()), "holder": self._token},
        )
        self._renewed = self._clock.monotonic()
        return renewed > 0


def _end_of_lease(now: datetime) -> str:
    return timestamp(now + timedelta(seconds=LEASE_S))
