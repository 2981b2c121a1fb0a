"""
One runner at a time: a lease in the database itself, so that it holds on every engine.

The lease is checked, and renewed, inside every transaction that its holder commits: one that lost its lease can commit
nothing. Of a holder on this very machine the kernel knows whether it still runs, and clocks do not matter. Of any other
the lease tells: it is over when its end has come, or when somebody who waits has not seen it renewed for as long as a
lease is, by a clock that never jumps.
"""

from __future__ import annotations

import os
import secrets
import socket
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from runner.clock import timestamp
from runner.errors import Busy, Interrupted, Locked, Mismatch, Problem, RunnerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from runner.clock import Clock
    from runner.store.backend import Backend

LEASE_S = 30.0
FRESH_S = 1.0
"""A lease that was renewed so lately is only checked: a thousand small migrations do not write it a thousand times."""
POLL_S = 0.25
"""Who waits looks again so often, give or take a half: many who wait do not come all at once."""
UNKNOWN = "unknown"

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

    @property
    def is_alive(self) -> bool:
        """Whether it is a process of this machine that still runs."""
        return self.host == host() and process_started(self.pid) == self.process_started != UNKNOWN

    def stands(self, now: datetime) -> bool:
        """Say whether the lock has to be respected at *now*; a process that runs here needs no clock to be believed."""
        return self.is_alive or (self.expires_at > timestamp(now) and not self.is_gone)

    def plain(self) -> dict[str, Any]:
        """Return who it is as flat data, for JSON and events."""
        return {**self._asdict(), "is_gone": self.is_gone, "is_alive": self.is_alive}

    def __str__(self) -> str:
        return f"process {self.pid} on {self.machine} since {self.held_since} (holder {self.holder})"

    @property
    def machine(self) -> str:
        """The name of its machine, without what tells it from others of that name."""
        return self.host.partition("/")[0]


@cache
def host() -> str:
    """
    Name the machine, when it was booted, and the process namespace on it.

    A number of a process means nothing in another container, on another machine of the same name, or after a boot.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = Path("/proc/self/ns/pid").readlink().name
    except OSError:
        boot = namespace = ""
    return f"{socket.gethostname()}/{boot}/{namespace}"


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
    return UNKNOWN


def holder(backend: Backend) -> Holder | None:
    """Return who holds the lock; None where nobody does."""
    if "runner_lock" not in backend.tables():
        return None
    rows = backend.rows("SELECT holder, host, pid, process_started, held_since, expires_at FROM runner_lock")
    return Holder(**rows[0]) if rows else None


def remove(backend: Backend, token: str) -> Holder | None:
    """
    Break the lock of the holder *token*, and return who that was; None where nobody holds it.

    Mismatch where somebody else does. The holder can commit nothing from then on, whether it runs or not.
    """
    if holder(backend) is None:
        return None
    with backend.transaction():
        found = holder(backend)
        if found and found.holder != token:
            raise Mismatch(
                Problem(
                    f"the lock is not held by {token}: {found} holds it",
                    fix=f"to break that one's: runner unlock --holder {found.holder}",
                )
            )
        backend.execute("DELETE FROM runner_lock WHERE holder = :holder", {"holder": token})
    return found


def _nobody(_: str, **__: Any) -> None:
    """Tell nobody."""


class Lock:
    """
    The lease of one runner on one database. Taken by `take`, given back by `release`; `held` does both.

    *timeout_s* is how long `take` waits for another runner; *tell* hears of the wait, and of a lock that is taken over.
    """

    def __init__(
        self, backend: Backend, clock: Clock, timeout_s: float = 0.0, tell: Callable[..., None] = _nobody
    ) -> None:
        self._backend = backend
        self._clock = clock
        self._timeout_s = timeout_s
        self._tell = tell
        self._token = secrets.token_hex(8)
        self._begun = clock.now()
        self._begun_monotonic = self._renewed = clock.monotonic()
        self._watched: tuple[str, str] | None = None
        self._watched_since = 0.0

    def take(self) -> None:
        """Take the lock, at once or within the timeout; Locked says who has it, Interrupted that a signal came in."""
        clock = self._clock
        begun = clock.monotonic()
        told = False
        while current := self._try():
            left_s = begun + self._timeout_s - clock.monotonic()
            if left_s <= 0:
                raise _refusal(current, clock.now(), self._timeout_s)
            if not told:
                self._tell("lock.awaited", **current.plain(), timeout_s=self._timeout_s)
                told = True
            clock.sleep_until(clock.monotonic() + min(left_s, POLL_S * (0.5 + secrets.randbelow(1000) / 1000)))
            if clock.stop.signal:
                what = f"stopped by a signal while waiting for another runner: {current}"
                raise Interrupted(clock.stop.signal, Problem(what, fix="nothing was begun; run the same command again"))

    def _try(self) -> Holder | None:
        """Take the lock if that can be done now; return who has it otherwise."""
        if current := self._in_the_way():  # without a lock of the database: the holder may be in a long transaction
            return current
        try:
            with self._backend.transaction():
                self._backend.execute(DDL)
                if current := self._in_the_way():
                    return current
                before = holder(self._backend)
                self._write()
        except Busy:
            if current := holder(self._backend):  # its lease is over, and it is in the middle of something
                return current
            raise
        if before:
            self._tell("lock.inherited", **before.plain())
        return None

    def _in_the_way(self) -> Holder | None:
        """Return who holds the lock and has to be respected."""
        current = holder(self._backend)
        if current is None or not current.stands(self._clock.now()):
            return None
        return current if current.is_alive or self._is_renewed(current) else None

    def _is_renewed(self, current: Holder) -> bool:
        """Say no once the lease was left as it is for as long as a lease is, while this runner looked on."""
        seen = (current.holder, current.expires_at)
        if seen != self._watched:
            self._watched, self._watched_since = seen, self._clock.monotonic()
        return self._clock.monotonic() - self._watched_since < LEASE_S

    def _write(self) -> None:
        self._begun = self._clock.now()
        self._begun_monotonic = self._renewed = self._clock.monotonic()
        self._backend.execute("DELETE FROM runner_lock")
        self._backend.execute(
            "INSERT INTO runner_lock (id, holder, host, pid, process_started, held_since, expires_at)"
            " VALUES (1, :holder, :host, :pid, :process_started, :held_since, :expires_at)",
            {
                "holder": self._token,
                "host": host(),
                "pid": os.getpid(),
                "process_started": process_started(os.getpid()),
                "held_since": timestamp(self._begun),
                "expires_at": self._end_of_lease(),
            },
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
            if self._is_due:  # it took long: who comes next finds a lease that is not over
                self._renew()

    def keep(self) -> None:
        """Renew the lease if a third of it is over; for long waits."""
        if self._is_due:
            with self.transaction():
                pass

    @property
    def _is_due(self) -> bool:
        return self._clock.monotonic() - self._renewed > LEASE_S / 3

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
            now = f"to another: {current}" if current else "to another that is done already, or by `runner unlock`"
            raise Locked(
                Problem(
                    f"this runner lost its lease {now}",
                    fix="nothing was written since; run the same command again when no other one is at work",
                )
            )

    def _extend(self) -> bool:
        renewed = self._backend.execute(
            "UPDATE runner_lock SET expires_at = :expires_at WHERE holder = :holder",
            {"expires_at": self._end_of_lease(), "holder": self._token},
        )
        self._renewed = self._clock.monotonic()
        return renewed > 0

    def _end_of_lease(self) -> str:
        """Return when a lease that is renewed now ends; a clock that is set back meanwhile makes it no shorter."""
        passed = timedelta(seconds=self._clock.monotonic() - self._begun_monotonic)
        return timestamp(max(self._clock.now(), self._begun + passed) + timedelta(seconds=LEASE_S))


def _refusal(current: Holder, now: datetime, waited_s: float) -> Locked:
    waited = f", still after {waited_s:g} s" if waited_s else ""
    if current.is_alive:
        then = f"it runs on this machine, and `kill {current.pid}` stops it at its next safe point"
    elif current.expires_at > timestamp(now + timedelta(seconds=LEASE_S)):
        then = (
            f"its lease ends at {current.expires_at}, so its clock and the one here differ: who waits for longer than"
            f" {LEASE_S:g} s takes over what is not renewed"
        )
    else:
        then = f"its lease ends at {current.expires_at} if it dies"
    return Locked(
        Problem(
            f"another runner works on this database{waited}: {current}",
            fix=f"wait until it is done: --lock-timeout 10m; {then}; to look at the lock, or break it: runner unlock",
        )
    )
