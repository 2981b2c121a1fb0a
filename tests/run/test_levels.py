"""Rollback levels: what the rollout made goes, what is not its own stays to the byte, and the same command goes on."""

import json
import shutil
import signal
import sqlite3
import subprocess
from dataclasses import replace

import pytest
from test_resume import figures, wait_for

LEVELS = ("emergency", "standard", "gradual")
AT_ONCE = LEVELS[:2]
OWN = "provider_name = 'draftkings' AND sport = 'MLB'"
OWN_CACHE = "cache_key = 'player:lebron_james'"


def roll_back(project, level, *options, **environ):
    return project.run("rollback", "--level", level, *options, **environ)


def copy(project, folder):
    shutil.copytree(project.folder, folder, dirs_exist_ok=True)
    return replace(project, folder=folder)


def state(project):
    return json.loads(project.run("status", "--json").stdout)


def script(project, sql):
    connection = sqlite3.connect(project.database)
    connection.execute("PRAGMA foreign_keys=ON")
    connection.executescript(sql)
    connection.close()


def migration(project, number, up, down, name="more", options=""):
    text = f"-- migrate:up{options}\n{up}\n" + (f"-- migrate:down\n{down}\n" if down else "")
    text += "-- migrate:verify\nSELECT 1;\n" if options else ""
    (project.folder / f"sql/sqlite/{number}_{name}.sql").write_text(text)


@pytest.fixture
def applied(tmp_path, finished):
    """The bundled rollout at its last stage, to be written to."""
    return copy(finished[0], tmp_path)


@pytest.fixture
def fresh(tmp_path, seeded):
    """The same, to be written to: quicker where no stage matters."""
    return copy(seeded, tmp_path)


# a database that held nothing


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_ends_verified_and_is_done_once(applied, finished, level):
    done = roll_back(applied, level)
    after = applied.tables()
    again = roll_back(applied, level)

    assert (0, 0) == (done.exit_code, again.exit_code), done.stdout
    assert "are promised), verified" in done.stdout
    assert f"rollback of level {level}" in applied.run("history").stdout
    assert "nothing to roll back; it stands at disabled" in again.stdout
    assert [] == again.events
    assert after == applied.tables()
    assert "disabled" == state(applied)["stage"]
    assert {
        "emergency": {},
        "standard": {"provider_states": 0, "portfolio_rationales": 0, "providers": 7, "sports": 4},
        "gradual": {"provider_states": 28, "portfolio_rationales": 25, "providers": 7, "sports": 4},
    }[level] == {name: len(rows) for name, rows in after.items()}


@pytest.mark.parametrize("level", LEVELS)
def test_after_a_level_apply_ends_as_a_first_one_does(applied, finished, level):
    roll_back(applied, level)

    assert 0 == applied.run("apply").exit_code
    first, again = figures(finished[0]), figures(applied)
    assert first.pop("stages") == again.pop("stages")[-4:]
    assert first == again
    assert "everything that is declared is applied" in applied.run("apply").stdout


def test_gradual_leaves_every_row_as_it_was_before_the_first_stage(tmp_path, seeded):
    project = copy(seeded, tmp_path)
    before = project.tables()
    project.run("apply")

    done = roll_back(project, "gradual")

    assert before == project.tables()
    assert ["partial_active", "shadow_mode", "dark_mode"] == [each["stage"] for each in done.told("stage.observed")]
    assert ["full_active", "partial_active", "shadow_mode", "dark_mode"] == [
        each["stage"] for each in done.told("stage.undone")
    ]
    assert [("undone", 10)] == project.rows("SELECT DISTINCT state, ticks FROM runner_stages WHERE ticks = 10")


def test_levels_may_follow_each_other(applied):
    assert [0, 0, 0] == [roll_back(applied, level).exit_code for level in ("gradual", "standard", "emergency")]
    assert {} == applied.tables()


@pytest.mark.parametrize("level", LEVELS)
def test_where_there_is_nothing_no_file_is_made_and_no_table(project, level):
    files = sorted(project.folder.rglob("*"))
    nowhere = roll_back(project, level)
    plain = roll_back(project, level, "--json")
    dry = roll_back(project, level, "--dry-run")

    assert (0, 0, 0) == (nowhere.exit_code, plain.exit_code, dry.exit_code)
    assert "nothing to roll back; it stands at disabled" in nowhere.stdout
    assert ("unchanged", None) == (json.loads(plain.stdout)["state"], json.loads(plain.stdout)["run_id"])
    assert "nothing to roll back" in dry.stdout
    assert files == sorted(project.folder.rglob("*"))

    script(project, "CREATE TABLE sports (code TEXT PRIMARY KEY); INSERT INTO sports VALUES ('MLB');")
    before = project.database.read_bytes()
    assert 0 == roll_back(project, level).exit_code
    assert before == project.database.read_bytes()


def test_an_unknown_level_is_wrong_usage(project):
    assert [64, 64, 64] == [
        project.run("rollback", *more).exit_code for more in (("--level", "total"), (), ("--level",))
    ]
    assert not project.database.exists()


@pytest.mark.parametrize("level", LEVELS)
def test_a_dry_run_counts_what_is_then_done_and_changes_nothing(applied, level):
    before = applied.database.read_bytes()
    shown = roll_back(applied, level, "--dry-run")
    planned = json.loads(roll_back(applied, level, "--dry-run", "--json").stdout)
    assert before == applied.database.read_bytes()

    done = json.loads(roll_back(applied, level, "--json").stdout)

    assert planned["stages"] == done["stages_undone"] == ["full_active", "partial_active", "shadow_mode", "dark_mode"]
    assert planned["remove"] == done["removed"]
    assert [each["migration"] for each in planned["revert"]] == done["reverted"]
    assert [] == planned["obstacles"]
    assert "has done nothing yet" in shown.stdout
    assert ("28 rows to remove" in shown.stdout) == (level != "gradual")
    assert ("DROP TABLE IF EXISTS provider_states" in shown.stdout) == (level == "emergency")


@pytest.mark.parametrize(("level", "minutes"), [("emergency", 5), ("standard", 15), ("gradual", 30)])
def test_the_report_holds_seconds_promise_rows_and_snapshot(fresh, level, minutes):
    fresh.run("apply", "--target-stage", "dark_mode")
    found = json.loads(roll_back(fresh, level, "--json").stdout)

    assert (level, minutes * 60, True) == (found["level"], found["promise_s"], found["within_promise"])
    assert ("rolled_back", True, "disabled") == (found["state"], found["verified"], found["final_stage"])
    assert found["seconds"] < 60
    assert 0 == fresh.run("restore", found["snapshot"], "--yes").exit_code
    assert "dark_mode" == state(fresh)["stage"]


def test_a_level_that_takes_longer_than_promised_says_so(fresh):
    fresh.edit("config/rollout.yaml", r"rollback: \{on_breach: previous\}", "rollback: {within: {standard: 1ms}}")

    found = roll_back(fresh, "standard")

    assert 0 == found.exit_code, found.stdout
    assert "LATE), verified" in found.stdout


# a database that is lived in


APPLICATION = """
CREATE TABLE bets (id INTEGER PRIMARY KEY, provider TEXT REFERENCES providers (name), note BLOB, stake REAL);
INSERT INTO providers VALUES ('acme');
INSERT INTO sports VALUES ('CRICKET');
INSERT INTO bets (provider, note, stake) VALUES ('acme', x'00ff', 0.1), (NULL, NULL, 1e300), ('stub', 'é', -0.0);
INSERT INTO provider_states
    (provider_name, sport, status, is_enabled, poll_interval_seconds, timeout_seconds, max_retries, last_error)
VALUES ('acme', 'MLB', 'ACTIVE', 1, 5, 5, 5, 'none'), ('acme', 'CRICKET', 'ERROR', 0, 5, 5, 5, NULL),
    ('draftkings', 'MLB', 'ERROR', 0, 7, 7, 7, 'mine');
INSERT INTO portfolio_rationales
    (cache_key, cache_type, rationale_type, data_json, data_hash, narrative, confidence, expires_at, updated_at)
VALUES ('player:lebron_james', 'mine', 'CACHE_PLAYER', '{"mine": 1}', 'x', 'mine', 0.25,
    '2031-01-01 00:00:00', '2020-01-01 00:00:00');
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)
INSERT INTO portfolio_rationales (cache_key, cache_type, rationale_type, data_json, data_hash, total_cost, narrative)
SELECT 'app:' || i, 'app',
    CASE i % 5 WHEN 0 THEN 'PORTFOLIO_SUMMARY' WHEN 1 THEN 'BET_SELECTION' WHEN 2 THEN 'RISK_ANALYSIS'
        WHEN 3 THEN 'MARKET_INSIGHTS' ELSE 'PERFORMANCE_REVIEW' END,
    '{"n": ' || i || '}', 'h' || i, i / 7.0, CASE i % 3 WHEN 0 THEN 'text ' || i END
FROM n;
"""
MEANWHILE = f"""
UPDATE portfolio_rationales SET user_rating = 5, narrative = 'read' WHERE cache_key LIKE 'app:%7' OR {OWN_CACHE};
UPDATE provider_states SET status = 'MAINTENANCE', total_requests = 99 WHERE provider_name = 'acme';
DELETE FROM portfolio_rationales WHERE cache_key = 'app:10';
UPDATE bets SET stake = 2 WHERE id = 2;
"""


@pytest.fixture(scope="session")
def lived_in(tmp_path_factory, seeded):
    """A schema that an earlier rollback left, full of the application's rows, before and after the rollout."""
    project = copy(seeded, tmp_path_factory.mktemp("lived_in"))
    assert 0 == roll_back(project, "standard").exit_code
    script(project, APPLICATION)
    same = copy(project, tmp_path_factory.mktemp("same"))
    script(same, MEANWHILE)
    expected = same.tables()
    done = project.run("apply")
    assert 0 == done.exit_code, done.stdout
    script(project, MEANWHILE)
    return project, expected


@pytest.fixture
def full(tmp_path, lived_in):
    """The same, to be written to, with what is expected after a rollback."""
    return copy(lived_in[0], tmp_path), dict(lived_in[1])


def of_application(project, expected):
    """The rows that are not the rollout's: those that stood before it, by their first column."""
    return {
        name: [row for row in rows if row[0] in {line[0] for line in expected[name]}]
        for name, rows in project.tables().items()
    }


@pytest.mark.parametrize("level", LEVELS)
def test_what_is_not_the_rollouts_is_the_same_to_the_byte(full, level):
    project, expected = full
    assert 10_001 - 1 == len(expected["portfolio_rationales"])
    assert expected != of_application(project, expected), "a row of the application's was written over"

    done = roll_back(project, level)

    assert 0 == done.exit_code, done.stdout
    found = of_application(project, expected) if level == "gradual" else project.tables()
    if level == "gradual":  # seeds stay, and so does what they wrote over
        for name, rows in expected.items():
            own = {row[0] for row in rows if "draftkings" in row or "player:lebron_james" in row}
            expected[name] = [row for row in rows if row[0] not in own]
            found[name] = [row for row in found[name] if row[0] not in own]
    assert expected == found
    assert "nothing to roll back" in roll_back(project, level).stdout


def test_a_table_that_holds_rows_of_others_is_kept_freed_of_the_rollouts_and_told(full):
    project, expected = full
    planned = json.loads(roll_back(project, "emergency", "--dry-run", "--json").stdout)
    done = roll_back(project, "emergency")

    assert "portfolio_rationales: it holds 10000 rows of others" in done.stdout
    assert "provider_states: it holds 3 rows of others" in done.stdout
    assert "still applied         0001_core_tables, 0002_provider_states, 0003_portfolio_rationales" in done.stdout
    assert "27 rows removed, 1 put back to what it was" in done.stdout
    assert planned["kept"] == [
        {**event, "version": kept["version"]}
        for event, kept in zip(
            ({name: event[name] for name in ("table", "rows", "reason")} for event in done.told("table.retained")),
            planned["kept"],
            strict=True,
        )
    ]
    assert [] == planned["revert"]
    assert expected == project.tables()


@pytest.mark.parametrize("level", LEVELS)
def test_after_a_rollback_with_rows_of_others_apply_works_again(full, level):
    project, _ = full
    roll_back(project, level)

    again = project.run("apply")

    assert 0 == again.exit_code, again.stdout
    assert (29, 30) == project.on() or (28, 30) == project.on()
    assert 0 == roll_back(project, level).exit_code


MENDED = ["7", "60"]


@pytest.mark.parametrize("level", AT_ONCE)
@pytest.mark.parametrize("right", MENDED)
def test_a_row_that_the_application_changed_after_the_seeds_needs_a_person(full, level, right):
    project, expected = full
    project.write(f"UPDATE provider_states SET poll_interval_seconds = 9 WHERE {OWN}")
    before = project.tables()

    stuck = roll_back(project, level)

    assert 9 == stuck.exit_code
    assert (
        "provider_states draftkings/MLB: poll_interval_seconds is 9, was 7, and a seed had written 60" in stuck.stdout
    )
    assert f"`runner rollback --level {level}`" in stuck.stdout
    assert before == project.tables()
    assert ("stuck", "full_active") == (state(project)["run"]["state"], state(project)["stage"])
    assert [9] == [event["found"] for event in stuck.told("change.conflicted")]
    assert f"runner rollback --level {level}" in project.run("status").stdout

    project.write(f"UPDATE provider_states SET poll_interval_seconds = {right} WHERE {OWN}")
    assert 0 == roll_back(project, level).exit_code
    assert expected == project.tables()


@pytest.mark.parametrize("level", LEVELS)
def test_a_value_of_a_stage_that_others_changed_needs_a_person(full, level):
    project, expected = full
    change = f"UPDATE provider_states SET status = ? WHERE {OWN}"
    project.write(change, "MAINTENANCE")
    before = project.tables()

    stuck = roll_back(project, level)

    assert 9 == stuck.exit_code
    assert "status is 'MAINTENANCE', was 'ERROR', and the stage had written 'ACTIVE'" in stuck.stdout
    assert (level == "gradual") == (before != project.tables())
    assert 1 == len(stuck.told("run.stuck"))
    refused = [project.run("apply"), *(roll_back(project, lesser) for lesser in LEVELS[LEVELS.index(level) + 1 :])]
    assert {7} == {each.exit_code for each in refused}, "only one that goes further may take its place"
    assert all(f"runner rollback --level {level}" in each.stdout for each in refused)

    project.write(change, "ERROR")
    assert 0 == roll_back(project, level).exit_code
    assert (expected == project.tables()) == (level != "gradual")


@pytest.mark.parametrize("level", AT_ONCE)
def test_a_stuck_rollback_that_is_aborted_leaves_everything_as_it_was(full, level):
    project, expected = full
    change = f"UPDATE provider_states SET status = ? WHERE {OWN}"
    project.write(change, "MAINTENANCE")
    before = project.tables()
    roll_back(project, level)

    aborted = project.run("abort")

    assert 0 == aborted.exit_code
    assert before == project.tables()
    assert "full_active" == state(project)["stage"]
    project.write(change, "ACTIVE")
    assert "everything that is declared is applied" in project.run("apply").stdout
    assert 0 == roll_back(project, level).exit_code
    assert expected == project.tables()


def test_what_others_changed_in_columns_that_no_stage_wrote_is_told(full):
    project, _ = full
    project.write("UPDATE provider_states SET status = 'ERROR' WHERE provider_name = 'stub' AND sport = 'NFL'")
    project.write(f"UPDATE provider_states SET last_error = 'late' WHERE {OWN}")

    done = roll_back(project, "standard")

    assert 0 == done.exit_code, done.stdout
    assert "draftkings/MLB: last_error is 'late', was 'mine'" in done.stdout
    assert ["late"] == list({event["found"] for event in done.told("change.noticed")})
    assert [("late", 7)] == project.rows(f"SELECT last_error, poll_interval_seconds FROM provider_states WHERE {OWN}")


@pytest.mark.parametrize("level", LEVELS)
def test_a_seeded_entry_that_became_the_applications_is_never_touched(applied, level):
    applied.write(
        "UPDATE portfolio_rationales SET rationale_type = 'BET_SELECTION', narrative = 'mine'"
        " WHERE cache_key = 'player:lebron_james'"
    )
    row = f"SELECT * FROM portfolio_rationales WHERE {OWN_CACHE}"
    before = applied.rows(row)

    done = roll_back(applied, level)

    assert 0 == done.exit_code, done.stdout
    assert before == applied.rows(row)
    assert 1 == len(applied.rows(row))


# what was there before, what is kept


def before_it(project):
    script(
        project,
        "CREATE TABLE sports (code TEXT NOT NULL PRIMARY KEY, title TEXT);"
        "CREATE TABLE providers (name TEXT NOT NULL PRIMARY KEY);"
        "INSERT INTO sports VALUES ('MLB', 'Baseball'), ('CRICKET', NULL); INSERT INTO providers VALUES ('acme');",
    )


def test_tables_that_were_there_before_the_rollout_stay(project):
    before_it(project)
    project.run("apply", "--target-stage", "dark_mode")

    done = roll_back(project, "emergency")

    assert 0 == done.exit_code, done.stdout
    assert "not dropped           table providers, table sports: not the rollout's" in done.stdout
    assert {"sports", "providers"} == project.tables().keys()
    assert {("MLB", "Baseball"), ("CRICKET", None)} <= set(project.tables()["sports"])
    assert "nothing to roll back" in roll_back(project, "emergency").stdout
    assert 0 == project.run("apply", "--target-stage", "dark_mode").exit_code


def test_migrations_below_a_kept_one_are_reverted_and_applied_again(fresh):
    fresh.write(
        "INSERT INTO portfolio_rationales (cache_key, cache_type, rationale_type, data_json, data_hash)"
        " VALUES ('a', 'a', 'BET_SELECTION', '{}', 'h')"
    )

    done = roll_back(fresh, "emergency")

    assert {"portfolio_rationales"} == fresh.tables().keys()
    assert "reverted              0002_provider_states, 0001_core_tables" in done.stdout
    assert [("0001", "reverted"), ("0002", "reverted"), ("0003", "done")] == fresh.rows(
        "SELECT version, state FROM runner_migrations ORDER BY version"
    )
    assert "1 of 3 applied" in fresh.run("status").stdout
    again = fresh.run("apply", "--target-stage", "dark_mode")
    assert (0, ["0001", "0002"]) == (again.exit_code, [event["version"] for event in again.told("migration.applied")])
    assert 26 == len(fresh.tables()["portfolio_rationales"])


def test_a_kept_table_keeps_the_migrations_that_speak_of_it(project):
    migration(
        project,
        "0004",
        "ALTER TABLE provider_states ADD COLUMN region TEXT;",
        "ALTER TABLE provider_states DROP COLUMN region;",
    )
    migration(
        project,
        "0005",
        "CREATE TABLE extras (n); CREATE INDEX on_region ON provider_states (region);",
        "DROP INDEX on_region; DROP TABLE extras;",
    )
    project.run("apply", "--target-stage", "disabled")
    project.write("INSERT INTO providers VALUES ('acme')")
    project.write(
        "INSERT INTO provider_states"
        " (provider_name, sport, poll_interval_seconds, timeout_seconds, max_retries, region)"
        " VALUES ('acme', 'MLB', 1, 1, 1, 'EU')"
    )

    done = roll_back(project, "emergency")

    assert 0 == done.exit_code, done.stdout
    assert [("EU",)] == project.rows("SELECT region FROM provider_states")
    assert "reverted              0005_more, 0003_portfolio_rationales" in done.stdout
    assert "still applied         0001_core_tables, 0002_provider_states, 0004_more" in done.stdout
    assert 0 == project.run("apply", "--target-stage", "dark_mode").exit_code


def test_rows_that_a_migration_put_into_its_table_do_not_keep_it(project):
    migration(
        project, "0004", "CREATE TABLE extras (n); INSERT INTO extras VALUES (1), (1), (NULL);", "DROP TABLE extras;"
    )
    project.run("apply", "--target-stage", "disabled")
    assert 0 == roll_back(project, "emergency").exit_code
    assert {} == project.tables()

    project.run("apply", "--target-stage", "disabled")
    project.write("INSERT INTO extras VALUES (2)")
    kept = roll_back(project, "emergency")

    assert 0 == kept.exit_code
    assert "extras: it holds 1 row of others" in kept.stdout
    assert [(None,), (1,), (1,), (2,)] == project.tables()["extras"]


CHILD = "CREATE TABLE notes (id INTEGER PRIMARY KEY, state_id INTEGER REFERENCES provider_states (id) ON DELETE {});"


@pytest.mark.parametrize("action", ["CASCADE", "SET NULL", "RESTRICT"])
def test_a_table_that_others_refer_to_is_kept_and_rows_that_are_referred_to_need_a_person(fresh, action):
    script(fresh, CHILD.format(action))
    empty = roll_back(fresh, "emergency")
    assert (0, []) == (empty.exit_code, fresh.tables()["provider_states"])
    assert "provider_states: notes refers to it" in empty.stdout

    assert 0 == fresh.run("apply", "--target-stage", "disabled").exit_code
    script(fresh, "INSERT INTO notes SELECT id, id FROM provider_states LIMIT 2;")
    before = fresh.tables()
    dry = roll_back(fresh, "standard", "--dry-run")
    for level in AT_ONCE:
        refused = roll_back(fresh, level)
        assert 9 == refused.exit_code
        assert "2 rows refer from notes.state_id to rows of provider_states" in refused.stdout
        assert before == fresh.tables()
    assert "2 rows refer from notes.state_id" in dry.stdout
    assert "run" in state(fresh)
    assert "completed" == state(fresh)["run"]["state"], "nothing was begun"

    script(fresh, "DELETE FROM notes;")
    assert 0 == roll_back(fresh, "standard").exit_code


def test_triggers_of_the_application_do_what_they_do_elsewhere(fresh):
    script(
        fresh,
        "CREATE TABLE audit (what TEXT);"
        "CREATE TRIGGER told AFTER DELETE ON provider_states BEGIN INSERT INTO audit VALUES (old.sport); END;",
    )

    assert 0 == roll_back(fresh, "standard").exit_code
    assert 28 == len(fresh.tables()["audit"])


ACME = """
INSERT INTO providers VALUES ('acme');
INSERT INTO provider_states (provider_name, sport, poll_interval_seconds, timeout_seconds, max_retries)
VALUES ('acme', 'MLB', 1, 1, 1);
"""


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("DELETE FROM provider_states WHERE provider_name = 'acme'", "rows of others in provider_states would not be"),
        ("UPDATE provider_states SET total_requests = 7", "rows of others in provider_states would not be"),
        ("SELECT RAISE(IGNORE)", "28 of 28 rows of provider_states are not removed: a trigger keeps them"),
    ],
)
@pytest.mark.parametrize("level", AT_ONCE)
def test_triggers_that_stand_in_the_way_are_found_and_nothing_is_changed(fresh, level, body, what):
    when = "BEFORE" if "IGNORE" in body else "AFTER"
    script(fresh, f"{ACME} CREATE TRIGGER t {when} DELETE ON provider_states BEGIN {body}; END;")
    before = fresh.tables()

    stuck = roll_back(fresh, level)

    assert 9 == stuck.exit_code
    assert what in stuck.stdout
    assert before == fresh.tables()
    assert "runner abort" in fresh.run("status").stdout
    script(fresh, "DROP TRIGGER t;")
    assert 0 == roll_back(fresh, level).exit_code
    assert [("acme",)] == fresh.rows("SELECT provider_name FROM provider_states")


def test_an_index_of_the_application_on_a_table_that_goes_needs_a_person(fresh):
    script(fresh, 'CREATE INDEX "my own" ON provider_states (status);')

    stuck = roll_back(fresh, "emergency")

    assert 9 == stuck.exit_code
    assert "index my own would go with what the rollout made, and is not the rollout's" in stuck.stdout
    script(fresh, 'DROP INDEX "my own";')
    assert 'DROP INDEX "my own";' in stuck.stdout
    assert 0 == roll_back(fresh, "emergency").exit_code


# migrations that are not as they should be


@pytest.mark.parametrize(
    ("up", "down", "mended", "what"),
    [
        ("CREATE TABLE a (n); CREATE TABLE b (n);", "DROP TABLE a;", "DROP TABLE b;", "leaves table b"),
        ("CREATE TABLE a (n);", "DROP TABLE IF EXISTS b;", "DROP TABLE a;", "leaves table a"),
        (
            "CREATE TABLE a (n);",
            "DELETE FROM nowhere; DROP TABLE a;",
            "CREATE TABLE nowhere (n);",
            "failed: no such table: nowhere\n  at sql/sqlite/0004_more.sql:4",
        ),
    ],
)
def test_a_down_section_that_is_wrong_changes_nothing_and_is_mended_by_hand(project, up, down, mended, what):
    migration(project, "0004", up, down)
    project.run("apply", "--target-stage", "dark_mode")
    before = project.tables()

    stuck = roll_back(project, "emergency")

    assert 9 == stuck.exit_code, stuck.stdout
    assert what in stuck.stdout
    assert "nothing was changed" in stuck.stdout
    assert "run the same command again" in stuck.stdout.replace("\n", " ")
    assert before == project.tables()

    script(project, mended)
    done = roll_back(project, "emergency")
    assert 0 == done.exit_code, done.stdout
    assert project.tables().keys() <= {"nowhere"}


def test_a_forgotten_table_of_stages_can_be_dropped_by_hand(project):
    project.edit("sql/sqlite/0003_portfolio_rationales.sql", "DROP TABLE IF EXISTS portfolio_rationales;", "SELECT 1;")
    project.run("apply", "--target-stage", "partial_active")
    stuck = roll_back(project, "emergency")
    assert 9 == stuck.exit_code

    script(project, "DROP TABLE portfolio_rationales;")

    done = roll_back(project, "emergency")
    assert 0 == done.exit_code, done.stdout
    assert {} == project.tables()


@pytest.mark.parametrize(
    ("down", "options", "why"), [("", "", "has no down section"), ("DROP TABLE a;", " destructive:true", "destructive")]
)
def test_a_migration_that_cannot_be_reverted_is_named_before_anything_is_done(project, down, options, why):
    migration(project, "0004", "CREATE TABLE a (n);", down, options=options)
    project.run("apply", "--target-stage", "dark_mode")
    before = project.database.read_bytes()
    dry = roll_back(project, "emergency", "--dry-run")
    refused = roll_back(project, "emergency")

    assert (9, 0) == (refused.exit_code, dry.exit_code)
    for said in (refused, dry):
        assert "migration 0004_more cannot be reverted: it" in said.stdout
        assert why in said.stdout
        assert "runner rollback --level standard" in said.stdout
    assert "dark_mode" == state(project)["stage"]
    assert len(before) == len(project.database.read_bytes())
    assert 0 == roll_back(project, "standard").exit_code


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_an_edited_or_removed_migration_is_refused_by_emergency_alone(fresh, dry):
    path = fresh.folder / "sql/sqlite/0002_provider_states.sql"
    text = path.read_text()
    for do, words in (
        (lambda: path.write_text(text + "-- a word\n"), "was changed after it was applied"),
        (path.unlink, "its file is gone"),
    ):
        do()
        refused = roll_back(fresh, "emergency", *dry)
        assert 7 == refused.exit_code
        assert f"migration 0002_provider_states {'was applied on' if 'gone' in words else ''}" in refused.stdout
        assert words in refused.stdout
    assert 28 == fresh.on()[1]
    assert 0 == roll_back(fresh, "standard").exit_code


@pytest.mark.parametrize("took_effect", [False, True])
def test_a_migration_that_was_only_begun_is_reverted_if_it_took_effect(fresh, took_effect):
    (fresh.folder / "sql/sqlite/0004_alone.sql").write_text(
        "-- migrate:up transaction:false\nCREATE TABLE alone (n);\n-- migrate:down\nDROP TABLE alone;\n"
        "-- migrate:verify\nSELECT count(*) = 1 FROM sqlite_master WHERE name = 'alone';\n"
    )
    fresh.run("apply", "--target-stage", "disabled")
    fresh.write("UPDATE runner_migrations SET state = 'begun', objects_json = '[]' WHERE version = '0004'")
    if not took_effect:
        script(fresh, "DROP TABLE alone;")

    done = roll_back(fresh, "emergency")

    assert 0 == done.exit_code, done.stdout
    assert {} == fresh.tables()
    assert 0 == fresh.run("apply", "--target-stage", "disabled").exit_code
    assert "alone" in fresh.tables()


# on top of an unfinished run


def stopped_in_partial_active(project):
    project.run("apply", "--target-stage", "shadow_mode")
    process = project.start("apply")
    wait_for(process, "provider.activated")
    process.kill()
    process.communicate()


@pytest.mark.parametrize("level", LEVELS)
def test_a_run_in_the_middle_of_a_stage_is_ended_and_taken_back(fresh, level):
    before = fresh.tables()
    stopped_in_partial_active(fresh)

    done = roll_back(fresh, level)

    assert 0 == done.exit_code, done.stdout
    assert {"emergency": {}, "gradual": before}.get(
        level, {**before, "provider_states": [], "portfolio_rationales": []}
    ) == fresh.tables()
    assert ["aborted", "rolled_back"] == [
        run["rollout_status"] for run in json.loads(fresh.run("history", "--json").stdout).values()
    ][-2:]


def test_a_level_that_goes_further_takes_the_place_of_one_that_is_cut_off_or_stuck(full):
    project, expected = full
    cut_off(project, "gradual", "tick.recorded")
    project.write(f"UPDATE provider_states SET poll_interval_seconds = 9 WHERE {OWN}")
    assert 9 == roll_back(project, "standard").exit_code
    project.write(f"UPDATE provider_states SET poll_interval_seconds = 7 WHERE {OWN}")

    done = roll_back(project, "emergency")

    assert 0 == done.exit_code, done.stdout
    assert expected == project.tables()
    assert ["aborted", "aborted", "rolled_back"] == [
        run["rollout_status"] for run in json.loads(project.run("history", "--json").stdout).values()
    ][-3:]


def test_a_run_that_holds_or_is_stuck_is_ended_too(fresh):
    before = fresh.tables()
    fresh.run("apply", "--target-stage", "partial_active")
    fresh.write(f"UPDATE provider_states SET status = 'MAINTENANCE' WHERE {OWN}")
    assert 9 == fresh.run("apply", "--target-stage", "disabled").exit_code
    assert 9 == roll_back(fresh, "gradual").exit_code
    fresh.write(f"UPDATE provider_states SET status = 'INACTIVE' WHERE {OWN}")
    assert 0 == roll_back(fresh, "gradual").exit_code
    assert before == fresh.tables()

    fresh.edit("config/rollout.yaml", r"\nthresholds:", "  backlog: {kind: sql, query: SELECT NULL}\n\nthresholds:")
    fresh.edit("config/rollout.yaml", r"\nstages:", "  backlog: {max: 10}\n\nstages:")
    process = fresh.start("apply")
    wait_for(process, "stage.held")
    process.kill()
    process.communicate()
    assert "holding" == state(fresh)["run"]["state"]
    assert 0 == roll_back(fresh, "standard").exit_code


# cut off


def cut_off(project, level, event, number=signal.SIGKILL):
    process = project.start("rollback", "--level", level)
    wait_for(process, event)
    process.send_signal(number)
    stdout, _ = process.communicate(timeout=20)
    return process.returncode, stdout


@pytest.mark.parametrize("event", ["run.started", "stage.undone", "stage.entered", "tick.recorded", "stage.observed"])
def test_a_killed_gradual_rollback_ends_as_one_that_was_never_killed(tmp_path, seeded, finished, event):
    project = copy(finished[0], tmp_path)
    cut_off(project, "gradual", event)
    assert 7 == project.run("apply").exit_code
    snapshots = sorted((project.folder / "rollout.db.runner").rglob("*"))

    done = roll_back(project, "gradual")

    assert 0 == done.exit_code, done.stdout
    assert [1] == [len(done.told("run.resumed"))]
    assert snapshots == sorted((project.folder / "rollout.db.runner").rglob("*")), "one is enough"
    reference = copy(finished[0], tmp_path / "reference")
    roll_back(reference, "gradual")
    assert figures(reference) == figures(project)
    assert [("dark_mode", 10), ("partial_active", 10), ("shadow_mode", 10)] == project.rows(
        "SELECT stage, ticks FROM runner_stages JOIN runner_runs r ON r.id = run_id WHERE level = 'gradual' ORDER BY 1"
    )
    report = json.loads(project.run("history", "--json").stdout)
    assert ["rolled_back"] == [run["rollout_status"] for run in report.values() if run["level"]]


def test_a_stage_that_was_observed_is_not_observed_again(applied):
    script(
        applied,
        "CREATE TRIGGER t BEFORE UPDATE ON provider_states"
        " WHEN EXISTS (SELECT 1 FROM runner_stages WHERE stage = 'full_active' AND state = 'undone')"
        " BEGIN SELECT RAISE(ABORT, 'not now'); END;",
    )
    failed = roll_back(applied, "gradual")
    assert (1, ["partial_active"]) == (failed.exit_code, [event["stage"] for event in failed.told("stage.observed")])
    assert "SQLite: not now" in failed.stdout
    script(applied, "DROP TRIGGER t;")

    done = roll_back(applied, "gradual")

    assert 0 == done.exit_code
    assert ["shadow_mode", "dark_mode"] == [event["stage"] for event in done.told("stage.observed")]


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_gradual_at_a_safe_point(applied, number, exit_code):
    code, stdout = cut_off(applied, "gradual", "tick.recorded", number)

    assert exit_code == code
    assert "run the same command again" in stdout
    assert "partial_active" == state(applied)["stage"]
    assert "runner rollback --level gradual" in applied.run("status").stdout
    assert 0 == roll_back(applied, "gradual").exit_code


LONG = (
    "CREATE TABLE sums AS WITH RECURSIVE c (n) AS"
    " (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < (SELECT top FROM pace)) SELECT sum(n) AS total FROM c;"
)


@pytest.mark.parametrize("then", ["go on", "abort"])
def test_a_rollback_that_is_killed_within_its_transaction_has_done_nothing(fresh, then):
    migration(fresh, "0004", "CREATE TABLE a (n);", f"DROP TABLE a; {LONG} DROP TABLE sums;")
    script(fresh, "CREATE TABLE pace (top); INSERT INTO pace VALUES (1000000000);")
    fresh.run("apply", "--target-stage", "partial_active")
    before = fresh.tables()
    process = fresh.start("rollback", "--level", "emergency")
    wait_for(process, "run.started")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=1)
    process.kill()
    process.communicate()
    assert before == fresh.tables()
    assert "partial_active" == state(fresh)["stage"]
    script(fresh, "UPDATE pace SET top = 1;")

    if then == "abort":
        assert 0 == fresh.run("abort").exit_code
        assert {**before, "pace": [(1,)]} == fresh.tables()
        assert 0 == fresh.run("apply").exit_code
    else:
        assert 0 == roll_back(fresh, "emergency").exit_code
        assert {"pace": [(1,)]} == fresh.tables()


def test_an_open_stage_outlives_a_rollback_at_once_that_was_stuck_and_aborted(fresh, finished):
    stopped_in_partial_active(fresh)
    script(fresh, "CREATE TRIGGER t BEFORE DELETE ON provider_states BEGIN SELECT RAISE(IGNORE); END;")
    assert 9 == roll_back(fresh, "standard").exit_code

    assert 0 == fresh.run("abort").exit_code
    script(fresh, "DROP TRIGGER t;")

    assert "partial_active" == state(fresh)["open"]["stage"]
    assert 0 == fresh.run("apply").exit_code
    assert figures(finished[0])["stages"] == figures(fresh)["stages"]
    assert (28, 28) == fresh.on()


def test_a_table_that_somebody_dropped_is_no_dead_end(fresh):
    fresh.run("apply", "--target-stage", "partial_active")
    script(fresh, "DROP TABLE portfolio_rationales;")

    stuck = roll_back(fresh, "gradual")

    assert 9 == stuck.exit_code
    assert "portfolio_rationales player:lebron_james is gone" in stuck.stdout
    assert 0 == fresh.run("abort").exit_code
    assert 0 == roll_back(fresh, "emergency").exit_code
    assert {} == fresh.tables()


def test_a_stuck_gradual_rollback_can_be_left_as_it_is(fresh):
    before = fresh.tables()
    fresh.run("apply", "--target-stage", "partial_active")
    fresh.write(f"UPDATE provider_states SET status = 'MAINTENANCE' WHERE {OWN}")
    assert 9 == roll_back(fresh, "gradual").exit_code

    aborted = fresh.run("abort")

    assert 0 == aborted.exit_code
    assert "partial_active: not taken back" in aborted.stdout
    assert 27 == len(set(before["provider_states"]) & set(fresh.tables()["provider_states"]))
    assert 0 == fresh.run("apply", "--target-stage", "dark_mode").exit_code


@pytest.mark.parametrize("level", AT_ONCE)
@pytest.mark.parametrize("event", ["snapshot.taken", "run.started"])
def test_a_killed_rollback_at_once_is_all_or_nothing(applied, finished, level, event):
    before = applied.tables()
    cut_off(applied, level, event)
    after = applied.tables()
    killed_before_commit = after == before

    done = roll_back(applied, level)

    assert 0 == done.exit_code
    assert killed_before_commit or "nothing to roll back" in done.stdout
    gone = {"emergency": {}}.get(level, {**before, "provider_states": [], "portfolio_rationales": []})
    assert gone == applied.tables()
    assert killed_before_commit or gone == after


def test_a_cut_off_gradual_rollback_can_be_aborted(applied):
    cut_off(applied, "gradual", "tick.recorded")

    aborted = applied.run("abort")

    assert 0 == aborted.exit_code, aborted.stdout
    assert "aborted" == state(applied)["run"]["state"]
    assert "disabled" == state(applied)["stage"]
    assert 0 == applied.run("apply", "--target-stage", "dark_mode").exit_code


def test_another_runner_at_work_keeps_it_waiting_outside(fresh):
    fresh.edit("config/rollout.yaml", "speed: 1200", "speed: 120")
    process = fresh.start("apply")
    wait_for(process, "stage.entered")
    codes = [roll_back(fresh, level).exit_code for level in LEVELS]
    process.kill()
    process.communicate()

    assert [6, 6, 6] == codes


@pytest.mark.parametrize("level", AT_ONCE)
def test_a_full_disk_loses_nothing_and_leaves_nothing_half_done(full, level):
    project, expected = full
    before = project.tables()
    size = max(path.stat().st_size for path in project.folder.glob("rollout.db*"))
    command = " ".join(project.command("rollback", "--level", level))
    limited = subprocess.run(
        ["bash", "-c", f"ulimit -f {size // 1024 // 8}; exec {command}"],
        cwd=project.folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert 1 == limited.returncode, limited.stdout + limited.stderr
    assert "Traceback" not in limited.stderr
    assert before == project.tables()
    assert 0 == roll_back(project, level).exit_code
    assert expected == project.tables()


# observation


def test_a_breach_while_gradual_observes_is_told_and_it_goes_on_at_once(applied):
    done = roll_back(applied, "gradual", RUNNER_STAND_IN_FAULTS="stub:fail")
    found = {event["stage"]: event for event in done.told("stage.observed")}

    assert 0 == done.exit_code
    assert all("at most 5 is wanted" in event["breach"] for event in found.values())
    assert all(event["ticks"] < 10 for event in found.values())
    assert "ended early: " in done.stdout
    assert "verified" in done.stdout


def test_a_stage_that_is_no_longer_declared_is_taken_back_without_observation(applied):
    applied.edit("config/rollout.yaml", r"(?s)  - name: shadow_mode.*?(?=  - name: partial)", "")

    done = roll_back(applied, "gradual")

    assert 0 == done.exit_code, done.stdout
    assert ["partial_active", "dark_mode"] == [event["stage"] for event in done.told("stage.observed")]
    assert 4 == len(done.told("stage.undone"))


def test_a_stage_that_was_being_observed_may_vanish_from_the_config(applied):
    cut_off(applied, "gradual", "tick.recorded")
    applied.edit("config/rollout.yaml", r"(?s)  - name: partial_active.*?(?=  - name: full)", "")

    done = roll_back(applied, "gradual")

    assert 0 == done.exit_code, done.stdout
    assert [] == applied.rows("SELECT stage FROM runner_stages WHERE state IN ('entered', 'passed')")


def test_a_single_stage_needs_no_observation(fresh):
    fresh.run("apply", "--target-stage", "dark_mode")

    done = roll_back(fresh, "gradual")

    assert [] == done.told("stage.observed")
    assert ["dark_mode"] == [event["stage"] for event in done.told("stage.undone")]


# beside others


def other(project, folder):
    """The config of another rollout in the same database."""
    theirs = copy(project, folder)
    theirs.edit("config/rollout.yaml", "name: schema-finalization", "name: other")
    theirs.edit("config/rollout.yaml", "sqlite:///rollout.db", f"sqlite:///{project.database}")
    return theirs


def test_two_rollouts_do_not_take_each_others_things_back(fresh, tmp_path):
    theirs = other(fresh, tmp_path / "theirs")
    migration(theirs, "0004", "CREATE TABLE theirs (n);", "DROP TABLE theirs;")
    theirs.edit("config/caches.yaml", "lebron_james", "somebody_else")
    done = theirs.run("apply", "--target-stage", "disabled")
    assert 0 == done.exit_code, done.stdout

    assert 0 == roll_back(fresh, "standard").exit_code
    assert [("player:somebody_else",)] == fresh.rows("SELECT cache_key FROM portfolio_rationales")
    kept = roll_back(fresh, "emergency")
    assert 0 == kept.exit_code, kept.stdout
    assert "portfolio_rationales: it holds 1 row of others" in kept.stdout
    assert {"portfolio_rationales", "theirs"} == fresh.tables().keys()
    assert 0 == roll_back(theirs, "emergency").exit_code
    assert {"portfolio_rationales"} == fresh.tables().keys()


@pytest.mark.parametrize("level", AT_ONCE)
def test_rows_that_a_stage_of_another_rollout_stands_on_are_not_removed(fresh, tmp_path, level):
    theirs = other(fresh, tmp_path / "theirs")
    theirs.run("apply", "--target-stage", "partial_active")
    before = fresh.tables()

    refused = roll_back(fresh, level)

    assert 9 == refused.exit_code
    assert "a stage of rollout other stands on 8 rows of provider_states" in refused.stdout
    assert before == fresh.tables()
    assert 0 == roll_back(theirs, "gradual").exit_code
    assert 0 == roll_back(fresh, level).exit_code


def test_a_ledger_of_form_1_is_rolled_back_as_far_as_it_remembers(applied):
    script(
        applied,
        "DROP TABLE runner_made_rows; ALTER TABLE runner_runs DROP COLUMN level;"
        "ALTER TABLE runner_seeds DROP COLUMN after_json; ALTER TABLE runner_migrations DROP COLUMN reverted_by;"
        "DELETE FROM runner_meta WHERE name = 'database_id'; UPDATE runner_meta SET value = '1';",
    )
    planned = roll_back(applied, "emergency", "--dry-run")

    done = roll_back(applied, "emergency")

    assert (0, 0) == (planned.exit_code, done.exit_code), planned.stdout + done.stdout
    assert "sports: it holds 4 rows of others" in done.stdout
    assert {"sports": 4, "providers": 7} == {name: len(rows) for name, rows in applied.tables().items()}
    assert 0 == applied.run("apply", "--target-stage", "dark_mode").exit_code
