"""The main job: the bundled rollout from nothing to full_active, every number measured."""

import json
import stat


def test_the_bundled_rollout_reaches_full_active(finished):
    project, result = finished

    assert result.exit_code == 0
    assert "at full_active after" in result.stdout
    assert project.on() == (28, 28)
    assert project.rows("SELECT count(*) FROM portfolio_rationales WHERE expires_at > CURRENT_TIMESTAMP") == [(25,)]


def test_three_migrations_and_all_seeds_are_written_once(finished):
    _, result = finished

    assert ["0001", "0002", "0003"] == [event["version"] for event in result.told("migration.applied")]
    assert [("providers", 28), ("caches", 25)] == [(e["step"], e["added"]) for e in result.told("seed.applied")]


def test_dark_mode_measures_twelve_providers_and_replays_fifty_look_ups(finished):
    project, result = finished
    [passed] = [event for event in result.told("stage.passed") if event["stage"] == "dark_mode"]
    replays = project.rows(
        "SELECT values_json, observations FROM runner_samples"
        " WHERE stage_id = 1 AND metric = 'cache_hit_rate_pct' ORDER BY tick"
    )
    requests = project.rows(
        "SELECT sum(observations) FROM runner_samples WHERE stage_id = 1 AND metric = 'response_time_ms'"
    )

    assert 12 == result.told("stage.entered")[0]["targets"]
    assert [("[74.0]", 50)] * 20 == replays
    assert [(12 * 20,)] == requests
    assert (0.0, 74.0) == (passed["errors"], passed["cache_hit_rate_pct"])
    assert all(0 < passed[f"response_time_ms.{name}"] < 1000 for name in ("stub", "draftkings", "fanduel"))


def test_shadow_mode_tries_its_writes_and_changes_no_row(finished):
    _, result = finished
    [rolled_back] = result.told("shadow.rolled_back")
    rows = result.told("row.shadowed")

    assert (8, 6) == (rolled_back["updates"], rolled_back["refreshes"])
    assert rolled_back["before"] == rolled_back["after"]
    assert {"draftkings", "fanduel"} == {
        event["key"].split("/")[0] for event in rows if event["table"] == "provider_states"
    }
    assert all(
        ("INACTIVE", "ACTIVE") == (event["before"]["status"], event["after"]["status"])
        for event in rows
        if event["table"] == "provider_states"
    )
    assert all(
        event["before"]["expires_at"] < event["after"]["expires_at"]
        for event in rows
        if event["table"] == "portfolio_rationales"
    )


def test_each_active_stage_switches_on_what_it_selects(finished):
    project, _ = finished
    active = {
        stage: json.loads(summary)
        for stage, summary in project.rows("SELECT stage, summary_json FROM runner_stages WHERE mode = 'active'")
    }

    assert (8, 6) == (active["partial_active"]["active"], active["partial_active"]["refreshed"])
    assert (28, 25) == (active["full_active"]["active"], active["full_active"]["refreshed"])


def test_the_live_columns_are_what_the_probes_saw(finished):
    project, _ = finished
    seen = project.rows(
        "SELECT provider_name, total_requests, successful_requests, failed_requests, consecutive_errors, last_error,"
        " average_response_time_ms > 0, total_props_fetched = total_requests * last_prop_count,"
        " unique_props_seen = last_prop_count, last_fetch_attempt = last_successful_fetch FROM provider_states"
    )

    for name, *figures in seen:
        requests = 60 if name in {"stub", "draftkings"} else 20
        assert [requests, requests, 0, 0, None, 1, 1, 1, 1] == figures, name


def test_every_line_on_stderr_is_an_event_and_stdout_has_none(finished):
    _, result = finished
    of_stages = [
        event
        for event in result.events
        if event["event"].split(".")[0] in {"stage", "tick", "row", "shadow", "provider"}
    ]

    assert all({"event", "level", "timestamp"} <= event.keys() for event in result.events)
    assert len(of_stages) > 100
    assert all(event["stage"] for event in of_stages)
    assert "{" not in result.stdout


def test_a_second_apply_changes_nothing_and_says_so(finished):
    project, _ = finished
    before = project.tables(), project.database.read_bytes()

    again = project.run("apply")

    assert (0, "") == (again.exit_code, again.stderr)
    assert "nothing to do" in again.stdout
    assert before == (project.tables(), project.database.read_bytes())


def test_the_database_is_its_owners_only(finished):
    project, _ = finished

    assert 0o600 == stat.S_IMODE(project.database.stat().st_mode)


def test_status_and_history_speak_of_the_run(finished):
    project, _ = finished
    status = json.loads(project.run("status", "--json").stdout)
    [(name, line)] = json.loads(project.run("history", "--json").stdout).items()
    stages = ["dark_mode", "shadow_mode", "partial_active", "full_active"]

    assert ("full_active", 3, None) == (status["stage"], status["migrations_applied"], status["holder"])
    assert {"declared": 28, "active": 28, "enabled": 28} == status["providers"]
    assert name.startswith("rollout_")
    assert {
        "target_stage": "full_active",
        "completed_stages": stages,
        "failed_stages": [],
        "final_stage": "full_active",
        "rollout_status": "completed",
    }.items() <= line.items()
    assert {"verdict": "pass", "passed": 18, "missed": []}.items() <= status["run"]["exit_criteria"].items()
    assert status["run"]["exit_criteria"] == line["exit_criteria"]
    for command in ("status", "history"):
        said = project.run(command).stdout
        assert "full_active" in said
        assert "completed" in said
        assert "18 of 18 passed" in said


def test_the_result_can_be_had_as_json(project):
    result = project.run("apply", "--target-stage", "dark_mode", "--json")
    found = json.loads(result.stdout)

    assert (1, "completed", "dark_mode") == (found["version"], found["state"], found["final_stage"])
    assert {"add": 28, "change": 0, "warm": 0, "leave": 0, "undeclared": 0} == found["seeds"]["providers"]
    assert ["dark_mode"] == [stage["stage"] for stage in found["stages"]]
    assert "unchanged" == json.loads(project.run("apply", "--target-stage", "dark_mode", "--json").stdout)["state"]


def test_expired_entries_are_warmed_again_and_it_says_so(project):
    project.run("apply", "--target-stage", "disabled")
    project.write("UPDATE portfolio_rationales SET expires_at = '2020-01-01 00:00:00' WHERE cache_type = 'player'")

    result = project.run("apply", "--target-stage", "disabled")

    assert "6 entries warmed again after they had expired" in result.stdout
    assert [6] == [event["rows"] for event in result.told("cache.warmed")]
    assert [(25,)] == project.rows("SELECT count(*) FROM portfolio_rationales WHERE expires_at > CURRENT_TIMESTAMP")
