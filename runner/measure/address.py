"""Whether an address answers: one real request, to the stand-in where there is no address."""

from __future__ import annotations

import asyncio

from runner.measure.request import get, open_session
from runner.measure.stub import StandIn


def response_time_ms(url: str | None, timeout_s: float) -> float:
    """Return how long the answer of *url* (None: of the stand-in) took; Unanswered where it is not a good one."""
    return asyncio.run(_get(url, timeout_s) if url else _get_from_stand_in(timeout_s))


async def _get(url: str, timeout_s: float) -> float:
    async with open_session(1) as session:
        return await get(session, url, timeout_s)


async def _get_from_stand_in(timeout_s: float) -> float:
    stand_in = StandIn((), ())
    await stand_in.start()
    try:
        return await _get(stand_in.health_url, timeout_s)
    finally:
        await stand_in.stop()
