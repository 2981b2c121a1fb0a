import asyncio
import socket
import time
from contextlib import asynccontextmanager

import aiohttp
import pytest

from runner.config.model import Fault, FaultKind, Provider, Target
from runner.measure.stub import MARKETS, StandIn, props

STAGES = ("dark_mode", "shadow_mode", "partial_active")
FAIL = Fault("stub", FaultKind.FAIL)


def target(name="stub", sport="NBA"):
    return Target(Provider(name, (sport,), True, "ACTIVE", "high", 60, 10, 1, {}), sport)  # noqa: FBT003


@asynccontextmanager
async def running(*faults):
    stand_in = StandIn(faults, STAGES)
    await stand_in.start()
    async with aiohttp.ClientSession() as session:
        try:
            yield stand_in, session
        finally:
            await stand_in.stop()


async def ask(stand_in, session, whom=None):
    async with session.get(stand_in.url(whom or target())) as response:
        return response.status, await response.json()


@pytest.mark.parametrize("sport", ["MLB", "NBA", "NFL", "NHL"])
@pytest.mark.parametrize(
    "provider", ["stub", "draftkings", "fanduel", "prizepicks", "betmgm", "theodds", "sportsradar"]
)
def test_every_provider_offers_5_to_15_different_props_that_fit_the_sport(provider, sport):
    found = props(provider, sport)

    assert 5 <= len(found) <= 15
    assert len(found) == len({prop["id"] for prop in found})
    assert {prop["market"] for prop in found} <= set(MARKETS[sport])
    assert all(set(prop) == {"id", "player", "market", "line", "over", "under"} for prop in found)
    assert all(prop["over"] > 1 < prop["under"] for prop in found)


def test_the_same_question_has_the_same_answer_over_requests_and_stand_ins():
    async def once():
        async with running() as (stand_in, session):
            return [await ask(stand_in, session), await ask(stand_in, session)]

    first, second = asyncio.run(once())

    assert first == second
    assert [first, second] == asyncio.run(once())
    assert first == (200, {"provider": "stub", "sport": "NBA", "props": props("stub", "NBA")})


def test_no_two_providers_or_sports_share_a_prop():
    ids = [prop["id"] for name in ("stub", "fanduel") for sport in MARKETS for prop in props(name, sport)]

    assert len(ids) == len(set(ids))


def test_a_sport_it_has_never_heard_of_is_answered_too():
    async def once():
        async with running() as (stand_in, session):
            return await ask(stand_in, session, target(sport="CURLING"))

    status, answer = asyncio.run(once())

    assert status == 200
    assert 5 <= len(answer["props"]) <= 15


@pytest.mark.parametrize("name", ["a b", "a/b", "ä?x=1#y", "100%"])
def test_any_provider_name_survives_the_address(name):
    async def once():
        async with running() as (stand_in, session):
            return await ask(stand_in, session, target(name))

    status, answer = asyncio.run(once())

    assert status == 200
    assert name == answer["provider"]


@pytest.mark.parametrize(
    ("fault", "provider", "stage", "status"),
    [
        (FAIL, "stub", "disabled", 503),
        (FAIL, "fanduel", "disabled", 200),
        (Fault("*", FaultKind.FAIL, status=429), "fanduel", "disabled", 429),
        (Fault("stub", FaultKind.FAIL, since="shadow_mode"), "stub", "disabled", 200),
        (Fault("stub", FaultKind.FAIL, since="shadow_mode"), "stub", "dark_mode", 200),
        (Fault("stub", FaultKind.FAIL, since="shadow_mode"), "stub", "shadow_mode", 503),
        (Fault("stub", FaultKind.FAIL, since="shadow_mode"), "stub", "partial_active", 503),
        (Fault("stub", FaultKind.FAIL, since="disabled"), "stub", "disabled", 503),
    ],
)
def test_a_fault_counts_for_its_provider_from_its_stage_on(fault, provider, stage, status):
    async def once():
        async with running(fault) as (stand_in, session):
            stand_in.stage = stage
            return stand_in.stage, await ask(stand_in, session, target(provider))

    reached, (seen, answer) = asyncio.run(once())

    assert stage == reached
    assert status == seen
    assert ("error" in answer) == (status != 200)


def test_a_fault_ends_when_the_run_walks_back_before_its_stage():
    async def once():
        async with running(Fault("*", FaultKind.FAIL, since="shadow_mode")) as (stand_in, session):
            stand_in.stage = "shadow_mode"
            before, _ = await ask(stand_in, session)
            stand_in.stage = "disabled"
            return before, (await ask(stand_in, session))[0]

    assert asyncio.run(once()) == (503, 200)


def test_of_several_faults_the_first_one_is_taken():
    async def once():
        async with running(Fault("stub", FaultKind.FAIL, status=500), Fault("*", FaultKind.FAIL)) as (
            stand_in,
            session,
        ):
            return (await ask(stand_in, session))[0], (await ask(stand_in, session, target("fanduel")))[0]

    assert asyncio.run(once()) == (500, 503)


def test_a_stage_that_does_not_exist_is_refused():
    with pytest.raises(KeyError):
        StandIn((), STAGES).stage = "lunch"
    with pytest.raises(KeyError):
        StandIn((Fault("*", FaultKind.FAIL, since="lunch"),), STAGES)


def test_a_slow_provider_gives_the_right_answer_late():
    async def once():
        async with running(Fault("*", FaultKind.SLOW, delay_s=0.2)) as (stand_in, session):
            began = time.perf_counter()
            return await ask(stand_in, session), time.perf_counter() - began

    (status, answer), seconds = asyncio.run(once())

    assert status == 200
    assert props("stub", "NBA") == answer["props"]
    assert 0.2 <= seconds < 1


@pytest.mark.parametrize("kind", [FaultKind.HANG, FaultKind.SLOW])
def test_stopping_is_prompt_and_leaves_nothing_while_requests_wait(kind):
    async def once():
        async with running(Fault("*", kind, delay_s=60)) as (stand_in, session):
            requests = [asyncio.create_task(ask(stand_in, session)) for _ in range(20)]
            await asyncio.sleep(0.2)
            assert not any(request.done() for request in requests)
            began = time.perf_counter()
            await stand_in.stop()
            seconds = time.perf_counter() - began
            failures = await asyncio.gather(*requests, return_exceptions=True)
            address = stand_in.url(target())
        return seconds, failures, address, asyncio.all_tasks() - {asyncio.current_task()}

    seconds, failures, address, left = asyncio.run(once())

    assert seconds < 0.5
    assert len(failures) == 20
    assert all(isinstance(failure, aiohttp.ClientError) for failure in failures)
    assert set() == left
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(address.split(":")[2].split("/")[0])))


def test_a_request_that_was_given_up_does_not_stay():
    async def once():
        async with running(Fault("*", FaultKind.HANG)) as (stand_in, session):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(ask(stand_in, session), 0.1)
            await asyncio.sleep(0.1)
            return [task for task in asyncio.all_tasks() if "RequestHandler" in str(task)]

    assert asyncio.run(once()) == []


def test_stopping_what_never_started_and_stopping_twice_do_nothing():
    async def once():
        stand_in = StandIn((), STAGES)
        await stand_in.stop()
        await stand_in.start()
        await stand_in.stop()
        await stand_in.stop()

    asyncio.run(once())
