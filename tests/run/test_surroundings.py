"""
What goes on around a run: listeners that go away, a busy application, operators, stages that are edited.

And what is hostile there: full disks, rights that are missing, providers that misbehave, names that are SQL.
"""

import contextlib
import ctypes
import errno
import json
import os
import platform
import socketserver
import sqlite3
import struct
import subprocess
import sys
import threading
import time

import pytest
from test_resume import wait_for

ONE = "provider_name = 'draftkings' AND sport = 'MLB'"


def test_a_reader_of_the_log_that_goes_away_stops_nothing(project):
    with project.start("apply", "--target-stage", "shadow_mode") as process:
        wait_for(process, "stage.entered")
        process.stderr.close()
        stdout = process.stdout.read()

    assert 0 == process.returncode
    assert "at shadow_mode after" in stdout


@pytest.mark.parametrize("where", ["2>&-", "2>/dev/full", "--log-file /dev/full 2>/dev/null"])
def test_a_log_that_cannot_be_written_stops_nothing(project, where):
    command = " ".join(project.command("apply", "--target-stage", "dark_mode"))

    done = subprocess.run(
        f"{command} {where}", shell=True, cwd=project.folder, capture_output=True, text=True, timeout=60, check=False
    )

    assert 0 == done.returncode
    assert "at dark_mode after" in done.stdout


def test_an_application_that_holds_the_database_is_waited_for(project):
    project.run("apply", "--target-stage", "shadow_mode")
    with project.start("apply") as process:
        wait_for(process, "provider.activated")
        application = sqlite3.connect(project.database, isolation_level=None, timeout=20)
        application.execute("BEGIN IMMEDIATE")
        time.sleep(7)
        application.rollback()
        application.close()
        process.communicate()

    assert 0 == process.returncode
    assert (28, 28) == project.on()


@pytest.mark.parametrize("killed", [False, True])
def test_a_row_that_an_operator_takes_out_stays_out(project, killed):
    project.run("apply", "--target-stage", "shadow_mode")
    project.edit("config/rollout.yaml", "speed: 1200", "speed: 300")
    process = project.start("apply", "--target-stage", "partial_active")
    wait_for(process, "provider.activated")
    project.write(f"UPDATE provider_states SET status = 'MAINTENANCE' WHERE {ONE}")
    if killed:
        process.kill()
    process.communicate()

    result = project.run("apply", "--target-stage", "partial_active")

    assert 0 == result.exit_code
    assert [("MAINTENANCE",)] == project.rows(f"SELECT status FROM provider_states WHERE {ONE}")


def test_counts_that_an_application_adds_are_never_lost(project):
    project.run("apply", "--target-stage", "shadow_mode")
    process = project.start("apply", "--target-stage", "partial_active")
    wait_for(process, "provider.activated")
    project.write(f"UPDATE provider_states SET total_requests = total_requests + 1000 WHERE {ONE}")
    process.communicate()

    project.run("apply", "--target-stage", "shadow_mode")

    assert project.rows(f"SELECT total_requests FROM provider_states WHERE {ONE}")[0][0] >= 1000


def test_expired_entries_that_were_warmed_under_a_stage_are_no_obstacle_on_the_way_back(project):
    project.run("apply", "--target-stage", "disabled")
    before = project.tables()
    project.run("apply", "--target-stage", "partial_active")
    project.write("UPDATE portfolio_rationales SET expires_at = '2020-01-01 00:00:00' WHERE cache_type = 'factor'")
    assert 0 == project.run("apply", "--target-stage", "partial_active").exit_code

    back = project.run("apply", "--target-stage", "disabled")

    assert 0 == back.exit_code
    assert before["provider_states"] == project.tables()["provider_states"]


def killed_in(project, stage):
    process = project.start("apply")
    for line in process.stderr:
        event = json.loads(line)
        if event["event"] == "tick.recorded" and event["stage"] == stage:
            break
    process.kill()
    process.communicate()


@pytest.mark.parametrize(
    ("old", "new", "arguments", "words"),
    [
        ("name: full_active", "name: all_active", (), "was on its way to full_active, which is no longer declared"),
        (
            "name: shadow_mode",
            "name: shade_mode",
            (),
            "stage shadow_mode is not finished, but shade_mode is declared in its",
        ),
        (
            "name: dark_mode ",
            "name: dim_mode ",
            ("--target-stage", "shadow_mode"),
            "dark_mode, which is no longer declared",
        ),
    ],
)
def test_stages_renamed_in_the_middle_of_a_run_are_refused(project, old, new, arguments, words):
    killed_in(project, "shadow_mode")
    before = project.tables()
    project.edit("config/rollout.yaml", old, new)

    refused = project.run("apply", "--accept-changes", *arguments)

    assert 7 == refused.exit_code
    assert words in refused.stdout
    assert before == project.tables()


def test_another_target_has_to_wait_until_the_rollback_is_done(project):
    project.run("apply", "--target-stage", "partial_active")
    project.write("UPDATE provider_states SET status = 'ERROR' WHERE provider_name = 'draftkings' AND sport = 'NFL'")
    assert 9 == project.run("apply", "--target-stage", "disabled").exit_code

    refused = project.run("apply", "--target-stage", "full_active")

    assert 7 == refused.exit_code
    assert "is on its way back to disabled" in refused.stdout


def test_a_warning_is_told_and_shown(project):
    project.edit("config/rollout.yaml", r"\{max: 1000,", "{max: 1000, warn_max: 0.001,")

    result = project.run("apply", "--target-stage", "dark_mode")

    assert 0 == result.exit_code
    assert {"stub", "draftkings", "fanduel"} == {event["subject"] for event in result.told("threshold.warned")}
    assert "[warn]" in result.stdout


def test_a_provider_that_the_application_does_not_know_is_named(project):
    text = "  - {name: acme, enabled: false, poll_interval: 60s, timeout: 5s, retries: 0, capabilities: {}}\n"
    with (project.folder / "config/providers.yaml").open("a") as file:
        file.write(text)

    refused = project.run("apply")

    assert 1 == refused.exit_code
    assert "acme is declared, but table providers has no row for it" in refused.stdout
    assert "INSERT INTO providers (name) VALUES ('acme');" in refused.stdout


def test_rows_that_are_declared_no_more_are_told(project):
    project.run("apply", "--target-stage", "disabled")
    path = project.folder / "config/providers.yaml"
    path.write_text(path.read_text().split("  - name: sportsradar")[0])

    again = project.run("apply", "--target-stage", "disabled")

    assert 0 == again.exit_code
    assert (
        "4 rows (sportsradar/MLB, sportsradar/NBA, sportsradar/NFL, sportsradar/NHL) that are declared no more"
        in again.stdout
    )
    assert (4, 28) == project.on()


def test_rows_that_were_declared_after_their_stage_are_told(project):
    path = project.folder / "config/providers.yaml"
    whole = path.read_text()
    path.write_text(whole.split("  - name: sportsradar")[0])
    project.run("apply")
    path.write_text(whole)
    assert 0 == project.run("apply").exit_code

    again = project.run("apply")

    assert (
        "4 rows (sportsradar/MLB, sportsradar/NBA, sportsradar/NFL, sportsradar/NHL) that were declared" in again.stdout
    )
    assert "are not switched on" in project.run("status").stdout


@pytest.mark.parametrize("where", [">/dev/full", ">&-", "| head -c 1"])
def test_a_result_that_nobody_takes_changes_nothing(project, where):
    command = " ".join(project.command("apply", "--target-stage", "dark_mode"))

    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command} {where}"],
        cwd=project.folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert 0 == done.returncode
    assert "Traceback" not in done.stderr
    assert "dark_mode" == json.loads(project.run("status", "--json").stdout)["stage"]


# outputs that nobody takes

COMMANDS = [
    (0, "validate"),
    (0, "plan"),
    (0, "plan --out some.plan"),
    (0, "apply --target-stage dark_mode"),
    (0, "apply --target-stage dark_mode"),
    (0, "status --json"),
    (0, "check"),
    (0, "check --watch 1s --rounds 2"),
    (0, "verify providers"),
    (0, "history"),
    (0, "snapshot"),
    (0, "snapshot --list"),
    (64, "restore 20260802T120000Z-0a1b --yes"),
    (0, "rollback --level standard --dry-run"),
    (0, "rehearse"),
    (0, "rollback --level gradual"),
    (0, "rollback --level standard"),
    (0, "rollback --level emergency"),
    (0, "abort"),
    (0, "unlock"),
    (3, "validate --env nowhere"),
    (64, "nonsense"),
    (0, "plan --help"),
]


def gone():
    """Return the end of a pipe whose other end is closed: what `| head -1` leaves behind."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_reader_that_is_gone_changes_no_exit_code_and_draws_no_traceback(project, stream):
    found = []
    for _, command in COMMANDS:
        writer = gone()
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, stream: writer}
        done = subprocess.run(
            project.command(*command.split()), cwd=project.folder, text=True, timeout=60, check=False, **streams
        )
        os.close(writer)
        assert "Traceback" not in (done.stdout or "") + (done.stderr or "")
        assert "Exception ignored" not in (done.stdout or "") + (done.stderr or "")
        found.append((done.returncode, command))

    assert COMMANDS == found


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-", "1>/dev/full", "2>/dev/full"])
def test_a_stream_that_is_closed_or_full_changes_no_exit_code(project, closed):
    def code(command):
        line = f"{' '.join(project.command(*command.split()))} {closed}"
        done = subprocess.run(["bash", "-c", line], cwd=project.folder, capture_output=True, timeout=60, check=False)
        assert b"Traceback" not in done.stdout + done.stderr
        return done.returncode

    assert [0, 0, 0, 3, 64] == [
        code("plan --out a.plan"),
        code("apply --target-stage dark_mode --log-file a.log"),
        code("status"),
        code("validate --env nowhere"),
        code("nonsense"),
    ]
    assert [("ok",)] == project.rows("PRAGMA integrity_check")
    assert all("event" in json.loads(line) for line in (project.folder / "a.log").read_text().splitlines())


def test_an_old_locale_stops_no_table(project):
    project.edit("config/caches.yaml", '"player:stephen_curry"', '"player:st\u00e9phen"')

    assert 0 == project.run("plan", PYTHONIOENCODING="ascii").exit_code
    assert 0 == project.run("apply", "--target-stage", "dark_mode", PYTHONIOENCODING="ascii").exit_code


# disks that are full

ON_A_SMALL_DISK = """
set -u
mount -t tmpfs -o size=8m none "$PLACE" && cp -r config sql "$PLACE" && cd "$PLACE" && mkdir tmp
{ eval "$PREPARE"; } >/dev/null 2>&1
head -c $(( ($(df -k --output=avail . | tail -1) - FREE_KIB) * 1024 )) /dev/zero > filler
eval "$COMMAND" > "$OUT/first.out" 2> "$OUT/first.err"; echo $? > "$OUT/first.code"
find . -name '*.part*' -o -name '.*.plan.*' -o -name 'runner-rehearsal-*' > "$OUT/left"
rm filler
eval "$COMMAND" > "$OUT/again.out" 2> "$OUT/again.err"; echo $? > "$OUT/again.code"
"""

START = "apply --target-stage disabled"
DARK = "apply --target-stage dark_mode"
TAKE = f"$RUNNER {START}; $RUNNER snapshot; basename -s .json rollout.db.runner/snapshots/*.json | tail -1 > id"


@pytest.fixture
def small_disk(project, tmp_path_factory):
    """Run a command on a disk with a few KiB left, and again when there is room."""
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("a disk of one's own needs the right to `unshare -rm`")
    place, out = tmp_path_factory.mktemp("disk"), tmp_path_factory.mktemp("out")

    def run(command, free_kib, prepare="true"):
        runner = " ".join(project.command())
        names = {"PLACE": place, "OUT": out, "PREPARE": prepare, "COMMAND": command, "RUNNER": runner}
        subprocess.run(
            ["unshare", "-rm", "bash", "-c", ON_A_SMALL_DISK],
            cwd=project.folder,
            env=project.environ(FREE_KIB=str(free_kib), **{name: str(value) for name, value in names.items()}),
            timeout=120,
            check=True,
        )
        assert "Traceback" not in "".join(path.read_text() for path in out.iterdir())
        assert "" == (out / "left").read_text()
        first, again = (int((out / f"{name}.code").read_text()) for name in ("first", "again"))
        return first, again, (out / "first.out").read_text(), (out / "again.out").read_text()

    return run


ROOM = "make room"
LOOK = "look at the disk, which may be full or broken"


@pytest.mark.parametrize(
    ("free_kib", "prepare", "command", "words"),
    [
        (0, "true", f"$RUNNER {START}", ("database or disk is full\n  at rollout.db", ROOM)),
        (100, "true", f"$RUNNER {START}", ("database or disk is full\n  at rollout.db", ROOM)),
        (0, f"$RUNNER {START}", f"$RUNNER {DARK}", ("disk I/O error\n  at rollout.db", LOOK)),
        (60, f"$RUNNER {START}", f"$RUNNER {DARK}", ("full\n  at rollout.db.runner/snapshots", ROOM)),
        (36, f"$RUNNER {START}", "$RUNNER plan --out a.plan", ("cannot write the plan: No space left", ROOM)),
        (120, f"$RUNNER {START}", "$RUNNER snapshot", ("full\n  at rollout.db.runner/snapshots", ROOM)),
        (120, f"$RUNNER {START}", "$RUNNER rollback --level standard", ("full\n  at rollout.db.runner/snap", ROOM)),
        (120, f"$RUNNER {START}", "$RUNNER rollback --level emergency", ("full\n  at rollout.db.runner/sn", ROOM)),
        (120, TAKE, "$RUNNER restore $(cat id) --yes", ("full\n  at rollout.db", ROOM)),
        (60, f"$RUNNER {START}", "TMPDIR=tmp $RUNNER rehearse", ("full\n  at ", "runner-rehearsal-", ROOM)),
        (500, f"$RUNNER {START}", "TMPDIR=tmp $RUNNER rehearse", ("database or disk is full", "NOT proved")),
        (36, f"$RUNNER {START}", "$RUNNER rehearse", ("result could not be kept: No space left", ROOM)),
    ],
)
def test_a_full_disk_is_told_and_with_room_the_same_command_goes_on(small_disk, free_kib, prepare, command, words):
    first, again, told, _ = small_disk(command, free_kib, prepare)

    assert (1, 0) == (first, again), told
    assert all(word in told for word in words), told


@pytest.mark.parametrize("command", [DARK, "snapshot", "rollback --level emergency", "plan --out a.plan", "rehearse"])
def test_a_limit_for_files_is_told_as_a_full_disk_is(project, command):
    project.run("apply", "--target-stage", "disabled")
    before = project.tables()
    line = f"ulimit -f 100; {' '.join(project.command(*command.split()))}"
    done = subprocess.run(
        ["bash", "-c", line], cwd=project.folder, capture_output=True, text=True, timeout=60, check=False
    )
    small_enough = command.startswith("plan")

    assert (0 if small_enough else 1) == done.returncode
    assert "Traceback" not in done.stderr
    assert small_enough or "fix: " in done.stdout or "NOT proved" in done.stdout
    assert before == project.tables()
    assert 0 == project.run(*command.split()).exit_code


@pytest.mark.parametrize("most", [12, 24])  # for the stand-in to begin; for it to answer
def test_too_few_file_descriptors_are_told_and_nothing_but_events_is_logged(project, most):
    """The stand-in could not be started (IndexError), or told of each connection by a traceback: 17 MB of them."""
    line = f"ulimit -n {most}; {' '.join(project.command('apply', '--target-stage', 'dark_mode'))}"

    done = subprocess.run(
        ["bash", "-c", line], cwd=project.folder, capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode in {1, 8}
    assert "too many open files" in done.stdout.lower()
    assert all("event" in json.loads(told) for told in done.stderr.splitlines())
    assert 0 == project.run("apply", "--target-stage", "dark_mode").exit_code


def test_a_log_that_is_a_pipe_without_a_reader_is_not_waited_for(project):
    os.mkfifo(project.folder / "log")

    refused = project.run("apply", "--target-stage", "dark_mode", "--log-file", "log")

    assert 64 == refused.exit_code
    assert "cannot write the log file log: No such device or address" in refused.stderr
    assert not project.database.exists()


def test_a_database_that_is_no_file_is_told(project):
    project.edit("config/rollout.yaml", "sqlite:///rollout.db", "sqlite:////dev/full")

    assert (0, 0) == (project.run("status").exit_code, project.run("plan").exit_code)
    refused = project.run("apply")
    assert 1 == refused.exit_code
    assert "cannot open the database: Not a regular file\n  at /dev/full" in refused.stdout


def pipe(path):
    path.unlink()
    os.mkfifo(path)


def device(path):
    path.unlink()
    path.symlink_to("/dev/zero")


def folder(path):
    path.unlink()
    path.mkdir()


def huge(path):
    os.truncate(path, 3 << 30)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (pipe, "is not a regular file"),
        (device, "is not a regular file"),
        (folder, "is a folder, not a file"),
        (huge, "has 3072 MiB"),
    ],
)
@pytest.mark.parametrize("file", ["config/rollout.yaml", "config/caches.yaml", "sql/sqlite/0001_core_tables.sql"])
def test_what_is_no_file_of_a_config_is_not_read(project, make, words, file):
    make(project.folder / file)

    refused = project.run("apply", "--allow-outside")

    assert 3 == refused.exit_code
    assert words in refused.stdout
    assert "fix: " in refused.stdout
    assert not project.database.exists()


def test_a_plan_that_is_far_too_large_is_not_read(project):
    assert 0 == project.run("plan", "--out", "a.plan").exit_code
    huge(project.folder / "a.plan")

    refused = project.run("apply", "a.plan")

    assert 7 == refused.exit_code
    assert "the plan has 3072 MiB; 256 are the most\n  at a.plan" in refused.stdout


def test_a_folder_that_is_gone_is_told(project):
    folder = project.folder / "gone"
    line = (
        f"mkdir {folder}; cd {folder}; rmdir {folder}; {' '.join(project.command('status', '../config/rollout.yaml'))}"
    )

    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=False)

    assert 1 == done.returncode
    assert "error: the folder that this process works in is gone\n  fix: go to a folder that is there" in done.stdout


# rights that are missing

DROPPED = (1, 2, 3)
"""CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER: with them no file is read-only for root."""


def without_rights():
    """Let the rights of files count for the process that is about to be started, root or not."""
    libc = ctypes.CDLL(None)
    for capability in DROPPED:
        libc.prctl(24, capability, 0, 0, 0)


@pytest.fixture
def bound(project):
    """Run a command for which the rights of files count."""

    def run(*arguments):
        done = subprocess.run(
            project.command(*arguments),
            cwd=project.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            preexec_fn=without_rights,
        )
        assert "Traceback" not in done.stdout + done.stderr
        return done

    yield run
    for path in (project.folder, *project.folder.rglob("*")):
        path.chmod(0o700)


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        (
            "apply",
            1,
            ("cannot open the database: Permission denied\n  at rollout.db", "the rights on the file, its -wal and"),
        ),
        ("apply --log-file new.log", 64, ("cannot write the log file new.log: Permission denied",)),
        ("plan --out a.plan", 1, ("cannot write the plan: Permission denied\n  at a.plan", "name a file in a folder")),
        ("rehearse", 1, ("could not be kept: Permission denied\n  at rollout.db.runner", "the right to write there")),
        ("plan", 0, ("Stages: 4 to pass",)),
        ("status", 0, ("stands at     disabled",)),
    ],
)
def test_a_folder_that_may_not_be_written_to_is_told_and_nothing_is_left_in_it(project, bound, command, code, words):
    before = sorted(project.folder.rglob("*"))
    project.folder.chmod(0o500)

    done = bound(*command.split())

    assert code == done.returncode
    assert all(word in done.stdout + done.stderr for word in words)
    assert before == sorted(path for path in project.folder.rglob("*") if "__pycache__" not in path.parts)


READ_ONLY = "give this user the right to write the file, its -wal and -shm beside it, and its folder"


def test_a_database_that_may_only_be_read_is_read_and_not_written(project, bound):
    assert 0 == project.run("apply", "--target-stage", "dark_mode").exit_code
    before = project.tables()
    project.database.chmod(0o400)

    reading = ("status", "plan", "history", "verify providers", "verify caches", "snapshot --list", "unlock", "check")
    for command in (*reading, "snapshot"):
        assert 0 == bound(*command.split()).returncode, command
    for command in ("apply", "rollback --level standard", "rollback --level emergency"):
        refused = bound(*command.split())
        assert 1 == refused.returncode, command
        assert "fix: " in refused.stdout
    project.database.chmod(0o600)  # that is all there is to do, although files beside it were left by those who read

    assert 0 == bound("apply", "--target-stage", "shadow_mode").returncode
    assert before == project.tables()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("snapshot --list", "the system says: Permission denied"),
        ("snapshot", "the snapshot could not be written: Permission denied"),
        ("restore 20260802T120000Z-0a1b --yes", "the system says: Permission denied"),
        ("apply", "the snapshot could not be written: Permission denied"),
        ("rollback --level emergency", "the snapshot could not be written: Permission denied"),
    ],
)
def test_snapshots_that_may_not_be_looked_at_are_not_taken_for_none(project, bound, command, words):
    """`snapshot --list` said that there was no snapshot yet."""
    assert 0 == project.run("apply", "--target-stage", "dark_mode").exit_code
    assert 0 == project.run("snapshot").exit_code
    before = project.tables()
    folder = project.folder / "rollout.db.runner/snapshots"
    folder.chmod(0)

    refused = bound(*command.split())
    folder.chmod(0o700)

    assert 1 == refused.returncode
    assert f"{words}\n  at rollout.db.runner/snapshots" in refused.stdout
    assert before == project.tables()


@pytest.mark.parametrize(
    "file", ["config/rollout.yaml", "config/providers.yaml", "sql/sqlite/0002_provider_states.sql"]
)
def test_a_file_that_may_not_be_read_is_named(project, bound, file):
    (project.folder / file).chmod(0)

    refused = bound("validate")

    assert 3 == refused.returncode
    assert f"{file} cannot be read: Permission denied" in refused.stdout
    assert "fix: make it readable" in refused.stdout


def test_a_folder_of_migrations_that_may_not_be_read_is_named(project, bound):
    (project.folder / "sql/sqlite").chmod(0)

    refused = bound("validate")

    assert 3 == refused.returncode
    assert "the migrations folder sql/sqlite is not a folder that can be read" in " ".join(refused.stdout.split("../"))


@pytest.mark.parametrize("command", ["snapshot", "rollback --level emergency"])
def test_a_folder_for_snapshots_that_is_a_file_is_told(project, command):
    project.run("apply", "--target-stage", "dark_mode")
    project.edit("config/rollout.yaml", "rollback:", "snapshots: {folder: occupied/here}\nrollback:")
    (project.folder / "occupied").write_text("a file")
    before = project.tables()

    refused = project.run(*command.split())

    assert 1 == refused.exit_code
    assert "the snapshot could not be written" in refused.stdout
    assert "name a folder that can be written to" in refused.stdout
    assert before == project.tables()
    (project.folder / "occupied").unlink()
    assert 0 == project.run(*command.split()).exit_code


def test_a_database_that_is_held_for_too_long_is_told_and_later_the_same_command_goes_on(project):
    project.run("apply", "--target-stage", "dark_mode")
    application = sqlite3.connect(project.database, isolation_level=None, timeout=20)
    application.execute("BEGIN IMMEDIATE")

    refused = project.run("apply", "--target-stage", "shadow_mode")
    application.rollback()
    application.close()

    assert 1 == refused.exit_code
    assert "SQLite: database is locked" in refused.stdout
    assert "another process held the database for 20 s; run the same command again" in refused.stdout
    assert 0 == project.run("apply", "--target-stage", "shadow_mode").exit_code


# file systems that are nothing for a database

ON_A_NETWORK = """
echo "1 1 0:1 / $PWD rw,relatime shared:1 - nfs4 files:/export rw" > mountinfo
mount --bind mountinfo /proc/$$/mountinfo && exec "$@"
"""


def test_a_database_on_a_network_file_system_is_told_at_every_command_that_writes(project):
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("another list of mounts needs the right to `unshare -rm`")

    def run(*arguments):
        done = subprocess.run(
            ["unshare", "-rm", "bash", "-c", ON_A_NETWORK, "on", *project.command(*arguments)],
            cwd=project.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        told = [json.loads(line) for line in done.stderr.splitlines()]
        return done.returncode, [event for event in told if event["event"] == "network.noticed"]

    for command in ("apply --target-stage dark_mode", "apply", "snapshot", "rollback --level standard"):
        code, [event] = run(*command.split())
        assert (0, "warning", "nfs4", str(project.folder)) == (
            code,
            event["level"],
            event["file_system"],
            event["mounted_at"],
        )
    assert (0, []) == run("status")
    assert [] == project.run("apply", "--target-stage", "dark_mode").told("network.noticed")


REFUSED = [
    (0x20, 0, 0, 0),  # the number of the system call
    (0x15, 0, 6, 9),  # is it mmap? else let it be
    (0x20, 0, 0, 16 + 8 * 3),  # its flags
    (0x54, 0, 0, 0x0F),
    (0x15, 0, 3, 1),  # MAP_SHARED? else let it be
    (0x20, 0, 0, 16 + 8 * 2),  # its protection
    (0x45, 0, 1, 2),  # PROT_WRITE? else let it be
    (0x06, 0, 0, 0x00050000 | errno.ENODEV),
    (0x06, 0, 0, 0x7FFF0000),
]
"""A filter for system calls: no memory that is shared with others, as on a file system that cannot have any."""


def without_shared_memory():
    """Let the kernel refuse what WAL mode needs to the process that is about to be started."""
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in REFUSED))
    whole = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(REFUSED), ctypes.addressof(program)))
    libc = ctypes.CDLL(None)
    libc.prctl(38, 1, 0, 0, 0)
    if libc.prctl(22, 2, ctypes.c_void_p(ctypes.addressof(whole)), 0, 0):
        raise OSError("seccomp")


@pytest.fixture
def apart(project):
    """Run a command that cannot share memory with others."""
    if platform.machine() != "x86_64":
        pytest.skip("the filter knows the system calls of x86_64 only")

    def run(*arguments):
        done = subprocess.run(
            project.command(*arguments),
            cwd=project.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            preexec_fn=without_shared_memory,
        )
        assert "Traceback" not in done.stdout + done.stderr
        return done

    return run


def test_a_file_system_without_shared_memory_takes_a_database_without_wal(project, apart):
    """WAL mode was set all the same, and the next command found a "disk I/O error"."""
    codes = [
        apart(*command.split()).returncode
        for command in ("apply --target-stage shadow_mode", "status", "apply", "snapshot", "rollback --level standard")
    ]

    assert [0, 0, 0, 0, 0] == codes
    assert [("delete",)] == project.rows("PRAGMA journal_mode")
    assert {"rollout.db", "rollout.db.runner"} == {path.name for path in project.folder.glob("rollout.db*")}


def test_a_wal_database_that_came_to_such_a_file_system_is_told_and_left_as_it_is(project, apart):
    project.run("apply", "--target-stage", "dark_mode")
    before = project.tables()

    for command in ("apply", "status", "rollback --level standard"):
        refused = apart(*command.split())
        assert 1 == refused.returncode
        assert "put the database on a local disk: WAL mode needs memory that processes share" in refused.stdout

    assert before == project.tables()
    assert 0 == project.run("apply", "--target-stage", "shadow_mode").exit_code


# providers that misbehave


class Hostile(socketserver.BaseRequestHandler):
    """Answers in one of the ways that providers should not."""

    def handle(self):
        with contextlib.suppress(OSError):
            self.server.behave(self)

    def heard(self):
        """Read the request; how much of it came does not matter."""
        self.request.settimeout(5)
        return self.request.recv(65536)

    def drip(self):
        self.heard()
        self.request.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while True:
            self.request.sendall(b".")
            time.sleep(1)

    def three_gigabytes(self):
        self.heard()
        self.request.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3221225472\r\n\r\n")
        for _ in range(3072):
            self.request.sendall(b"." * 1024 * 1024)

    def no_end(self):
        self.heard()
        self.request.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(3072):
            self.request.sendall(b"100000\r\n" + b"." * 1024 * 1024 + b"\r\n")

    def itself(self):
        while b"GET" in self.heard():
            self.request.sendall(b"HTTP/1.1 302 Found\r\nLocation: ?again\r\nContent-Length: 0\r\n\r\n")

    def early(self):
        self.heard()
        self.request.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")

    def nothing(self):
        self.heard()

    def garbage(self):
        self.heard()
        self.request.sendall(bytes(range(256)) * 100 + b"\r\n\r\n")

    def tls(self):
        self.heard()
        self.request.sendall(b"\x15\x03\x03\x00\x02\x02\x46")

    def silence(self):
        self.heard()
        time.sleep(30)


@pytest.fixture
def hostile():
    """Start servers on loopback that misbehave, and give their addresses."""

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads, allow_reuse_address, request_queue_size = True, True, 128
        block_on_close = False

    servers = []

    def start(name):
        server = Server(("127.0.0.1", 0), Hostile)
        server.behave = getattr(Hostile, name)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return server.server_address[1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("behaviour", "scheme", "cause"),
    [
        ("drip", "http", "no answer within 0.4 s"),
        ("silence", "http", "no answer within 0.4 s"),
        ("three_gigabytes", "http", "answer is larger than 8 MiB"),
        ("no_end", "http", "answer is larger than 8 MiB"),
        ("itself", "http", "redirected more than 5 times"),
        ("early", "http", "answer ended early"),
        ("nothing", "http", "connection closed before the answer"),
        ("garbage", "http", "answer is not valid HTTP"),
        ("tls", "http", "answer is not valid HTTP"),
        ("garbage", "https", "TLS: "),
    ],
)
def test_a_provider_that_misbehaves_breaches_in_plain_words_and_leaves_nothing(
    project, hostile, behaviour, scheme, cause
):
    timeout_s = "400ms" if behaviour in {"drip", "silence"} else "4s"
    project.edit("config/rollout.yaml", "metrics:", f"probe: {{timeout: {timeout_s}}}\nmetrics:")
    project.edit("config/rollout.yaml", "speed: 1200", "speed: 300")
    url = f"{scheme}://127.0.0.1:{hostile(behaviour)}/{{sport}}"

    began = time.monotonic()
    breached = project.run("apply", "--target-stage", "dark_mode", DRAFTKINGS_URL=url)
    took_s = time.monotonic() - began

    assert 8 == breached.exit_code
    assert f"draftkings: {cause}" in breached.stdout
    assert "127.0.0.1" not in breached.stdout + breached.stderr
    assert took_s < 25
    assert {"rollout.db"} == {path.name for path in project.folder.glob("rollout.db*")} - {"rollout.db.runner"}
    assert 0 == project.run("apply", "--target-stage", "dark_mode").exit_code


WEIGH = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""
"""A small program that starts a command: what a process weighs includes what whoever started it weighed."""


@pytest.mark.parametrize("behaviour", ["three_gigabytes", "no_end"])
def test_answers_without_end_fill_no_memory(project, hostile, behaviour):
    """Eighty of them at once took 587 MiB."""
    url = f"http://127.0.0.1:{hostile(behaviour)}/{{sport}}"

    done = subprocess.run(
        [sys.executable, "-c", WEIGH, *project.command("apply", "--target-stage", "dark_mode")],
        cwd=project.folder,
        env=project.environ(DRAFTKINGS_URL=url),
        capture_output=True,
        text=True,
        check=False,
    )

    assert 8 == done.returncode
    assert int(done.stdout.splitlines()[-1]) < 300 * 1024


# names


HOSTILE = "x'); DROP TABLE provider_states;--"
NAMES = [
    HOSTILE,
    'a"b',
    "%s %(x)s {} {0}",
    "a/b",
    "\\",
    "${NO}",
    "\u00e9\u6f22\U0001f3c8",
    "*",
    "a,b:fail@x=1",
    "NULL",
    "-- x",
    "[x]",
]


def test_a_provider_may_have_any_name_and_is_just_a_provider(project):
    names = [name.replace("${", "$${") for name in NAMES]
    values = ", ".join(f"('{name.replace(chr(39), chr(39) * 2)}')" for name in NAMES)
    (project.folder / "sql/sqlite/0004_more.sql").write_text(f"-- migrate:up\nINSERT INTO providers VALUES {values};\n")
    rest = "enabled: true, priority: high, poll_interval: 60s, timeout: 5s, retries: 0"
    with (project.folder / "config/providers.yaml").open("a") as file:
        file.writelines(
            f"  - {{name: {json.dumps(name, ensure_ascii=False)}, {rest}, capabilities: {{}}}}\n" for name in names
        )

    planned = project.run("plan")
    applied = project.run("apply")
    verified = project.run("verify", "providers")
    back = project.run("apply", "--target-stage", "disabled")

    assert (0, 0, 0, 0) == tuple(result.exit_code for result in (planned, applied, verified, back)), applied.stdout
    assert set(NAMES) <= {name for (name,) in project.rows("SELECT DISTINCT provider_name FROM provider_states")}
    assert (4, 28 + 4 * len(NAMES)) == project.on()
    assert 4 == project.rows("SELECT count(*) FROM provider_states WHERE provider_name = ?", HOSTILE)[0][0]
    assert 0 == project.run("rollback", "--level", "standard").exit_code


def test_a_provider_of_any_name_that_the_application_does_not_know_is_named_with_sql_that_works(project):
    with (project.folder / "config/providers.yaml").open("a") as file:
        file.write(
            f"  - {{name: {json.dumps(HOSTILE)}, enabled: false, poll_interval: 60s, timeout: 5s, retries: 0}}\n"
        )
    refused = project.run("apply")
    [statement] = [line.partition("migration: ")[2] for line in refused.stdout.splitlines() if "INSERT INTO" in line]

    assert 1 == refused.exit_code
    project.write(statement)
    assert (HOSTILE,) in project.rows("SELECT name FROM providers")
    assert 0 == project.run("apply", "--target-stage", "dark_mode").exit_code


KEYS = [
    "k'); DROP TABLE portfolio_rationales;--".replace(" ", "_"),
    'k"',
    "k%s{}",
    "k/\\",
    "k\u00e9\u6f22",
    "--",
    "NULL",
]


def test_a_cache_key_may_have_any_form_and_is_just_a_key(project):
    path = project.folder / "config/caches.yaml"
    entries = "".join(
        f"      - {{key: {json.dumps(key)}, confidence: 0.5, data: {{a: {json.dumps(key)}}}}}\n" for key in KEYS
    )
    path.write_text(path.read_text().replace("\nlookups:", f"{entries}\nlookups:", 1))

    assert 0 == project.run("apply").exit_code
    assert 0 == project.run("verify", "caches").exit_code
    found = dict(project.rows("SELECT cache_key, data_json FROM portfolio_rationales"))
    assert {key: {"a": key} for key in KEYS} == {key: json.loads(found[key]) for key in KEYS}


@pytest.mark.parametrize(
    "name", ["a\nb", "\x1b[31mred", "\u009b2J", "\u202etxt", "tab\there", " a", "a ", "", "x" * 65]
)
def test_a_name_that_a_terminal_would_obey_is_refused_and_shown_escaped(project, name):
    project.edit("config/providers.yaml", "name: fanduel", lambda _: f"name: {json.dumps(name)}")

    refused = project.run("validate")

    assert 3 == refused.exit_code
    assert "not text on one line, 64 characters at the most" in refused.stdout or "is empty" in refused.stdout
    assert all(line.isprintable() for line in refused.stdout.splitlines())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("name: schema-finalization", 'name: "x\'); DROP TABLE runner_runs;--"'),
        ("name: dark_mode ", 'name: "dark\\\\x1b[2Jmode"'),
        ("  cache_hit_rate_pct: {kind: lookup}", '  "a b": {kind: lookup}'),
        ("  database_schema:", '  "a;b":'),
        ("    database_integrity:", '    "a\\\\nb":'),
        ("  production:", '  "p r":'),
        ("table: provider_states}", 'table: "provider_states; DROP TABLE x"}'),
        ("column: sport,", 'column: "sport) OR (1=1",'),
    ],
)
def test_a_name_of_the_runners_own_is_a_word(project, old, new):
    project.edit("config/rollout.yaml", old, new)

    refused = project.run("validate")

    assert 3 == refused.exit_code
    assert "fix: " in refused.stdout
    assert all(line.isprintable() for line in refused.stdout.splitlines())


def test_what_stands_in_the_database_is_shown_escaped(project):
    project.run("apply", "--target-stage", "partial_active")
    project.write("UPDATE provider_states SET last_error = char(27) || '[2J', status = 'ERROR' WHERE sport = 'NFL'")
    project.write("UPDATE portfolio_rationales SET data_json = json_quote(char(27) || ']0;x' || char(7) || char(155))")
    outputs = [
        project.run(*command.split()).stdout for command in ("verify caches", "verify providers", "plan", "status")
    ]
    back = project.run("apply", "--target-stage", "disabled")
    outputs += [back.stdout, back.stderr, project.run("history").stdout]

    assert 9 == back.exit_code
    assert all(line.isprintable() for text in outputs for line in text.splitlines())


def test_what_stands_in_a_migration_is_shown_escaped(project):
    file = project.folder / "sql/sqlite/0004_more.sql"
    file.write_text('-- migrate:up\nINSERT INTO "no\x1b[2J\u009b\u202esuch" VALUES (1);\n')

    failed = project.run("apply", "--target-stage", "disabled", "--log-file", "rollout.log")

    assert 1 == failed.exit_code
    assert r"no such table: no\x1b[2J\x9b\u202esuch" in failed.stdout
    assert r"no such table: no\u001b[2J\u009b\u202esuch" in failed.stderr
    log = (project.folder / "rollout.log").read_text()
    assert all(line.isprintable() for text in (failed.stdout, failed.stderr, log) for line in text.splitlines())
