import json

import pytest
from ground import NOON, dump, entry, provider, targets

from runner.act import seed
from runner.errors import StepFailed
from runner.store.changes import Change, Changes, Conflict, Undone, digest, digest_of_others, follow, read, set_columns
from runner.store.ledger import Ledger
from runner.store.tables import PORTFOLIO_RATIONALES, PROVIDER_STATES

MLB, NBA = ("draftkings", "MLB"), ("draftkings", "NBA")
KEYS = [target.key for target in targets(provider())]
COLUMNS = ("status", "is_enabled", "total_requests", "average_response_time_ms", "last_error")


@pytest.fixture
def rows(database):
    """The tables with four rows of draftkings and two cache entries."""
    with database.transaction():
        seed.providers(database, targets(provider()), NOON).write("run-1")
        seed.caches(database, [entry("player:a"), entry("player:b")], NOON).write("run-1")
    return database


@pytest.fixture
def passage(rows):
    """Make the changes of one more passage through a stage."""
    ledger = Ledger(rows)

    def enter():
        run = ledger.begin_run("r", "local", "sha256:1", {}, "full", "running", NOON)
        return Changes(rows, ledger.enter_stage(run, "partial", "active", 3, "", {}, NOON).id)

    return enter


@pytest.fixture
def changes(passage):
    made = passage()
    made.claim(PROVIDER_STATES, COLUMNS, KEYS)
    return made


def somebody_sets(backend, key=MLB, **values):
    assignments = ", ".join(f"{name} = :{name}" for name in values)
    backend.execute(
        f"UPDATE provider_states SET {assignments} WHERE provider_name = :key_name AND sport = :key_sport",
        {**values, "key_name": key[0], "key_sport": key[1]},
    )


def stored(backend, key=MLB):
    [row] = backend.rows(
        "SELECT before_json, after_json FROM runner_changes WHERE row_key = :key ORDER BY stage_id DESC LIMIT 1",
        {"key": json.dumps(key, separators=(",", ":"))},
    )
    return json.loads(row["before_json"]), json.loads(row["after_json"])


def state(backend, key=MLB):
    return read(backend, PROVIDER_STATES, [key], COLUMNS)[key]


# claim


def test_claiming_returns_the_rows_as_they_stand_and_changes_none(rows, passage):
    before = dump(rows)

    found = passage().claim(PROVIDER_STATES, ("status", "is_enabled"), [*KEYS, ("nobody", "MLB")])

    assert {key: {"status": "INACTIVE", "is_enabled": 1} for key in KEYS} == found
    assert before == dump(rows)


def test_a_row_that_is_claimed_again_keeps_what_was_remembered_first(rows, changes):
    first = changes.claimed_digest()
    somebody_sets(rows, status="ERROR")

    found = changes.claim(PROVIDER_STATES, COLUMNS, KEYS)

    assert found[MLB]["status"] == "ERROR"
    assert first == changes.claimed_digest()


def test_the_digest_of_the_claims_is_that_of_the_rows(rows, passage):
    def claimed():
        made = passage()
        made.claim(PROVIDER_STATES, COLUMNS, KEYS)
        return made.claimed_digest()

    first = claimed()
    somebody_sets(rows, updated_at="later")
    assert first == claimed()

    somebody_sets(rows, last_error="")
    assert first != claimed()


# write


def test_only_the_columns_that_really_changed_are_stored(rows, changes):
    wanted = {"status": "ACTIVE", "is_enabled": True, "updated_at": "now"}

    [change] = changes.write(PROVIDER_STATES, {MLB: wanted})

    before = {"status": "INACTIVE", "updated_at": "2026-08-02 12:00:00.000000"}
    after = {"status": "ACTIVE", "updated_at": "now"}
    assert Change("provider_states", MLB, before, after) == change
    assert (before, after) == stored(rows)
    assert ({}, {}) == stored(rows, NBA)
    assert state(rows)["status"] == "ACTIVE"


def test_the_first_value_before_and_the_last_value_after_are_kept(rows, changes):
    changes.write(PROVIDER_STATES, {MLB: {"total_requests": 1}})
    changes.write(PROVIDER_STATES, {MLB: {"total_requests": 2, "last_error": "HTTP 503"}})
    changes.write(PROVIDER_STATES, {MLB: {"total_requests": 3}})

    assert ({"total_requests": 0, "last_error": None}, {"total_requests": 3, "last_error": "HTTP 503"}) == stored(rows)


def test_a_row_that_is_so_already_is_not_written(rows, changes):
    before = dump(rows)

    assert [] == changes.write(PROVIDER_STATES, {MLB: {"status": "INACTIVE", "is_enabled": True, "updated_at": "now"}})
    assert before == dump(rows)


def test_a_row_that_somebody_else_changed_is_left_alone(rows, changes):
    seen = {key: {"status": "INACTIVE", "is_enabled": 1} for key in KEYS}
    somebody_sets(rows, status="MAINTENANCE")

    written = changes.write(PROVIDER_STATES, {key: {"status": "ACTIVE", "is_enabled": True} for key in KEYS}, seen)

    assert KEYS[1:] == sorted((change.key for change in written), key=KEYS.index)
    assert state(rows)["status"] == "MAINTENANCE"


def test_a_row_that_is_gone_is_left_out(rows, changes):
    rows.execute("DELETE FROM provider_states WHERE sport = 'MLB'")

    assert [] == changes.write(PROVIDER_STATES, {MLB: {"status": "ACTIVE"}})


def test_a_row_that_was_not_claimed_cannot_be_written(rows, passage):
    before = dump(rows)

    with pytest.raises(ValueError, match="without having been claimed"), rows.transaction():
        passage().write(PROVIDER_STATES, {MLB: {"status": "ACTIVE"}})

    assert before == dump(rows)


def test_a_value_that_changes_between_reading_and_writing_is_not_overwritten(rows):
    somebody_sets(rows, status="MAINTENANCE")
    late = Change("provider_states", MLB, {"status": "INACTIVE"}, {"status": "ACTIVE"})

    with pytest.raises(StepFailed, match="1 rows of provider_states were changed by somebody else"):
        set_columns(rows, PROVIDER_STATES, [late])

    assert state(rows)["status"] == "MAINTENANCE"


# undo


def test_undo_is_exact_to_the_row(rows, passage):
    before, changes = dump(rows), passage()
    changes.claim(PROVIDER_STATES, COLUMNS, KEYS)
    changes.claim(PORTFOLIO_RATIONALES, PORTFOLIO_RATIONALES.switched, [("player:a",)])
    for count in (1, 2, 3):
        values = {"status": "ACTIVE", "total_requests": count, "average_response_time_ms": 0.1 * count}
        changes.write(PROVIDER_STATES, {key: {**values, "updated_at": f"now {count}"} for key in KEYS})
    changes.write(PORTFOLIO_RATIONALES, {("player:a",): {"data_json": '{"é":[]}', "confidence": 1, "updated_at": "x"}})
    assert before != dump(rows)

    assert (5, []) == changes.undo()[:2]

    assert before == dump(rows)


def test_undo_of_a_stage_that_wrote_nothing_is_nothing(rows, changes):
    before = dump(rows)

    assert (0, []) == changes.undo()[:2]
    assert before == dump(rows)


def test_undo_a_second_time_finds_everything_done(rows, changes):
    before = dump(rows)
    changes.write(PROVIDER_STATES, {MLB: {"status": "ACTIVE"}})

    assert (1, []) == changes.undo()[:2]
    assert (0, []) == changes.undo()[:2]
    assert before == dump(rows)


def test_undo_reports_what_somebody_else_changed_and_leaves_it(rows, changes):
    changes.write(PROVIDER_STATES, {key: {"status": "ACTIVE", "total_requests": 1} for key in (MLB, NBA)})
    somebody_sets(rows, status="MAINTENANCE")

    restored, conflicts = changes.undo()[:2]

    assert [Conflict("provider_states", MLB, "status", "ACTIVE", "MAINTENANCE", "INACTIVE")] == conflicts
    assert (2, "MAINTENANCE", 0) == (restored, state(rows)["status"], state(rows)["total_requests"])
    assert ("INACTIVE", 0) == (state(rows, NBA)["status"], state(rows, NBA)["total_requests"])


@pytest.mark.parametrize("right", ["INACTIVE", "ACTIVE"])  # as before the stage, or as the stage had written it
def test_undo_succeeds_once_the_value_is_right(rows, changes, right):
    before = dump(rows)
    changes.write(PROVIDER_STATES, {MLB: {"status": "ACTIVE"}, NBA: {"status": "ACTIVE"}})
    somebody_sets(rows, status="MAINTENANCE")
    assert [MLB] == [conflict.key for conflict in changes.undo()[1]]

    somebody_sets(rows, status=right)

    assert [] == changes.undo()[1]
    assert before == dump(rows)


def test_a_row_that_somebody_put_back_already_is_no_conflict(rows, changes):
    before = dump(rows)
    changes.write(PROVIDER_STATES, {MLB: {"status": "ACTIVE"}})
    somebody_sets(rows, status="INACTIVE")

    assert (0, []) == changes.undo()[:2]
    assert before == dump(rows)


def test_a_written_row_that_was_deleted_is_a_conflict(rows, changes):
    changes.write(PROVIDER_STATES, {MLB: {"status": "ACTIVE"}})
    rows.execute("DELETE FROM provider_states WHERE sport = 'MLB'")

    _, [conflict] = changes.undo()[:2]

    assert (MLB, None) == (conflict.key, conflict.found)


def test_a_claimed_row_that_was_deleted_before_anything_was_written_is_told(rows, changes):
    rows.execute("DELETE FROM provider_states WHERE sport = 'MLB'")

    _, conflicts, [noticed] = changes.undo()

    assert [] == conflicts
    assert "provider_states draftkings/MLB is gone" == str(noticed)


def test_an_entry_that_became_the_applications_is_left_alone_and_told(rows, changes):
    changes.claim(PORTFOLIO_RATIONALES, PORTFOLIO_RATIONALES.switched, [("player:a",), ("player:b",)])
    changes.write(PORTFOLIO_RATIONALES, {("player:a",): {"confidence": 0.1}, ("player:b",): {"confidence": 0.1}})
    rows.execute("UPDATE portfolio_rationales SET rationale_type = 'BET_SELECTION' WHERE cache_key = 'player:a'")

    written, conflicts, [noticed] = changes.undo()

    assert (1, []) == (written, conflicts)
    assert "portfolio_rationales player:a has become the application's own" == str(noticed)
    assert [0.1, 0.75] == [row["confidence"] for row in dump(rows, "portfolio_rationales")["portfolio_rationales"]]


def test_rows_that_will_be_removed_are_left_alone_and_are_no_conflict(rows, changes):
    changes.write(PROVIDER_STATES, {key: {"status": "ACTIVE"} for key in KEYS})
    somebody_sets(rows, status="ERROR")
    somebody_sets(rows, NBA, status="ERROR")

    undone = changes.undo(without={"provider_states": {MLB}})

    assert [NBA] == [conflict.key for conflict in undone.conflicts]
    assert ["ERROR", "ERROR", "INACTIVE", "INACTIVE"] == [
        row["status"] for row in dump(rows, "provider_states")["provider_states"]
    ]


def test_of_a_table_that_is_gone_every_row_is(rows, changes):
    changes.write(PROVIDER_STATES, {MLB: {"status": "ACTIVE"}})
    rows.execute("DROP TABLE provider_states")

    assert Undone(0, [], []) == changes.undo(without={"provider_states": KEYS})
    assert [MLB] == [conflict.key for conflict in changes.foresee_undo((), {})]
    found = changes.undo()

    assert ["provider_states draftkings/MLB is gone"] == [str(conflict) for conflict in found.conflicts]
    assert set(KEYS) - {MLB} == {conflict.key for conflict in found.noticed}


def test_a_digest_of_others_is_of_every_row_but_the_named_ones(rows):
    before = digest_of_others(rows, PROVIDER_STATES, [MLB])
    somebody_sets(rows, last_error="x")
    assert before == digest_of_others(rows, PROVIDER_STATES, [MLB])

    somebody_sets(rows, NBA, last_error="x")
    changed = digest_of_others(rows, PROVIDER_STATES, [MLB])
    rows.execute("DELETE FROM provider_states WHERE sport = 'NFL'")

    assert 3 == len({before, changed, digest_of_others(rows, PROVIDER_STATES, [MLB])})
    assert before != digest_of_others(rows, PROVIDER_STATES, [])


def test_bookkeeping_of_somebody_else_is_no_conflict_and_stays(rows, changes):
    changes.write(PROVIDER_STATES, {MLB: {"status": "ACTIVE", "updated_at": "ours"}})
    somebody_sets(rows, updated_at="theirs")

    assert (1, []) == changes.undo()[:2]
    assert rows.scalar("SELECT updated_at FROM provider_states WHERE sport = 'MLB'") == "theirs"


def test_a_claimed_column_that_we_never_wrote_and_somebody_changed_is_told(rows, changes):
    changes.write(PROVIDER_STATES, {MLB: {"status": "ACTIVE"}})
    somebody_sets(rows, last_error="theirs")

    told = Conflict("provider_states", MLB, "last_error", None, "theirs", None)

    assert Undone(1, [], [told]) == changes.undo()
    assert state(rows)["last_error"] == "theirs"


def test_a_column_that_was_not_claimed_is_nobodys_business(rows, changes):
    changes.write(PROVIDER_STATES, {MLB: {"status": "ACTIVE"}})
    somebody_sets(rows, capabilities="[]")

    assert (1, []) == changes.undo()[:2]


def test_a_null_is_a_value(rows, passage):
    somebody_sets(rows, NBA, last_error="before")
    before, changes = dump(rows), passage()
    changes.claim(PROVIDER_STATES, COLUMNS, KEYS)
    changes.write(PROVIDER_STATES, {MLB: {"last_error": "HTTP 503"}, NBA: {"last_error": None}})

    assert (2, []) == changes.undo()[:2]
    assert before == dump(rows)


def test_a_passage_that_is_not_in_the_ledger_can_claim_nothing(rows):
    with pytest.raises(StepFailed, match="FOREIGN KEY"):
        Changes(rows, 99).claim(PROVIDER_STATES, COLUMNS, KEYS)


@pytest.mark.parametrize(
    ("conflict", "text"),
    [
        (
            Conflict("provider_states", MLB, "status", "ACTIVE", None, "INACTIVE"),
            "provider_states draftkings/MLB: status is None, was 'INACTIVE', and the stage had written 'ACTIVE'",
        ),
        (
            Conflict("portfolio_rationales", ("player:a",), "", None, None),
            "portfolio_rationales player:a is gone",
        ),
        (
            Conflict("provider_states", MLB, "last_error", None, "theirs", None),
            "provider_states draftkings/MLB: last_error is 'theirs', was None",
        ),
    ],
)
def test_a_conflict_says_what_is_there_and_what_was_written(conflict, text):
    assert text == str(conflict)


# passages over passages

A, B = ("player:a",), ("player:b",)


def refresh(changes, key, value):
    changes.claim(PORTFOLIO_RATIONALES, PORTFOLIO_RATIONALES.switched, [key])
    anew = {"data_json": value, "data_hash": value, "confidence": int(value) / 10, "expires_at": f"until {value}"}
    changes.write(PORTFOLIO_RATIONALES, {key: {**anew, "updated_at": f"at {value}"}})


def seeded(key, value):
    return Change("portfolio_rationales", key, {"data_json": "before"}, {"data_json": value})


def mark_undone(backend, changes):
    backend.execute("UPDATE runner_stages SET state = 'undone' WHERE id = :id", {"id": changes._stage_id})


def test_passages_are_undone_newest_first_each_to_where_it_began(rows, passage):
    start, older = dump(rows), passage()
    refresh(older, A, "1")
    middle, newer = dump(rows), passage()
    refresh(newer, A, "2")

    assert (1, []) == newer.undo()[:2]
    assert middle == dump(rows)
    assert (1, []) == older.undo()[:2]
    assert start == dump(rows)


def test_an_older_passage_cannot_be_undone_under_a_newer_one(rows, passage):
    older, newer = passage(), passage()
    refresh(older, A, "1")
    refresh(newer, A, "2")

    _, conflicts = older.undo()[:2]

    assert set(PORTFOLIO_RATIONALES.switched) == {conflict.column for conflict in conflicts}


def test_what_seeds_wrote_after_a_stage_stays_when_it_is_taken_back(rows, passage):
    older = passage()
    refresh(older, A, "1")
    newer = passage()
    refresh(newer, A, "2")
    with rows.transaction():
        seed.caches(rows, [entry("player:a", data={"props": 16}, confidence=0.5)], NOON).write("run-2")
    declared = dump(rows)

    assert (0, [], []) == newer.undo()
    mark_undone(rows, newer)
    assert (0, [], []) == older.undo()
    assert declared == dump(rows)


def test_what_seeds_left_alone_is_taken_back_beside_what_they_wrote(rows, passage):
    newer = passage()
    before = rows.scalar("SELECT expires_at FROM portfolio_rationales WHERE cache_key = 'player:a'")
    refresh(newer, A, "2")

    follow(rows, PORTFOLIO_RATIONALES, [Change("portfolio_rationales", A, {"data_json": "2"}, {"data_json": "3"})])
    rows.execute("UPDATE portfolio_rationales SET data_json = '3' WHERE cache_key = 'player:a'")

    assert (1, [], []) == newer.undo()
    assert [("3", before)] == list(
        rows.stream("SELECT data_json, expires_at FROM portfolio_rationales WHERE cache_key = 'player:a'")
    )


def test_seeds_are_not_told_to_a_passage_that_was_undone(rows, passage):
    older, newer = passage(), passage()
    refresh(older, A, "1")
    refresh(newer, A, "2")
    newer.undo()
    mark_undone(rows, newer)

    follow(rows, PORTFOLIO_RATIONALES, [seeded(A, "3")])

    found = {row["stage_id"]: json.loads(row["after_json"]) for row in rows.rows("SELECT * FROM runner_changes")}
    assert (None, "2") == (found[1].get("data_json"), found[2]["data_json"])


def test_seeds_are_told_only_of_columns_that_the_passage_claimed(rows, changes):
    changes.write(PROVIDER_STATES, {MLB: {"status": "ACTIVE"}})
    before = {"status": "ACTIVE", "last_error": None, "timeout_seconds": 30}

    follow(rows, PROVIDER_STATES, [Change("provider_states", MLB, before, {"last_error": "x", "timeout_seconds": 31})])

    assert ({"status": "INACTIVE"}, {"status": "ACTIVE"}) == stored(rows)
    assert "x" == changes.claimed(PROVIDER_STATES)[MLB].found.get("last_error", "x")
    assert "timeout_seconds" not in changes.claimed(PROVIDER_STATES)[MLB].found
    assert ({}, {}) == stored(rows, NBA)


# reading


def test_rows_are_read_by_key_and_what_is_not_there_is_left_out(rows):
    found = read(rows, PROVIDER_STATES, [NBA, ("draftkings", "CRICKET"), MLB], ["status"])

    assert {MLB: {"status": "INACTIVE"}, NBA: {"status": "INACTIVE"}} == found
    assert {} == read(rows, PROVIDER_STATES, [], ["status"])


def test_a_digest_is_of_the_whole_rows_in_any_order(rows):
    first = digest(rows, PROVIDER_STATES, KEYS)
    assert first == digest(rows, PROVIDER_STATES, reversed(KEYS))
    assert first != digest(rows, PROVIDER_STATES, KEYS[1:])

    somebody_sets(rows, updated_at="later")
    assert first != digest(rows, PROVIDER_STATES, KEYS)


def test_ten_thousand_rows_are_claimed_written_and_undone(rows, passage):
    entries = [entry(f"player:{number}") for number in range(10_000)]
    with rows.transaction():
        seed.caches(rows, entries, NOON).write("run-1")
    before, changes = digest(rows, PORTFOLIO_RATIONALES, ((e.key,) for e in entries)), passage()

    with rows.transaction():
        changes.claim(PORTFOLIO_RATIONALES, PORTFOLIO_RATIONALES.switched, ((e.key,) for e in entries))
        written = changes.write(PORTFOLIO_RATIONALES, {(e.key,): {"data_json": "{}"} for e in entries})
    with rows.transaction():
        undone = changes.undo()[:2]

    assert (10_000, (10_000, [])) == (len(written), undone)
    assert before == digest(rows, PORTFOLIO_RATIONALES, ((e.key,) for e in entries))


def test_the_digest_of_the_rows_is_the_one_taken_before_the_stage_only_once_it_is_undone(rows, changes):
    before = changes.claimed_digest()
    changes.write(PROVIDER_STATES, {MLB: {"status": "ACTIVE"}})
    written = changes.digest_now()
    changes.undo()

    assert written != before
    assert before == changes.digest_now()


@pytest.mark.parametrize(
    "meanwhile",
    [
        [],
        [(MLB, {"status": "ERROR"})],
        [(MLB, {"status": "INACTIVE"})],  # what an older stage goes back to anyway
        [(NBA, {"total_requests": 7}), (MLB, {"is_enabled": 0})],
        [(MLB, None)],
    ],
)
def test_what_undo_will_find_is_known_beforehand(rows, passage, meanwhile):
    older, newer = passage(), passage()
    for stage, status in ((older, "MAINTENANCE"), (newer, "ACTIVE")):
        with rows.transaction():
            stage.claim(PROVIDER_STATES, COLUMNS, KEYS)
            stage.write(PROVIDER_STATES, {key: {"status": status} for key in (MLB, NBA)})
    for key, values in meanwhile:
        if values:
            somebody_sets(rows, key, **values)
        else:
            rows.execute("DELETE FROM provider_states WHERE provider_name = 'draftkings' AND sport = 'MLB'")
    restored, ids = {}, [stage._stage_id for stage in (older, newer)]
    foreseen = [newer.foresee_undo(ids[:1], restored), older.foresee_undo((), restored)]
    before = dump(rows)

    assert before == dump(rows)
    with rows.transaction():
        found = [newer.undo(ids[:1]).conflicts, older.undo().conflicts]
    assert found == foreseen
    assert {key: row["status"] for key, row in read(rows, PROVIDER_STATES, KEYS, ("status",)).items()}.items() >= {
        key: values["status"] for (_, key), values in restored.items()
    }.items()
