import pytest
from ground import NOON, dump, entry, provider, targets

from runner.act import seed, unseed
from runner.act.unseed import Images
from runner.store.ledger import Ledger
from runner.store.tables import PORTFOLIO_RATIONALES, PROVIDER_STATES

MLB = ("draftkings", "MLB")
OWN = "provider_name = 'draftkings' AND sport = 'MLB'"


@pytest.fixture
def begin(database):
    """Begin a run of a rollout; return its id."""
    ledger = Ledger(database)
    return lambda rollout="r": ledger.begin_run(rollout, "local", "sha256:1", {}, "full", "running", NOON).id


@pytest.fixture
def sow(database, begin):
    """Write the declared rows of draftkings and two cache entries, as a run of a rollout."""

    def sow(rollout="r", entries=("player:a", "player:b"), **declared):
        run_id = begin(rollout)
        with database.transaction():
            seed.providers(database, targets(provider(**declared)), NOON).write(run_id)
            seed.caches(database, [entry(key) for key in entries], NOON).write(run_id)

    return sow


@pytest.fixture
def own_row(database):
    """A row of the application's with a declared key."""
    database.execute(
        "INSERT INTO provider_states (provider_name, sport, status, poll_interval_seconds, timeout_seconds,"
        " max_retries, capabilities, updated_at)"
        " VALUES ('draftkings', 'MLB', 'ERROR', 7, 30, 3, '{\"mine\":1}', '2020-01-01 00:00:00')"
    )


def put_back(database, rollout="r"):
    with database.transaction():
        return unseed.put_back(database, PROVIDER_STATES, unseed.written_over(database, PROVIDER_STATES, rollout))


def test_rows_that_seeds_made_are_known_while_they_stand(database, sow, own_row):
    sow()
    database.execute("DELETE FROM provider_states WHERE sport = 'NHL'")

    assert [("draftkings", "NBA"), ("draftkings", "NFL")] == unseed.made(database, PROVIDER_STATES, "r")
    assert [("player:a",), ("player:b",)] == unseed.made(database, PORTFOLIO_RATIONALES, "r")
    assert [] == unseed.made(database, PROVIDER_STATES, "another")
    assert [MLB] == list(unseed.written_over(database, PROVIDER_STATES, "r"))
    assert {} == unseed.written_over(database, PROVIDER_STATES, "another")


def test_an_entry_that_became_the_applications_is_made_by_seeds_no_more(database, sow):
    sow()
    database.execute("UPDATE portfolio_rationales SET rationale_type = 'BET_SELECTION' WHERE cache_key = 'player:a'")

    assert [("player:b",)] == unseed.made(database, PORTFOLIO_RATIONALES, "r")


def test_a_row_that_was_found_gets_back_what_seeds_wrote_over(database, sow, own_row):
    before = dump(database, "provider_states")
    sow()
    assert before["provider_states"][0] != dump(database, "provider_states")["provider_states"][0]

    written, conflicts = put_back(database)

    assert (1, []) == (written, conflicts)
    assert before["provider_states"][0] == dump(database, "provider_states")["provider_states"][0]
    assert (0, []) == put_back(database)


def test_seeds_that_wrote_twice_go_back_to_the_first_value(database, sow, own_row):
    before = dump(database, "provider_states")
    sow()
    sow(poll_interval_s=90, retries=9)

    assert (1, []) == put_back(database)
    assert before["provider_states"][0] == dump(database, "provider_states")["provider_states"][0]


def test_what_others_wrote_since_is_a_conflict_and_left_alone(database, sow, own_row):
    sow()
    database.execute(f"UPDATE provider_states SET poll_interval_seconds = 9, total_requests = 3 WHERE {OWN}")

    _, [conflict] = put_back(database)

    assert "provider_states draftkings/MLB: poll_interval_seconds is 9, was 7, and a seed had written 60" == str(
        conflict
    )
    assert 9 == database.scalar(f"SELECT poll_interval_seconds FROM provider_states WHERE {OWN}")


def test_a_trigger_that_spoils_what_is_put_back_is_a_conflict(database, sow, own_row):
    sow()
    database.execute(
        "CREATE TRIGGER t AFTER UPDATE ON provider_states WHEN new.poll_interval_seconds = 7 BEGIN"
        " UPDATE provider_states SET poll_interval_seconds = 8 WHERE id = new.id; END"
    )

    _, [conflict] = put_back(database)

    assert ("poll_interval_seconds", 8, 7) == (conflict.column, conflict.found, conflict.before)


@pytest.mark.parametrize("value", [7, 60])
def test_a_person_may_set_it_to_either_value(database, sow, own_row, value):
    sow()
    database.execute(f"UPDATE provider_states SET poll_interval_seconds = {value} WHERE {OWN}")

    assert (1, []) == put_back(database)
    assert 7 == database.scalar(f"SELECT poll_interval_seconds FROM provider_states WHERE {OWN}")


def test_a_found_row_that_is_gone_is_no_obstacle(database, sow, own_row):
    sow()
    database.execute(f"DELETE FROM provider_states WHERE {OWN}")

    assert (0, []) == put_back(database)


def test_without_what_was_written_only_a_row_that_is_as_it_was_is_sure(database, own_row):
    images = {MLB: Images({"poll_interval_seconds": 7, "timeout_seconds": 30}, None)}
    assert (0, []) == unseed.put_back(database, PROVIDER_STATES, images)

    database.execute("UPDATE provider_states SET timeout_seconds = 31")

    _, [conflict] = unseed.put_back(database, PROVIDER_STATES, images)
    assert "timeout_seconds is 31, was 30" in str(conflict)


def test_only_the_rows_that_are_named_are_removed(database, sow):
    sow()
    before = dump(database, "provider_states")["provider_states"]

    assert 1 == unseed.remove(database, PROVIDER_STATES, [MLB, ("nobody", "MLB"), ("draftkings", "x")])
    assert before[1:] == dump(database, "provider_states")["provider_states"]
    assert 0 == unseed.remove(database, PROVIDER_STATES, [])


def referring(database, *going):
    return [problem.what for problem in unseed.referred_to(database, PROVIDER_STATES, [MLB], going)]


def test_rows_that_refer_to_a_removed_one_are_found_by_every_foreign_key(database, sow):
    sow()
    database.execute(
        'CREATE TABLE "my notes" (id INTEGER PRIMARY KEY, state INTEGER REFERENCES PROVIDER_STATES,'
        " name TEXT, sport TEXT, FOREIGN KEY (name, sport) REFERENCES provider_states (provider_name, sport))"
    )
    assert [] == referring(database)

    database.execute(
        "INSERT INTO \"my notes\" (state, name, sport) SELECT id, 'draftkings', 'MLB' FROM provider_states LIMIT 1"
    )
    database.execute("INSERT INTO \"my notes\" (name, sport) VALUES ('draftkings', 'MLB'), ('draftkings', 'NFL')")

    assert [
        "2 rows refer from my notes.name, sport to rows of provider_states that the rollback removes",
        "1 row refers from my notes.state to rows of provider_states that the rollback removes",
    ] == sorted(referring(database), reverse=True)
    assert [] == referring(database, "my notes")


def test_rows_on_which_a_stage_of_another_rollout_stands_are_found(database, sow, enter):
    sow()
    changes, _ = enter()
    with database.transaction():
        changes.claim(PROVIDER_STATES, ("status",), [MLB, ("draftkings", "NFL")])

    def found(rollout, *keys):
        return [each.what for each in unseed.claimed_by_others(database, PROVIDER_STATES, keys, rollout)]

    assert ["a stage of rollout r stands on 1 row of provider_states that the rollback removes"] == found("other", MLB)
    assert [] == found("other", ("draftkings", "NBA"))
    assert [] == found("r", MLB)
    database.execute("UPDATE runner_stages SET state = 'undone'")
    assert [] == found("other", MLB)
