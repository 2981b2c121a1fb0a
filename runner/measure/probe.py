"""
Ask providers over HTTP, many at once, in a thread with an event loop of its own: nobody waits for a slow one.

Knows nothing of limits, stages or databases.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from runner.config.model import Kind, Reading
from runner.measure.request import Answer, Probe, ask, failed, open_session
from runner.samples import Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import aiohttp

    from runner.clock import Clock
    from runner.config.model import Metric, ProbeSettings, Target
    from runner.measure.stub import StandIn

LOOK_UP_S = 0.05
"""How often a waiting `collect` looks whether a stop was asked for."""


def samples(metrics: tuple[Metric, ...], answers: Sequence[Answer]) -> list[Sample]:
    """
    Read *answers* as samples of those *metrics* that come from probes: one for each provider and metric.

    Errors are one number, how many of the provider's requests failed, out of `count` made. An error rate is one number
    for each request, 100 where it failed and 0 where not: their mean is the share in percent. Response times are one
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
    if metric.reading is Reading.ERROR_RATE:
        return Sample(metric.name, tuple(0.0 if answer.ok else 100.0 for answer in answers), len(answers), provider)
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
        batch = [Probe(number, target, at) for number, target in enumerate(targets, start=self._begun)]
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

    def begin(self, batch: list[Probe]) -> None:
        """Queue *batch*, whatever its size in one call."""
        self._loop.call_soon_threadsafe(self._queue_up, batch)

    def close(self) -> None:
        """Cancel everything and wait for the thread's end."""
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join()

    def _queue_up(self, batch: list[Probe]) -> None:
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
        self._loop.set_exception_handler(_leave_to_the_requests)
        self._ending = asyncio.Event()
        self._waiting: asyncio.Queue[Probe] = asyncio.Queue()
        async with open_session(self._settings.concurrency) as session:
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

    async def _answer(self, session: aiohttp.ClientSession, probe: Probe) -> Answer:
        provider = probe.target.provider
        budget_s = min(provider.timeout_s, self._settings.timeout_s)
        url = self._url(probe.target)
        if url is None:
            return failed(probe, "no endpoint is declared, and there is no stand-in", attempts=0)
        return await ask(session, probe, url, budget_s)

    def _url(self, target: Target) -> str | None:
        if target.provider.endpoint is not None:
            return target.provider.endpoint.replace("{sport}", quote(target.sport, safe=""))
        return self._stand_in.url(target) if self._stand_in else None


def _leave_to_the_requests(_loop: asyncio.AbstractEventLoop, _said: dict[str, Any]) -> None:
    """
    Say nothing beside the events, where asyncio would write a traceback.

    What goes wrong with a request is its answer. The stand-in that runs out of file descriptors would be told of a
    thousand times a second.
    """
