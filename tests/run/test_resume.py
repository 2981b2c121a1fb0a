"""Stop it, kill it, change its mind: the same command goes on from what is stored."""

import json
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise

import pytest


def wait_for(process, name):
    """Read events until one called *name* comes; return all that were read."""
    seen = []
    for line in process.stderr:
        seen.append(json.loads(line))
        if seen[-1]["event"] == name:
            return seen
    raise AssertionError(f"no {name} in {[event['event'] for event in seen]}")


def figures(project):
    """What two runs of the same rollout have in common, whatever happened on the way."""
    return {
        "stages": project.rows("SELECT stage, state, ticks FROM runner_stages ORDER BY id"),
        "migrations": project.rows("SELECT version, checksum, state FROM runner_migrations ORDER BY version"),
        "providers": project.rows(
            "SELECT provider_name, sport, status, is_enabled, total_requests, failed_requests, unique_props_seen"
            " FROM provider_states ORDER BY 1, 2"
        ),
        "caches": project.rows("SELECT cache_key, data_hash FROM portfolio_rationales ORDER BY 1"),
    }


def test_a_later_apply_goes_on_where_the_target_stage_was(project, finished):
    assert 0 == project.run("apply", "--target-stage", "shadow_mode").exit_code

    second = project.run("apply")

    assert ["partial_active", "full_active"] == [event["stage"] for event in second.told("stage.entered")]
    assert ["shadow_mode", "full_active"] == [
        line["final_stage"] for line in json.loads(project.run("history", "--json").stdout).values()
    ]
    assert figures(finished[0])["providers"] == figures(project)["providers"]


def test_a_target_behind_walks_back_and_compares(project):
    project.run("apply", "--target-stage", "disabled")
    before = project.tables()
    project.run("apply")

    result = project.run("apply", "--target-stage", "disabled")

    assert 0 == result.exit_code
    assert "at disabled" in result.stdout
    assert all(event["verified"] for event in result.told("stage.undone"))
    assert before == project.tables()


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_it_at_a_safe_point_and_the_same_command_goes_on(project, finished, number, exit_code):
    process = project.start("apply")
    wait_for(process, "provider.activated")
    process.send_signal(number)
    stdout, _ = process.communicate(timeout=20)

    assert exit_code == process.returncode
    assert "run the same command again" in stdout
    assert json.loads(project.run("status", "--json").stdout)["holder"] is None
    assert 0 == project.run("apply").exit_code
    assert figures(finished[0]) == figures(project)


@pytest.mark.parametrize("event", ["migration.applied", "seed.applied", "shadow.rolled_back", "provider.activated"])
def test_a_killed_run_ends_as_one_that_was_never_killed(project, finished, event):
    process = project.start("apply")
    wait_for(process, event)
    process.kill()
    process.communicate()

    result = project.run("apply")

    assert 0 == result.exit_code
    assert [1] == [len(result.told("run.resumed"))]
    assert figures(finished[0]) == figures(project)


def test_a_killed_walk_back_goes_on_backwards(project):
    project.run("apply", "--target-stage", "disabled")
    before = project.tables()
    project.run("apply")
    process = project.start("apply", "--target-stage", "disabled")
    wait_for(process, "stage.undone")
    process.kill()
    process.communicate()

    assert 0 == project.run("apply", "--target-stage", "disabled").exit_code
    assert before == project.tables()


def test_a_second_runner_is_told_who_works_here(project):
    project.edit("config/rollout.yaml", "speed: 1200", "speed: 120")
    process = project.start("apply")
    wait_for(process, "stage.entered")

    second = project.run("apply")
    status = project.run("status")
    process.kill()
    process.communicate()

    assert 6 == second.exit_code
    assert f"another runner works on this database: process {process.pid} on" in second.stdout
    assert f"held by process {process.pid}" in status.stdout
    assert ["run.refused"] == [event["event"] for event in second.events]


def test_of_several_runners_at_once_one_works(project):
    processes = [project.start("apply", "--target-stage", "dark_mode") for _ in range(6)]
    codes = sorted((process.communicate()[0], process.returncode)[1] for process in processes)

    assert 0 == codes[0]
    assert set(codes) <= {0, 6}, "a latecomer may find that there is nothing to do"
    assert [(1,)] == project.rows("SELECT count(*) FROM runner_stages WHERE state = 'passed'")


def test_an_unfinished_run_refuses_another_config_and_shows_what_is_different(project):
    process = project.start("apply")
    wait_for(process, "stage.entered")
    process.kill()
    process.communicate()
    project.edit("config/rollout.yaml", "max: 1000", "max: 900")

    refused = project.run("apply")

    assert 7 == refused.exit_code
    assert "rollout.thresholds.response_time_ms.max: 1000 -> 900" in refused.stdout
    assert 0 == project.run("apply", "--accept-changes", "--target-stage", "dark_mode").exit_code


def test_an_aborted_run_is_taken_back_to_the_stage_before(project):
    project.run("apply", "--target-stage", "shadow_mode")
    before = project.tables()
    process = project.start("apply")
    wait_for(process, "provider.activated")
    process.kill()
    process.communicate()

    aborted = project.run("abort")

    assert 0 == aborted.exit_code
    assert before == project.tables()
    assert "aborted" == list(json.loads(project.run("history", "--json").stdout).values())[-1]["rollout_status"]
    assert "nothing to" in project.run("abort").stdout


def test_a_provider_with_an_address_is_asked_itself(project):
    asked = []

    class Provider(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(b'{"props": [{"id": "a"}, {"id": "b"}]}')

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}/odds?sport={{sport}}"

    result = project.run("apply", "--target-stage", "dark_mode", DRAFTKINGS_URL=address)
    server.shutdown()
    server.server_close()

    assert 0 == result.exit_code
    assert {f"/odds?sport={sport}" for sport in ("MLB", "NBA", "NFL", "NHL")} == set(asked)
    assert 80 == len(asked)


def test_ticks_keep_their_schedule_while_a_provider_is_slow(project):
    project.edit("config/rollout.yaml", "speed: 1200", "speed: 300")
    result = project.run("apply", "--target-stage", "dark_mode", RUNNER_STAND_IN_FAULTS="fanduel:slow=700ms")
    ticks = project.rows("SELECT min(at) FROM runner_samples WHERE metric = 'cache_hit_rate_pct' GROUP BY tick")
    seconds = [float(at[17:23]) % 60 for (at,) in ticks]
    steps = [(later - earlier) % 60 for earlier, later in pairwise(seconds)]

    assert 0 == result.exit_code
    assert 20 == len(ticks)
    assert sum(steps[:-1]) < 18 * 0.1 + 0.5, "a tick comes every 0.1 s; waiting for each answer would take 0.7 s"


def test_it_runs_from_the_module_too():
    done = subprocess.run([sys.executable, "-m", "runner", "--version"], capture_output=True, text=True, check=True)

    assert done.stdout.startswith("runner, version ")


def test_a_second_runner_need_not_wait_for_the_first_ones_long_transaction(project):
    (project.folder / "sql/sqlite/0004_long.sql").write_text(
        "-- migrate:up\nCREATE TABLE sums AS WITH RECURSIVE c (n) AS"
        " (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 1000000000) SELECT sum(n) AS total FROM c;\n"
    )
    with project.start("apply") as process:
        for _ in range(3):
            wait_for(process, "migration.applied")

        second = project.run("apply")
        process.kill()

    assert 6 == second.exit_code
    assert f"process {process.pid} on" in second.stdout
