"""What goes on around a run: listeners that go away, a busy application, operators, stages that are edited."""

import json
import sqlite3
import subprocess
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
