import os
import signal
import subprocess
import sys
from contextlib import closing
from datetime import datetime, timedelta, timezone

import pytest
from ground import NOON, FakeClock

from runner.clock import timestamp
from runner.errors import ExitCode, Interrupted, Locked, Mismatch, StepFailed
from runner.store import lock as locks
from runner.store import sqlite
from runner.store.lock import LEASE_S, POLL_S, Holder, Lock, holder, host, process_started
from runner.store.sqlite import SqliteBackend

TAKE_AND_STAY = """
import sys, time
from pathlib import Path
from runner.clock import WallClock
from runner.errors import Locked
from runner.store.lock import Lock
from runner.store.sqlite import SqliteBackend
lock = Lock(SqliteBackend(Path(sys.argv[1])), WallClock())
try:
    lock.take()
except Locked:
    sys.exit(print("refused", flush=True))
print("taken", flush=True)
time.sleep(600)
"""


@pytest.fixture
def second(backend):
    """Another runner's connection to the same database."""
    with closing(SqliteBackend(backend.path)) as opened:
        yield opened


@pytest.fixture
def words(backend):
    backend.execute("CREATE TABLE words (word TEXT)")
    return backend


@pytest.fixture
def dead_holder(backend):
    """A real process that took the lock and was killed in the middle of its work."""
    command = [sys.executable, "-c", TAKE_AND_STAY, str(backend.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "taken\n"
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        yield process.pid


def seen_from_another_machine(backend):
    """What one sees who cannot look at the holder's process."""
    backend.execute("UPDATE runner_lock SET host = 'elsewhere/boot/pid:[1]', pid = 42")


def locked_by_another_machine(backend, clock):
    Lock(backend, clock).take()
    seen_from_another_machine(backend)


class Jumping(FakeClock):
    """A clock that somebody sets while it runs; and what happens at which second, while others sleep."""

    def __init__(self):
        super().__init__()
        self.jumped_s = 0.0
        self.happens = {}

    def now(self):
        return super().now() + timedelta(seconds=self.jumped_s)

    def sleep_until(self, moment):
        super().sleep_until(moment)
        for second in [second for second in self.happens if second <= self.passed_s]:
            self.happens.pop(second)()


@pytest.fixture
def clock():
    return Jumping()


@pytest.fixture
def told():
    return []


@pytest.fixture
def waiting(second, clock, told):
    """Another runner that waits for a minute."""
    return Lock(second, clock, 60, lambda name, **fields: told.append((name, fields)))


def test_whoever_comes_second_is_told_who_holds_the_lock(second, clock, lock):
    clock.let_pass(10)

    with pytest.raises(Locked) as caught:
        Lock(second, clock).take()

    assert 6 == caught.value.exit_code
    found = holder(second)
    assert str(caught.value) == (
        "error: another runner works on this database:"
        f" process {os.getpid()} on {found.machine} since 2026-08-02T12:00:00.000Z (holder {found.holder})\n"
        f"  fix: wait until it is done: --lock-timeout 10m; it runs on this machine, and `kill {os.getpid()}` stops it"
        " at its next safe point; to look at the lock, or break it: runner unlock"
    )


@pytest.mark.parametrize(
    ("jumped_s", "words"),
    [
        (0, "its lease ends at 2026-08-02T12:00:30.000Z if it dies; to look at the lock, or break it: runner unlock"),
        (-3600, "so its clock and the one here differ: who waits for longer than 30 s takes over what is not renewed"),
    ],
)
def test_of_a_holder_elsewhere_the_lease_is_told(backend, second, clock, jumped_s, words):
    locked_by_another_machine(backend, clock)
    clock.jumped_s = jumped_s

    with pytest.raises(Locked, match="process 42 on elsewhere since") as caught:
        Lock(second, clock).take()

    assert words in caught.value.problems[0].fix


def test_the_lock_tells_its_holder(backend, lock):
    found = holder(backend)

    assert (os.getpid(), host(), process_started(os.getpid())) == (found.pid, found.host, found.process_started)
    assert not found.is_gone


def test_nobody_holds_a_lock_that_was_never_taken(backend):
    assert holder(backend) is None


def test_a_lock_that_was_given_back_can_be_taken(backend, second, clock, lock):
    lock.release()
    assert holder(backend) is None

    Lock(second, clock).take()


@pytest.mark.parametrize(("passed_s", "is_taken"), [(0, False), (LEASE_S - 1, False), (LEASE_S, True), (9999, True)])
def test_a_lease_is_taken_over_once_it_is_over_and_not_before(backend, second, clock, passed_s, is_taken):
    locked_by_another_machine(backend, clock)
    clock.let_pass(passed_s)

    if is_taken:
        Lock(second, clock).take()
    else:
        with pytest.raises(Locked, match="process 42 on elsewhere since"):
            Lock(second, clock).take()

    assert is_taken is (holder(backend).pid == os.getpid())


def test_a_process_of_this_machine_that_is_dead_is_not_waited_for(backend, clock, dead_holder):
    assert dead_holder == holder(backend).pid
    assert holder(backend).is_gone

    Lock(backend, clock).take()

    assert os.getpid() == holder(backend).pid


OURS, ITS_START, NOBODY = -1, "its own", 2**22 + 1


@pytest.mark.parametrize(
    ("here", "pid", "started", "is_gone"),
    [
        (True, OURS, ITS_START, False),
        (True, OURS, "1", True),  # the number was given to another process meanwhile
        (True, NOBODY, "1", True),
        (True, 2**40, "1", True),  # no process could have that number
        (False, OURS, "1", False),  # of another machine nothing can be said
        (False, NOBODY, "1", False),
    ],
)
def test_only_a_process_of_this_machine_can_be_known_to_be_gone(here, pid, started, is_gone):
    where = host() if here else f"{host().partition('/')[0]}/another boot/pid:[4026531836]"
    pid = os.getpid() if pid == OURS else pid
    started = process_started(pid) if started == ITS_START else started

    assert is_gone is Holder("token", where, pid, started, "", "").is_gone


def test_a_holder_that_lost_its_lease_can_commit_nothing(words, second, clock, lock):
    seen_from_another_machine(second)
    clock.let_pass(LEASE_S)
    Lock(second, clock).take()

    with pytest.raises(Locked, match="this runner lost its lease to another: process"), lock.transaction():
        words.execute("INSERT INTO words VALUES ('lost')")

    assert 0 == words.scalar("SELECT count(*) FROM words")


def test_a_holder_whose_lock_was_given_away_and_back_can_commit_nothing(words, second, clock, lock):
    seen_from_another_machine(second)
    clock.let_pass(LEASE_S)
    other = Lock(second, clock)
    other.take()
    other.release()

    with pytest.raises(Locked, match="to another that is done already, or by `runner unlock`"), lock.transaction():
        words.execute("INSERT INTO words VALUES ('lost')")

    assert 0 == words.scalar("SELECT count(*) FROM words")


def test_a_lease_that_is_over_and_was_not_taken_over_is_still_ours(words, clock, lock):
    clock.let_pass(LEASE_S * 10)

    with lock.transaction():
        words.execute("INSERT INTO words VALUES ('kept')")

    assert 1 == words.scalar("SELECT count(*) FROM words")
    assert holder(words).expires_at == "2026-08-02T12:05:30.000Z"


def test_a_step_that_fails_is_taken_back_and_the_lock_is_kept(words, lock):
    def write_and_fail():
        words.execute("INSERT INTO words VALUES ('lost')")
        raise StepFailed

    with pytest.raises(StepFailed), lock.transaction():
        write_and_fail()

    assert 0 == words.scalar("SELECT count(*) FROM words")
    assert holder(words).pid == os.getpid()


def test_every_transaction_of_the_holder_renews_the_lease(second, clock, lock):
    seen_from_another_machine(second)
    clock.let_pass(LEASE_S)
    with lock.transaction():
        pass
    clock.let_pass(LEASE_S - 1)

    with pytest.raises(Locked):
        Lock(second, clock).take()


def test_giving_back_leaves_the_lock_of_another_alone(backend, second, clock, lock):
    seen_from_another_machine(backend)
    clock.let_pass(LEASE_S)
    Lock(second, clock).take()
    others = backend.rows("SELECT * FROM runner_lock")

    lock.release()

    assert others == backend.rows("SELECT * FROM runner_lock")


@pytest.mark.parametrize(
    ("passed_s", "ends_at"),
    [
        (LEASE_S / 3 - 1, "2026-08-02T12:00:30.000Z"),  # not worth a commit
        (LEASE_S / 3 + 1, "2026-08-02T12:00:41.000Z"),
        (LEASE_S - 1, "2026-08-02T12:00:59.000Z"),
    ],
)
def test_a_long_wait_renews_the_lease_once_a_third_of_it_is_over(backend, clock, lock, passed_s, ends_at):
    clock.let_pass(passed_s)

    lock.keep()

    assert ends_at == holder(backend).expires_at


def test_a_runner_that_keeps_its_lease_is_never_taken_over(second, clock, lock):
    seen_from_another_machine(second)
    for _ in range(30):
        clock.let_pass(5)
        lock.keep()

        with pytest.raises(Locked):
            Lock(second, clock).take()


def test_a_long_wait_notices_that_the_lease_was_lost(second, clock, lock):
    seen_from_another_machine(second)
    clock.let_pass(LEASE_S)
    Lock(second, clock).take()

    with pytest.raises(Locked, match="lost its lease"):
        lock.keep()


def test_of_eight_runners_at_once_one_takes_the_lock(backend):
    command = [sys.executable, "-c", TAKE_AND_STAY, str(backend.path)]
    runners = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    try:
        ends = [runner.stdout.readline() for runner in runners]
    finally:
        for runner in runners:
            runner.kill()
            runner.communicate(timeout=10)

    assert [*["refused\n"] * 7, "taken\n"] == sorted(ends)


# waiting


def test_whoever_waits_takes_the_lock_when_it_is_given_back(backend, clock, lock, waiting, told):
    clock.happens[40] = lock.release

    waiting.take()

    assert 40 <= clock.passed_s < 40 + 2 * POLL_S
    assert "2026-08-02T12:00:40" == holder(backend).held_since[:19]
    assert [("lock.awaited", holder(backend).pid, 60)] == [
        (name, fields["pid"], fields["timeout_s"]) for name, fields in told
    ]


def test_a_lock_that_is_free_is_not_waited_for(waiting, told, clock):
    waiting.take()

    assert 0 == clock.passed_s
    assert [] == told


def test_whoever_waited_long_enough_is_told_who_holds_the_lock(clock, lock, waiting):
    with pytest.raises(Locked, match="another runner works on this database, still after 60 s: process"):
        waiting.take()

    assert 60 == clock.passed_s


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_wait(clock, lock, waiting, number, code):
    clock.happens[7] = lambda: clock.stop.ask(number)

    with pytest.raises(Interrupted, match="stopped by a signal while waiting for another runner: process") as caught:
        waiting.take()

    assert ExitCode(code) is caught.value.exit_code
    assert clock.passed_s < 7 + 2 * POLL_S


def test_two_who_wait_get_the_lock_one_after_the_other(backend, second, clock, lock, waiting):
    clock.happens[5] = lock.release
    waiting.take()
    with closing(SqliteBackend(backend.path)) as other:
        third = Lock(other, clock, 60)
        clock.happens[20] = waiting.release

        third.take()

    assert 20 <= clock.passed_s < 20 + 2 * POLL_S


def test_a_process_that_dies_while_others_wait_is_taken_over_at_once(clock, dead_holder, waiting, told):
    waiting.take()

    assert 0 == clock.passed_s
    assert [("lock.inherited", dead_holder, True)] == [
        (name, fields["pid"], fields["is_gone"]) for name, fields in told
    ]


# clocks


def test_a_process_that_runs_here_is_believed_whatever_the_clock_says(second, clock, lock):
    """In a step that takes longer than a lease, or after the clock was set, it works on; the kernel knows."""
    clock.let_pass(LEASE_S * 100)

    with pytest.raises(Locked, match="it runs on this machine"):
        Lock(second, clock).take()


@pytest.mark.parametrize("jump_s", [-86_400, -3600, 0])
@pytest.mark.parametrize("ahead_s", [0, 3600, 10 * 365 * 86_400])
def test_a_lease_that_is_not_renewed_is_believed_no_longer_than_a_lease(backend, clock, waiting, told, jump_s, ahead_s):
    """The clock of its holder was ahead, or the one here was set back since."""
    locked_by_another_machine(backend, clock)
    ends = timestamp(NOON + timedelta(seconds=LEASE_S + ahead_s))
    backend.execute("UPDATE runner_lock SET expires_at = :ends", {"ends": ends})
    clock.jumped_s = jump_s

    waiting.take()

    assert LEASE_S <= clock.passed_s < LEASE_S + 2 * POLL_S
    assert ["lock.awaited", "lock.inherited"] == [name for name, _ in told]
    assert os.getpid() == holder(backend).pid


def test_a_holder_with_another_clock_that_renews_its_lease_is_never_taken_over(backend, clock, waiting):
    locked_by_another_machine(backend, clock)

    def renew():
        ends = timestamp(NOON + timedelta(days=3, seconds=clock.passed_s))
        backend.execute("UPDATE runner_lock SET expires_at = :ends", {"ends": ends})
        clock.happens[clock.passed_s + 25] = renew

    clock.happens[0] = renew

    with pytest.raises(Locked, match="still after 60 s"):
        waiting.take()


@pytest.mark.parametrize(
    ("jump_s", "ends_at"),
    [
        (0, "2026-08-02T12:00:50.000Z"),
        (-3600, "2026-08-02T12:00:50.000Z"),  # for others, it would be over at once
        (3600, "2026-08-02T13:00:50.000Z"),  # for others on this machine, it is over otherwise
    ],
)
def test_a_clock_that_is_set_makes_a_lease_no_shorter(backend, clock, lock, jump_s, ends_at):
    clock.let_pass(20)
    clock.jumped_s = jump_s

    lock.keep()

    assert ends_at == holder(backend).expires_at


def test_a_clock_that_is_set_back_does_not_keep_a_lease_from_being_renewed(backend, clock, lock):
    clock.jumped_s = -3600
    ends = []
    for _ in range(6):
        clock.let_pass(12)
        lock.keep()
        ends.append(holder(backend).expires_at)

    assert sorted(set(ends)) == ends


def test_an_hour_that_comes_twice_is_two_hours():
    summer, winter = timezone(timedelta(hours=2)), timezone(timedelta(hours=1))
    half_past_two = [datetime(2026, 10, 25, 2, 30, tzinfo=zone) for zone in (summer, winter)]

    assert ["2026-10-25T00:30:00.000Z", "2026-10-25T01:30:00.000Z"] == [timestamp(moment) for moment in half_past_two]


# a step that takes long


def test_a_transaction_that_took_long_leaves_a_lease_that_is_not_over(backend, clock, lock):
    with lock.transaction():
        clock.let_pass(LEASE_S * 3)

    assert "2026-08-02T12:02:00.000Z" == holder(backend).expires_at


def test_a_lease_begins_when_the_lock_is_taken_however_long_that_took(backend, clock):
    late = Lock(backend, clock)
    clock.let_pass(500)

    late.take()

    assert "2026-08-02T12:08:50.000Z" == holder(backend).expires_at


def test_a_holder_in_a_long_transaction_still_holds_the_lock_though_its_lease_is_over(
    backend, second, clock, lock, monkeypatch
):
    monkeypatch.setattr(sqlite, "PATIENCE_S", 0.05)
    seen_from_another_machine(backend)

    with lock.transaction():
        clock.let_pass(LEASE_S * 3)
        with pytest.raises(Locked, match="process 42 on elsewhere"):
            Lock(second, clock).take()

    assert 42 == holder(backend).pid


# breaking it


def test_a_lock_is_broken_by_the_id_of_its_holder(words, second, lock):
    found = holder(second)

    assert found == locks.remove(second, found.holder)

    assert holder(second) is None
    with pytest.raises(Locked, match="this runner lost its lease"), lock.transaction():
        words.execute("INSERT INTO words VALUES ('lost')")
    assert 0 == words.scalar("SELECT count(*) FROM words")


def test_a_lock_is_not_broken_by_the_id_of_another(second, lock):
    with pytest.raises(Mismatch) as caught:
        locks.remove(second, "beef")

    found = holder(second)
    assert 7 == caught.value.exit_code
    assert f"the lock is not held by beef: {found} holds it" == caught.value.problems[0].what
    assert f"to break that one's: runner unlock --holder {found.holder}" == caught.value.problems[0].fix


def test_a_lock_that_nobody_holds_is_not_broken(backend, second, lock):
    lock.release()

    assert locks.remove(second, "beef") is None
