import os
import signal
import subprocess
import sys
from contextlib import closing

import pytest

from runner.errors import Locked, StepFailed
from runner.store.lock import LEASE_S, Holder, Lock, holder, host, process_started
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


def locked_by_another_machine(backend, clock):
    Lock(backend, clock).take()
    backend.execute("UPDATE runner_lock SET host = 'elsewhere/pid:[1]', pid = 42")


def test_whoever_comes_second_is_told_who_holds_the_lock(second, clock, lock):
    clock.let_pass(10)

    with pytest.raises(Locked) as caught:
        Lock(second, clock).take()

    assert 6 == caught.value.exit_code
    name = host().partition("/")[0]
    assert str(caught.value) == (
        "error: another runner works on this database:"
        f" process {os.getpid()} on {name} since 2026-08-02T12:00:00.000Z\n"
        "  fix: wait until it is done; its lease ends at 2026-08-02T12:00:30.000Z if it dies"
    )


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
    where = host() if here else "elsewhere/pid:[1]"
    pid = os.getpid() if pid == OURS else pid
    started = process_started(pid) if started == ITS_START else started

    assert is_gone is Holder("token", where, pid, started, "", "").is_gone


def test_a_holder_that_lost_its_lease_can_commit_nothing(words, second, clock, lock):
    clock.let_pass(LEASE_S)
    Lock(second, clock).take()

    with pytest.raises(Locked, match="this runner lost its lease to another: process"), lock.transaction():
        words.execute("INSERT INTO words VALUES ('lost')")

    assert 0 == words.scalar("SELECT count(*) FROM words")


def test_a_holder_whose_lock_was_given_away_and_back_can_commit_nothing(words, second, clock, lock):
    clock.let_pass(LEASE_S)
    other = Lock(second, clock)
    other.take()
    other.release()

    with pytest.raises(Locked, match="somebody who is done already"), lock.transaction():
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
    clock.let_pass(LEASE_S)
    with lock.transaction():
        pass
    clock.let_pass(LEASE_S - 1)

    with pytest.raises(Locked):
        Lock(second, clock).take()


def test_giving_back_leaves_the_lock_of_another_alone(backend, second, clock, lock):
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
    for _ in range(30):
        clock.let_pass(5)
        lock.keep()

        with pytest.raises(Locked):
            Lock(second, clock).take()


def test_a_long_wait_notices_that_the_lease_was_lost(second, clock, lock):
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
