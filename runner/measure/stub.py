"""
The provider stand-in: a real HTTP server on loopback that answers for providers without an endpoint of their own.

Its answers are made up, but always the same for the same provider and sport. It can be told to misbehave.
"""

from __future__ import annotations

import asyncio
import socket
from hashlib import sha256
from itertools import product
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from aiohttp import web

from runner.config.model import DISABLED, Fault, FaultKind

if TYPE_CHECKING:
    from runner.config.model import Target

PLAYERS = {
    "MLB": ("Aaron Judge", "Mookie Betts", "Shohei Ohtani", "Juan Soto"),
    "NBA": ("LeBron James", "Luka Doncic", "Nikola Jokic", "Stephen Curry"),
    "NFL": ("Josh Allen", "Patrick Mahomes", "Lamar Jackson", "Joe Burrow"),
    "NHL": ("Connor McDavid", "Auston Matthews", "Nathan MacKinnon", "Cale Makar"),
}
MARKETS = {
    "MLB": {"hits": 1.5, "runs": 0.5, "rbis": 1.5, "home_runs": 0.5, "strikeouts": 1.5},
    "NBA": {"points": 26.5, "rebounds": 8.5, "assists": 7.5, "threes": 2.5, "steals": 1.5},
    "NFL": {"passing_yards": 251.5, "rushing_yards": 38.5, "touchdowns": 1.5, "completions": 22.5, "carries": 6.5},
    "NHL": {"goals": 0.5, "assists": 0.5, "points": 1.5, "shots_on_goal": 3.5, "blocked_shots": 1.5},
}
"""What is bet on in each sport, and around which line."""
ANY_TEAM = ("home", "away", "favourite", "underdog")
ANY_MARKET = {"winner": 0.5, "margin": 3.5, "total": 20.5, "first_half": 10.5}
"""What there is to bet on in any other sport."""

BACKLOG = 4096
"""So many connections may wait to be taken."""
STOPPING_S = 0.05
"""How long a request that is still waiting may hold up the end."""


def props(provider: str, sport: str) -> list[dict[str, Any]]:
    """Make up the 5 to 15 props that *provider* offers for *sport*."""
    pairs = list(product(PLAYERS.get(sport, ANY_TEAM), MARKETS.get(sport, ANY_MARKET).items()))
    first, more, *_ = sha256(f"{provider}/{sport}".encode()).digest()
    chosen = (pairs[(first + number) % len(pairs)] for number in range(5 + more % 11))
    return [_prop(provider, sport, player, market, line) for player, (market, line) in chosen]


def _prop(provider: str, sport: str, player: str, market: str, line: float) -> dict[str, Any]:
    digest = sha256(f"{provider}/{sport}/{player}/{market}".encode())
    tilt = digest.digest()[0] % 21 / 100
    return {
        "id": digest.hexdigest()[:16],
        "player": player,
        "market": market,
        "line": line,
        "over": round(1.80 + tilt, 2),
        "under": round(2.00 - tilt, 2),
    }


class StandIn:
    """
    Answer `GET /{provider}/{sport}` on 127.0.0.1, at a port that the system gives.

    *faults* say how it misbehaves; of several that count for a request the first one is taken. *stages* are all
    stages in their order. It lives in the event loop of whoever starts it.
    """

    def __init__(self, faults: tuple[Fault, ...], stages: tuple[str, ...]) -> None:
        self._position = {DISABLED: 0} | {name: number for number, name in enumerate(stages, start=1)}
        self._faults = tuple((fault, self._position[fault.since] if fault.since else 0) for fault in faults)
        self._reached = 0
        self._runner: web.AppRunner | None = None
        self._address = ""

    @property
    def stage(self) -> str:
        """The stage that the run is in; may be set from any thread. KeyError where it is none of the stages."""
        return next(name for name, position in self._position.items() if position == self._reached)

    @stage.setter
    def stage(self, name: str) -> None:
        self._reached = self._position[name]

    def url(self, target: Target) -> str:
        """Say where *target* is answered; only after `start`."""
        return f"{self._address}/{quote(target.provider.name, safe='')}/{quote(target.sport, safe='')}"

    @property
    def health_url(self) -> str:
        """Where it is answered that the stand-in is there; only after `start`."""
        return f"{self._address}/health"

    async def start(self) -> None:
        """Listen in the running event loop."""
        app = web.Application()
        app.router.add_get("/health", self._health)
        app.router.add_get(r"/{provider:[^/]+}/{sport:[^/]+}", self._answer)  # braces may stand in a name
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=STOPPING_S, handler_cancellation=True, handle_signals=False
        )
        await self._runner.setup()
        listening = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)  # asyncio's own hides why it cannot
        await web.SockSite(self._runner, listening, backlog=BACKLOG).start()
        host, port = listening.getsockname()
        self._address = f"http://{host}:{port}"

    async def stop(self) -> None:
        """Stop listening and end what is still being answered; nothing to do where it was never started."""
        if self._runner:
            runner, self._runner = self._runner, None
            await runner.cleanup()

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _answer(self, request: web.Request) -> web.Response:
        provider, sport = request.match_info["provider"], request.match_info["sport"]
        fault = self._fault(provider)
        if fault and fault.kind is FaultKind.FAIL:
            return web.json_response({"error": f"{provider} fails as declared"}, status=fault.status)
        if fault and fault.kind is FaultKind.SLOW:
            await asyncio.sleep(fault.delay_s)
        if fault and fault.kind is FaultKind.HANG:
            await asyncio.Event().wait()
        return web.json_response({"provider": provider, "sport": sport, "props": props(provider, sport)})

    def _fault(self, provider: str) -> Fault | None:
        """Return the first fault that counts for *provider* in the stage that is reached."""
        for fault, since in self._faults:
            if fault.provider in (provider, "*") and since <= self._reached:
                return fault
        return None
