"""What stands in the tables is held against what is declared, and against what the stages have switched."""

import json
import shutil

import pytest

GONE = "+ betmgm/NHL  is declared, and not there"


def verified(project, what):
    result = project.run("verify", what, "--json")
    found = json.loads(result.stdout)
    assert (0 if found["as_declared"] else 4) == result.exit_code
    return found


def drifts(project, what):
    """Every drift as it is told, without the blanks that align it."""
    result = project.run("verify", what)
    told = [" ".join(line.split()) for line in result.stdout.splitlines() if line.startswith(("  ~ ", "  + ", "  - "))]
    assert (4 if told else 0) == result.exit_code
    return told


@pytest.fixture
def project(finished, tmp_path):
    """The bundled rollout after its first run, to be written to."""
    folder = tmp_path / "copy"
    shutil.copytree(finished[0].folder, folder)
    return type(finished[0])(folder)


@pytest.mark.parametrize("what", ["providers", "caches"])
def test_what_a_rollout_leaves_is_as_declared(finished, what):
    found = verified(finished[0], what)

    assert (True, [], "full_active") == (found["as_declared"], found["drift"], found["stage"])
    assert [] == drifts(finished[0], what)


def test_providers_are_counted_by_sport(finished):
    lines = finished[0].run("verify", "providers").stdout.splitlines()

    assert "sport rows enabled ACTIVE INACTIVE ERROR MAINTENANCE drift" == " ".join(lines[2].split())
    assert [["MLB", "7"], ["NBA", "7"], ["NFL", "7"], ["NHL", "7"], ["all", "28"]] == [
        line.split()[:2] for line in lines[3:8]
    ]


def test_entries_are_counted_by_type_and_expired_ones_are_no_drift(project):
    project.write(
        "UPDATE portfolio_rationales SET expires_at = '2020-01-01 00:00:00' WHERE cache_key = 'factor:nba_v2.1'"
    )

    result = project.run("verify", "caches")

    assert 0 == result.exit_code
    lines = [line.split() for line in result.stdout.splitlines()[3:7]]
    assert [["correlation", "15", "0"], ["factor", "4", "1"], ["player", "6", "0"], ["all", "25", "1"]] == [
        line[:3] for line in lines
    ]
    assert ["2020-01-01", "00:00", "0"] == lines[1][3:]


@pytest.mark.parametrize("stage", ["disabled", "shadow_mode", "partial_active"])
def test_every_stage_is_held_against_what_it_has_switched(project, stage):
    project.run("apply", "--target-stage", stage)

    assert [] == drifts(project, "providers")
    assert [] == drifts(project, "caches")


OWN_PROVIDER = (
    "INSERT INTO provider_states (provider_name, sport, poll_interval_seconds, timeout_seconds, max_retries)"
    " SELECT 'own', 'NBA', 1, 1, 1"
)
OWN_RATIONALE = (
    "INSERT INTO portfolio_rationales (cache_key, cache_type, rationale_type, data_json, data_hash)"
    " VALUES ('summary:1', 'summary', 'BET_SELECTION', '{}', 'x')"
)
OF_ONE = "WHERE provider_name = 'stub' AND sport = 'NBA'"


@pytest.mark.parametrize(
    ("statement", "what", "told"),
    [
        (
            f"UPDATE provider_states SET timeout_seconds = 31 {OF_ONE}",
            "providers",
            ["~ stub/NBA timeout_seconds: 10 (declared) -> 31"],
        ),
        (
            "UPDATE provider_states SET status = 'ERROR' WHERE provider_name = 'betmgm' AND sport = 'NBA'",
            "providers",
            ["~ betmgm/NBA status: ACTIVE (full_active) -> ERROR"],
        ),
        (
            f"UPDATE provider_states SET is_enabled = 0, status = 'MAINTENANCE' {OF_ONE}",
            "providers",
            [
                "~ stub/NBA status: ACTIVE (as full_active found it) -> MAINTENANCE",
                "~ stub/NBA is_enabled: 1 (as full_active found it) -> 0",
            ],
        ),
        (f"DELETE FROM provider_states {OF_ONE}", "providers", ["+ stub/NBA is declared, and not there"]),
        (
            f"UPDATE provider_states SET total_requests = 0, last_error = 'x', updated_at = 'x' {OF_ONE}",
            "providers",
            [],
        ),
        (
            OWN_PROVIDER,
            "providers",
            [],  # a row that the rollout has not made is the application's
        ),
        (
            "UPDATE portfolio_rationales SET confidence = 0.5 WHERE cache_key = 'player:josh_allen'",
            "caches",
            ["~ player:josh_allen confidence: 0.75 (declared) -> 0.5"],
        ),
        (
            "DELETE FROM portfolio_rationales WHERE cache_key = 'player:josh_allen'",
            "caches",
            ["+ player:josh_allen is declared, and not there"],
        ),
        (
            "UPDATE portfolio_rationales SET cache_key = 'player:x' WHERE cache_key = 'player:josh_allen'",
            "caches",
            ["+ player:josh_allen is declared, and not there", "- player:x is there, and not declared (by nobody)"],
        ),
        (
            OWN_RATIONALE,
            "caches",
            [],
        ),
    ],
)
def test_every_drift_is_named_with_what_was_expected_and_found(project, statement, what, told):
    if statement is OWN_PROVIDER:
        project.write("INSERT INTO providers VALUES ('own')")
    project.write(statement)

    found = drifts(project, what)

    assert told == found
    assert len(told) == len(verified(project, what)["drift"])


def test_data_and_hash_are_held_against_each_other(project):
    project.write("UPDATE portfolio_rationales SET data_json = '{}' WHERE cache_key = 'player:josh_allen'")

    first, second = verified(project, "caches")["drift"]

    assert ("data_json", "declared", "{}") == (first["column"], first["by"], first["found"])
    assert ("data_hash", "the hash of its data") == (second["column"], second["by"])
    assert "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a" == second["expected"]


def test_a_hash_that_is_not_as_declared_is_named_once(project):
    project.write("UPDATE portfolio_rationales SET data_hash = 'x' WHERE cache_key = 'player:josh_allen'")

    [drift] = verified(project, "caches")["drift"]

    assert ("data_hash", "declared", "x") == (drift["column"], drift["by"], drift["found"])


def test_rows_that_are_declared_no_more_are_named(project):
    project.edit("config/providers.yaml", r"(?s)  - name: sportsradar.*", "")
    project.edit("config/caches.yaml", r".*player:josh_allen.*\n", "")

    assert [
        f"- sportsradar/{sport} is there, and not declared (seeded once, declared no more)"
        for sport in ("MLB", "NBA", "NFL", "NHL")
    ] == drifts(project, "providers")
    assert ["- player:josh_allen is there, and not declared (seeded once, declared no more)"] == drifts(
        project, "caches"
    )


def test_rows_that_were_declared_after_their_stage_are_named(project):
    project.write("INSERT INTO providers VALUES ('newcomer')")
    project.edit(
        "config/providers.yaml",
        r"\Z",
        "  - {name: newcomer, sports: [NHL], enabled: true, poll_interval: 60s, timeout: 30s, retries: 3}\n",
    )
    project.run("apply")

    assert [
        "~ newcomer/NHL status: ACTIVE (full_active, declared after it was passed) -> INACTIVE",
    ] == drifts(project, "providers")


def test_a_row_that_was_there_before_is_as_it_was_found(project):
    project.database.unlink()
    project.run("apply", "--target-stage", "disabled")
    project.write("DELETE FROM runner_seeds")
    project.write(f"UPDATE provider_states SET status = 'MAINTENANCE', timeout_seconds = 5 {OF_ONE}")
    project.run("apply", "--target-stage", "disabled")
    assert [] == drifts(project, "providers")

    project.write(f"UPDATE provider_states SET status = 'ERROR' {OF_ONE}")

    assert ["~ stub/NBA status: MAINTENANCE (as seeds found it) -> ERROR"] == drifts(project, "providers")


def test_drift_is_counted_with_its_sport_or_type_even_where_no_row_is_left(project):
    project.write("DELETE FROM portfolio_rationales WHERE cache_type = 'factor'")

    groups = {group["name"]: (group["entries"], group["drift"]) for group in verified(project, "caches")["groups"]}

    assert {"correlation": (15, 0), "factor": (0, 4), "player": (6, 0)} == groups


@pytest.mark.parametrize("what", ["providers", "caches"])
def test_without_a_database_nothing_is_as_declared_and_none_is_made(project, what):
    project.database.unlink()

    result = project.run("verify", what)

    assert 4 == result.exit_code
    assert "there is no table" in result.stdout
    assert not project.database.exists()


def test_a_column_that_is_missing_is_named(project):
    project.write("ALTER TABLE provider_states DROP COLUMN max_retries")

    result = project.run("verify", "providers")

    assert 4 == result.exit_code
    assert "table provider_states has no column max_retries: 28 rows are declared" in result.stdout


def test_verify_wants_to_know_what(project):
    assert 64 == project.run("verify").exit_code
    assert 64 == project.run("verify", "everything").exit_code


def test_verify_changes_nothing(project):
    before = project.database.read_bytes()

    project.run("verify", "providers")
    project.run("verify", "caches")

    assert before == project.database.read_bytes()
