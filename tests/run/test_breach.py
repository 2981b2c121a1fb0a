"""Breaches: every one is found, told with its figures, taken back and compared."""

import json
import time

import pytest

SWITCH = "UPDATE provider_states SET status = ? WHERE provider_name = 'draftkings' AND sport = 'NFL'"


def test_a_hit_rate_below_its_limit_rolls_back_dark_mode(project):
    project.edit("config/rollout.yaml", r"min: 70", "min: 80")

    result = project.run("apply")

    assert 8 == result.exit_code
    assert "cache_hit_rate_pct is 74, at least 80 is wanted (last of 50 samples)" in result.stdout
    assert "rolled back to disabled" in result.stdout
    assert (4, 28) == project.on()
    assert [("undone",)] == project.rows("SELECT state FROM runner_stages")


@pytest.fixture
def in_shadow(project):
    project.run("apply", "--target-stage", "shadow_mode")
    return project, project.tables()


def test_a_provider_that_fails_from_a_stage_on_is_rolled_back_to_the_stage_before(in_shadow):
    project, before = in_shadow

    result = project.run("apply", RUNNER_STAND_IN_FAULTS="draftkings:fail@partial_active")

    assert 8 == result.exit_code
    assert "at most 5 is wanted" in result.stdout
    assert "draftkings: HTTP 503" in result.stdout
    assert {"draftkings"} == {event["provider"] for event in result.told("probe.failed")}
    assert {"HTTP 503"} == {event["cause"] for event in result.told("probe.failed")}
    assert before == project.tables()
    assert "shadow_mode" == json.loads(project.run("status", "--json").stdout)["stage"]


def test_one_slow_provider_cannot_hide_behind_fast_ones(in_shadow):
    project, before = in_shadow

    result = project.run("apply", RUNNER_STAND_IN_FAULTS="draftkings:slow=1500ms")

    assert 8 == result.exit_code
    assert "response_time_ms of draftkings is 15" in result.stdout
    assert before == project.tables()


def test_a_provider_that_hangs_costs_one_timeout_and_no_more(in_shadow):
    project, before = in_shadow
    project.edit("config/rollout.yaml", "rollback:", "probe: {timeout: 2s}\nrollback:")
    start = time.monotonic()

    result = project.run("apply", RUNNER_STAND_IN_FAULTS="draftkings:hang")

    assert 8 == result.exit_code
    assert "draftkings: no answer within 2 s" in result.stdout
    assert before == project.tables()
    assert time.monotonic() - start < 2 * 2 + 6, "a stage of 1 s, one timeout, and room for a slow machine"


def test_a_provider_activated_before_the_breach_is_switched_off_again(project):
    project.run("apply", "--target-stage", "partial_active")
    before = project.tables()

    result = project.run("apply", RUNNER_STAND_IN_FAULTS="betmgm:fail@full_active")

    assert 8 == result.exit_code
    assert len(result.told("provider.activated")) >= 16
    assert before == project.tables()
    assert (8, 28) == project.on()


def test_a_breach_can_walk_back_all_the_way(project):
    project.edit("config/rollout.yaml", "on_breach: previous", "on_breach: disabled")
    project.run("apply", "--target-stage", "disabled")
    before = project.tables()

    result = project.run("apply", RUNNER_STAND_IN_FAULTS="*:fail@full_active")

    assert 8 == result.exit_code
    assert ["full_active", "partial_active", "shadow_mode", "dark_mode"] == [
        event["stage"] for event in result.told("stage.undone")
    ]
    assert before == project.tables()


def test_the_audit_trail_keeps_the_failed_stage(in_shadow):
    project, _ = in_shadow
    project.run("apply", RUNNER_STAND_IN_FAULTS="*:fail")
    first, second = json.loads(project.run("history", "--json").stdout).values()

    assert (["dark_mode", "shadow_mode"], [], "completed") == (
        first["completed_stages"],
        first["failed_stages"],
        first["rollout_status"],
    )
    assert ([], ["partial_active"], "shadow_mode", "rolled_back") == (
        second["completed_stages"],
        second["failed_stages"],
        second["final_stage"],
        second["rollout_status"],
    )


def test_a_number_that_never_comes_holds_the_stage_and_then_rolls_it_back(project):
    project.edit("config/rollout.yaml", r"\nthresholds:", "  backlog: {kind: sql, query: SELECT NULL}\n\nthresholds:")
    project.edit("config/rollout.yaml", r"\nstages:", "  backlog: {max: 10}\n\nstages:")

    result = project.run("apply")

    assert 8 == result.exit_code
    assert ["backlog was not measured, at most 10 is wanted"] == result.told("stage.held")[0]["waiting_for"]
    assert "dark_mode breached: backlog was not measured" in result.stdout
    assert 40 == len(result.told("tick.recorded")), "the deadline is twice the duration of 20 ticks"


def test_a_query_that_fails_is_told_with_its_cause(project):
    project.edit(
        "config/rollout.yaml", r"\nthresholds:", "  backlog: {kind: sql, query: SELECT 1 FROM jobs}\n\nthresholds:"
    )
    project.edit("config/rollout.yaml", r"\nstages:", "  backlog: {max: 10, on_error: rollback}\n\nstages:")

    result = project.run("apply")

    assert 8 == result.exit_code
    assert "backlog could not be measured: SQLite: no such table: jobs" in result.stdout
    assert 20 == len(result.told("tick.recorded")), "it is not waited for"


def test_a_value_that_somebody_else_changed_is_left_alone_and_needs_a_person(project):
    project.run("apply", "--target-stage", "partial_active")
    project.write(
        "UPDATE provider_states SET status = 'MAINTENANCE' WHERE provider_name = 'draftkings' AND sport = 'NFL'"
    )

    stuck = project.run("apply", "--target-stage", "disabled")

    assert 9 == stuck.exit_code
    assert (
        "provider_states draftkings/NFL: status is 'MAINTENANCE', was 'INACTIVE', and the stage had written 'ACTIVE'"
        in stuck.stdout
    )
    assert [("MAINTENANCE",)] == project.rows(
        "SELECT status FROM provider_states WHERE provider_name = 'draftkings' AND sport = 'NFL'"
    )
    assert "stuck" in project.run("status").stdout

    project.write(SWITCH, "INACTIVE")
    again = project.run("apply", "--target-stage", "disabled")

    assert 0 == again.exit_code
    assert (4, 28) == project.on()


def test_a_person_can_leave_a_stuck_rollback_as_it_is(project):
    project.run("apply", "--target-stage", "partial_active")
    project.write(
        "UPDATE provider_states SET status = 'MAINTENANCE' WHERE provider_name = 'draftkings' AND sport = 'NFL'"
    )
    project.run("apply", "--target-stage", "disabled")

    aborted = project.run("abort")

    assert 0 == aborted.exit_code
    assert "partial_active: not taken back" in aborted.stdout
    assert "aborted by a person, who left it as it was" in aborted.stdout
    assert "status is 'MAINTENANCE'" in project.run("history", "--json").stdout
    assert "disabled" == json.loads(project.run("status", "--json").stdout)["stage"]
    assert 0 == project.run("apply", "--target-stage", "dark_mode").exit_code


def test_what_others_changed_in_columns_that_no_stage_wrote_is_told_and_no_obstacle(project):
    project.run("apply", "--target-stage", "partial_active")
    project.write("UPDATE provider_states SET status = 'ERROR' WHERE provider_name = 'stub' AND sport = 'NFL'")

    result = project.run("apply", "--target-stage", "disabled")

    assert 0 == result.exit_code
    assert "provider_states stub/NFL: status is 'ERROR', was 'ACTIVE'" in result.stdout
    assert [("ERROR",)] == project.rows(
        "SELECT status FROM provider_states WHERE provider_name = 'stub' AND sport = 'NFL'"
    )


def test_a_conflict_in_one_row_does_not_keep_the_others_on(project):
    project.run("apply")
    project.write(SWITCH, "ERROR")

    stuck = project.run("apply", "--target-stage", "disabled")

    assert 9 == stuck.exit_code
    assert (4, 28) == project.on(), "only the four of stub are on"
    project.write(SWITCH, "INACTIVE")
    assert 0 == project.run("apply", "--target-stage", "disabled").exit_code
    assert (4, 28) == project.on()


def test_the_way_back_needs_no_migration_and_writes_no_seed(project):
    project.run("apply", "--target-stage", "partial_active")
    (project.folder / "sql/sqlite/0004_bad.sql").write_text("-- migrate:up\nCREATE TABEL x;\n")
    project.write("UPDATE portfolio_rationales SET confidence = 0.5 WHERE cache_key = 'correlation:MLB:hits'")

    result = project.run("apply", "--target-stage", "disabled")

    assert 0 == result.exit_code
    assert (4, 28) == project.on()
    assert [(0.5,)] == project.rows(
        "SELECT confidence FROM portfolio_rationales WHERE cache_key = 'correlation:MLB:hits'"
    )


ALONE = "UPDATE provider_states SET status = ? WHERE provider_name = 'betmgm' AND sport = 'MLB'"


@pytest.mark.parametrize("right", ["INACTIVE", "ACTIVE"])
def test_a_person_resolves_a_conflict_by_either_value_and_the_way_back_goes_on(project, right):
    project.run("apply", "--target-stage", "disabled")
    before = project.tables()
    project.run("apply")
    project.write(ALONE, "MAINTENANCE")
    stuck = project.run("apply", "--target-stage", "disabled")
    project.write(ALONE, right)

    again = project.run("apply")

    assert (9, 0) == (stuck.exit_code, again.exit_code)
    assert "others changed 1 value that it had to take back" in stuck.stdout
    assert before == project.tables()


def test_a_cache_entry_may_be_set_to_what_it_was_before_an_older_stage(project):
    project.run("apply", "--target-stage", "shadow_mode")
    [(seeded,)] = project.rows("SELECT expires_at FROM portfolio_rationales WHERE cache_key = 'player:lebron_james'")
    project.run("apply")
    change = "UPDATE portfolio_rationales SET expires_at = ? WHERE cache_key = 'player:lebron_james'"
    project.write(change, "2031-01-01 00:00:00")
    assert 9 == project.run("apply", "--target-stage", "disabled").exit_code

    project.write(change, seeded)

    assert 0 == project.run("apply").exit_code


def test_an_active_stage_may_do_nothing_but_refresh(project):
    project.edit(
        "config/rollout.yaml",
        r"    activate: \{priority: high\}\n    refresh: \{expiring_within: 1h\}",
        "    refresh: all",
    )

    result = project.run("apply", "--target-stage", "partial_active")

    assert 0 == result.exit_code, result.stdout
    assert (4, 28) == project.on()


def test_props_are_counted_again_after_an_abandoned_rollback(project):
    project.run("apply")
    project.write(ALONE, "MAINTENANCE")
    project.run("apply", "--target-stage", "disabled")
    project.run("abort")
    project.write(ALONE, "INACTIVE")
    project.run("apply")

    assert [(1,)] == project.rows("SELECT min(unique_props_seen = last_prop_count) FROM provider_states")
