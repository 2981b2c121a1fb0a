"""The exit criteria of the bundled rollout: all are met after a run, and each of them is broken once on purpose."""

import functools
import json
import re
import shutil
import signal
import sqlite3
import time
from collections import Counter

import pytest
from conftest import ROOT, Project

from runner.cli.door import connect
from runner.clock import WallClock
from runner.config.load import load
from runner.decide.criteria import judge
from runner.measure.criteria import look, sight

CATEGORIES = {
    "database_schema": 3,
    "provider_states": 5,
    "cache_population": 3,
    "system_health": 2,
    "model_imports": 3,
    "data_integrity": 2,
}
SCRIPTS = {
    "provider_states_table": """
        ALTER TABLE provider_states RENAME TO kept;
        CREATE VIEW provider_states AS SELECT * FROM kept;""",
    "rationales_table": """
        ALTER TABLE portfolio_rationales RENAME TO kept;
        CREATE VIEW portfolio_rationales AS SELECT * FROM kept;""",
    "database_integrity": """
        PRAGMA foreign_keys=OFF;
        DELETE FROM providers WHERE name = 'betmgm';""",
    "provider_rows": """
        DELETE FROM provider_states WHERE provider_name = 'theodds';
        DELETE FROM provider_states WHERE provider_name = 'betmgm' AND sport = 'NHL';""",
    "sports_covered": """
        DELETE FROM provider_states WHERE sport = 'NHL';
        INSERT INTO providers VALUES ('bet365');
        INSERT INTO provider_states (provider_name, sport, poll_interval_seconds, timeout_seconds, max_retries)
        SELECT 'bet365', code, 60, 30, 3 FROM sports WHERE code <> 'NHL';""",
    "main_providers_enabled": """
        UPDATE provider_states SET is_enabled = 0 WHERE provider_name = 'fanduel' AND sport = 'NBA';""",
    "providers_active": """
        UPDATE provider_states SET status = 'INACTIVE' WHERE provider_name <> 'stub' OR sport = 'MLB';""",
    "no_error_streaks": """
        UPDATE provider_states SET consecutive_errors = 4 WHERE provider_name = 'stub' AND sport = 'MLB';""",
    "cache_entries": """
        DELETE FROM portfolio_rationales WHERE cache_key LIKE 'correlation:MLB:%' OR cache_key = 'factor:nba_v2.1';""",
    "cache_types": "UPDATE portfolio_rationales SET rationale_type = 'CACHE_TEAM' WHERE cache_type = 'player';",
    "cache_not_expired": """
        UPDATE portfolio_rationales SET expires_at = datetime('now', '-1 second') WHERE cache_key LIKE 'player:l%';""",
    "class_fields": "ALTER TABLE portfolio_rationales ADD COLUMN colour TEXT;",
    "sports_valid": """
        INSERT INTO sports VALUES ('XFL');
        UPDATE provider_states SET sport = 'XFL' WHERE provider_name = 'betmgm' AND sport = 'NHL';""",
    "cache_json_valid": """
        PRAGMA writable_schema=ON;
        UPDATE sqlite_master SET sql = replace(sql, 'CHECK (json_valid(data_json))', '');
        PRAGMA writable_schema=RESET;
        UPDATE portfolio_rationales SET data_json = '{' WHERE cache_key = 'player:luka_doncic';""",
}
"""By criterion: what an application, or a person, might do to the database."""
EDITS = {
    "provider_class": ('rows:ProviderState"', 'rows:ProviderStates"'),
    "rationale_class": ('rows:PortfolioRationale"', 'rowes:PortfolioRationale"'),
}
"""By criterion: what may go wrong with the Python classes."""
WARNING = {
    "main_providers_enabled",
    "providers_active",
    "no_error_streaks",
    "cache_not_expired",
    "sports_valid",
    "cache_json_valid",
}


@pytest.fixture
def copy(finished, tmp_path, monkeypatch):
    """A copy of the finished rollout, to be spoilt."""
    shutil.copytree(finished[0].folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path)


def spoil(project, script):
    connection = sqlite3.connect(project.database)
    connection.execute("PRAGMA foreign_keys=ON")
    connection.executescript(script)
    connection.close()


def missed(project, meanwhile=lambda: None, **environ):
    """Evaluate every criterion, after *meanwhile* with the database open; return those that did not pass."""
    rollout = load(project.folder / "config/rollout.yaml", environ=environ)
    with sight(functools.partial(connect, rollout), WallClock()) as seen:
        meanwhile()
        judgements = [judge(criterion, look(seen, criterion)) for criterion in rollout.criteria]
    assert 18 == len(judgements)
    return {each.criterion.name: each for each in judgements if each.outcome != "pass"}


def test_after_the_bundled_run_all_eighteen_criteria_are_met(finished):
    project, _ = finished
    before = project.database.read_bytes()

    checked = project.run("check", "--json")
    found = json.loads(checked.stdout)

    assert (0, "") == (checked.exit_code, checked.stderr)
    assert {
        "total": 18, "passed": 18, "warned": 0, "failed": 0, "errors": 0, "pass_rate_pct": 100.0, "verdict": "pass",
    }.items() <= found.items()  # fmt: skip
    assert CATEGORIES == Counter(line["category"] for line in found["criteria"])
    assert WARNING == {line["name"] for line in found["criteria"] if line["severity"] == "warn"}
    assert before == project.database.read_bytes()


def test_a_run_that_reaches_its_last_stage_ends_with_the_criteria(finished):
    project, run = finished
    [checked] = run.told("criteria.checked")
    [step] = project.rows("SELECT summary_json FROM runner_steps WHERE step = 'exit_criteria'")
    names = [event["event"] for event in run.events]

    assert "exit criteria   18 of 18 passed, 0 warned, 0 failed, 0 could not be evaluated: 100.0 %" in run.stdout
    assert ["run.completed", "criteria.checked"] == names[-2:]
    assert (18, 18, "pass", []) == tuple(checked[name] for name in ("total", "passed", "verdict", "missed"))
    assert (18, 18) == (json.loads(step[0])["passed"], len(json.loads(step[0])["criteria"]))


def test_every_criterion_is_broken_below():
    names = {criterion.name for criterion in load(ROOT / "config/rollout.yaml", environ={}).criteria}

    assert names == {*SCRIPTS, *EDITS, "api_answers", "database_answers"}


@pytest.mark.parametrize("name", SCRIPTS)
def test_what_is_done_to_the_database_turns_exactly_one_criterion(name, copy):
    spoil(copy, SCRIPTS[name])

    assert {name: "warn" if name in WARNING else "fail"} == {
        missing: judgement.outcome for missing, judgement in missed(copy).items()
    }


@pytest.mark.parametrize("name", EDITS)
def test_a_class_that_is_not_there_turns_exactly_one_criterion(name, copy):
    copy.edit("config/rollout.yaml", *EDITS[name])

    assert {name: "fail"} == {missing: judgement.outcome for missing, judgement in missed(copy).items()}


def test_an_api_that_does_not_answer_turns_exactly_one_criterion(copy):
    [(name, judgement)] = missed(copy, API_URL="http://127.0.0.1:9/health?token=hunter2").items()

    assert ("api_answers", "fail", "connection refused") == (name, judgement.outcome, judgement.actual)


def test_a_database_that_takes_no_new_connection_turns_exactly_one_criterion(copy):
    def move_away():
        copy.database.rename(copy.folder / "elsewhere.db")

    assert {"database_answers": "fail"} == {
        name: judgement.outcome for name, judgement in missed(copy, move_away).items()
    }


def test_without_a_database_nothing_in_it_is_met(project):
    checked = project.run("check", "--json")
    found = json.loads(checked.stdout)
    why = {line["name"]: line["actual"] for line in found["criteria"] if line["outcome"] != "pass"}

    assert 4 == checked.exit_code
    assert (3, 1, 14, "fail") == (found["passed"], found["failed"], found["errors"], found["verdict"])
    assert {"there is no database yet"} == set(why.values())
    assert not project.database.exists()


def test_a_file_that_is_no_database_is_told_by_every_criterion(project):
    project.database.write_text("this is no database" * 100)

    checked = project.run("check")

    assert 4 == checked.exit_code
    assert 15 == checked.stdout.count("SQLite: file is not a database")


def test_a_criterion_that_only_warns_fails_where_that_is_asked_for(copy):
    spoil(copy, SCRIPTS["providers_active"])

    told = copy.run("check")
    failed = copy.run("check", "--fail-on", "warn")

    assert (0, 4) == (told.exit_code, failed.exit_code)
    assert re.search(r"warn +providers_active +3 \(expected: >= 4 rows\)", told.stdout)
    assert told.stdout.endswith(
        "17 of 18 passed, 1 warned, 0 failed, 0 could not be evaluated: 94.4 %; verdict: warn\n"
    )


BROKEN = """  of_no_use:
    wrong_sql: {kind: sql, query: SELECT number FROM nowhere, expect: == 0, severity: warn}
    wrong_condition: {kind: count, table: provider_states, where: nowhere = 1, expect: == 0, severity: warn}
    no_value: {kind: sql, query: SELECT NULL, expect: "!= 1", severity: warn}
    text: {kind: sql, query: "SELECT '5'", expect: ">= 1", severity: warn}
"""


def test_what_cannot_be_evaluated_fails_the_whole_though_it_should_only_warn(copy):
    config = copy.folder / "config/rollout.yaml"
    config.write_text(config.read_text() + BROKEN)

    checked = copy.run("check", "--json")
    found = json.loads(checked.stdout)

    assert (4, 18, 0, 4, "fail") == (
        checked.exit_code, found["passed"], found["warned"], found["errors"], found["verdict"],
    )  # fmt: skip
    assert {
        "wrong_sql": "SQLite: no such table: nowhere",
        "wrong_condition": "SQLite: no such column: nowhere",
        "no_value": "the query gives NULL",
        "text": "the value is '5', not a number as expected",
    } == {line["name"]: line["actual"] for line in found["criteria"] if line["outcome"] == "error"}


def test_a_run_whose_criteria_fail_says_so_and_ends_with_their_code(project):
    project.edit("config/rollout.yaml", '">= 24"', '">= 29"')

    run = project.run("apply")
    again = project.run("apply")

    assert (4, 4) == (run.exit_code, again.exit_code)  # the second has nothing to do, and looks again
    assert "fail: provider_rows: 28 (expected: >= 29 rows)" in run.stdout
    assert "at full_active after" in run.stdout
    assert [["provider_rows"]] == [event["missed"] for event in run.told("criteria.checked")]


def test_a_run_to_an_earlier_stage_has_no_exit_criteria(project):
    run = project.run("apply", "--target-stage", "dark_mode", "--json")

    assert (0, None) == (run.exit_code, json.loads(run.stdout)["exit_criteria"])
    assert [] == run.told("criteria.checked")


def test_a_rollout_without_criteria_has_nothing_to_check(project):
    config = project.folder / "config/rollout.yaml"
    config.write_text(config.read_text().partition("exit_criteria:")[0])

    checked = project.run("check")

    assert 3 == checked.exit_code
    assert "the rollout declares no exit criteria" in checked.stdout
    assert 0 == project.run("apply", "--target-stage", "disabled").exit_code


def test_a_watch_tells_one_line_a_round_and_ends_with_the_code_of_the_last(copy):
    watch = copy.start("check", "--watch", "1s", "--rounds", "3")
    first = watch.stdout.readline()
    spoil(copy, SCRIPTS["class_fields"])
    rest, errors = watch.communicate(timeout=60)

    assert (4, "") == (watch.returncode, errors)
    assert re.fullmatch(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC pass 18 of 18 passed, .*: 100\.0 %\n", first)
    assert 2 == len(rest.splitlines())
    assert rest.endswith(
        " fail 17 of 18 passed, 0 warned, 1 failed, 0 could not be evaluated: 94.4 %; class_fields (fail)\n"
    )


def test_a_watch_in_json_is_a_line_of_json_each_round(copy):
    done = copy.run("check", "--watch", "100ms", "--rounds", "2", "--json")

    assert [18, 18] == [json.loads(line)["passed"] for line in done.stdout.splitlines()]
    assert 0 == done.exit_code


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_watch_after_the_round_under_way(number, copy):
    watch = copy.start("check", "--watch", "1h")
    watch.stdout.readline()
    start = time.monotonic()
    watch.send_signal(number)
    rest, errors = watch.communicate(timeout=60)

    assert (0, "", "") == (watch.returncode, rest, errors)
    assert time.monotonic() - start < 10


@pytest.mark.parametrize(
    "arguments", [("--rounds", "3"), ("--watch", "15"), ("--watch", "1m", "--rounds", "0"), ("--fail-on", "error")]
)
def test_wrong_usage_is_refused(arguments, project):
    assert 64 == project.run("check", *arguments).exit_code


def test_no_password_is_shown(copy):
    checked = copy.run("check", API_URL="http://me:hunter2@127.0.0.1:9/?token=hunter3")
    found = copy.run("check", "--json", API_URL="http://me:hunter2@127.0.0.1:9/?token=hunter3")

    assert 4 == checked.exit_code == found.exit_code
    assert "hunter" not in checked.stdout + checked.stderr + found.stdout + found.stderr
