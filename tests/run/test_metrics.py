"""Metrics that the bundled rollout does not have, in a whole run."""

import re

import pytest


def declare(project, metric, threshold):
    project.edit("config/rollout.yaml", "\nmetrics:\n", f"\nmetrics:\n  {metric}\n")
    project.edit(
        "config/rollout.yaml", "stage may set its own\n  errors: ", f"stage may set its own\n  {threshold}\n  errors: "
    )


HEARTBEAT = 'heartbeat: {{kind: sql, query: "SELECT 1, {at}", max_age: 5m}}'


def test_a_stale_number_rolls_back_and_says_how_old_it_is(project):
    declare(project, HEARTBEAT.format(at="'2020-01-01 00:00:00'"), "heartbeat: {min: 1, on_no_data: rollback}")

    result = project.run("apply", "--target-stage", "dark_mode")

    assert 8 == result.exit_code
    [breached] = result.told("stage.breached")
    assert breached["cause"].startswith("heartbeat was not measured (the newest number is of ")
    assert breached["cause"].endswith(" s ago, max_age is 300 s), at least 1 is wanted")


def test_a_stale_number_holds_until_the_deadline_where_nothing_else_is_declared(project):
    declare(project, HEARTBEAT.format(at="'2020-01-01 00:00:00'"), "heartbeat: {min: 1}")

    result = project.run("apply", "--target-stage", "dark_mode")

    assert 8 == result.exit_code
    assert 1 == len(result.told("stage.held"))
    assert 40 == len(result.told("tick.recorded"))
    assert [] == result.told("metric.failed")


@pytest.mark.parametrize("at", ["datetime('now')", "strftime('%s', 'now') + 0"])
def test_a_fresh_number_passes(project, at):
    declare(project, HEARTBEAT.format(at=at), "heartbeat: {min: 1}")

    assert 0 == project.run("apply", "--target-stage", "dark_mode").exit_code


def test_a_rate_of_failed_requests_rolls_back_and_says_whose_they_are(project):
    declare(project, "error_rate_pct: {kind: probe, reading: error_rate}", "error_rate_pct: {max: 1, min_samples: 12}")
    project.edit("config/rollout.yaml", "{max: 5}", "{max: 5000}")

    result = project.run("apply", "--target-stage", "dark_mode", RUNNER_STAND_IN_FAULTS="stub:fail")

    assert 8 == result.exit_code
    said = r"error_rate_pct is [\d.]+, at most 1 is wanted \(mean of \d+ samples\): stub: HTTP 503 \(\d+ times\)"
    assert re.fullmatch(said, result.told("stage.breached")[0]["cause"])
