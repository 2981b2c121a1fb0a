from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from ground import NOON, dump, provider, targets

from runner.act import live, seed, switch
from runner.config.model import Target
from runner.store.tables import PROVIDER_STATES

DRAFTKINGS = provider(sports=("MLB", "NBA"))
MLB, NBA = targets(DRAFTKINGS)


@dataclass(frozen=True)
class Answer:
    """What came of one request."""

    target: Target = MLB
    response_time_ms: float | None = 10.0
    error: str | None = None
    prop_ids: tuple[str, ...] | None = ("a", "b")
    prop_count: int | None = 2
    at: datetime = NOON


def failed(error="HTTP 503", at=NOON, target=MLB):
    return Answer(target, None, error, None, None, at)


@pytest.fixture
def seeded(database):
    with database.transaction():
        seed.providers(database, [MLB, NBA], NOON).write("run-1")
    return database


@pytest.fixture
def stage(seeded, enter):
    """Enter a stage that records its probes; return a function that records one tick's answers."""

    def stage():
        changes, stage_id = enter()
        switch.claim_providers(changes, [MLB, NBA], with_live_columns=True)

        def tick(*answers, now=NOON):
            with seeded.transaction():
                live.record(changes, seeded, stage_id, answers, now)

        def undo():
            with seeded.transaction():
                undone = changes.undo()[:2]
                live.forget_props(seeded, stage_id)
            return undone

        tick.undo = undo
        return tick

    return stage


@pytest.fixture
def tick(stage):
    return stage()


def columns(backend, sport="MLB"):
    [row] = backend.rows("SELECT * FROM provider_states WHERE sport = :sport", {"sport": sport})
    return {name: row[name] for name in PROVIDER_STATES.live}


def test_an_answer_counts_into_every_live_column(seeded, tick):
    tick(Answer(at=NOON + timedelta(seconds=2)), now=NOON + timedelta(seconds=3))

    assert columns(seeded) == {
        "last_fetch_attempt": "2026-08-02 12:00:02.000000",
        "last_successful_fetch": "2026-08-02 12:00:02.000000",
        "last_error": None,
        "consecutive_errors": 0,
        "total_requests": 1,
        "successful_requests": 1,
        "failed_requests": 0,
        "average_response_time_ms": 10.0,
        "total_props_fetched": 2,
        "unique_props_seen": 2,
        "last_prop_count": 2,
    }
    assert "2026-08-02 12:00:03.000000" == seeded.scalar("SELECT updated_at FROM provider_states WHERE sport = 'MLB'")


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([failed()], {"total_requests": 1, "failed_requests": 1, "consecutive_errors": 1, "last_error": "HTTP 503"}),
        ([failed()], {"average_response_time_ms": None, "last_successful_fetch": None, "unique_props_seen": 0}),
        ([failed(), failed("timeout")], {"failed_requests": 2, "consecutive_errors": 2, "last_error": "timeout"}),
        ([failed(), Answer()], {"consecutive_errors": 0, "last_error": "HTTP 503", "average_response_time_ms": 10.0}),
        ([Answer(), failed()], {"successful_requests": 1, "failed_requests": 1, "total_requests": 2}),
        ([Answer(), failed()], {"average_response_time_ms": 10.0, "last_prop_count": 2, "total_props_fetched": 2}),
        ([failed(), Answer(), failed()], {"consecutive_errors": 1, "total_requests": 3}),
        (
            [Answer(response_time_ms=ms) for ms in (10.0, 20.0, 60.0)],
            {"average_response_time_ms": 30.0, "successful_requests": 3},
        ),
        ([Answer(prop_ids=("a",), prop_count=1), Answer()], {"unique_props_seen": 2, "total_props_fetched": 3}),
        ([Answer(), Answer(prop_ids=("a",), prop_count=1)], {"unique_props_seen": 2, "last_prop_count": 1}),
        ([Answer(prop_ids=("a", "a"))], {"unique_props_seen": 1}),
        ([Answer(), Answer(prop_ids=None, prop_count=None)], {"last_prop_count": 2, "successful_requests": 2}),
        ([Answer(), Answer(prop_ids=(), prop_count=0)], {"last_prop_count": 0, "total_props_fetched": 2}),
    ],
)
@pytest.mark.parametrize("together", [True, False])
def test_answers_add_up_in_one_tick_or_in_several(seeded, tick, answers, expected, together):
    if together:
        tick(*answers)
    else:
        for answer in answers:
            tick(answer)

    assert expected.items() <= columns(seeded).items()


def test_rows_whose_provider_did_not_answer_stay_as_they_are(seeded, tick):
    before = columns(seeded, "NBA")

    tick(Answer())

    assert before == columns(seeded, "NBA")


def test_every_sport_has_its_own_props(seeded, tick):
    tick(Answer())
    tick(Answer(), Answer(NBA), Answer(NBA, prop_ids=("c",), prop_count=1))

    assert (2, 3) == tuple(columns(seeded, sport)["unique_props_seen"] for sport in ("MLB", "NBA"))


def test_no_answers_change_nothing(seeded, tick):
    before = dump(seeded)

    tick()

    assert before == dump(seeded)


def test_the_average_is_taken_up_where_the_application_left_it(seeded, stage):
    seeded.execute(
        "UPDATE provider_states SET total_requests = 5, successful_requests = 3, failed_requests = 2,"
        " average_response_time_ms = 20.0, unique_props_seen = 9"
    )

    stage()(Answer(response_time_ms=40.0))

    found = columns(seeded)
    assert (25.0, 4, 6, 11) == (
        found["average_response_time_ms"],
        found["successful_requests"],
        found["total_requests"],
        found["unique_props_seen"],
    )


def test_successes_that_nobody_timed_do_not_count_into_the_average(seeded, stage):
    seeded.execute("UPDATE provider_states SET successful_requests = 3")

    stage()(Answer(response_time_ms=40.0))

    assert (40.0, 4) == (columns(seeded)["average_response_time_ms"], columns(seeded)["successful_requests"])


def test_a_prop_is_unique_over_all_stages_that_stand(seeded, stage):
    stage()(Answer(prop_ids=("a", "b")))

    stage()(Answer(prop_ids=("b", "c")))

    assert 3 == columns(seeded)["unique_props_seen"]


def test_undo_puts_every_counter_back_and_forgets_what_the_stage_saw_first(seeded, stage):
    start, older = dump(seeded), stage()
    older(Answer(prop_ids=("a", "b")), failed(target=NBA))
    middle, newer = dump(seeded), stage()
    newer(Answer(prop_ids=("b", "c")), Answer(NBA, response_time_ms=1 / 3))
    newer(failed(), Answer(NBA, response_time_ms=0.1))

    assert (2, []) == newer.undo()[:2]
    assert middle == dump(seeded)

    stage()(Answer(prop_ids=("b", "c")))
    assert 3 == columns(seeded)["unique_props_seen"]
    seeded.execute("DELETE FROM runner_props WHERE stage_id = 3")
    for name, value in next(row for row in middle["provider_states"] if row["sport"] == "MLB").items():
        seeded.execute(f"UPDATE provider_states SET {name} = :value WHERE sport = 'MLB'", {"value": value})

    assert (2, []) == older.undo()[:2]
    assert start == dump(seeded)
    assert 0 == seeded.scalar("SELECT count(*) FROM runner_props")


def test_answers_for_rows_that_were_not_claimed_are_a_bug(seeded, enter):
    changes, stage_id = enter()

    with pytest.raises(ValueError, match="without having been claimed"):
        live.record(changes, seeded, stage_id, [Answer()], NOON)
