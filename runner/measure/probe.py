"""
Ask providers over HTTP and say what they answered, how fast, or why not.

All requests run in one thread with an event loop of its own, so that whoever asks never waits for a slow one.
Knows nothing of limits, stages or databases.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl
import threading
import time
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from urllib.parse import quote

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from runner.config.model import Kind, Reading
from runner.samples import Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from runner.clock import Clock
    from runner.config.model import Metric, ProbeSettings, Target
    from runner.measure.stub import StandIn

SUCCESS = range(200, 300)
REDIRECTS = frozenset({301, 302, 303, 307, 308})
MAX_MIB = 8
FIRST_PAUSE_S = 0.05
"""How long to wait before the second attempt; before each further one twice as long."""
LOOK_UP_S = 0.05
"""How often a waiting `collect` looks whether a stop was asked for."""
CAUSES: tuple[tuple[type[Exception], str, bool], ...] = (
    (aiohttp.ClientConnectorDNSError, "name cannot be resolved", True),
    (aiohttp.ServerDisconnectedError, "connection closed before the answer", True),
    (aiohttp.ClientPayloadError, "answer ended early", True),
    (aiohttp.ClientResponseError, "answer is not valid HTTP", False),
    (ValueError, "endpoint or headers are not valid", False),
    (TypeError, "endpoint or headers are not valid", False),
    (aiohttp.NonHttpUrlClientError, "endpoint is not an HTTP address", False),
)
"""What a fault of the client means, and whether another attempt may do better."""


@dataclass(frozen=True, slots=True)
class Answer:
    """
    What came of one probe.

    `at` is when it was begun, in UTC. `response_time_ms` is of the attempt that succeeded, to the last byte; None if
    all failed. `error` is a short cause that never holds an address, a header or anything the provider wrote.
    `prop_ids` and `prop_count` are None where the answer has no list of props; a prop without an id is only counted.
    """

    target: Target
    at: datetime
    response_time_ms: float | None
    error: str | None
    attempts: int
    prop_ids: tuple[str, ...] | None
    prop_count: int | None

    @property
    def ok(self) -> bool:
        """Whether the provider answered as it should."""
        return self.error is None


def samples(metrics: tuple[Metric, ...], answers: Sequence[Answer]) -> list[Sample]:
    """
    Read *answers* as samples of those *metrics* that come from probes: one for each provider and metric.

    Errors are one number, how many of the provider's requests failed, out of `count` made. Response times are one
    number for each request that succeeded; none where all failed. A provider that was not asked has no sample.
    """
    by_provider: dict[str, list[Answer]] = {}
    for answer in answers:
        by_provider.setdefault(answer.target.provider.name, []).append(answer)
    probed = [metric for metric in metrics if metric.kind is Kind.PROBE]
    return [_sample(metric, name, theirs) for name, theirs in by_provider.items() for metric in probed]


def _sample(metric: Metric, provider: str, answers: list[Answer]) -> Sample:
    if metric.reading is Reading.ERRORS:
        failed = sum(not answer.ok for answer in answers)
        return Sample(metric.name, (float(failed),), len(answers), provider)
    times = tuple(answer.response_time_ms for answer in answers if answer.response_time_ms is not None)
    return Sample(metric.name, times, len(times), provider)


class Prober:
    """
    Keep probes under way in the background, at most `settings.concurrency` requests at once.

    The thread, its connections and *stand_in* (which answers for targets without an endpoint) come to life with the
    first `start` and end with `close`.
    """

    def __init__(self, settings: ProbeSettings, clock: Clock, stand_in: StandIn | None) -> None:
        self._settings = settings
        self._clock = clock
        self._stand_in = stand_in
        self._changed = threading.Condition()
        self._under_way = 0
        self._begun = 0
        self._answers: deque[tuple[int, Answer]] = deque()
        self._workers: _Workers | None = None
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def under_way(self) -> int:
        """How many probes were begun and are not answered yet."""
        return self._under_way

    def enter(self, stage: str) -> None:
        """Tell the stand-in which stage it is, for the faults that begin there."""
        if self._stand_in:
            self._stand_in.stage = stage

    def start(self, targets: Iterable[Target]) -> int:
        """Begin one probe for each of *targets*, without waiting for any; return how many were begun."""
        if self._closed:
            raise RuntimeError("the prober is closed")
        at = self._clock.now()
        batch = [_Probe(number, target, at) for number, target in enumerate(targets, start=self._begun)]
        if batch:
            self._workers = self._workers or _Workers(self._settings, self._stand_in, self._take)
            with self._changed:
                self._under_way += len(batch)
            self._begun += len(batch)
            self._workers.begin(batch)
        return len(batch)

    def collect(self, until: float) -> list[Answer]:
        """
        Wait until every probe is answered, the clock reaches *until* (of `clock.monotonic`) or a stop is asked for.

        Return the answers that came in since the last call, in the order in which their probes were begun.
        """
        with self._changed:
            while self._under_way and self._clock.stop.signal is None:
                remaining = until - self._clock.monotonic()
                if remaining <= 0:
                    break
                self._changed.wait(min(remaining, LOOK_UP_S))
            answers = sorted(self._answers, key=lambda pair: pair[0])
            self._answers.clear()
        return [answer for _, answer in answers]

    def close(self) -> None:
        """End the thread, give up what is under way and stop the stand-in; a second call does nothing."""
        self._closed = True
        workers, self._workers = self._workers, None
        if workers:
            workers.close()
        with self._changed:
            self._under_way = 0
            self._changed.notify_all()

    def _take(self, number: int, answer: Answer) -> None:
        """Receive one answer, in the thread of the requests."""
        with self._changed:
            self._answers.append((number, answer))
            self._under_way -= 1
            if not self._under_way:
                self._changed.notify_all()


class _Probe(NamedTuple):
    """One probe that was begun: its place in the order, whom it asks, and since when."""

    number: int
    target: Target
    at: datetime


class _Workers:
    """The thread in which the requests run; a fixed number of workers serves one queue, first come first served."""

    def __init__(self, settings: ProbeSettings, stand_in: StandIn | None, take: Callable[[int, Answer], None]) -> None:
        self._settings = settings
        self._stand_in = stand_in
        self._take = take
        self._open: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="probes", daemon=True)
        self._thread.start()
        self._open.result()

    def begin(self, batch: list[_Probe]) -> None:
        """Queue *batch*, whatever its size in one call."""
        self._loop.call_soon_threadsafe(self._queue_up, batch)

    def close(self) -> None:
        """Cancel everything and wait for the thread's end."""
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join()

    def _queue_up(self, batch: list[_Probe]) -> None:
        for probe in batch:
            self._waiting.put_nowait(probe)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as fault:
            if self._open.done():
                raise
            self._open.set_exception(fault)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ending = asyncio.Event()
        self._waiting: asyncio.Queue[_Probe] = asyncio.Queue()
        async with _session(self._settings.concurrency) as session:
            try:
                if self._stand_in:
                    await self._stand_in.start()
                workers = [asyncio.create_task(self._work(session)) for _ in range(self._settings.concurrency)]
                self._open.set_result(None)
                await self._ending.wait()
                for worker in workers:
                    worker.cancel()
                await asyncio.wait(workers)
            finally:
                if self._stand_in:
                    await self._stand_in.stop()

    async def _work(self, session: aiohttp.ClientSession) -> None:
        while True:
            probe = await self._waiting.get()
            self._take(probe.number, await self._answer(session, probe))

    async def _answer(self, session: aiohttp.ClientSession, probe: _Probe) -> Answer:
        provider = probe.target.provider
        budget_s = min(provider.timeout_s, self._settings.timeout_s)
        url = self._url(probe.target)
        if url is None:
            return _failed(probe, "no endpoint is declared, and there is no stand-in", attempts=0)
        return await _ask(session, probe, url, budget_s)

    def _url(self, target: Target) -> str | None:
        if target.provider.endpoint is not None:
            return target.provider.endpoint.replace("{sport}", quote(target.sport, safe=""))
        return self._stand_in.url(target) if self._stand_in else None


class _Failure(Exception):
    """An attempt failed; *again* says whether another one may do better."""

    def __init__(self, cause: str, *, again: bool) -> None:
        super().__init__(cause)
        self.cause = cause
        self.again = again


class _Reply(NamedTuple):
    """A good answer: how long it took, and what it says (None where it is not JSON)."""

    response_time_ms: float
    content: Any


async def _ask(session: aiohttp.ClientSession, probe: _Probe, url: str, budget_s: float) -> Answer:
    """Try until an attempt succeeds, the retries are used up or *budget_s* is over."""
    tries = probe.target.provider.retries + 1
    attempt = 0
    try:
        async with asyncio.timeout(budget_s) as budget:
            for attempt in range(1, tries + 1):
                try:
                    return _answered(probe, await _attempt(session, probe.target, url), attempt)
                except _Failure as failure:
                    pause_s = FIRST_PAUSE_S * 2 ** (attempt - 1)
                    if attempt == tries or not failure.again or _ends_within(budget, pause_s):
                        return _failed(probe, failure.cause, attempt)
                    await asyncio.sleep(pause_s)
    except TimeoutError:
        pass
    return _failed(probe, f"no answer within {budget_s:g} s", attempt)


def _ends_within(budget: asyncio.Timeout, seconds: float) -> bool:
    end = budget.when()
    return end is not None and end <= asyncio.get_running_loop().time() + seconds


def _answered(probe: _Probe, reply: _Reply, attempts: int) -> Answer:
    ids, count = _props(reply.content)
    return Answer(probe.target, probe.at, reply.response_time_ms, None, attempts, ids, count)


def _failed(probe: _Probe, cause: str, attempts: int) -> Answer:
    return Answer(probe.target, probe.at, None, cause, attempts, None, None)


def _props(content: Any) -> tuple[tuple[str, ...] | None, int | None]:
    """Return the ids of the props in *content* and how many props there are; None for both where there is no list."""
    found = content.get("props") if isinstance(content, dict) else None
    if not isinstance(found, list):
        return None, None
    ids = (prop.get("id") for prop in found if isinstance(prop, dict))
    return tuple(str(known) for known in ids if known is not None), len(found)


async def _attempt(session: aiohttp.ClientSession, target: Target, url: str) -> _Reply:
    """Make one request; raise _Failure unless the answer is a good one."""
    began = time.perf_counter()
    try:
        async with session.get(url, headers=target.provider.headers, allow_redirects=False) as response:
            _check_status(response.status)
            body = await _read(response)
            response_time_ms = (time.perf_counter() - began) * 1000
            return _Reply(response_time_ms, _content(response.content_type, body))
    except _Failure:
        raise
    except Exception as fault:  # noqa: BLE001 - whatever goes wrong with one request is that request's answer
        raise _failure(fault) from None


def _check_status(status: int) -> None:
    if status in REDIRECTS:
        raise _Failure(f"redirected to another address (HTTP {status})", again=False)
    if status not in SUCCESS:
        again = status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR
        raise _Failure(f"HTTP {status}", again=again)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """Read the whole answer, unpacked, and give up where it grows too large."""
    body = bytearray()
    async for part in response.content.iter_any():
        body += part
        if len(body) > MAX_MIB * 1024 * 1024:
            raise _Failure(f"answer is larger than {MAX_MIB} MiB", again=False)
    return bytes(body)


def _content(content_type: str, body: bytes) -> Any:
    if content_type != "application/json" and not content_type.endswith("+json"):
        return None
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise _Failure("answer is not valid JSON", again=False) from None


def _failure(fault: Exception) -> _Failure:
    """
    Put *fault* into words of our own.

    Its own text is never shown: it holds addresses, and with them passwords.
    """
    if isinstance(fault, aiohttp.ClientSSLError):
        return _Failure(f"TLS: {_tls_cause(fault)}", again=False)
    for kind, cause, again in CAUSES:
        if isinstance(fault, kind):
            return _Failure(cause, again=again)
    if isinstance(fault, OSError | aiohttp.ClientConnectionError):
        errno = getattr(fault, "errno", None)
        return _Failure(os.strerror(errno).lower() if errno else "connection failed", again=True)
    return _Failure(f"request failed ({type(fault).__name__})", again=False)


def _tls_cause(fault: aiohttp.ClientSSLError) -> str:
    """Say what is wrong with the certificate or the handshake, without the name of the host."""
    cause = fault.os_error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return cause.verify_message.partition(",")[0]
    reason = getattr(cause, "reason", None) or "handshake failed"
    return str(reason).replace("_", " ").lower()


def _session(concurrency: int) -> aiohttp.ClientSession:
    """Open a client that keeps nothing between requests but its connections; time is limited by whoever asks."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=concurrency, resolver=_Resolver()),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
        headers={"Accept": "application/json", "User-Agent": "rollout-runner"},
        middlewares=(_once,),
        trust_env=False,
    )


async def _once(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Keep the client from repeating a request by itself when the connection breaks: an attempt is one request."""
    try:
        return await send(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as fault:
        raise _failure(fault) from None


class _Resolver(AbstractResolver):
    """
    Look names up in daemon threads.

    The event loop's own threads would hold up the end of the process as long as a name server keeps silent.
    """

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        loop = asyncio.get_running_loop()
        found: asyncio.Future[list[ResolveResult]] = loop.create_future()
        look_up = partial(_look_up, loop, found, host, port, family)
        threading.Thread(target=look_up, name="look-up", daemon=True).start()
        return await found

    async def close(self) -> None:
        pass


def _look_up(
    loop: asyncio.AbstractEventLoop,
    found: asyncio.Future[list[ResolveResult]],
    host: str,
    port: int,
    family: socket.AddressFamily,
) -> None:
    """Ask the system for the addresses of *host* and tell the loop, if it is still there."""

    def tell(settle: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(lambda: None if found.done() else settle())

    try:
        places = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    except Exception as fault:  # noqa: BLE001 - raised where the look-up is awaited
        tell(partial(found.set_exception, fault))
    else:
        tell(partial(found.set_result, [_address(host, *place) for place in places]))


def _address(host: str, family: int, _type: int, proto: int, _name: str, address: tuple[Any, ...]) -> ResolveResult:
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    return ResolveResult(hostname=host, host=address[0], port=address[1], family=family, proto=proto, flags=flags)
