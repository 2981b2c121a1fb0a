"""Snapshots and the way back to them, as people use them."""

import json
import os
import pty
import re
import shutil
import signal
import sqlite3
import stat
import subprocess
import time
from contextlib import closing

import pytest
from conftest import make_project

MIGRATION = """-- migrate:up
CREATE TABLE extras (id INTEGER PRIMARY KEY, note TEXT);
INSERT INTO extras VALUES (1, 'made by a migration');
ALTER TABLE sports ADD COLUMN region TEXT;
CREATE INDEX ix_region ON sports (region);
-- migrate:down
DROP INDEX ix_region;
ALTER TABLE sports DROP COLUMN region;
DROP TABLE extras;
"""


def folder(project):
    return project.folder / "rollout.db.runner" / "snapshots"


def listed(project):
    return json.loads(project.run("snapshot", "--list", "--json").stdout)["snapshots"]


def take(project):
    result = project.run("snapshot", "--json")
    assert 0 == result.exit_code
    return json.loads(result.stdout)["snapshot"]


def state(project):
    """Everything that a restore brings back: the application's tables with their form, and the ledger's state."""
    form = project.rows(
        "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'runner!_%' ESCAPE '!' ORDER BY 1, 2"
    )
    stages = project.rows(
        "SELECT id, stage, state, ticks, digest, summary_json, breach FROM runner_stages"
        " WHERE state IN ('entered', 'passed') ORDER BY id"
    )
    ledger = [
        project.rows(f"SELECT * FROM {table} ORDER BY 1, 2, 3")
        for table in ("runner_migrations", "runner_seeds", "runner_changes", "runner_props", "runner_made_rows")
    ]
    return project.tables(), form, stages, ledger


def stands_at(project):
    return json.loads(project.run("status", "--json").stdout)["stage"]


@pytest.fixture(scope="session")
def in_the_middle(tmp_path_factory):
    """The bundled rollout at shadow_mode, with a snapshot that a person took. Nobody writes to it."""
    project = make_project(tmp_path_factory.mktemp("middle"))
    assert 0 == project.run("apply", "--target-stage", "shadow_mode").exit_code
    return project, take(project)["id"]


@pytest.fixture
def at_shadow(in_the_middle, tmp_path):
    """A copy of that project, and the id of its snapshot."""
    project, snapshot_id = in_the_middle
    shutil.copytree(project.folder, tmp_path / "project")
    return type(project)(tmp_path / "project"), snapshot_id


def test_a_restore_brings_back_tables_form_and_stage_and_apply_goes_on_from_there(at_shadow):
    project, snapshot_id = at_shadow
    before = state(project)
    (project.folder / "sql/sqlite/0004_extras.sql").write_text(MIGRATION)
    assert 0 == project.run("apply").exit_code
    assert before != state(project)

    restored = project.run("restore", snapshot_id, "--yes")

    assert 0 == restored.exit_code
    assert before == state(project)
    assert "shadow_mode" == stands_at(project)
    assert ["restored, every row compared; at shadow_mode"] == re.findall("restored, .* at [a-z_]+", restored.stdout)
    assert "0004_extras will count as not applied" in restored.stdout
    assert "extras: made since; dropped with 1 row\n" in restored.stdout
    [event] = restored.told("snapshot.restored")
    assert (snapshot_id, "shadow_mode") == (event["id"], event["final_stage"])

    again = project.run("apply")
    assert 0 == again.exit_code
    assert ["0004"] == [event["version"] for event in again.told("migration.applied")]
    assert ["partial_active", "full_active"] == [event["stage"] for event in again.told("stage.entered")]
    assert 0 == project.run("apply", "--target-stage", "disabled").exit_code


def test_history_is_kept_for_ever_and_a_restore_is_a_run_of_it(at_shadow):
    project, snapshot_id = at_shadow
    project.run("apply")
    samples = project.rows("SELECT * FROM runner_samples ORDER BY number")

    project.run("restore", snapshot_id, "--yes")

    last = project.rows("SELECT state, level, message, final_stage FROM runner_runs ORDER BY number DESC LIMIT 1")
    assert [("completed", "restore", f"restored snapshot {snapshot_id}", "shadow_mode")] == last
    assert 3 == len(project.rows("SELECT * FROM runner_runs"))
    assert samples == project.rows("SELECT * FROM runner_samples ORDER BY number")
    assert [("partial_active", "abandoned", 1), ("full_active", "abandoned", 1)] == project.rows(
        "SELECT stage, state, undone_by = (SELECT id FROM runner_runs ORDER BY number DESC LIMIT 1)"
        " FROM runner_stages WHERE id > 2"
    )


def test_a_restore_can_be_undone_by_a_restore(at_shadow):
    project, snapshot_id = at_shadow
    project.run("apply")
    after = state(project)

    first = json.loads(project.run("restore", snapshot_id, "--yes", "--json").stdout)
    second = project.run("restore", first["taken_before"], "--yes")

    assert 0 == second.exit_code
    assert after == state(project)
    assert "full_active" == stands_at(project)
    assert "nothing to do" in project.run("apply").stdout


def test_what_would_be_lost_is_said_before_and_nothing_done_unless_it_is_meant(at_shadow):
    project, snapshot_id = at_shadow
    project.write("UPDATE provider_states SET timeout_seconds = 77 WHERE provider_name = 'stub' AND sport = 'NBA'")
    project.write("INSERT INTO sports VALUES ('CRICKET')")
    before = state(project)

    dry = project.run("restore", snapshot_id, "--dry-run")
    refused = project.run("restore", snapshot_id)
    as_json = project.run("restore", snapshot_id, "--json")

    assert 0 == dry.exit_code
    assert "what was done since would be lost:" in dry.stdout
    assert "provider_states: 1 row changed (stub/NBA)" in dry.stdout
    assert "sports: 1 row added (CRICKET)" in dry.stdout
    assert 64 == refused.exit_code
    assert dry.stdout == refused.stdout
    assert "say --yes; nothing was changed" in refused.stderr
    assert 64 == as_json.exit_code
    assert {"provider_states", "sports"} == {loss["table"] for loss in json.loads(as_json.stdout)["tables"]}
    assert before == state(project)
    assert 1 == len(listed(project))


@pytest.mark.parametrize(("answer", "exit_code", "rows"), [(b"n\n", 1, 5), (b"y\n", 0, 4)])
def test_a_person_is_asked(at_shadow, answer, exit_code, rows):
    project, snapshot_id = at_shadow
    project.write("INSERT INTO sports VALUES ('CRICKET')")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        project.command("restore", snapshot_id),
        cwd=project.folder,
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    os.close(theirs)
    os.write(ours, answer)
    stdout, stderr = process.communicate(timeout=60)
    os.close(ours)

    assert exit_code == process.returncode
    assert b"sports: 1 row added (CRICKET)" in stdout
    assert b"bring it back? [y/N]" in stderr
    assert [(rows,)] == project.rows("SELECT count(*) FROM sports")


def test_one_is_taken_before_the_first_write_of_a_new_run_and_none_where_nothing_is_done(project):
    first = project.run("apply", "--target-stage", "dark_mode")
    assert [] == first.told("snapshot.taken"), "there was nothing yet"
    before = state(project)

    second = project.run("apply", "--target-stage", "shadow_mode")
    names = [event["event"] for event in second.events]
    assert names.index("snapshot.taken") < names.index("run.started")
    [taken] = second.told("snapshot.taken")
    assert "before a run" == taken["reason"]

    third = project.run("apply", "--target-stage", "shadow_mode")
    assert [] == third.events
    assert 0 == project.run("restore", taken["id"], "--yes").exit_code
    assert before == state(project)


def test_an_application_that_was_there_first_gets_back_what_it_had(project):
    with closing(sqlite3.connect(project.database)) as connection:
        connection.executescript(
            "CREATE TABLE sports (code TEXT PRIMARY KEY, fans INT); INSERT INTO sports VALUES ('CRICKET', 2);"
            "CREATE TABLE bets (sport TEXT REFERENCES sports (code)); INSERT INTO bets VALUES ('CRICKET');"
        )
    before = project.tables()
    [taken] = project.run("apply", "--target-stage", "dark_mode").told("snapshot.taken")
    project.write("INSERT INTO bets VALUES ('CRICKET')")

    restored = project.run("restore", taken["id"], "--yes")

    assert 0 == restored.exit_code
    assert "portfolio_rationales: made since; dropped with 25 rows" in restored.stdout
    assert {**before, "bets": [("CRICKET",), ("CRICKET",)]} == project.tables()
    assert "disabled" == stands_at(project)
    assert 0 == project.run("apply", "--target-stage", "dark_mode").exit_code


def test_a_run_that_goes_on_takes_no_second_one(project):
    project.run("apply", "--target-stage", "disabled")
    process = project.start("apply")
    for line in process.stderr:
        if json.loads(line)["event"] == "stage.entered":
            break
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    count = len(listed(project))

    goes_on = project.run("apply", "--target-stage", "dark_mode")

    assert 1 == count
    assert 0 == goes_on.exit_code
    assert goes_on.told("run.resumed")
    assert [] == goes_on.told("snapshot.taken")


def test_a_snapshot_in_the_middle_of_a_stage_brings_the_stage_back_as_it_was(project):
    project.edit("config/rollout.yaml", "speed: 1200", "speed: 300")
    process = project.start("apply", "--target-stage", "partial_active")
    snapshot = None
    for line in process.stderr:
        event = json.loads(line)
        if event["event"] == "tick.recorded" and event["stage"] == "partial_active" and event["tick"] == 3:
            snapshot = take(project)
            break
    process.communicate(timeout=120)
    assert 0 == process.returncode
    assert "shadow_mode" == snapshot["stage"]

    assert 0 == project.run("restore", snapshot["id"], "--yes").exit_code

    [(ticks,)] = project.rows("SELECT ticks FROM runner_stages WHERE stage = 'partial_active' AND state = 'entered'")
    assert 3 <= ticks < 40
    assert [] == project.rows("SELECT 1 FROM runner_samples WHERE stage_id = 3 AND tick >= ?", ticks)
    goes_on = project.run("apply", "--target-stage", "partial_active")
    assert 0 == goes_on.exit_code
    assert [("partial_active", "passed", 40)] == project.rows(
        "SELECT stage, state, ticks FROM runner_stages WHERE id = 3"
    )
    assert 40 - ticks == len(goes_on.told("tick.recorded"))


def test_an_unfinished_run_is_ended_by_a_restore(at_shadow):
    project, snapshot_id = at_shadow
    before = state(project)
    process = project.start("apply")
    for line in process.stderr:
        if json.loads(line)["event"] == "provider.activated":
            break
    process.kill()
    process.communicate(timeout=60)

    restored = project.run("restore", snapshot_id, "--yes")

    assert 0 == restored.exit_code
    assert before == state(project)
    assert [("aborted", f"ended by restoring snapshot {snapshot_id}")] == project.rows(
        "SELECT state, message FROM runner_runs ORDER BY number DESC LIMIT 1 OFFSET 1"
    )
    assert 0 == project.run("apply").exit_code


def test_a_restore_brings_back_tables_that_a_rollback_dropped(finished, tmp_path):
    project = type(finished[0])(tmp_path / "project")
    shutil.copytree(finished[0].folder, project.folder)
    before = state(project)

    assert 0 == project.run("rollback", "--level", "emergency").exit_code
    assert {} == project.tables()
    snapshot_id = take(project)["id"]
    emptied = state(project)
    oldest = listed(project)[-1]
    assert "before rollback emergency" == oldest["reason"]

    assert 0 == project.run("restore", oldest["id"], "--yes").exit_code
    assert before == state(project)
    assert "nothing to do" in project.run("apply").stdout
    assert 0 == project.run("restore", snapshot_id, "--yes").exit_code
    assert emptied == state(project)


def test_another_runner_at_work_is_not_disturbed_and_keeps_a_restore_out(at_shadow):
    project, snapshot_id = at_shadow
    project.edit("config/rollout.yaml", "speed: 1200", "speed: 120")
    process = project.start("apply")
    for line in process.stderr:
        if json.loads(line)["event"] == "stage.entered":
            break

    taken = project.run("snapshot")
    refused = project.run("restore", snapshot_id, "--yes")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)

    assert 0 == taken.exit_code
    assert 6 == refused.exit_code
    assert 143 == process.returncode


def test_damaged_snapshots_are_refused_and_listed(at_shadow):
    project, snapshot_id = at_shadow
    other = take(project)["id"]
    path = folder(project) / f"{snapshot_id}.db"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    manifest = folder(project) / f"{other}.json"
    manifest.write_text(manifest.read_text().replace("shadow_mode", "full_active"))
    before = state(project)

    for each in (snapshot_id, other):
        refused = project.run("restore", each, "--yes")
        assert 7 == refused.exit_code
        assert f"snapshot {each} is damaged" in refused.stdout
        assert "fix: " in refused.stdout
    assert before == state(project)
    assert f"snapshot {other} is damaged" in project.run("snapshot", "--list").stdout


def test_a_snapshot_of_another_database_is_refused(at_shadow, project):
    theirs, snapshot_id = at_shadow
    project.run("apply", "--target-stage", "disabled")
    shutil.copytree(folder(theirs), folder(project))
    before = state(project)

    refused = project.run("restore", snapshot_id, "--yes")
    project.database.unlink()
    without = project.run("restore", snapshot_id, "--yes")

    assert 7 == refused.exit_code
    assert f"snapshot {snapshot_id} was taken of another database" in refused.stdout
    assert "(of another database: local)" in project.run("snapshot", "--list").stdout
    assert before
    assert 7 == without.exit_code
    assert "there is no database for snapshot" in without.stdout
    assert not project.database.exists()


def test_an_unknown_id_is_wrong_usage(at_shadow):
    project, _ = at_shadow

    for arguments in (
        ("restore", "20260101T000000Z-0000"),
        ("snapshot", "--remove", "../rollout"),
        ("snapshot", "--list", "--remove", "x"),
    ):
        assert 64 == project.run(*arguments).exit_code


def test_a_person_removes_what_a_person_took_and_the_policy_the_rest(project):
    project.edit("config/rollout.yaml", "rollback:", "snapshots: {keep: 2, folder: kept/here}\nrollback:")
    project.run("apply", "--target-stage", "disabled")
    by_hand = take(project)["id"]
    for stage in ("dark_mode", "disabled", "dark_mode"):
        result = project.run("apply", "--target-stage", stage)
        assert 0 == result.exit_code

    assert 1 == len(result.told("snapshot.pruned"))
    assert ["before a run", "before a run", "by hand"] == [each["reason"] for each in listed(project)]
    files = [path for path in (project.folder / "kept/here").iterdir() if path.name.startswith("2")]
    assert 6 == len(files)
    assert {0o600} == {stat.S_IMODE(path.stat().st_mode) for path in files}
    assert not folder(project).exists()

    assert 0 == project.run("snapshot", "--remove", by_hand).exit_code
    assert 2 == len(listed(project))


def test_none_is_taken_before_a_run_where_that_is_declared(project):
    project.edit("config/rollout.yaml", "rollback:", "snapshots: {before_run: false}\nrollback:")
    project.run("apply", "--target-stage", "disabled")

    result = project.run("apply", "--target-stage", "dark_mode")

    assert [] == result.told("snapshot.taken")
    assert not folder(project).exists()


def test_without_a_database_there_is_nothing_to_keep_and_none_is_made(project):
    result = project.run("snapshot")

    assert 0 == result.exit_code
    assert "there is no table yet to be kept" in result.stdout
    assert not project.database.exists()
    assert "no snapshot yet" in project.run("snapshot", "--list").stdout


def limited(project, *arguments, blocks=64):
    """Run a command that can write no file longer than so many KiB: to SQLite, the disk is full."""
    line = " ".join(project.command(*arguments))
    return subprocess.run(
        f"ulimit -f {blocks}; exec {line}",
        cwd=project.folder,
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("arguments", [("snapshot",), ("apply",), ("rollback", "--level", "emergency")])
def test_a_full_disk_stops_a_snapshot_before_anything_was_changed(at_shadow, arguments):
    project, _ = at_shadow
    before, files = state(project), sorted(path.name for path in folder(project).iterdir())

    failed = limited(project, *arguments)

    assert 1 == failed.returncode, failed.stdout + failed.stderr
    assert "fix: " in failed.stdout
    assert "Traceback" not in failed.stdout + failed.stderr
    assert before == state(project)
    assert files == sorted(path.name for path in folder(project).iterdir())
    assert [("completed",)] == project.rows("SELECT state FROM runner_runs")
    assert 0 == project.run(*arguments).exit_code


def fill(project, rows):
    with closing(sqlite3.connect(project.database)) as connection, connection:
        connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
            " INSERT INTO portfolio_rationales (cache_key, cache_type, rationale_type, data_json, data_hash)"
            " SELECT 'bet:' || i, 'bet', 'BET_SELECTION', json_object('x', hex(randomblob(400))), '' FROM n",
            [rows],
        )


def test_a_full_disk_in_the_middle_of_a_restore_changes_nothing(at_shadow):
    project, _ = at_shadow
    fill(project, 3000)
    snapshot_id = take(project)["id"]
    project.write("UPDATE portfolio_rationales SET data_json = '{}' WHERE rationale_type = 'BET_SELECTION'")
    before = state(project)
    # small enough to be kept before, and more to be written back than may be
    with closing(sqlite3.connect(project.database)) as connection:
        connection.execute("VACUUM")

    failed = limited(project, "restore", snapshot_id, "--yes", blocks=2048)

    assert 1 == failed.returncode, failed.stdout + failed.stderr
    assert f"before restore {snapshot_id}" == listed(project)[0]["reason"], "it failed before it began"
    assert before == state(project)
    assert 0 == project.run("restore", snapshot_id, "--yes").exit_code
    assert [(3000,)] == project.rows("SELECT count(*) FROM portfolio_rationales WHERE length(data_json) > 800")


def test_a_restore_that_is_killed_leaves_all_as_it_was_and_can_be_done_again(at_shadow):
    project, _ = at_shadow
    fill(project, 30_000)
    snapshot_id = take(project)["id"]
    target = state(project)
    project.write("DELETE FROM portfolio_rationales WHERE rationale_type = 'BET_SELECTION'")
    before = state(project)
    log = project.folder / "rollout.db-wal"
    killed = 0
    for size in (1, 4, 8):
        process = project.start("restore", snapshot_id, "--yes")
        while process.poll() is None:
            if log.exists() and log.stat().st_size > size * 1024 * 1024:
                process.kill()
                killed += 1
                break
            time.sleep(0.001)
        process.communicate(timeout=60)
        assert before == state(project)

    assert 3 == killed
    assert 0 == project.run("restore", snapshot_id, "--yes").exit_code
    assert target == state(project)


def test_a_snapshot_that_is_killed_is_no_snapshot_and_is_cleared_away(at_shadow):
    project, snapshot_id = at_shadow
    fill(project, 30_000)
    process = project.start("snapshot")
    while not [path for path in folder(project).glob("*.db") if path.stem != snapshot_id]:
        time.sleep(0.001)
    process.kill()
    process.communicate(timeout=60)

    assert [snapshot_id] == [each["id"] for each in listed(project)]
    assert 4 == len(list(folder(project).iterdir()))
    second = take(project)["id"]
    assert {snapshot_id, second, ""} == {path.name.partition(".")[0] for path in folder(project).iterdir()}


def test_secrets_are_in_no_manifest(project):
    secret = "s3cr3t-0dds"  # noqa: S105
    url = f"http://user:{secret}@127.0.0.1:1/{{sport}}?key={secret}"
    project.run("apply", "--target-stage", "disabled", DRAFTKINGS_URL=url)
    project.run("snapshot", DRAFTKINGS_URL=url)

    everything = b"".join(path.read_bytes() for path in folder(project).iterdir())

    assert everything
    assert secret.encode() not in everything
