"""
What the runner tells, and to whom.

Every event is a fact, told after the commit that made it one: `noun.past_verb` with flat fields. EVENTS is the one
list of names; an event that is not in it is a bug. Who listens is the caller's choice: a `Sink` is
anything that takes an `Event`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from runner.clock import timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping
    from datetime import datetime

EVENTS: dict[str, tuple[str, str]] = {
    "run.started": ("info", "a new run begins"),
    "run.resumed": ("info", "an unfinished run goes on"),
    "run.completed": ("info", "the target stage is reached and every step before it is done"),
    "run.rolled_back": (
        "warning",
        "a breach was taken back, and the rows were compared with those before it",
    ),
    "run.walked_back": ("info", "the run went back to an earlier stage, as it was asked to"),
    "run.interrupted": ("warning", "a signal stopped the run at a safe point; the same command goes on"),
    "run.failed": ("error", "a step did not work and was taken back"),
    "run.stuck": ("error", "something could not be taken back exactly; a person has to look"),
    "run.aborted": ("warning", "a person ended an unfinished run as it stood"),
    "run.refused": ("error", "the run was not begun: invalid config, other history, or another runner"),
    "lock.awaited": ("info", "another runner works on this database; this one waits for it, as it was asked to"),
    "lock.inherited": ("warning", "the runner that held the lock is gone, or its lease is over; this one took over"),
    "lock.removed": ("warning", "a person broke the lock; who held it can commit nothing any more"),
    "network.noticed": (
        "warning",
        "the database lies on a network file system, or on one that may be; its locks are not to be trusted there",
    ),
    "migration.applied": ("info", "a migration and its ledger row were committed"),
    "seed.applied": ("info", "declared rows were written"),
    "cache.warmed": ("info", "cache entries that had expired were written anew"),
    "stage.entered": ("info", "a stage was begun"),
    "stage.passed": ("info", "a stage was observed for its whole duration and every threshold passed"),
    "stage.held": ("warning", "a stage's time is over, but a number is missing; it waits for data"),
    "stage.breached": ("error", "a threshold was breached"),
    "stage.undone": ("info", "a stage's writes were taken back and compared with the rows before it"),
    "tick.recorded": ("info", "one measurement of every metric was stored and judged"),
    "threshold.warned": ("warning", "a metric went beyond a limit that only warns"),
    "metric.failed": ("warning", "a metric's source could not be read"),
    "probe.failed": ("warning", "a provider did not answer as it should, after all retries"),
    "shadow.rolled_back": ("info", "a shadow stage ran its writes and took them back; no row changed"),
    "row.shadowed": ("info", "what a write would do to a row"),
    "provider.activated": ("info", "a provider's row was switched on after it passed a probe"),
    "provider.skipped": (
        "warning",
        "a provider's row was changed by somebody else meanwhile and was left alone",
    ),
    "stage.observed": ("info", "a stage was observed on the way back; `breach` says what would have ended it"),
    "seed.removed": ("info", "a rollback removed rows that the rollout had made, and put back those it had found"),
    "migration.reverted": ("info", "a rollback ran the down section of a migration"),
    "table.retained": ("warning", "a table that the rollout made stays: it holds rows of others, or they refer to it"),
    "snapshot.taken": ("info", "the tables that the rollout may touch were copied, and the copy was compared"),
    "snapshot.pruned": ("info", "an automatic snapshot was removed: there are newer ones, as many as the policy keeps"),
    "ledger.pruned": ("info", "details older than the policy keeps them were removed; runs, stages and verdicts stay"),
    "snapshot.restored": ("warning", "a snapshot was brought back and compared; what was done since is lost"),
    "proof.passed": ("info", "a rehearsal tried something on the copy, and it went as it must"),
    "proof.failed": ("error", "a rehearsal tried something on the copy, and it did not go as it must"),
    "cache.refreshed": ("info", "an active stage wrote cache entries anew"),
    "change.noticed": ("warning", "others changed a value in a row of a stage that was taken back; it was left alone"),
    "criteria.checked": ("info", "the exit criteria were evaluated after the last stage, and the outcome is stored"),
    "change.conflicted": (
        "error",
        "a value was changed by somebody else since the stage wrote it; it was left alone",
    ),
}


class Event(NamedTuple):
    """One fact: name, level (info, warning or error), time in UTC, and flat fields."""

    name: str
    level: str
    at: datetime
    fields: dict[str, Any]

    def flat(self) -> dict[str, Any]:
        """Return the event as one flat mapping: the form of a log line."""
        return {"timestamp": timestamp(self.at), "level": self.level, "event": self.name, **self.fields}


class Sink(Protocol):
    """Whoever listens."""

    def __call__(self, event: Event) -> None:
        """Take one event."""


class Teller:
    """
    Tell events to every listener, with the fields that hold for all of them (rollout, run_id, stage).

    `bind` gives a teller that knows more fields; `__call__` tells one event.
    """

    def __init__(self, now: Callable[[], datetime], *sinks: Sink, **bound: Any) -> None:
        self._now = now
        self._sinks = sinks
        self._bound = bound

    def bind(self, **more: Any) -> Teller:
        """Return a teller that adds *more* to every event."""
        return Teller(self._now, *self._sinks, **{**self._bound, **more})

    def __call__(self, name: str, /, **fields: Any) -> None:
        level, _ = EVENTS[name]
        event = Event(name, level, self._now(), {**self._bound, **fields})
        for sink in self._sinks:
            sink(event)


def json_lines(stream: Any) -> Sink:
    """Return a sink that writes each event to *stream* as one line of JSON."""
    import structlog  # noqa: PLC0415  costs 70 ms, and a command that tells nothing does not need it

    log = structlog.wrap_logger(
        structlog.WriteLogger(stream),
        processors=[_head_first, structlog.processors.JSONRenderer(ensure_ascii=False, default=str), _visible],
        wrapper_class=structlog.BoundLogger,
    )

    def write(event: Event) -> None:
        log.msg(**event.flat())

    return write


def _head_first(_: Any, __: str, line: MutableMapping[str, Any]) -> dict[str, Any]:
    """Put what every line has before what only some have."""
    head = {name: line.pop(name) for name in ("timestamp", "level", "event")}
    return {**head, **line}


def _visible(_: Any, __: str, line: Any) -> str:
    """Escape what JSON leaves as it is, and a terminal that shows the log would obey."""
    text = str(line)
    return text if text.isprintable() else "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)
