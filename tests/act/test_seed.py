import json
from collections import Counter
from datetime import timedelta
from operator import itemgetter

import pytest
from ground import NOON, dump, entry, provider, targets

from runner.act import seed
from runner.act.seed import Difference, RowDifference, What
from runner.errors import StepFailed
from runner.store.tables import PROVIDER_STATES

DRAFTKINGS, FANDUEL = provider(), provider("fanduel", priority="normal")
BOTH = targets(DRAFTKINGS, FANDUEL)
ENTRIES = [entry("player:a"), entry("player:b"), entry("factor:x", type="factor", rationale_type="CACHE_FACTOR")]
LATER = NOON + timedelta(minutes=30)
TOO_LATE = NOON + timedelta(hours=1)
OTHER_KEY, OTHER_CONFIDENCE = entry("player:c"), entry("player:a", confidence=0.8)


@pytest.fixture
def sow(database):
    """Compare declared rows with the table, and write them as one run; return what the comparison found."""

    def sow(declared, at=NOON, run_id="run-1"):
        load = seed.caches if hasattr(declared[0], "ttl_s") else seed.providers
        seeds = load(database, declared, at)
        found = seeds.compare()
        with database.transaction():
            seeds.write(run_id)
        return found

    return sow


def everything(backend):
    return dump(backend, "provider_states", "portfolio_rationales", "runner_seeds", "runner_changes")


def remembered(backend):
    return {
        row["row_key"]: (row["before_json"] and json.loads(row["before_json"]), row["run_id"])
        for row in backend.rows("SELECT row_key, before_json, run_id FROM runner_seeds")
    }


def row(backend, name="draftkings", sport="MLB"):
    [found] = backend.rows(
        "SELECT * FROM provider_states WHERE provider_name = :name AND sport = :sport", {"name": name, "sport": sport}
    )
    return found


def cached(backend, key="player:a"):
    [found] = backend.rows("SELECT * FROM portfolio_rationales WHERE cache_key = :key", {"key": key})
    return found


# what is written


def test_declared_providers_become_rows_one_for_each_sport(database, sow):
    sow(BOTH)

    found = row(database, "fanduel", "NHL")
    assert 8 == database.scalar("SELECT count(*) FROM provider_states")
    assert ("INACTIVE", 1, 60, 30, 3) == (
        found["status"],
        found["is_enabled"],
        found["poll_interval_seconds"],
        found["timeout_seconds"],
        found["max_retries"],
    )
    assert {"props": True} == json.loads(found["capabilities"])
    assert "2026-08-02 12:00:00.000000" == found["created_at"] == found["updated_at"]
    assert (0, 0, None) == (found["total_requests"], found["consecutive_errors"], found["average_response_time_ms"])


def test_declared_entries_become_rows_that_expire(database, sow):
    sow(ENTRIES)

    found = cached(database)
    assert ("player", "CACHE_PLAYER", 0.75) == (found["cache_type"], found["rationale_type"], found["confidence"])
    assert '{"props":15}' == found["data_json"]
    assert found["data_hash"].startswith("sha256:")
    assert "2026-08-02 13:00:00.000000" == found["expires_at"]


@pytest.mark.parametrize(
    ("first", "second", "at", "found"),
    [
        (None, BOTH, NOON, Difference(8, 0, 0, 0)),
        (BOTH, BOTH, NOON, Difference(0, 0, 0, 8)),
        (targets(DRAFTKINGS), BOTH, NOON, Difference(4, 0, 0, 4)),
        (BOTH, targets(DRAFTKINGS), NOON, Difference(0, 0, 0, 4)),  # what is declared no more stays
        (BOTH, targets(DRAFTKINGS._replace(timeout_s=31), FANDUEL), NOON, Difference(0, 4, 0, 4)),
        (BOTH, targets(DRAFTKINGS._replace(priority="low"), FANDUEL), NOON, Difference(0, 0, 0, 8)),  # not in the table
        (BOTH, targets(DRAFTKINGS._replace(capabilities={"props": 1}), FANDUEL), NOON, Difference(0, 4, 0, 4)),
        (None, ENTRIES, NOON, Difference(3, 0, 0, 0)),
        (ENTRIES, ENTRIES, LATER, Difference(0, 0, 0, 3)),
        (ENTRIES, [*ENTRIES, OTHER_KEY], LATER, Difference(1, 0, 0, 3)),
        (ENTRIES, [OTHER_CONFIDENCE, *ENTRIES[1:]], LATER, Difference(0, 1, 0, 2)),
        (ENTRIES, ENTRIES, TOO_LATE, Difference(0, 0, 3, 0)),
        (ENTRIES, [OTHER_CONFIDENCE, OTHER_KEY, ENTRIES[1]], TOO_LATE, Difference(1, 1, 1, 0)),
    ],
)
def test_what_is_to_be_added_changed_warmed_and_left_is_counted(sow, first, second, at, found):
    if first:
        sow(first)

    assert found == sow(second, at)


@pytest.mark.parametrize("declared", [BOTH, ENTRIES])
def test_a_second_time_nothing_is_written(database, sow, declared):
    sow(declared)
    before = everything(database)

    assert sow(declared, LATER, "run-2").is_none
    assert before == everything(database)


def test_only_rows_that_differ_are_written(database, sow):
    sow(ENTRIES)
    others = [cached(database, key) for key in ("player:b", "factor:x")]

    sow([OTHER_CONFIDENCE, *ENTRIES[1:]], LATER)

    assert others == [cached(database, key) for key in ("player:b", "factor:x")]
    changed = cached(database)
    assert (0.8, "2026-08-02 12:30:00.000000") == (changed["confidence"], changed["updated_at"])
    assert ("2026-08-02 12:00:00.000000", "2026-08-02 13:30:00.000000") == (
        changed["created_at"],
        changed["expires_at"],
    )


def test_entries_that_have_expired_are_warmed(database, sow):
    sow(ENTRIES)

    sow(ENTRIES, TOO_LATE)

    assert "2026-08-02 14:00:00.000000" == cached(database)["expires_at"]
    assert sow(ENTRIES, TOO_LATE).is_none


def test_an_entry_with_its_own_time_to_live_is_warmed_by_itself(sow):
    long_lived = entry("factor:x", ttl_s=6 * 3600)
    sow([entry(), long_lived])

    assert Difference(0, 0, 1, 1) == sow([entry(), long_lived], TOO_LATE)


@pytest.mark.parametrize(
    ("declared", "what"),
    [
        ([*BOTH, *targets(provider("unknown"))], "unknown is declared, but table providers has no row for it"),
        ([*BOTH, *targets(provider(sports=("CRICKET",)))], "CRICKET is declared, but table sports has no row for it"),
        ([*ENTRIES, entry("player:x", confidence=1.5)], "constraint failed"),
        ([*ENTRIES, entry("player:x", rationale_type="CACHE")], "constraint failed"),
    ],
)
def test_a_row_that_the_table_refuses_takes_all_of_them_back(database, sow, declared, what):
    before = everything(database)

    with pytest.raises(StepFailed, match=what):
        sow(declared)

    assert before == everything(database)


# what the runner does not own


def test_live_counters_and_what_a_stage_switched_are_left_alone(database, sow):
    sow(BOTH)
    database.execute(
        "UPDATE provider_states SET status = 'ACTIVE', total_requests = 7, successful_requests = 6,"
        " failed_requests = 1, average_response_time_ms = 12.5, unique_props_seen = 3, last_error = 'HTTP 503'"
    )
    before = dump(database)

    assert sow(BOTH, LATER).is_none
    assert before == dump(database)

    sow(targets(DRAFTKINGS._replace(timeout_s=31)), LATER)
    changed = {**row(database), "timeout_seconds": 30, "updated_at": row(database, "fanduel")["updated_at"]}
    assert changed in before["provider_states"]


def test_rationales_of_the_application_are_left_alone(database, sow):
    database.execute(
        "INSERT INTO portfolio_rationales (cache_key, cache_type, rationale_type, data_json, data_hash, user_rating)"
        " VALUES ('summary:1', 'summary', 'PORTFOLIO_SUMMARY', '{}', 'x', 5)"
    )
    theirs = cached(database, "summary:1")

    sow(ENTRIES)
    sow(ENTRIES, TOO_LATE)

    assert theirs == cached(database, "summary:1")


def test_a_row_of_the_application_with_the_key_of_a_seed_is_refused_and_nothing_is_written(database, sow):
    database.execute(
        "INSERT INTO portfolio_rationales (cache_key, cache_type, rationale_type, data_json, data_hash)"
        " VALUES ('player:b', 'summary', 'BET_SELECTION', '{}', 'x')"
    )
    before = everything(database)

    with pytest.raises(StepFailed) as caught:
        sow(ENTRIES)

    assert str(caught.value) == (
        "error: rows of portfolio_rationales that are the application's have the key of a seed: player:b\n"
        "  fix: give the declared entries other keys; the application's rows were left alone"
    )
    assert before == everything(database)


# values that are only a start


def redeclared(**values):
    return targets(DRAFTKINGS._replace(**values))


@pytest.mark.parametrize(
    ("somebody", "values", "found"),
    [
        ("", {"enabled": False}, ("INACTIVE", 0)),
        ("", {"status": "MAINTENANCE"}, ("MAINTENANCE", 1)),
        ("", {"status": "ACTIVE", "enabled": False}, ("ACTIVE", 0)),
        ("status = 'ERROR'", {"status": "MAINTENANCE"}, ("ERROR", 1)),  # switched meanwhile
        ("status = 'ERROR'", {"status": "MAINTENANCE", "enabled": False}, ("ERROR", 0)),  # each value by itself
        ("is_enabled = 0", {"enabled": False}, ("INACTIVE", 0)),
        ("is_enabled = 0", {}, ("INACTIVE", 0)),  # declared as before: nothing to say
    ],
)
def test_a_start_value_that_is_redeclared_is_written_where_the_row_still_holds_the_old_one(
    database, sow, somebody, values, found
):
    sow(targets(DRAFTKINGS))
    if somebody:
        database.execute(f"UPDATE provider_states SET {somebody}")

    sow(redeclared(**values), LATER)

    assert found == (row(database)["status"], row(database)["is_enabled"])
    assert sow(redeclared(**values), LATER).is_none


def test_a_start_value_that_was_declared_anew_once_is_compared_with_that(database, sow):
    sow(targets(DRAFTKINGS))
    sow(redeclared(status="MAINTENANCE"))

    sow(redeclared(status="ACTIVE"))

    assert "ACTIVE" == row(database)["status"]


# what was there before


def test_rows_that_are_new_are_the_rollouts_own(database, sow):
    sow(targets(DRAFTKINGS))

    assert {f'["draftkings","{sport}"]': (None, "run-1") for sport in ("MLB", "NBA", "NFL", "NHL")} == remembered(
        database
    )


def test_a_row_that_somebody_else_had_made_is_remembered_as_it_was(database, sow):
    database.execute(
        "INSERT INTO provider_states"
        " (provider_name, sport, status, poll_interval_seconds, timeout_seconds, max_retries, total_requests)"
        " VALUES ('draftkings', 'MLB', 'ACTIVE', 5, 6, 7, 8)"
    )

    assert Difference(3, 1, 0, 0) == sow(targets(DRAFTKINGS))
    sow(redeclared(timeout_s=31), run_id="run-2")

    before, run_id = remembered(database)['["draftkings","MLB"]']
    assert ("run-1", "ACTIVE", 0, 5, 6, 7) == (
        run_id,
        before["status"],
        before["is_enabled"],
        before["poll_interval_seconds"],
        before["timeout_seconds"],
        before["max_retries"],
    )
    found = row(database)
    assert ("ACTIVE", 0, 60, 31, 8) == (
        found["status"],
        found["is_enabled"],
        found["poll_interval_seconds"],
        found["timeout_seconds"],
        found["total_requests"],
    )


def test_a_cache_entry_that_was_there_before_is_remembered_as_it_was(database, sow):
    sow([entry("player:a", confidence=0.1)])
    database.execute("DELETE FROM runner_seeds")
    theirs = cached(database)

    sow(ENTRIES, LATER)

    before, _ = remembered(database)['["player:a"]']
    assert {name: theirs[name] for name in before} == before
    assert {"cache_key", "data_json", "data_hash", "confidence", "expires_at"} <= set(before)


# row by row


def load(database, declared, at=NOON, **more):
    return (seed.caches if hasattr(declared[0], "ttl_s") else seed.providers)(database, declared, at, **more)


@pytest.mark.parametrize(
    ("first", "second", "at", "found"),
    [
        (BOTH, BOTH, LATER, []),
        (
            targets(DRAFTKINGS),
            targets(DRAFTKINGS, provider("fanduel", sports=("NFL",), status="ERROR", capabilities={})),
            NOON,
            [
                RowDifference(
                    What.ADD,
                    ("fanduel", "NFL"),
                    {},
                    {
                        "poll_interval_seconds": 60,
                        "timeout_seconds": 30,
                        "max_retries": 3,
                        "capabilities": "{}",
                        "status": "ERROR",
                        "is_enabled": 1,
                    },
                )
            ],
        ),
        (
            targets(provider(sports=("NFL",))),
            targets(provider(sports=("NFL",), timeout_s=31, status="ERROR")),
            NOON,
            [
                RowDifference(
                    What.CHANGE,
                    ("draftkings", "NFL"),
                    {"timeout_seconds": 30, "status": "INACTIVE"},
                    {"timeout_seconds": 31, "status": "ERROR"},
                )
            ],
        ),
        (
            ENTRIES,
            [OTHER_CONFIDENCE, ENTRIES[1]],
            TOO_LATE,
            [
                RowDifference(What.CHANGE, ("player:a",), {"confidence": 0.75}, {"confidence": 0.8}),
                RowDifference(What.WARM, ("player:b",), {"expires_at": "2026-08-02 13:00:00.000000"}, {}),
            ],
        ),
    ],
)
def test_every_row_that_is_not_as_it_stands_is_told_with_its_columns(database, sow, first, second, at, found):
    sow(first)

    assert found == list(load(database, second, at).differences())


def test_a_start_value_that_is_not_written_again_is_no_change_of_a_column(database, sow):
    sow(targets(provider(sports=("NFL",))))
    database.execute("UPDATE provider_states SET status = 'MAINTENANCE'")
    declared = targets(provider(sports=("NFL",), status="ERROR"))

    assert [RowDifference(What.CHANGE, ("draftkings", "NFL"), {}, {})] == list(load(database, declared).differences())
    assert Difference(0, 1, 0, 0) == load(database, declared).compare()


def test_a_row_in_the_hands_of_a_stage_keeps_its_start_value(database, sow, enter):
    sow(targets(provider(sports=("NFL",))))
    changes, _ = enter()
    changes.claim(PROVIDER_STATES, ("status", "is_enabled"), [("draftkings", "NFL")])
    declared = targets(provider(sports=("NFL",), status="ERROR", timeout_s=31))

    [difference] = load(database, declared).differences()

    assert {"timeout_seconds": 31} == difference.after


@pytest.mark.parametrize("declared", [BOTH, ENTRIES])
def test_what_is_told_row_by_row_is_what_is_counted_and_written(database, sow, declared):
    told = Counter(difference.what for difference in load(database, declared).differences())

    assert {"add": sow(declared).add} == told
    assert [] == list(load(database, declared).differences())


def test_before_there_are_tables_every_row_is_new(backend):
    told = [list(load(backend, declared, foreseen=True).differences()) for declared in (BOTH, ENTRIES)]

    assert [8, 3] == list(map(len, told))
    assert {What.ADD} == {difference.what for differences in told for difference in differences}
    assert [] == load(backend, BOTH, foreseen=True).undeclared()


def test_rows_that_are_the_rollouts_by_their_kind_and_that_nobody_declares_are_found(database, sow):
    sow(ENTRIES)
    database.execute(
        "INSERT INTO portfolio_rationales (cache_key, cache_type, rationale_type, data_json, data_hash)"
        " VALUES ('summary:1', 'summary', 'BET_SELECTION', '{}', 'x'), ('player:x', 'player', 'CACHE_X', '{}', 'x')"
    )

    assert [("player:b", "player"), ("player:x", "player")] == list(
        load(database, [ENTRIES[0], ENTRIES[2]]).unknown("cache_type")
    )


# many


def test_ten_thousand_rows_are_written_once(database, sow):
    names = [f"provider-{number}" for number in range(2500)]
    database.execute_many("INSERT INTO providers VALUES (:name)", ({"name": name} for name in names))
    declared = targets(*(provider(name) for name in names))

    assert Difference(10_000, 0, 0, 0) == sow(declared)
    assert Difference(0, 0, 0, 10_000) == sow(declared, LATER)
    assert Difference(0, 4, 0, 9996) == sow(targets(provider(names[0], timeout_s=31)) + declared[4:], LATER)


def test_ten_thousand_entries_are_written_once(sow):
    declared = [entry(f"player:{number}", data={"props": number}) for number in range(10_000)]

    assert Difference(10_000, 0, 0, 0) == sow(declared)
    assert Difference(0, 0, 0, 10_000) == sow(declared, LATER)
    assert Difference(0, 0, 10_000, 0) == sow(declared, TOO_LATE)


def test_what_seeds_write_to_a_row_of_the_application_is_remembered_before_and_after(database):
    with database.transaction():
        database.execute(
            "INSERT INTO provider_states (provider_name, sport, status, poll_interval_seconds, timeout_seconds,"
            " max_retries, updated_at) VALUES ('stub', 'MLB', 'ERROR', 9, 9, 9, 'then')"
        )
        seed.providers(database, targets(provider("stub", sports=("MLB", "NBA"), timeout_s=8)), NOON).write("run-1")
        seed.providers(database, targets(provider("stub", sports=("MLB", "NBA"), timeout_s=7)), NOON).write("run-2")

    kept = database.rows("SELECT row_key, before_json, after_json FROM runner_seeds ORDER BY row_key")

    assert ['["stub","MLB"]', '["stub","NBA"]'] == [row["row_key"] for row in kept]
    assert (9, "then") == itemgetter("timeout_seconds", "updated_at")(json.loads(kept[0]["before_json"]))
    assert (7, 60) == itemgetter("timeout_seconds", "poll_interval_seconds")(json.loads(kept[0]["after_json"]))
    assert (None, None) == (kept[1]["before_json"], kept[1]["after_json"])
