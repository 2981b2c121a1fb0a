"""A plan is what apply then does, it says what it cannot undo, and one that was saved is carried out or refused."""

import json
import shutil
import signal
import stat

import pytest
from test_resume import wait_for

STAGES = ["dark_mode", "shadow_mode", "partial_active", "full_active"]
LEFTOVER = """-- migrate:up transaction:false destructive:true
VACUUM;
-- migrate:verify
SELECT true;
"""


def planned(project, *arguments, **environ):
    return json.loads(project.run("plan", "--json", *arguments, **environ).stdout)


def steps(found, kind):
    return [step for step in found["steps"] if step["step"] == kind]


@pytest.fixture(scope="session")
def in_shadow(finished, tmp_path_factory):
    """The bundled rollout, stopped at shadow_mode. Nobody writes to it."""
    project = type(finished[0])(tmp_path_factory.mktemp("in_shadow"))
    for name in ("config", "sql"):
        shutil.copytree(finished[0].folder / name, project.folder / name)
    assert 0 == project.run("apply", "--target-stage", "shadow_mode").exit_code
    return project


@pytest.fixture
def copy(tmp_path):
    """Copy a project, so that it can be written to."""

    def copied(project):
        folder = tmp_path / "copy"
        shutil.copytree(project.folder, folder)
        return type(project)(folder)

    return copied


# what is planned


def test_the_first_plan_shows_every_step_and_touches_nothing(project):
    before = sorted(project.folder.rglob("*"))

    result = project.run("plan")

    assert (0, "") == (result.exit_code, result.stderr)
    assert before == sorted(project.folder.rglob("*"))
    for line in (
        "schema-finalization on local (sqlite:///rollout.db): from disabled to full_active",
        "  + add   ~ change   - take back   <= read only   ! cannot be done",
        "Migrations: 3 to apply",
        "  + 0002_provider_states",
        "      CREATE TABLE provider_states (",
        "      … 22 lines more",
        "    rollback: migrate:down, 2 statements",
        "  providers, table provider_states: 28 to add",
        "    … and 18 more (--json has them all)",
        "  <= dark_mode: observe, 500 ms (10 min as declared), 20 ticks of 25 ms",
        "       probes:      12 rows: stub, draftkings, fanduel, 12 answered by the stand-in",
        "       tries:       8 rows on: draftkings, fanduel; 4 of the 12 selected are on already",
        "       switches:    4 rows on: draftkings; 4 of the 8 selected are on already",
        "       refreshes:   6 entries that expire within 1 h: 6 player",
        "       rollback:    a breach goes back to shadow_mode, restores 4 rows and 6 entries",
        "       refreshes:   25 entries: 15 correlation, 4 factor, 6 player",
        "Cannot be undone: nothing; every step can be",
        "Plan: 3 migrations to apply, 53 rows to add, 0 to change, 0 to warm; 4 stages, 2.75 s at least.",
    ):
        assert line in result.stdout.splitlines()
    assert "errors <= 5 (sum); response_time_ms <= 1000 (mean, by provider, from 10 samples)" in result.stdout


def test_json_has_every_statement_and_row(project):
    found = planned(project)

    assert [1, 4, 28, 25] == [
        found["version"],
        len(steps(found, "migration")[0]["statements"]),
        *(len(step["rows"]) for step in steps(found, "seed")),
    ]
    assert STAGES == [step["stage"] for step in steps(found, "stage")]
    assert 2.75 == pytest.approx(found["takes_s"])


def test_what_was_planned_is_what_happens(project):
    found = planned(project)
    result = project.run("apply")

    for step in steps(found, "stage"):
        told = [event for event in result.events if event.get("stage") == step["stage"]]
        switched = {f"{e['provider']}/{e['sport']}" for e in told if e["event"] == "provider.activated"}
        shadowed = {e["key"] for e in told if e["event"] == "row.shadowed" and e["table"] == "provider_states"}
        refreshed = [
            e.get("rows", e.get("refreshes")) for e in told if e["event"].endswith(("refreshed", "shadow.rolled_back"))
        ]
        assert set((step["switches"] or {"keys": ()})["keys"]) == switched | shadowed
        assert [sum((step["refreshes"] or {"due": {}})["due"].values())] == (refreshed or [0])
        assert step["ticks_left"] == sum(event["event"] == "tick.recorded" for event in told)
    assert steps(found, "seed")[0]["add"] == result.told("seed.applied")[0]["added"]


def test_after_a_stop_only_what_is_left_is_planned(in_shadow):
    found = planned(in_shadow)

    assert ("shadow_mode", True, STAGES[2:]) == (
        found["stands_at"],
        found["pending"],
        [step["stage"] for step in found["steps"]],
    )


def test_an_interrupted_stage_is_planned_with_the_ticks_that_are_left(project):
    process = project.start("apply")
    wait_for(process, "provider.activated")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    [(ticks,)] = project.rows("SELECT ticks FROM runner_stages WHERE state = 'entered'")

    found = planned(project)
    first = found["steps"][0]

    assert ("partial_active", True, 40 - ticks) == (first["stage"], first["goes_on"], first["ticks_left"])
    assert (None, []) == (first["refreshes"], first["switches"]["keys"])  # both done at its first tick
    assert "running" == found["run"]["state"]
    text = project.run("plan").stdout
    assert f"Goes on with run {found['run']['id']}, which is running: interrupted by a signal" in text
    assert f", {ticks} of 40 done" in text


def test_nothing_to_do_is_said_and_so_is_what_nobody_declares(finished, copy):
    project = copy(finished[0])
    assert "No changes." in project.run("plan").stdout

    project.edit("config/providers.yaml", r"(?s)  - name: sportsradar.*", "")
    result = project.run("plan")

    assert 0 == result.exit_code
    assert "4 rows declared no more, and left as they are: sportsradar/MLB" in result.stdout


@pytest.mark.parametrize(("arguments", "exit_code"), [((), 0), (("--target-stage", "shadow_mode"), 2)])
def test_the_detailed_exit_code_says_whether_changes_are_pending(finished, arguments, exit_code):
    project, _ = finished

    assert exit_code == project.run("plan", "--detailed-exitcode", *arguments).exit_code
    assert 0 == project.run("plan", *arguments).exit_code


def test_rows_that_differ_are_shown_old_and_new(finished, copy):
    project = copy(finished[0])
    project.edit("config/providers.yaml", "timeout: 10s", "timeout: 11s")
    project.write(
        "UPDATE portfolio_rationales SET expires_at = '2020-01-01 00:00:00' WHERE cache_key = 'factor:nba_v2.1'"
    )

    lines = [" ".join(line.split()) for line in project.run("plan").stdout.splitlines()]

    assert "~ stub/MLB timeout_seconds 10 -> 11" in lines
    assert "~ factor:nba_v2.1 expired at 2020-01-01 00:00:00" in lines
    assert "Plan: 0 migrations to apply, 0 rows to add, 4 to change, 1 to warm; 0 stages." == lines[-1]


def test_the_way_back_shows_what_every_row_goes_back_to(finished, copy):
    project = copy(finished[0])
    found = planned(project, "--target-stage", "shadow_mode")
    assert ["full_active", "partial_active"] == [step["stage"] for step in steps(found, "take_back")]

    project.run("apply", "--target-stage", "shadow_mode")

    last = {row["key"]: row["after"] for step in found["steps"] for row in step["rows"]}
    for name, sport, status, enabled in project.rows(
        "SELECT provider_name, sport, status, is_enabled FROM provider_states"
    ):
        goes_to = last.get(f"{name}/{sport}", {})
        assert (goes_to.get("status", status), goes_to.get("is_enabled", enabled)) == (status, enabled)
    assert [(4, 28)] == [project.on()]


def test_what_others_changed_is_told_before_the_way_back_gets_stuck_on_it(finished, copy):
    project = copy(finished[0])
    project.write("UPDATE provider_states SET status = 'ERROR' WHERE provider_name = 'draftkings' AND sport = 'NFL'")
    project.write("DELETE FROM provider_states WHERE provider_name = 'betmgm' AND sport = 'NHL'")
    planned_back = project.run("plan", "--target-stage", "disabled")

    stuck = project.run("apply", "--target-stage", "disabled")
    again = project.run("plan")

    assert 9 == stuck.exit_code
    conflicts = [line.strip() for line in stuck.stdout.splitlines() if line.startswith("    ")]
    assert 2 == len(conflicts)
    for text in (planned_back.stdout, again.stdout):
        assert set(conflicts) == {line.strip()[2:] for line in text.splitlines() if line.strip().startswith("! ")}
    assert "2 values changed by others, and a person is needed (exit code 9)" in planned_back.stdout
    assert "which is stuck" in again.stdout


def test_a_value_that_an_older_stage_goes_back_to_anyway_is_no_conflict(finished, copy):
    project = copy(finished[0])
    back = planned(project, "--target-stage", "shadow_mode")["steps"][1]["rows"]
    [row] = [row for row in back if row["key"] == "player:josh_allen"]
    project.write(
        "UPDATE portfolio_rationales SET expires_at = ? WHERE cache_key = ?", row["after"]["expires_at"], row["key"]
    )

    found = planned(project, "--target-stage", "shadow_mode")

    assert [[], []] == [step["conflicts"] for step in found["steps"]]
    assert 0 == project.run("apply", "--target-stage", "shadow_mode").exit_code


def test_a_migration_that_cannot_be_undone_is_named(project):
    (project.folder / "sql/sqlite/0004_leftover.sql").write_text(LEFTOVER)
    result = project.run("plan")

    assert "  + 0004_leftover (outside of a transaction, destructive)" in result.stdout
    assert (
        "Cannot be undone: 0004_leftover (it is declared destructive);"
        " only `runner restore` brings back what was there" in result.stdout
    )


def test_tables_that_a_migration_has_yet_to_complete_are_compared_as_they_will_be(project):
    project.run("apply", "--target-stage", "disabled")
    for table in ("runner_meta", "runner_seeds"):
        project.write(f"DROP TABLE {table}")
    project.write("ALTER TABLE provider_states DROP COLUMN max_retries")

    found = planned(project)

    [providers] = steps(found, "seed")
    assert (0, 28) == (providers["add"], providers["change"])
    assert {"max_retries": 1} == providers["rows"][0]["after"]
    assert {"max_retries": None} == providers["rows"][0]["before"]


# what is refused


def test_a_plan_is_refused_as_apply_would_be(in_shadow, copy):
    project = copy(in_shadow)
    project.edit("sql/sqlite/0002_provider_states.sql", "-- migrate:down", "-- a word\n-- migrate:down")

    refused, applied = project.run("plan"), project.run("apply")

    assert (7, 7) == (refused.exit_code, applied.exit_code)
    assert "was changed after it was applied" in refused.stdout
    assert applied.stdout == refused.stdout


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        ("config/providers.yaml", "name: stub", "name: unheard", "table providers has no row for it"),
        ("config/caches.yaml", "player:josh_allen", "summary:1", "are the application's"),
    ],
)
def test_rows_that_cannot_be_written_are_refused_as_apply_would(in_shadow, copy, file, old, new, told):
    project = copy(in_shadow)
    project.write(
        "INSERT INTO portfolio_rationales (cache_key, cache_type, rationale_type, data_json, data_hash)"
        " VALUES ('summary:1', 'summary', 'BET_SELECTION', '{}', 'x')"
    )
    project.edit(file, old, new)

    refused, applied = project.run("plan"), project.run("apply")

    assert (1, 1) == (refused.exit_code, applied.exit_code)
    assert told in refused.stdout
    assert applied.stdout == refused.stdout


def test_an_unfinished_run_whose_config_was_edited_is_planned_with_what_differs(project):
    process = project.start("apply")
    wait_for(process, "tick.recorded")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    project.edit("config/rollout.yaml", "min: 70", "min: 71")

    text = project.run("plan", "--out", "plan.json").stdout

    assert "apply wants --accept-changes:\n      rollout.thresholds.cache_hit_rate_pct.min: 70 -> 71" in text
    assert 7 == project.run("apply", "plan.json").exit_code
    assert 0 == project.run("apply", "plan.json", "--accept-changes").exit_code


# plans in files


def test_a_saved_plan_is_carried_out_once(project, finished):
    saved = project.run("plan", "--out", "plan.json")
    plan = project.folder / "plan.json"

    assert 0o600 == stat.S_IMODE(plan.stat().st_mode)
    assert "Saved as plan.json" in saved.stdout
    assert 0 == project.run("apply", "plan.json").exit_code
    assert finished[0].on() == project.on()

    again = project.run("apply", "plan.json")
    assert 7 == again.exit_code
    assert "stage full_active: nothing -> passed at tick 20" in again.stdout


def test_a_plan_that_was_made_in_another_folder_goes_to_the_same_database(project, tmp_path_factory):
    project.run("plan", "--out", "plan.json", "--target-stage", "dark_mode")
    elsewhere = type(project)(tmp_path_factory.mktemp("elsewhere"))

    refused = elsewhere.run("apply", str(project.folder / "plan.json"))

    assert 7 == refused.exit_code
    assert f"database: {project.folder}/rollout.db -> {elsewhere.folder}/rollout.db" in refused.stdout
    assert not elsewhere.database.exists()


def edited_value(project):
    project.edit("config/rollout.yaml", "min: 70", "min: 71")


def edited_migration(project):
    project.edit("sql/sqlite/0004_later.sql", "later", "sooner")


def new_migration(project):
    (project.folder / "sql/sqlite/0005_new.sql").write_text("-- migrate:up\nSELECT 1;\n")


def no_migration(project):
    (project.folder / "sql/sqlite/0004_later.sql").unlink()


def another_run(project):
    assert 0 == project.run("apply", "--target-stage", "partial_active").exit_code


def changed_row(project):
    project.write("UPDATE provider_states SET timeout_seconds = 9 WHERE provider_name = 'stub' AND sport = 'NFL'")


def switched_row(project):
    project.write("UPDATE provider_states SET status = 'ACTIVE' WHERE provider_name = 'fanduel' AND sport = 'NFL'")


def expired_entry(project):
    project.write(
        "UPDATE portfolio_rationales SET expires_at = '2020-01-01 00:00:00' WHERE cache_key = 'factor:nba_v2.1'"
    )


def other_database(project):
    project.write("UPDATE runner_meta SET value = 'x' WHERE name = 'database_id'")


@pytest.mark.parametrize(
    ("meanwhile", "told"),
    [
        (edited_value, ["rollout.thresholds.cache_hit_rate_pct.min: 70 -> 71"]),
        (edited_migration, ["migration 0004_later was edited"]),
        (new_migration, ["migration 0005_new is new"]),
        (no_migration, ["migration 0004_later is gone"]),
        (another_run, [" completed", "stage partial_active: nothing -> passed at tick 40"]),
        (changed_row, ["provider_states stub/NFL: nothing -> to change: timeout_seconds from 9 to 10"]),
        (switched_row, ["full_active: switches rows: 20 -> 19", "full_active: switches fanduel/NFL: on -> nothing"]),
        (expired_entry, ["portfolio_rationales factor:nba_v2.1: nothing -> to warm"]),
        (other_database, [" -> x"]),
    ],
)
def test_a_saved_plan_is_refused_with_what_differs(in_shadow, copy, meanwhile, told):
    project = copy(in_shadow)
    (project.folder / "sql/sqlite/0004_later.sql").write_text("-- migrate:up\nCREATE TABLE later (a);\n")
    project.run("plan", "--out", "plan.json")
    meanwhile(project)
    before = project.tables()

    refused = project.run("apply", "plan.json")

    assert 7 == refused.exit_code
    assert "error: the plan is out of date; other than when it was made:\n" in refused.stdout
    assert all(words in refused.stdout for words in told)
    assert f"runner plan {project.folder}/config/rollout.yaml --env local --out plan.json" in refused.stdout
    assert ["run.refused"] == [event["event"] for event in refused.events]
    assert before == project.tables()
    assert 0 == project.run("plan", "--out", "plan.json").exit_code


def test_a_stand_in_that_is_told_to_misbehave_is_another_plan(in_shadow, copy):
    project = copy(in_shadow)
    project.run("plan", "--out", "plan.json")

    refused = project.run("apply", "plan.json", RUNNER_STAND_IN_FAULTS="stub:fail@full_active")

    assert 7 == refused.exit_code
    assert "stand-in: stub fail since full_active: nothing -> ordered" in refused.stdout


def test_time_that_passes_makes_no_other_plan(in_shadow, copy):
    project = copy(in_shadow)
    project.run("plan", "--out", "plan.json", "--target-stage", "partial_active")
    due = (
        "UPDATE portfolio_rationales SET expires_at = datetime('now', '+50 minutes') || '.000000' WHERE cache_type = ?"
    )
    project.write(due, "factor")

    result = project.run("apply", "plan.json")

    assert 0 == result.exit_code
    assert "10 entries refreshed" in result.stdout


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda text: text[:-500], "the plan cannot be read"),
        (lambda text: text.replace('"timeout_seconds":10', '"timeout_seconds":11'), "its checksum is another"),
        (
            lambda text: text.replace('"runner_plan":1', '"runner_plan":2'),
            "the plan has form 2, this runner knows form 1",
        ),
    ],
)
def test_a_damaged_plan_is_refused(project, damage, told):
    project.run("plan", "--out", "plan.json")
    plan = project.folder / "plan.json"
    text = plan.read_text()
    assert text != damage(text)
    plan.write_text(damage(text))

    refused = project.run("apply", "plan.json")

    assert 7 == refused.exit_code
    assert told in refused.stdout
    assert not project.database.exists()


@pytest.mark.parametrize("option", [("--target-stage", "dark_mode"), ("--env", "local")])
def test_a_plan_says_itself_where_to_and_how_far(project, option):
    project.run("plan", "--out", "plan.json")

    assert 64 == project.run("apply", "plan.json", *option).exit_code
    assert not project.database.exists()


def test_a_file_that_is_no_plan_is_never_overwritten(project):
    kept = project.folder / "config/rollout.yaml"
    before = kept.read_bytes()

    refused = project.run("plan", "--out", "config/rollout.yaml")

    assert 1 == refused.exit_code
    assert "config/rollout.yaml is there already, and is no plan" in refused.stdout
    assert before == kept.read_bytes()


def test_a_plan_holds_no_secret(project):
    secret = "s3cr3t-0dds"  # noqa: S105
    project.edit(
        "config/providers.yaml", r"endpoint: \$\{STUB_URL:-\}", f"headers: {{X-Key: {secret}, Y: '${{STUB_KEY}}'}}"
    )
    environ = {
        "DRAFTKINGS_URL": f"http://user:{secret}@127.0.0.1:1/{{sport}}?key={secret}",
        "STUB_KEY": secret,
    }

    result = project.run("plan", "--out", "plan.json", "--json", **environ)

    assert 0 == result.exit_code
    assert secret not in result.stdout + project.run("plan", **environ).stdout
    assert secret not in (project.folder / "plan.json").read_text()


@pytest.mark.parametrize(("later", "exit_code"), [("sqlite:///{}/a.db", 0), ("sqlite:///b.db", 7)])
def test_a_database_is_the_same_whatever_its_address_is_called(project, later, exit_code):
    project.edit("config/rollout.yaml", "sqlite:///rollout.db", "${DATABASE_URL}")
    project.run("plan", "--out", "plan.json", "--target-stage", "dark_mode", DATABASE_URL="sqlite:///a.db")

    result = project.run("apply", "plan.json", DATABASE_URL=later.format(project.folder))

    assert exit_code == result.exit_code
    assert not (project.folder / "b.db").exists()
