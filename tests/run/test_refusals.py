"""What is refused, with which words and which exit code, and that nothing is half done."""

import json
import sqlite3
import stat

import pytest

BAD = """-- migrate:up
CREATE TABLE first (id INTEGER PRIMARY KEY);
INSERT INTO first VALUES (1);
INSERT INTO nowhere VALUES (2);
-- migrate:down
DROP TABLE first;
"""


def test_a_migration_that_fails_leaves_nothing_and_names_its_line(project):
    (project.folder / "sql/sqlite/0004_bad.sql").write_text(BAD)

    failed = project.run("apply")

    assert 1 == failed.exit_code
    assert "migration 0004_bad failed: no such table: nowhere\n  at sql/sqlite/0004_bad.sql:4" in failed.stdout
    assert ["run.failed"] == [event["event"] for event in failed.events if event["level"] == "error"]
    assert "first" not in project.tables()
    assert [("0001",), ("0002",), ("0003",)] == project.rows("SELECT version FROM runner_migrations")

    (project.folder / "sql/sqlite/0004_bad.sql").write_text(BAD.replace("nowhere", "first"))
    again = project.run("apply", "--target-stage", "disabled")

    assert 0 == again.exit_code
    assert [(1,), (2,)] == project.tables()["first"]


def test_an_edited_migration_is_refused_by_name(project):
    project.run("apply", "--target-stage", "disabled")
    project.edit("sql/sqlite/0002_provider_states.sql", "-- migrate:down", "-- a word\n-- migrate:down")

    refused = project.run("apply")

    assert 7 == refused.exit_code
    assert "migration 0002_provider_states was changed after it was applied on 20" in refused.stdout
    assert "fix: restore the file, and put the change in a new migration" in refused.stdout


def test_a_migration_outside_a_transaction_is_recorded_begun_and_done(project):
    (project.folder / "sql/sqlite/0004_vacuum.sql").write_text(
        "-- migrate:up transaction:false\nVACUUM;\n-- migrate:verify\nSELECT true;\n"
    )

    assert 0 == project.run("apply", "--target-stage", "disabled").exit_code
    assert [("done",)] == project.rows("SELECT state FROM runner_migrations WHERE version = '0004'")


def test_an_invalid_config_tells_everything_and_opens_no_database(project):
    project.edit("config/rollout.yaml", "duration: 10m", "duration: ten")
    project.edit("config/providers.yaml", "enabled: true", "enabled: maybe")

    refused = project.run("apply")
    validated = project.run("validate")

    assert (3, 3) == (refused.exit_code, validated.exit_code)
    assert refused.stdout == validated.stdout
    assert refused.stdout.index("config/rollout.yaml:") < refused.stdout.index("config/providers.yaml:")
    assert ["run.refused"] == [event["event"] for event in refused.events]
    assert not project.database.exists()


def test_problems_can_be_had_as_json(project):
    project.edit("config/rollout.yaml", "duration: 10m", "duration: ten")
    found = json.loads(project.run("validate", "--json").stdout)
    [problem] = found["problems"]

    assert (3, "config/rollout.yaml") == (found["exit_code"], problem["file"])
    assert {"what", "file", "line", "column", "fix"} == problem.keys()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("apply", "--target-stage", "dark"), "dark is no stage; the stages are disabled, dark_mode"),
        (("apply", "--no-such-option"), "No such option"),
        (("aply",), "No such command"),
        (("apply", "--log-file", "missing/folder/x.log"), "cannot write the log file"),
    ],
)
def test_wrong_usage_is_told_apart_from_everything_else(project, arguments, words):
    wrong = project.run(*arguments)

    assert 64 == wrong.exit_code
    assert words in wrong.stderr + wrong.stdout


def test_an_unknown_environment_is_refused_with_those_that_are(project):
    refused = project.run("apply", "--env", "staging")

    assert 3 == refused.exit_code
    assert "local" in refused.stdout
    assert "production" in refused.stdout


def test_production_needs_its_variable(project):
    refused = project.run("validate", "--env", "production")

    assert 3 == refused.exit_code
    assert "DATABASE_URL" in refused.stdout


def test_an_environment_is_chosen_by_name(project):
    names = ("STUB", "DRAFTKINGS", "FANDUEL", "PRIZEPICKS", "BETMGM", "THEODDS", "SPORTSRADAR")
    addresses = {f"{name}_URL": "https://odds.example/{sport}" for name in names} | {"API_URL": "https://odds.example/"}
    project.edit("config/rollout.yaml", ", rehearsal: required", "")

    result = project.run(
        *("apply", "--env", "production", "--target-stage", "disabled"),
        DATABASE_URL="sqlite:///production.db",
        **addresses,
    )

    assert 0 == result.exit_code
    assert (project.folder / "production.db").exists()
    assert not project.database.exists()


def test_a_file_that_is_no_database_is_left_alone(project):
    project.database.write_bytes(b"not a database at all, but a letter to a friend" * 50)
    before = project.database.read_bytes()

    refused = project.run("apply")

    assert 1 == refused.exit_code
    assert "file is not a database" in refused.stdout
    assert before == project.database.read_bytes()


def test_a_database_in_a_folder_that_is_not_there_is_refused(project):
    project.edit("config/rollout.yaml", "sqlite:///rollout.db", "sqlite:///no/such/rollout.db")

    refused = project.run("apply")

    assert 1 == refused.exit_code
    assert "no/such/rollout.db" in refused.stdout


def test_rows_of_the_application_are_never_taken_for_seeds(project):
    project.run("apply", "--target-stage", "disabled")
    project.write(
        "UPDATE portfolio_rationales SET rationale_type = 'BET_SELECTION', data_json = '{}' WHERE cache_key = ?",
        project.rows("SELECT cache_key FROM portfolio_rationales LIMIT 1")[0][0],
    )
    before = project.tables()

    refused = project.run("apply", "--target-stage", "disabled")

    assert 1 == refused.exit_code
    assert "are the application's" in refused.stdout
    assert before == project.tables()


def test_an_existing_database_keeps_its_rows_and_its_journal_mode(project):
    with sqlite3.connect(project.database) as connection:
        connection.execute("CREATE TABLE sports (code TEXT PRIMARY KEY)")
        connection.execute("INSERT INTO sports VALUES ('CRICKET')")
    connection.close()

    assert 0 == project.run("apply", "--target-stage", "dark_mode").exit_code
    assert ("CRICKET",) in project.tables()["sports"]
    assert [("delete",)] == project.rows("PRAGMA journal_mode")


def test_the_log_file_holds_the_events_and_is_its_owners_only(project):
    result = project.run("apply", "--target-stage", "dark_mode", "--log-file", "rollout.log")
    log = project.folder / "rollout.log"

    assert result.stderr == log.read_text()
    assert 0o600 == stat.S_IMODE(log.stat().st_mode)


def test_secrets_from_the_environment_are_never_told(project):
    secret = "s3cr3t-0dds"  # noqa: S105
    result = project.run(
        "apply",
        "--log-file",
        "rollout.log",
        "--target-stage",
        "dark_mode",
        DRAFTKINGS_URL=f"http://user:{secret}@127.0.0.1:1/{{sport}}?key={secret}",
    )
    everything = result.stdout + result.stderr + project.run("status").stdout + project.run("history", "--json").stdout

    assert 8 == result.exit_code
    assert "draftkings: connection refused" in result.stdout
    assert secret not in everything
    assert secret.encode() not in project.database.read_bytes()
    assert secret not in (project.folder / "rollout.log").read_text()


@pytest.mark.parametrize("options", ["", " transaction:false"])
def test_what_a_migration_sets_for_itself_does_not_last(project, options):
    (project.folder / "sql/sqlite/0004_lax.sql").write_text(
        f"-- migrate:up{options}\nPRAGMA ignore_check_constraints=ON;\n-- migrate:verify\nSELECT true;\n"
    )
    (project.folder / "sql/sqlite/0005_wrong.sql").write_text(
        "-- migrate:up\nINSERT INTO sports VALUES ('ZZZ');\n"
        "INSERT INTO provider_states"
        " (provider_name, sport, poll_interval_seconds, timeout_seconds, max_retries, status)"
        " VALUES ('stub', 'ZZZ', 1, 1, 1, 'NONSENSE');\n"
    )

    refused = project.run("apply", "--target-stage", "disabled")

    assert 1 == refused.exit_code
    assert "CHECK constraint failed" in refused.stdout
