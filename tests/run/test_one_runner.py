"""Many runners at once, readers beside them, an application that writes all the time, and clocks that are set."""

import contextlib
import io
import json
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from conftest import make_project
from test_resume import figures, wait_for

from runner.cli import cli
from runner.cli.door import reading
from runner.clock import timestamp
from runner.config.load import load
from runner.store.sqlite import SqliteBackend

STAGES = ["dark_mode", "shadow_mode", "partial_active", "full_active"]
REFUSED = "error: another runner works on this database: process {} on {} since 20"


def slow(project):
    """Make a run last longer than it takes to start many."""
    project.edit("config/rollout.yaml", "speed: [0-9]+", "speed: 10")


def race(project, number):
    """Start so many runs at once; return the one that works, once all the others have ended, and how those did."""
    runners = [project.start("apply") for _ in range(number)]
    give_up = time.monotonic() + 60
    while sum(each.poll() is None for each in runners) > 1 and time.monotonic() < give_up:
        time.sleep(0.05)
    ended = [each for each in runners if each.poll() is not None]
    said = [(each.returncode, *each.communicate()) for each in ended]
    [worker] = [each for each in runners if each not in ended]
    return worker, said


def kill(process):
    process.kill()
    process.communicate()


def held_elsewhere(project, **lasts):
    """Write the lock as a runner on another machine would have; it ends after that time, renewed by nobody."""
    now = datetime.now(UTC)
    row = ("beef", "elsewhere/boot/pid:[1]", 42, "1", timestamp(now), timestamp(now + timedelta(**lasts)))
    project.write(
        "CREATE TABLE IF NOT EXISTS runner_lock (id INTEGER PRIMARY KEY, holder, host, pid, process_started,"
        " held_since, expires_at)"
    )
    project.write("DELETE FROM runner_lock")
    project.write("INSERT INTO runner_lock VALUES (1, ?, ?, ?, ?, ?, ?)", *row)


def doubled(project):
    """Every row that is there twice, and was to be there once."""
    once = {
        "runner_migrations": "version",
        "runner_seeds": "table_name, row_key",
        "runner_steps": "run_id, step",
        "runner_stages": "rollout, stage",
        "runner_samples": "stage_id, tick, metric, subject",
        "provider_states": "provider_name, sport",
        "portfolio_rationales": "cache_key",
    }
    return {
        table: found
        for table, key in once.items()
        if (found := project.rows(f"SELECT {key}, count(*) FROM {table} GROUP BY {key} HAVING count(*) > 1"))
    }


@pytest.fixture(scope="module")
def cut_off(tmp_path_factory):
    """A database whose last runner was killed in dark_mode."""
    project = make_project(tmp_path_factory.mktemp("cut_off"))
    project.run("apply", "--target-stage", "dark_mode")
    process = project.start("apply")
    wait_for(process, "stage.entered")
    kill(process)
    return project


@pytest.fixture
def stopped(cut_off, project):
    """A copy of it."""
    shutil.copytree(cut_off.folder, project.folder, dirs_exist_ok=True)
    project.write("DELETE FROM runner_lock")
    return project


# many at once


@pytest.mark.parametrize(("number", "rounds"), [(8, 3), (32, 1)])
def test_of_many_that_start_at_once_one_works(project, finished, number, rounds):
    """The first time there is no database yet; later, the one that worked was killed."""
    slow(project)
    for _ in range(rounds):
        worker, others = race(project, number)
        refused = REFUSED.format(worker.pid, socket.gethostname())

        assert [6] * (number - 1) == [code for code, _, _ in others]
        assert [True] * (number - 1) == [stdout.startswith(refused) for _, stdout, _ in others]
        assert {"run.refused"} == {json.loads(line)["event"] for _, _, told in others for line in told.splitlines()}
        kill(worker)

    project.edit("config/rollout.yaml", "speed: 10", "speed: 1200")
    assert 0 == project.run("apply", "--accept-changes").exit_code
    assert 1 == project.rows("SELECT count(*) FROM runner_runs")[0][0]
    assert {} == doubled(project)
    assert figures(finished[0]) == figures(project)


def test_of_many_that_wait_each_gets_its_turn_and_one_does_the_work(project):
    """When they began there were no tables yet; what they find after the wait is what counts."""
    SqliteBackend(project.database, create=True).close()
    held_elsewhere(project, hours=1)
    runners = [project.start("apply", "--target-stage", "dark_mode", "--lock-timeout", "60s") for _ in range(4)]
    for each in runners:
        wait_for(each, "lock.awaited")
    project.write("DELETE FROM runner_lock")
    ends = [(each.communicate()[0], each.returncode) for each in runners]

    assert [0] * 4 == [code for _, code in ends]
    assert 3 == sum("nothing to do; it stands at dark_mode" in stdout for stdout, _ in ends)
    assert 1 == project.rows("SELECT count(*) FROM runner_runs")[0][0]
    assert {} == doubled(project)


def test_whoever_waits_takes_over_from_one_that_is_killed(project):
    slow(project)
    worker = project.start("apply")
    wait_for(worker, "tick.recorded")
    with project.start("apply", "--lock-timeout", "60s") as waiting:
        told = wait_for(waiting, "lock.awaited")
        worker.kill()
        killed = time.monotonic()
        told += wait_for(waiting, "run.resumed")
        took_s = time.monotonic() - killed
        waiting.kill()
    worker.communicate()

    assert [("lock.awaited", worker.pid), ("lock.inherited", worker.pid)] == [
        (event["event"], event["pid"]) for event in told if event["event"].startswith("lock.")
    ]
    assert took_s < 2


def wait_out(project, *command):
    """Run a command that waits for a runner elsewhere, whose lease is over a second after it began to wait."""
    held_elsewhere(project, hours=1)
    process = project.start(*command, "--lock-timeout", "60s")
    told = wait_for(process, "lock.awaited")
    held_elsewhere(project, seconds=1)
    [(ends_at,)] = project.rows("SELECT expires_at FROM runner_lock")
    stdout, stderr = process.communicate()
    assert 0 == process.returncode, stdout
    told += [json.loads(line) for line in stderr.splitlines()]
    return ends_at, [event for event in told if event["event"].startswith("lock.")]


def newest_snapshot(project):
    return json.loads(project.run("snapshot", "--list", "--json").stdout)["snapshots"][0]["id"]


@pytest.mark.parametrize("command", [("apply",), ("abort",), ("rollback", "--level", "standard"), ("restore", "--yes")])
def test_one_elsewhere_is_waited_for_and_taken_over_when_its_lease_is_over(stopped, command):
    command = (*command, newest_snapshot(stopped)) if command[0] == "restore" else command
    held_elsewhere(stopped, hours=1)
    [(since,)] = stopped.rows("SELECT held_since FROM runner_lock")

    refused = stopped.run(*command)
    ends_at, (awaited, inherited) = wait_out(stopped, *command)

    assert 6 == refused.exit_code
    assert f"works on this database: process 42 on elsewhere since {since} (holder beef)" in refused.stdout
    assert ("lock.awaited", "lock.inherited") == (awaited["event"], inherited["event"])
    assert ends_at <= inherited["timestamp"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_wait(stopped, number, code):
    held_elsewhere(stopped, days=1)
    with stopped.start("apply", "--lock-timeout", "1h") as waiting:
        wait_for(waiting, "lock.awaited")
        waiting.send_signal(number)
        said = waiting.stdout.read()

    assert code == waiting.returncode
    assert "stopped by a signal while waiting for another runner: process 42 on elsewhere" in said
    assert [("beef",)] == stopped.rows("SELECT holder FROM runner_lock")


def test_a_timeout_that_is_no_duration_is_wrong_usage(project):
    assert 64 == project.run("apply", "--lock-timeout", "soon").exit_code


# unlock


def test_a_lock_that_nobody_holds_is_shown(project):
    before = project.run("unlock")
    project.run("apply", "--target-stage", "disabled")

    assert before.stdout.endswith("(sqlite:///rollout.db): nobody holds the lock\n")
    assert {"version": 1, "holder": None} == json.loads(project.run("unlock", "--json").stdout)
    assert "nothing was broken" in project.run("unlock", "--holder", "beef").stdout


def test_a_lock_can_be_looked_at_without_a_database_and_none_is_made(project):
    assert (0, 0) == (project.run("unlock").exit_code, project.run("unlock", "--holder", "beef").exit_code)
    assert not project.database.exists()


@pytest.mark.parametrize(
    ("lasts", "words"),
    [
        ({"hours": 1}, "the next runner takes over when the lease is over"),
        ({"hours": -1}, "the next runner takes over at once, and nothing has to be broken"),
    ],
)
def test_the_lock_of_another_machine_is_shown(stopped, lasts, words):
    held_elsewhere(stopped, **lasts)

    shown = stopped.run("unlock").stdout
    found = json.loads(stopped.run("unlock", "--json").stdout)["holder"]

    assert "process 42 on elsewhere since" in shown
    assert words in shown
    assert "to break it runner unlock config/rollout.yaml --holder beef" in shown
    assert ("beef", False, False, lasts["hours"] > 0) == (
        found["holder"],
        found["is_gone"],
        found["is_alive"],
        found["stands"],
    )


def test_a_lock_is_broken_by_its_id_and_who_held_it_commits_nothing_more(project):
    slow(project)
    with project.start("apply") as worker:
        wait_for(worker, "tick.recorded")
        found = json.loads(project.run("unlock", "--json").stdout)["holder"]
        wrong = project.run("unlock", "--holder", "beef")
        broken = project.run("unlock", "--holder", found["holder"])
        before = project.rows("SELECT * FROM runner_stages"), project.rows("SELECT * FROM runner_samples")
        said = worker.communicate()[0]

    assert (worker.pid, True) == (found["pid"], found["is_alive"])
    assert 7 == wrong.exit_code
    assert f"runner unlock --holder {found['holder']}" in wrong.stdout
    assert 0 == broken.exit_code
    assert "it still runs, can commit nothing any more, and will end with exit code 6" in broken.stdout
    [told] = broken.told("lock.removed")
    assert (found["holder"], worker.pid, "warning") == (told["holder"], told["pid"], told["level"])
    assert 6 == worker.returncode
    assert "this runner lost its lease" in said
    assert before == (project.rows("SELECT * FROM runner_stages"), project.rows("SELECT * FROM runner_samples"))


# readers


class Reading:
    """Looks at one database through every command that reads, again and again, and notes what is not as it must be."""

    def __init__(self):
        self.wrong = []
        self.reads = 0

    def once(self):
        for look in (self.status, self.history, self.plan, self.verify, self.check, self.unlock):
            look()
            self.reads += 1

    def _run(self, *arguments, allowed=(0,)):
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            code = cli.main([*arguments, "--json"], standalone_mode=False)
        found = json.loads(output.getvalue())
        if code not in allowed:
            self.wrong.append((arguments, code, found))
        return found

    def status(self):
        """The ledger and the tables are of one moment."""
        found = self._run("status")
        at, entry = found["stage"], found.get("open")
        names = ["disabled", *STAGES]
        expected = {"disabled": 4, "dark_mode": 4, "shadow_mode": 4, "partial_active": 8, "full_active": 28}
        is_seeded = found["providers"] and found["providers"]["declared"] == 28
        if entry and names.index(entry["stage"]) != names.index(at) + 1:
            self.wrong.append(found)
        if entry and (entry["ticks"] == 0) != (entry["metrics"] == []):
            self.wrong.append(found)
        if is_seeded and (entry is None or entry["ticks"] == 0) and expected[at] != found["providers"]["active"]:
            self.wrong.append(found)
        if found["migrations_applied"] and not found["run"]:
            self.wrong.append(found)

    def history(self):
        for run in self._run("history").values():
            way = STAGES[: ["disabled", *STAGES].index(run["target_stage"])]
            is_done = run["rollout_status"] == "completed"
            if is_done and (run["completed_stages"], run["final_stage"]) != (way, run["target_stage"]):
                self.wrong.append(run)

    def plan(self):
        """What is left is what the stage that was reached leaves."""
        found = self._run("plan")
        ahead = ["disabled", *STAGES].index(found["stands_at"])
        if STAGES[ahead:] != [step["stage"] for step in found["steps"] if step["step"] == "stage"]:
            self.wrong.append(found)

    def verify(self):
        """Rows that a stage has switched on are as the ledger says, at any moment."""
        found = self._run("verify", "providers", allowed=(0, 4))
        if found["drift"] and found["stage"] != "disabled":
            self.wrong.append(found["drift"])

    def check(self):
        self._run("check", allowed=(0, 4))

    def unlock(self):
        self._run("unlock")


HALF_A_STEP = """
SELECT stage, ticks, (SELECT count(DISTINCT tick) FROM runner_samples WHERE stage_id = s.id) AS found
FROM runner_stages s WHERE ticks <> found
UNION ALL SELECT 'verdicts of ' || stage, ticks, 0 FROM runner_stages s
WHERE (ticks > 0) <> EXISTS (SELECT 1 FROM runner_verdicts WHERE stage_id = s.id)
UNION ALL SELECT 'a stage after the end', 0, 0 FROM runner_runs r
WHERE state = 'completed' AND EXISTS (SELECT 1 FROM runner_stages WHERE run_id = r.id AND state <> 'passed')
"""


def look_for_half_steps(database, stop, found):
    """Read what has to fit together, in one statement, as fast as that goes."""
    with contextlib.closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        while not stop.is_set():
            found.append(connection.execute(HALF_A_STEP).fetchall())


def test_all_that_a_command_reads_is_of_one_moment(project):
    project.run("apply", "--target-stage", "disabled")
    rollout = load(project.folder / "config/rollout.yaml", None)
    rollout = rollout._replace(environment=rollout.environment._replace(database=f"sqlite:///{project.database}"))
    count = "SELECT count(*) FROM provider_states"

    with reading(rollout) as backend:
        before = backend.scalar(count)
        project.write("DELETE FROM provider_states WHERE sport = 'NHL'")
        during = backend.scalar(count)
    with reading(rollout) as backend:
        after = backend.scalar(count)

    assert (28, 28, 21) == (before, during, after)


def test_readers_see_whole_steps_and_are_no_trouble(project, finished, monkeypatch):
    monkeypatch.chdir(project.folder)
    project.run("apply", "--target-stage", "disabled")
    reader, stop, found = Reading(), threading.Event(), []
    looking = threading.Thread(target=look_for_half_steps, args=(project.database, stop, found))
    with (project.folder / "events").open("w") as events:
        process = subprocess.Popen(project.command("apply"), cwd=project.folder, stdout=events, stderr=events)
        looking.start()
        try:
            while process.poll() is None:
                reader.once()
        finally:
            stop.set()
            looking.join()
            process.wait(60)

    assert 0 == process.returncode, (project.folder / "events").read_text()
    assert [] == reader.wrong
    assert reader.reads > 20
    assert [] == [half for halves in found for half in halves]
    assert figures(finished[0])["stages"] == figures(project)["stages"]
    assert figures(finished[0])["providers"] == figures(project)["providers"]


# an application


APPLICATION = """
import json, select, sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
longest_s, count = 0, 0
print("ready", flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    begun = time.monotonic()
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(
        "INSERT INTO portfolio_rationales (cache_key, cache_type, rationale_type, data_json, data_hash)"
        " VALUES (?, 'ours', 'RISK_ANALYSIS', '{}', '')", [f"ours:{count}"]
    )
    connection.execute("COMMIT")
    longest_s, count = max(longest_s, time.monotonic() - begun), count + 1
print(json.dumps([count, longest_s]))
"""


def test_an_application_that_writes_all_the_time_neither_breaks_a_run_nor_waits_long(project, finished):
    project.run("apply", "--target-stage", "disabled")
    command = [sys.executable, "-c", APPLICATION, str(project.database)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as application:
        application.stdout.readline()
        result = project.run("apply")
        count, longest_s = json.loads(application.communicate("stop")[0])

    assert 0 == result.exit_code
    assert figures(finished[0])["providers"] == figures(project)["providers"]
    assert [event["ticks"] for event in finished[1].told("stage.passed")] == [
        event["ticks"] for event in result.told("stage.passed")
    ]
    assert [(count,)] == project.rows(
        "SELECT count(*) FROM portfolio_rationales WHERE rationale_type = 'RISK_ANALYSIS'"
    )
    assert count > 100
    assert longest_s < 2


# clocks


SET_THE_CLOCK = """
import sys, time
from datetime import datetime, timedelta
import runner.clock
from runner.cli import main

after_s, jump = float(sys.argv.pop(1)), timedelta(seconds=float(sys.argv.pop(1)))
moment = time.monotonic() + after_s

class Set(datetime):
    @classmethod
    def now(cls, zone):
        return super().now(zone) + (jump if time.monotonic() >= moment else timedelta())

runner.clock.datetime = Set
main()
"""


@pytest.mark.parametrize("jump_s", [1800, -86_400])
def test_a_clock_that_is_set_during_a_run_changes_neither_its_stages_nor_who_works(project, finished, jump_s):
    """Many leases ahead, and less than the hour in which cache entries expire: those do, and look-ups miss them."""
    speed = 300
    project.edit("config/rollout.yaml", "speed: [0-9]+", f"speed: {speed}")
    command = [sys.executable, "-c", SET_THE_CLOCK, "2", str(jump_s), "apply"]
    begun = time.monotonic()
    with subprocess.Popen(
        command, cwd=project.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        wait_for(process, "stage.passed")  # more than two seconds after its start
        second = project.run("apply")
        stdout, _ = process.communicate()
    took_s = time.monotonic() - begun

    assert 6 == second.exit_code
    assert f"process {process.pid} on" in second.stdout
    assert 0 == process.returncode, stdout
    assert figures(finished[0])["stages"] == figures(project)["stages"]
    assert figures(finished[0])["providers"] == figures(project)["providers"]
    assert 55 * 60 / speed <= took_s < 60


def test_a_snapshot_by_a_clock_that_was_set_back_is_kept(project):
    """It was the oldest, and one too many, before the run that it was taken for had begun."""
    with (project.folder / "config/rollout.yaml").open("a") as file:
        file.write("\nsnapshots: {keep: 1}\n")
    project.run("apply", "--target-stage", "disabled")
    project.run("apply", "--target-stage", "dark_mode")
    command = [sys.executable, "-c", SET_THE_CLOCK, "0", "-86400", "apply", "--target-stage", "shadow_mode"]
    done = subprocess.run(command, cwd=project.folder, capture_output=True, text=True, timeout=60, check=True)

    taken = [json.loads(line)["id"] for line in done.stderr.splitlines() if '"snapshot.taken"' in line]
    kept = json.loads(project.run("snapshot", "--list", "--json").stdout)["snapshots"]
    assert set(taken) <= {snapshot["id"] for snapshot in kept}
    assert 1 == len(taken)


@pytest.mark.parametrize("zone", ["America/St_Johns", "XXX-14"])
def test_a_time_zone_changes_nothing(project, zone):
    result = project.run("apply", "--target-stage", "dark_mode", TZ=zone)

    started = project.rows("SELECT started_at FROM runner_runs")[0][0]
    now = datetime.now(UTC)
    assert timestamp(now - timedelta(minutes=2)) < started < timestamp(now)
    assert {result.events[0]["timestamp"][:10]} <= {started[:10], timestamp(now)[:10]}
    assert [(0,)] == project.rows("SELECT count(*) FROM portfolio_rationales WHERE expires_at < datetime('now')")
