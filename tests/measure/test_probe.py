import asyncio
import gzip
import json
import signal
import socket
import ssl
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from types import SimpleNamespace

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from yarl import URL

from runner.clock import Stop, WallClock
from runner.config.model import Fault, FaultKind, Kind, Metric, ProbeSettings, Provider, Reading, Redirects, Target
from runner.measure import request
from runner.measure.probe import Prober, samples
from runner.measure.request import Answer
from runner.measure.stub import StandIn, props
from runner.samples import Sample

NOON = datetime(2026, 8, 2, 12, 0, tzinfo=UTC)
FOREVER = float("inf")
GOOD = {"provider": "p", "props": [{"id": "a"}, {"id": "b"}, {"id": 7}]}


class StillClock:
    """A clock that stands still, unless somebody moves it."""

    def __init__(self):
        self.stop = Stop()

    def now(self):
        return NOON

    def monotonic(self):
        return 0.0

    def sleep_until(self, moment):
        raise AssertionError(moment)


class Server:
    """A server on loopback that counts, and leaves what it answers to *script*(server, writer)."""

    def __init__(self, script):
        self.script = script
        self.requests = []
        self.writers = []
        self.in_flight = self.most_in_flight = 0
        self.opened = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self.run()))

    async def run(self):
        self.loop, self.ended = asyncio.get_running_loop(), asyncio.Event()
        self.gate = asyncio.Event()
        listening = await asyncio.start_server(self.connected, "127.0.0.1", 0)
        self.port = listening.sockets[0].getsockname()[1]
        self.opened.set()
        await self.ended.wait()
        listening.close()
        await asyncio.sleep(0.02)  # what is being accepted becomes a task of ours
        while accepting := [task for task in asyncio.all_tasks() if "accept" in task.get_coro().__qualname__]:
            await asyncio.wait(accepting)
        answering = asyncio.all_tasks() - {asyncio.current_task()}
        for task in answering:
            task.cancel()
        await asyncio.gather(*answering, return_exceptions=True)
        for writer in self.writers:
            writer.transport.abort()
        await asyncio.gather(*(writer.wait_closed() for writer in self.writers), return_exceptions=True)

    async def connected(self, reader, writer):
        self.writers.append(writer)
        try:
            if (first := await reader.readexactly(1)) != b"G":  # this is TLS
                writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                return
            while head := first + await reader.readuntil(b"\r\n\r\n"):
                first = b""
                self.requests.append(head.decode())
                self.in_flight += 1
                self.most_in_flight = max(self.most_in_flight, self.in_flight)
                try:
                    await self.script(self, writer)
                    await writer.drain()
                finally:
                    self.in_flight -= 1
                if writer.is_closing():
                    break
        except (asyncio.CancelledError, asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@contextmanager
def serving(script):
    server = Server(script)
    server.thread.start()
    server.opened.wait()
    try:
        yield server
    finally:
        server.loop.call_soon_threadsafe(server.ended.set)
        server.thread.join()


def http(body=b"", status="200 OK", kind="application/json", extra=""):
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
    return head.encode() + body


def says(raw):
    async def script(server, writer):
        writer.write(raw)

    return script


def says_in_turn(*answers):
    async def script(server, writer):
        writer.write(answers[min(len(server.requests), len(answers)) - 1])

    return script


def closes_after(raw):
    async def script(server, writer):
        writer.write(raw)
        writer.close()

    return script


def sends_on(place, status="302 There"):
    async def script(server, writer):
        writer.write(http(status=status, extra=f"Location: {place.replace('{port}', str(server.port))}\r\n"))

    return script


async def hang(server, writer):
    await asyncio.sleep(3600)


async def drip(server, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        writer.write(b".")
        await asyncio.sleep(0.02)


async def behind_the_gate(server, writer):
    await server.gate.wait()
    writer.write(http(json.dumps(GOOD).encode()))


def provider(server=None, **changes):
    endpoint = f"http://127.0.0.1:{server.port}/v1/{{sport}}" if server else None
    basis = Provider("p", ("NBA",), True, "ACTIVE", "high", 60, 10, 0, {}, endpoint)  # noqa: FBT003
    return basis._replace(**changes)


def prober(stand_in=None, clock=None, **settings):
    return Prober(ProbeSettings(**settings), clock or StillClock(), stand_in)


def ask(whom, stand_in=None, **settings):
    """Probe one provider and return its answer."""
    with prober(stand_in, **settings) as asking:
        assert asking.start([Target(whom, "NBA")]) == 1
        (answer,) = asking.collect(FOREVER)
        assert asking.under_way == 0
    return answer


@pytest.fixture(autouse=True)
def no_thread_is_left():
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def test_a_good_answer_tells_its_time_and_its_props():
    with serving(says(http(json.dumps(GOOD).encode()))) as server:
        answer = ask(provider(server))

    assert answer.ok
    assert answer == Answer(answer.target, NOON, answer.response_time_ms, None, 1, ("a", "b", "7"), 3)
    assert 0 < answer.response_time_ms < 1000
    assert server.requests[0].startswith("GET /v1/NBA HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("content", "ids", "count"),
    [
        ({"props": []}, (), 0),
        ({"props": [{"id": "a"}, {"name": "b"}, {"id": None}, 3]}, ("a",), 4),
        ({"props": {"id": "a"}}, None, None),
        ({"odds": []}, None, None),
        ([{"id": "a"}], None, None),
        (None, None, None),
    ],
)
def test_only_a_list_of_props_is_counted(content, ids, count):
    with serving(says(http(json.dumps(content).encode()))) as server:
        answer = ask(provider(server))

    assert answer.ok
    assert (answer.prop_ids, answer.prop_count) == (ids, count)


@pytest.mark.parametrize(
    "raw",
    [
        http(b"<p>fine</p>", kind="text/html"),
        http(b"{not JSON, and not said to be}", kind="text/plain"),
        http(status="204 No Content", kind="text/plain"),
        http(gzip.compress(json.dumps(GOOD).encode()), extra="Content-Encoding: gzip\r\n"),
        http(b'{"a": 1}', kind="application/vnd.odds+json; charset=utf-8"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        http(b"." * 8 * 1024 * 1024, kind="text/plain"),
    ],
)
def test_any_wholly_read_answer_with_a_status_of_success_is_good(raw):
    with serving(says(raw)) as server:
        answer = ask(provider(server))

    assert answer.error is None
    assert answer.response_time_ms is not None


@pytest.mark.parametrize(
    ("script", "error", "requests"),
    [
        (says(http(status="503 Busy")), "HTTP 503", 3),
        (says(http(status="500 Oh")), "HTTP 500", 3),
        (says(http(status="429 Slowly")), "HTTP 429", 3),
        (says(http(status="599 What")), "HTTP 599", 3),
        (says(http(status="404 No")), "HTTP 404", 1),
        (says(http(status="401 Who")), "HTTP 401", 1),
        (says(http(status="304 Same")), "HTTP 304", 1),
        (sends_on("/"), "redirected more than 5 times", 6),
        (sends_on("?a=b", "308 There"), "redirected more than 5 times", 6),
        (sends_on("http://127.0.0.1:9/"), "redirected to another host (HTTP 302)", 1),
        (sends_on("http://localhost:{port}/", "307 There"), "redirected to another host (HTTP 307)", 1),
        (sends_on("https://127.0.0.1:{port}/", "301 There"), "redirected to another host (HTTP 301)", 1),
        (sends_on("//odds.example/s3cret", "303 There"), "redirected to another host (HTTP 303)", 1),
        (sends_on("file:///etc/passwd"), "redirected to what is no HTTP address (HTTP 302)", 1),
        (sends_on("javascript:alert(1)"), "redirected to what is no HTTP address (HTTP 302)", 1),
        (sends_on("http://[s3cret"), "redirected to what is no address (HTTP 302)", 1),
        (says(http(status="302 There")), "redirected to what is no address (HTTP 302)", 1),
        (says(http(b'{"a": ')), "answer is not valid JSON", 1),
        (says(http(b"\xff\xfe\xfd")), "answer is not valid JSON", 1),
        (says(http(b"[" * 100_000)), "answer is not valid JSON", 1),
        (says(http(b"-", kind="application/problem+json")), "answer is not valid JSON", 1),
        (says(http(b"." * (8 * 1024 * 1024 + 1), kind="text/plain")), "answer is larger than 8 MiB", 1),
        (
            says(http(gzip.compress(b"." * 200 * 1024 * 1024, 1), extra="Content-Encoding: gzip\r\n")),
            "answer is larger than 8 MiB",
            1,
        ),
        (closes_after(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), "answer is not valid HTTP", 1),
        (closes_after(b""), "connection closed before the answer", 3),
        (closes_after(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"), "answer ended early", 3),
        (closes_after(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc"), "answer ended early", 3),
    ],
)
def test_a_bad_answer_is_an_error_and_tried_again_only_where_that_may_help(script, error, requests):
    with serving(script) as server:
        answer = ask(provider(server, retries=2))

    assert not answer.ok
    assert answer.error == error
    assert len(server.requests) == requests
    assert (answer.response_time_ms, answer.prop_ids, answer.prop_count) == (None, None, None)


def sends_on_once(place):
    async def script(server, writer):
        if server.requests[-1].startswith("GET /v1/"):
            writer.write(http(status="302 There", extra=f"Location: {place}\r\n"))
        else:
            writer.write(http(json.dumps(GOOD).encode()))

    return script


def test_a_redirect_within_the_host_is_followed_with_everything_that_was_declared():
    with serving(sends_on_once("/v2?x=1")) as server:
        endpoint = f"http://me:pw@127.0.0.1:{server.port}/v1/{{sport}}?key=k"
        answer = ask(provider(endpoint=endpoint, headers=(("X-Api-Key", "k-123"),)))

    first, second = server.requests
    assert answer.ok
    assert answer.prop_count == 3
    assert second.startswith("GET /v2?x=1 HTTP/1.1\r\n")
    assert all(
        "x-api-key: k-123" in request.lower() and "Authorization: Basic" in request for request in (first, second)
    )


def test_a_redirect_to_another_host_is_followed_only_where_that_is_declared_and_without_secrets():
    with (
        serving(says(http(json.dumps(GOOD).encode()))) as other,
        serving(sends_on_once(f"http://user:pw@localhost:{other.port}/v2")) as server,
    ):
        endpoint = f"http://me:pw@127.0.0.1:{server.port}/v1/{{sport}}?key=k"
        declared = provider(endpoint=endpoint, headers=(("X-Api-Key", "k-123"),))
        refused, followed = ask(declared), ask(declared._replace(follow_redirects=Redirects.ANY))

    assert refused.error == "redirected to another host (HTTP 302)"
    assert followed.ok
    assert len(other.requests) == 1
    assert not any(
        word in other.requests[0].lower() for word in ("k-123", "authorization", "key=k", "cookie", "referer")
    )


def test_headers_stay_behind_for_good_once_a_request_was_sent_to_another_host():
    def back(port):
        return says(http(status="302 There", extra=f"Location: http://127.0.0.1:{port}/v2\r\n"))

    servers = []

    async def there(server, writer):
        await sends_on_once(f"http://127.0.0.1:{servers[0].port}/on")(server, writer)

    with serving(there) as server, serving(back(server.port)) as other:
        servers.append(other)
        answer = ask(provider(server, headers=(("X-Api-Key", "k-123"),), follow_redirects=Redirects.ANY))

    assert answer.ok
    assert ["k-123" in request for request in server.requests] == [True, False]


def test_a_redirect_from_https_to_http_is_never_followed():
    response = SimpleNamespace(status=301, headers={"Location": "http://odds.example/"})

    with pytest.raises(request._Failure, match="redirected from https to http"):
        request._following(URL("https://odds.example/"), response, Redirects.ANY)


@pytest.mark.parametrize("place", ["https://odds.example:443/b", "https://ODDS.example/b", "//odds.example/b", "b"])
def test_the_same_host_may_be_written_in_several_ways(place):
    response = SimpleNamespace(status=301, headers={"Location": place})

    following = request._following(URL("https://odds.example/a"), response, Redirects.SAME_HOST)

    assert (following.host, following.path) == ("odds.example", "/b")


def test_three_gigabytes_are_given_up_after_eight_megabytes():
    sent = []

    async def script(server, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3221225472\r\n\r\n")
        for _ in range(3 * 1024):
            writer.write(b"." * 1024 * 1024)
            await writer.drain()
            sent.append(1)

    with serving(script) as server:
        answer = ask(provider(server, retries=2), timeout_s=10)

    assert answer.error == "answer is larger than 8 MiB"
    assert len(server.requests) == 1
    assert len(sent) < 64


@pytest.mark.parametrize(
    "raw",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),  # TLS, where HTTP is spoken
        bytes(range(256)) * 64,
        b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 1024 * 1024 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n.",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\n.",
        b"HTTP/1.1 999999 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: \xff\x00\r\n\r\n",
        b"\0" * 1024,
        b"220 smtp.example ESMTP\r\n",
    ],
)
def test_garbage_is_an_error_in_words_of_our_own(raw):
    with serving(closes_after(raw)) as server:
        answer = ask(provider(server), timeout_s=2)

    assert not answer.ok
    assert "request failed" not in answer.error


def test_a_second_attempt_may_succeed_and_only_its_time_is_told():
    async def script(server, writer):
        if len(server.requests) == 1:
            await asyncio.sleep(0.3)
            writer.write(http(status="503 Busy"))
        else:
            writer.write(http(json.dumps(GOOD).encode()))

    with serving(script) as server:
        answer = ask(provider(server, retries=3))

    assert answer.ok
    assert answer.attempts == 2
    assert answer.response_time_ms < 250


def test_an_idle_connection_that_the_provider_closed_is_no_error():
    with serving(closes_after(http(b"{}"))) as server, prober() as asking:
        errors = []
        for _ in range(5):
            asking.start([Target(provider(server), "NBA")])
            errors += [answer.error for answer in asking.collect(FOREVER)]
            time.sleep(0.05)

    assert errors == [None] * 5


def test_the_pauses_between_attempts_grow():
    with serving(says(http(status="503 Busy"))) as server:
        began = time.perf_counter()
        ask(provider(server, retries=3))
        seconds = time.perf_counter() - began

    assert 0.05 + 0.1 + 0.2 <= seconds < 1


def test_attempts_end_where_the_next_pause_would_outlast_the_budget():
    with serving(says(http(status="503 Busy"))) as server:
        began = time.perf_counter()
        answer = ask(provider(server, retries=50), timeout_s=0.4)
        seconds = time.perf_counter() - began

    assert (answer.error, answer.attempts) == ("HTTP 503", 4)
    assert seconds < 0.8


@pytest.mark.parametrize("script", [hang, drip])
@pytest.mark.parametrize(
    ("timeout_s", "cap_s", "error"),
    [(10, 0.3, "no answer within 0.3 s"), (1, 5.0, "no answer within 1 s")],
)
def test_what_never_ends_is_ended_by_the_smaller_timeout_and_not_tried_again(script, timeout_s, cap_s, error):
    with serving(script) as server:
        began = time.perf_counter()
        answer = ask(provider(server, retries=5, timeout_s=timeout_s), timeout_s=cap_s)
        seconds = time.perf_counter() - began

    assert (answer.error, answer.attempts, answer.response_time_ms) == (error, 1, None)
    assert min(timeout_s, cap_s) <= seconds < min(timeout_s, cap_s) + 0.5


def test_a_slow_provider_is_told_as_slow():
    answer = ask(provider(), StandIn((Fault("*", FaultKind.SLOW, delay_s=0.2),), ()))

    assert answer.ok
    assert 200 <= answer.response_time_ms < 1000


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_closed_port_is_a_refused_connection_and_tried_again(host):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        answer = ask(provider(endpoint=f"http://{host}:{taken.getsockname()[1]}/", retries=1))

    assert (answer.error, answer.attempts) == ("connection refused", 2)


def test_a_name_that_does_not_exist_cannot_be_resolved(monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)

    assert ask(provider(endpoint="http://odds.invalid/x")).error == "name cannot be resolved"


def test_a_name_server_that_keeps_silent_holds_up_neither_the_answer_nor_the_end(monkeypatch):
    spoken = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [][: spoken.wait(30)])
    began = time.perf_counter()
    try:
        answer = ask(provider(endpoint="http://odds.invalid/x"), timeout_s=0.2)
        seconds = time.perf_counter() - began
        (silent,) = (thread for thread in threading.enumerate() if thread.name == "look-up")
    finally:
        spoken.set()
    silent.join()

    assert answer.error == "no answer within 0.2 s"
    assert seconds < 0.7
    assert silent.daemon


def test_a_server_without_tls_is_told_so():
    with serving(hang) as server:
        answer = ask(provider(endpoint=f"https://127.0.0.1:{server.port}/", retries=2))

    assert answer.error.startswith("TLS: ")
    assert answer.attempts == 1


def test_a_refused_certificate_is_told_without_the_host_and_not_tried_again():
    refused = ssl.SSLCertVerificationError(1, "odds.secret.example says no")
    refused.verify_message = "Hostname mismatch, certificate is not valid for 'odds.secret.example'."
    key = ConnectionKey(
        "odds.secret.example", 443, is_ssl=True, ssl=True, proxy=None, proxy_auth=None, proxy_headers_hash=None
    )

    failure = request._failure(aiohttp.ClientConnectorCertificateError(key, refused))

    assert (failure.cause, failure.again) == ("TLS: Hostname mismatch", False)


def test_the_headers_of_the_provider_are_sent():
    with serving(says(http(b"{}"))) as server:
        ask(provider(server, headers=(("X-Api-Key", "k-123"), ("accept", "application/odds+json"))))

    head = server.requests[0].lower()
    assert "x-api-key: k-123\r\n" in head
    assert head.count("accept: ") == 1
    assert "accept: application/odds+json\r\n" in head


def test_the_sport_is_quoted_into_the_endpoint_and_credentials_are_sent():
    with serving(says(http(b"{}"))) as server:
        endpoint = f"http://me:pw@127.0.0.1:{server.port}/{{sport}}/odds?of={{sport}}&key=k"
        with prober() as asking:
            asking.start([Target(provider(endpoint=endpoint), "A/B C")])
            asking.collect(FOREVER)

    head = server.requests[0]
    assert head.startswith("GET /A%2FB%20C/odds?of=A/B%20C&key=k HTTP/1.1\r\n")
    assert "Authorization: Basic " in head


def test_no_proxy_of_the_environment_is_used(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with serving(says(http(b"{}"))) as server:
        answer = ask(provider(server))

    assert answer.ok


def test_no_cookie_is_kept():
    with serving(says(http(b"{}", extra="Set-Cookie: a=b; Path=/\r\n"))) as server, prober() as asking:
        for _ in range(2):
            asking.start([Target(provider(endpoint=f"http://localhost:{server.port}/"), "NBA")])
            asking.collect(FOREVER)

    assert len(server.requests) == 2
    assert not any("cookie" in request.lower() for request in server.requests)


TELLING = "http://s3cret:s3cret@127.0.0.1:{port}/s3cret?key=s3cret"


@pytest.mark.parametrize(
    ("endpoint", "headers", "script"),
    [
        (TELLING, (), says(http(b"s3cret"))),
        (TELLING, (), says(http(b"s3cret", status="500 s3cret"))),
        (TELLING, (), says(http(status="302 s3cret", extra="Location: http://s3cret/\r\n"))),
        (TELLING, (), closes_after(b"s3cret\r\n\r\n")),
        (TELLING, (), closes_after(b"HTTP/1.1 200 OK\r\ns3cret")),
        (TELLING, (), closes_after(b"HTTP/1.1 200 OK\r\ns3cret s3cret\r\n\r\n")),
        (TELLING, (), says(http(b"s3cret", extra="Content-Encoding: gzip\r\n"))),
        (TELLING, (), hang),
        (TELLING, (("Authorization", "s3cret"),), hang),
        (TELLING, (("X", "s3cret\r\nY: s3cret"),), hang),
        (TELLING, (("s3cret s3cret", "s3cret"),), says(http(b"s3cret"))),
        (TELLING.replace("http:", "https:"), (), hang),
        (TELLING.replace("{port}", "9"), (), hang),
        ("http://s3cret.invalid:s3cret/", (), hang),
        ("http://s3cret:99999/", (), hang),
        ("http://" + "s3cret" * 20 + ".invalid/", (), hang),
        ("http://[s3cret/", (), hang),
        ("ftp://s3cret/", (), hang),
        ("s3cret", (), hang),
        ("", (), hang),
    ],
)
def test_no_error_ever_tells_a_secret(endpoint, headers, script):
    with serving(script) as server:
        answer = ask(provider(endpoint=endpoint.replace("{port}", str(server.port)), headers=headers), timeout_s=0.5)

    assert answer.error
    assert "s3cret" not in answer.error
    assert "127.0.0.1" not in answer.error
    assert "request failed" not in answer.error, "a foreseen fault has words of its own"


def test_a_target_without_endpoint_is_answered_by_the_stand_in():
    answer = ask(provider(), StandIn((), ()))

    assert answer.ok
    assert answer.prop_ids == tuple(prop["id"] for prop in props("p", "NBA"))
    assert answer.prop_count == len(answer.prop_ids)


def test_without_an_endpoint_and_a_stand_in_there_is_only_an_error():
    answer = ask(provider())

    assert (answer.error, answer.attempts) == ("no endpoint is declared, and there is no stand-in", 0)


def test_a_fault_begins_with_its_stage_while_probes_go_on():
    stand_in = StandIn((Fault("*", FaultKind.FAIL, since="shadow_mode"),), ("dark_mode", "shadow_mode"))
    seen = []
    with prober(stand_in) as asking:
        for stage in ("disabled", "dark_mode", "shadow_mode", "dark_mode"):
            stand_in.stage = stage
            asking.start([Target(provider(), "NBA")])
            seen += [answer.error for answer in asking.collect(FOREVER)]

    assert seen == [None, None, "HTTP 503", None]


@pytest.mark.parametrize("concurrency", [1, 7])
def test_no_more_requests_than_allowed_are_under_way_and_waiting_costs_no_budget(concurrency):
    async def script(server, writer):
        await asyncio.sleep(0.05)
        writer.write(http(b"{}"))

    with serving(script) as server, prober(concurrency=concurrency, timeout_s=1) as asking:
        asking.start([Target(provider(server), "NBA")] * concurrency * 25)
        answers = asking.collect(FOREVER)

    assert server.most_in_flight == concurrency
    assert len(answers) == concurrency * 25
    assert all(answer.ok for answer in answers)
    assert max(answer.response_time_ms for answer in answers) < 900


def test_answers_come_in_the_order_in_which_they_were_begun():
    async def script(server, writer):
        sport = server.requests[-1].split()[1][-1]
        await asyncio.sleep(0.3 - int(sport) * 0.03)
        writer.write(http(b"{}"))

    with serving(script) as server, prober() as asking:
        asking.start([Target(provider(server), str(sport)) for sport in range(5)])
        asking.start([Target(provider(server), str(sport)) for sport in range(5, 10)])
        answers = asking.collect(FOREVER)

    assert [answer.target.sport for answer in answers] == [str(sport) for sport in range(10)]


def test_a_slow_probe_does_not_hold_up_those_begun_later():
    clock = WallClock()
    with serving(behind_the_gate) as server, prober(StandIn((), ()), clock) as asking:
        asking.start([Target(provider(server), "NBA")])
        asking.start([Target(provider(), "NFL")] * 3)
        first = asking.collect(clock.monotonic() + 0.5)
        left = asking.under_way
        server.loop.call_soon_threadsafe(server.gate.set)
        second = asking.collect(FOREVER)

    assert [answer.target.sport for answer in first] == ["NFL"] * 3
    assert left == 1
    assert [answer.target.sport for answer in second] == ["NBA"]
    assert second[0].response_time_ms >= 400


def test_collect_returns_at_its_moment_and_each_answer_once():
    clock = WallClock()
    with serving(hang) as server, prober(clock=clock) as asking:
        asking.start([Target(provider(server), "NBA")])
        began = time.perf_counter()
        nothing = asking.collect(clock.monotonic() + 0.2)
        seconds = time.perf_counter() - began

    assert nothing == []
    assert 0.2 <= seconds < 0.4


def test_nothing_under_way_is_collected_at_once():
    with prober() as asking:
        assert asking.start([]) == 0
        assert asking.collect(FOREVER) == []


def test_a_request_to_stop_ends_the_wait():
    clock = StillClock()
    with serving(hang) as server, prober(clock=clock, timeout_s=30) as asking:
        asking.start([Target(provider(server, timeout_s=30), "NBA")])
        threading.Timer(0.2, clock.stop.ask, [signal.SIGTERM]).start()
        began = time.perf_counter()
        nothing = asking.collect(FOREVER)
        seconds = time.perf_counter() - began

    assert nothing == []
    assert 0.1 < seconds < 0.5


@pytest.mark.parametrize("count", [1, 500])
def test_closing_is_prompt_whatever_hangs_and_leaves_nothing(count):
    stand_in = StandIn((Fault("*", FaultKind.HANG),), ())
    with serving(hang) as server:
        asking = prober(stand_in)
        asking.start([Target(provider(server), "NBA"), Target(provider(), "NBA")] * count)
        time.sleep(0.3)
        address = stand_in.url(Target(provider(), "NBA"))
        began = time.perf_counter()
        asking.close()
        seconds = time.perf_counter() - began
        asking.close()

    assert seconds < 0.9
    assert asking.under_way == 0
    assert asking.collect(FOREVER) == []
    assert not any(thread.name == "probes" for thread in threading.enumerate())
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(address.split(":")[2].split("/")[0])))
    with pytest.raises(RuntimeError, match="closed"):
        asking.start([Target(provider(), "NBA")])


def test_answers_that_came_in_before_the_end_can_still_be_collected():
    with prober(StandIn((), ())) as asking:
        asking.start([Target(provider(), "NBA")])
        deadline = time.monotonic() + 5
        while asking.under_way and time.monotonic() < deadline:
            time.sleep(0.01)

    assert [answer.ok for answer in asking.collect(FOREVER)] == [True]


def test_no_thread_runs_before_the_first_probe():
    before = threading.enumerate()
    with prober(StandIn((), ())):
        assert threading.enumerate() == before


def test_a_stand_in_that_cannot_start_says_so_to_the_caller(monkeypatch):
    async def refuse(self):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(StandIn, "start", refuse)

    with prober(StandIn((), ())) as asking, pytest.raises(OSError, match="Too many open files"):
        asking.start([Target(provider(), "NBA")])


def test_thousands_of_probes_begin_in_a_moment():
    with serving(hang) as server, prober() as asking:
        asking.start([Target(provider(server), "NBA")])
        began = time.perf_counter()
        assert asking.start([Target(provider(server), "NBA")] * 10_000) == 10_000
        seconds = time.perf_counter() - began
        assert asking.under_way == 10_001

    assert seconds < 0.5


ERRORS = Metric("errors", Kind.PROBE, Reading.ERRORS)
RATE = Metric("error_rate_pct", Kind.PROBE, Reading.ERROR_RATE)
TIMES = Metric("response_time_ms", Kind.PROBE, Reading.RESPONSE_TIME)
HIT_RATE = Metric("cache_hit_rate_pct", Kind.LOOKUP)


def answered(name, response_time_ms=None, error=None):
    return Answer(Target(provider(name=name), "NBA"), NOON, response_time_ms, error, 1, None, None)


@pytest.mark.parametrize(
    ("metrics", "answers", "expected"),
    [
        ((ERRORS, TIMES), [], []),
        ((), [answered("p", 5.0)], []),
        ((HIT_RATE,), [answered("p", 5.0)], []),
        ((ERRORS,), [answered("p", 5.0), answered("p", 7.5)], [Sample("errors", (0.0,), 2, "p")]),
        (
            (TIMES, HIT_RATE),
            [answered("p", 5.0), answered("p", 0.0)],
            [Sample("response_time_ms", (5.0, 0.0), 2, "p")],
        ),
        (
            (ERRORS, TIMES),
            [answered("p", error="HTTP 503")] * 3,
            [Sample("errors", (3.0,), 3, "p"), Sample("response_time_ms", (), 0, "p")],
        ),
        (
            (ERRORS, TIMES),
            [answered("q", 1.0), answered("p", error="HTTP 503"), answered("q", error="HTTP 503")],
            [
                Sample("errors", (1.0,), 2, "q"),
                Sample("response_time_ms", (1.0,), 1, "q"),
                Sample("errors", (1.0,), 1, "p"),
                Sample("response_time_ms", (), 0, "p"),
            ],
        ),
        (
            (RATE,),
            [answered("p", 5.0), answered("p", error="HTTP 503"), answered("p", 5.0)],
            [Sample("error_rate_pct", (0.0, 100.0, 0.0), 3, "p")],
        ),
    ],
)
def test_answers_become_one_sample_for_each_provider_and_metric(metrics, answers, expected):
    assert samples(metrics, answers) == expected


def test_an_empty_answer_is_a_good_one_whatever_it_says_it_is():
    with serving(says(http(b""))) as server:
        answer = ask(provider(server))

    assert answer.ok
    assert (answer.prop_ids, answer.prop_count) == (None, None)


def test_ids_that_no_database_takes_are_made_so():
    props = [{"id": "\ud800"}, {"id": "x" * 201}, {"id": 7}]
    with serving(says(http(json.dumps({"props": props}).encode()))) as server:
        answer = ask(provider(server))

    strange, long, number = answer.prop_ids
    assert (strange, len(long), number) == ("?", 64, "7")
