"""
One request to a provider: its attempts, its budget of time, what its answer says, and what is wrong with it.

Nothing that is told of a failure holds an address, a header or anything the provider wrote.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from runner.config.model import Redirects

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from runner.config.model import Provider, Target

SUCCESS = range(200, 300)
REDIRECTS = frozenset({301, 302, 303, 307, 308})
MOST_REDIRECTS = 5
MAX_MIB = 8
LONGEST_ID = 200
FIRST_PAUSE_S = 0.05
"""How long to wait before the second attempt; before each further one twice as long."""
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


class Probe(NamedTuple):
    """One probe that was begun: its place in the order, whom it asks, and since when."""

    number: int
    target: Target
    at: datetime


class Unanswered(Exception):
    """There is no good answer. The text says why, and holds nothing of the address."""


class _Failure(Exception):
    """An attempt failed; *again* says whether another one may do better."""

    def __init__(self, cause: str, *, again: bool) -> None:
        super().__init__(cause)
        self.cause = cause
        self.again = again


class _Request(NamedTuple):
    """Where a request goes first, with which headers, and whether it may be sent on to another host."""

    url: str
    headers: tuple[tuple[str, str], ...] = ()
    follow: Redirects = Redirects.SAME_HOST

    @classmethod
    def of(cls, url: str, provider: Provider) -> _Request:
        return cls(url, provider.headers, provider.follow_redirects)


class _Reply(NamedTuple):
    """A good answer: how long it took, and what it says (None where it is not JSON)."""

    response_time_ms: float
    content: Any


async def ask(session: aiohttp.ClientSession, probe: Probe, url: str, budget_s: float) -> Answer:
    """Try until an attempt succeeds, the retries are used up or *budget_s* is over."""
    tries = probe.target.provider.retries + 1
    attempt = 0
    try:
        async with asyncio.timeout(budget_s) as budget:
            for attempt in range(1, tries + 1):
                try:
                    return _answered(probe, await _attempt(session, _Request.of(url, probe.target.provider)), attempt)
                except _Failure as failure:
                    pause_s = FIRST_PAUSE_S * 2 ** (attempt - 1)
                    if attempt == tries or not failure.again or _ends_within(budget, pause_s):
                        return failed(probe, failure.cause, attempt)
                    await asyncio.sleep(pause_s)
    except TimeoutError:
        pass
    return failed(probe, f"no answer within {budget_s:g} s", attempt)


def _ends_within(budget: asyncio.Timeout, seconds: float) -> bool:
    end = budget.when()
    return end is not None and end <= asyncio.get_running_loop().time() + seconds


def _answered(probe: Probe, reply: _Reply, attempts: int) -> Answer:
    ids, count = _props(reply.content)
    return Answer(probe.target, probe.at, reply.response_time_ms, None, attempts, ids, count)


def failed(probe: Probe, cause: str, attempts: int) -> Answer:
    """Return the answer that says why there is none."""
    return Answer(probe.target, probe.at, None, cause, attempts, None, None)


def _props(content: Any) -> tuple[tuple[str, ...] | None, int | None]:
    """Return the ids of the props in *content* and how many props there are; None for both where there is no list."""
    found = content.get("props") if isinstance(content, dict) else None
    if not isinstance(found, list):
        return None, None
    ids = (prop.get("id") for prop in found if isinstance(prop, dict))
    return tuple(_id(known) for known in ids if known is not None), len(found)


def _id(known: Any) -> str:
    """Return the id of a prop as text that a database takes: what is no Unicode is replaced, what is long is hashed."""
    text = str(known).encode("utf-8", "replace")
    return text.decode() if len(text) <= LONGEST_ID else sha256(text).hexdigest()


async def get(session: aiohttp.ClientSession, url: str, budget_s: float) -> float:
    """Make one request without retries and return its response time in ms; Unanswered where it is not a good one."""
    try:
        async with asyncio.timeout(budget_s):
            return (await _attempt(session, _Request(url))).response_time_ms
    except _Failure as failure:
        raise Unanswered(failure.cause) from None
    except TimeoutError:
        raise Unanswered(f"no answer within {budget_s:g} s") from None


async def _attempt(session: aiohttp.ClientSession, request: _Request) -> _Reply:
    """Make one request, wherever it is sent on to; raise _Failure unless the answer is a good one."""
    try:
        return await _reply(session, request)
    except _Failure:
        raise
    except Exception as fault:  # noqa: BLE001 - whatever goes wrong with one request is that request's answer
        raise _failure(fault) from None


async def _reply(session: aiohttp.ClientSession, request: _Request) -> _Reply:
    began = time.perf_counter()
    url, headers = URL(request.url), request.headers
    for _ in range(MOST_REDIRECTS + 1):
        async with session.get(url, headers=headers, allow_redirects=False) as response:
            if response.status not in REDIRECTS:
                _check_status(response.status)
                body = await _read(response)
                response_time_ms = (time.perf_counter() - began) * 1000
                return _Reply(response_time_ms, _content(response.content_type, body))
            following = _following(url, response, request.follow)
        if _host(following) != _host(url):
            headers = ()  # they are meant for the declared host, and may be secret
        url = following
    raise _Failure(f"redirected more than {MOST_REDIRECTS} times", again=False)


def _following(url: URL, response: aiohttp.ClientResponse, follow: Redirects) -> URL:
    """Return where *response* sends the request on to; _Failure where it may not be followed there."""
    told = f"(HTTP {response.status})"
    try:
        following = url.join(URL(response.headers["Location"]))
    except (KeyError, ValueError):
        raise _Failure(f"redirected to what is no address {told}", again=False) from None
    if following.scheme not in {"http", "https"} or not following.host:
        raise _Failure(f"redirected to what is no HTTP address {told}", again=False)
    if (url.scheme, following.scheme) == ("https", "http"):
        raise _Failure(f"redirected from https to http {told}", again=False)
    if _host(following) == _host(url):
        return following.with_user(url.user).with_password(url.password)
    if follow is not Redirects.ANY:
        raise _Failure(f"redirected to another host {told}", again=False)
    return following.with_user(None)


def _host(url: URL) -> tuple[str, str | None, int | None]:
    return url.scheme, url.host, url.port


def _check_status(status: int) -> None:
    if status not in SUCCESS:
        again = status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR
        raise _Failure(f"HTTP {status}", again=again)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """
    Read the whole answer, unpacked, and return it where it is JSON; give up where it grows, or says it is, too large.

    A hundred answers may be under way at once: what nobody looks at is counted and not kept.
    """
    body, size_bytes = bytearray(), 0
    kept = _is_json(response.content_type)
    most_bytes = MAX_MIB * 1024 * 1024
    if (response.content_length or 0) > most_bytes:
        raise _too_large()
    async for part in response.content.iter_any():
        size_bytes += len(part)
        if size_bytes > most_bytes:
            raise _too_large()
        if kept:
            body += part
    return bytes(body)


def _too_large() -> _Failure:
    return _Failure(f"answer is larger than {MAX_MIB} MiB", again=False)


def _is_json(content_type: str) -> bool:
    return content_type == "application/json" or content_type.endswith("+json")


def _content(content_type: str, body: bytes) -> Any:
    if not body or not _is_json(content_type):
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


def open_session(concurrency: int) -> aiohttp.ClientSession:
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
