"""A rehearsal as people use it: on a copy, with every way back taken once, and nothing left behind."""

import hashlib
import json
import signal
import stat
import time

import pytest


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def files(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def scratch(tmp_path_factory):
    """A temporary folder of its own, to see what stays in it."""
    return tmp_path_factory.mktemp("scratch")


def rehearse(project, scratch, *arguments, **environ):
    result = project.run("rehearse", "--json", *arguments, TMPDIR=str(scratch), **environ)
    return result, json.loads(result.stdout)


def unproved(found):
    return [(proof["kind"], proof["name"], proof["detail"]) for proof in found["proofs"] if not proof["proved"]]


def test_everything_is_proved_on_a_copy_and_nothing_is_left_of_it(project, scratch):
    result, found = rehearse(project, scratch)

    assert [] == unproved(found)
    assert (0, True, 4, 3, 3) == (
        result.exit_code,
        found["passed"],
        found["drills"],
        found["levels"],
        found["restores"],
    )
    assert ["dark_mode", "shadow_mode", "partial_active", "full_active"] == [
        proof["name"] for proof in found["proofs"] if proof["kind"] == "drill"
    ]
    assert "errors is given as 11: rolled back to shadow_mode, every table has the digest from before" in [
        proof["detail"] for proof in found["proofs"]
    ]
    assert ([], []) == (files(scratch), found["no_way_back"])
    assert ["config", "rollout.db.runner", "sql"] == files(project.folder)
    assert len(found["proofs"]) == len(result.told("proof.passed"))


def test_the_original_is_only_read(finished, tmp_path, scratch):
    done, _ = finished
    before = digest(done.database)

    result, found = rehearse(done, scratch)

    assert (0, []) == (result.exit_code, unproved(found))
    assert digest(done.database) == before
    assert {"config", "rollout.db", "rollout.db.runner", "sql"} == set(files(done.folder))
    assert [] == files(scratch)
    assert found["copied"]["size_bytes"] == done.database.stat().st_size


def test_a_person_reads_what_was_proved_and_how_long_it_took(project, scratch):
    text = project.run("rehearse", TMPDIR=str(scratch)).stdout

    assert text.startswith("schema-finalization rehearsed for local (sqlite:///rollout.db), on a new database\n")
    assert "ok   rollback      emergency" in text
    assert "no undoing    of nothing: every step has its way back" in text
    assert "proved: 4 drills, 3 rollback levels and 3 restores, in " in text


@pytest.mark.parametrize(
    ("edit", "kind", "said"),
    [
        (
            ("sql/sqlite/0002_provider_states.sql", "DROP TABLE IF EXISTS provider_states;", "SELECT 1;"),
            "rollback",
            "migration 0002_provider_states leaves",
        ),
        (
            ("sql/sqlite/0003_portfolio_rationales.sql", "DROP TABLE IF EXISTS portfolio_rationales;\n", ""),
            "rollback",
            "migration 0003_portfolio_rationales cannot be reverted",
        ),
        (
            ("sql/sqlite/0003_portfolio_rationales.sql", "-- migrate:up", "-- migrate:up destructive:true"),
            "rollback",
            "migration 0003_portfolio_rationales cannot be reverted",
        ),
        (
            ("config/rollout.yaml", 'expect: ">= 24"', 'expect: ">= 99"'),
            "exit criteria",
            "17 of 18 pass",
        ),
        (
            ("config/rollout.yaml", "min: 70", "min: 75"),
            "stage",
            "",
        ),
    ],
)
def test_what_would_go_wrong_in_production_goes_wrong_in_the_rehearsal(project, scratch, edit, kind, said):
    project.edit(*edit)

    result, found = rehearse(project, scratch)

    assert (1, False) == (result.exit_code, found["passed"])
    [(failed, _, detail), *_] = unproved(found)
    assert (kind, True) == (failed, said in detail), detail
    assert [] == files(scratch)


def require(project):
    project.edit("config/rollout.yaml", r"speed: (\d+)\}", r"speed: \1, rehearsal: required}")


def test_where_it_is_required_only_a_rehearsed_config_is_applied(project, scratch):
    require(project)
    refused = project.run("apply")

    assert 7 == refused.exit_code
    assert (
        "error: local requires a rehearsal, and this config, with these migrations, was not rehearsed for it\n"
        "  at config/rollout.yaml\n"
        "  fix: run `runner rehearse config/rollout.yaml --env local`, and apply what it proves\n"
    ) == refused.stdout
    assert not project.rows("SELECT name FROM sqlite_master WHERE name NOT LIKE 'runner_%'")

    rehearse(project, scratch)
    assert 0 == project.run("apply").exit_code

    project.edit("config/rollout.yaml", "min: 70", "min: 71")
    assert 0 == project.run("apply").exit_code  # nothing is left to do
    assert 0 == project.run("apply", "--target-stage", "disabled").exit_code  # the way back needs none
    assert 7 == project.run("apply").exit_code


def test_a_migration_that_was_edited_has_to_be_rehearsed_again(project, scratch):
    require(project)
    rehearse(project, scratch)
    project.edit("sql/sqlite/0003_portfolio_rationales.sql", "-- migrate:down", "-- migrate:down\n-- as before")

    assert 7 == project.run("apply").exit_code


def test_a_rehearsal_that_did_not_prove_everything_is_not_enough(project, scratch):
    require(project)
    project.edit("sql/sqlite/0003_portfolio_rationales.sql", "-- migrate:up", "-- migrate:up destructive:true")
    rehearse(project, scratch)

    said = project.run("apply").stdout

    assert "and not everything was proved: rollback emergency" in said


def test_a_record_that_was_edited_counts_for_nothing(project, scratch):
    require(project)
    rehearse(project, scratch)
    [record] = (project.folder / "rollout.db.runner" / "rehearsals").iterdir()
    assert 0o600 == stat.S_IMODE(record.stat().st_mode)
    record.write_text(record.read_text().replace('"drills": 4', '"drills": 5'))

    assert 7 == project.run("apply").exit_code


def test_a_rehearsal_that_is_killed_leaves_a_folder_that_the_next_one_clears_away(project, scratch):
    process = project.start("rehearse", TMPDIR=str(scratch))
    while not files(scratch):
        time.sleep(0.01)
    time.sleep(0.5)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert files(scratch)

    result, _ = rehearse(project, scratch)

    assert (0, []) == (result.exit_code, files(scratch))


def test_a_rehearsal_stops_when_it_is_asked_to_and_clears_up(project, scratch):
    process = project.start("rehearse", TMPDIR=str(scratch))
    while not files(scratch):
        time.sleep(0.01)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)

    assert (130, []) == (process.returncode, files(scratch))


def test_it_begins_with_what_stands_even_if_that_is_unfinished(project, scratch):
    assert 0 == project.run("apply", "--target-stage", "shadow_mode").exit_code
    process = project.start("apply")
    while not project.rows("SELECT 1 FROM runner_stages WHERE stage = 'partial_active' AND ticks > 3"):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = project.tables()

    result, found = rehearse(project, scratch)

    assert (0, []) == (result.exit_code, unproved(found))
    assert project.tables() == before


def test_rows_of_the_application_are_part_of_the_proof(project, scratch):
    project.run("apply", "--target-stage", "disabled")
    project.write(
        "INSERT INTO portfolio_rationales (cache_key, cache_type, rationale_type, data_json, data_hash)"
        " VALUES ('mine', 'app', 'RISK_ANALYSIS', '{}', 'h')"
    )
    project.run("rollback", "--level", "standard")
    project.write(
        "INSERT INTO provider_states (provider_name, sport, poll_interval_seconds, timeout_seconds, max_retries)"
        " VALUES ('stub', 'MLB', 7, 7, 7)"
    )

    result, found = rehearse(project, scratch)

    assert (0, []) == (result.exit_code, unproved(found))


def test_rows_that_stood_before_as_they_are_declared_are_switched_and_come_back(project, scratch):
    project.run("apply", "--target-stage", "disabled")
    rows = project.tables()["provider_states"]
    project.run("rollback", "--level", "standard")
    for row in rows[:5]:
        project.write(f"INSERT INTO provider_states VALUES ({', '.join('?' * len(row))})", *row)

    result, found = rehearse(project, scratch)

    assert (0, []) == (result.exit_code, unproved(found))


def test_no_room_for_the_copy_is_told_with_what_to_do(project, tmp_path):
    missing = tmp_path / "none"

    result = project.run("rehearse", TMPDIR=str(missing), TMP=str(missing), TEMP=str(missing))

    assert result.exit_code in {0, 1}  # Python falls back to other folders where it can
    assert "Traceback" not in result.stderr


def test_live_probes_ask_the_providers_own_addresses(project, scratch):
    dead = {f"{name}_URL": "http://127.0.0.1:9/" for name in ("DRAFTKINGS", "FANDUEL")}

    result, _ = rehearse(project, scratch, **dead)
    live, found = rehearse(project, scratch, "--live-probes", **dead)

    assert (0, 1) == (result.exit_code, live.exit_code)
    assert ("stage", "dark_mode") == unproved(found)[0][:2]


def test_the_copy_is_readable_by_its_owner_alone(project, scratch):
    process = project.start("rehearse", TMPDIR=str(scratch))
    while not list(scratch.glob("*/copy.db")):
        time.sleep(0.01)
    [copy] = scratch.glob("*/copy.db")
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (copy, copy.parent)]
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)

    assert [0o600, 0o700] == modes
