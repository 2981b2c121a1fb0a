"""The live columns of provider_states, kept true by the probes of an active stage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from runner.store.changes import read
from runner.store.tables import PROVIDER_STATES

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from runner.config.model import Target
    from runner.store.backend import Backend, Row
    from runner.store.changes import Changes, Key


class Answer(Protocol):
    """What came of one request to a provider; times in UTC, None where there is nothing to tell."""

    @property
    def target(self) -> Target: ...
    @property
    def at(self) -> datetime: ...
    @property
    def response_time_ms(self) -> float | None: ...
    @property
    def error(self) -> str | None: ...
    @property
    def prop_ids(self) -> tuple[str, ...] | None: ...
    @property
    def prop_count(self) -> int | None: ...


def record(changes: Changes, backend: Backend, stage_id: int, answers: Iterable[Answer], now: datetime) -> None:
    """
    Bring the live columns of the answering providers' claimed rows up to date, by one read and one write for all.

    A probe counts as one request, whatever it took. The average response time is that of all successful requests.
    Props are told apart by their ids, over all stages that still stand.
    """
    by_key: dict[Key, list[Answer]] = {}
    for answer in answers:
        by_key.setdefault(answer.target.key, []).append(answer)
    new_props = _new_props(backend, stage_id, by_key)
    rows = read(backend, PROVIDER_STATES, by_key, PROVIDER_STATES.live)
    for key, row in rows.items():
        for answer in by_key[key]:
            _add(row, answer, backend.time(answer.at))
        row["unique_props_seen"] += new_props.get(key, 0)
        row["updated_at"] = backend.time(now)
    changes.write(PROVIDER_STATES, rows)


def _add(row: Row, answer: Answer, at: Any) -> None:
    """Count one answer into the live columns of *row*."""
    row["total_requests"] += 1
    row["last_fetch_attempt"] = at
    if answer.error is not None:
        row["failed_requests"] += 1
        row["consecutive_errors"] += 1
        row["last_error"] = answer.error
        return
    earlier = row["successful_requests"] if row["average_response_time_ms"] is not None else 0
    total = (row["average_response_time_ms"] or 0.0) * earlier + (answer.response_time_ms or 0.0)
    row["average_response_time_ms"] = total / (earlier + 1)
    row["successful_requests"] += 1
    row["consecutive_errors"] = 0
    row["last_successful_fetch"] = at
    if answer.prop_count is not None:
        row["last_prop_count"] = answer.prop_count
        row["total_props_fetched"] += answer.prop_count


def _new_props(backend: Backend, stage_id: int, by_key: dict[Key, list[Answer]]) -> dict[Key, int]:
    """Remember the ids of the props that were seen for the first time; return how many those are for each row."""
    seen = {(*key, prop) for key, answers in by_key.items() for answer in answers for prop in answer.prop_ids or ()}
    backend.load("runner_seen", {"provider_name": "TEXT", "sport": "TEXT", "prop_id": "TEXT"}, seen)
    unknown = (
        "FROM runner_seen n WHERE NOT EXISTS (SELECT 1 FROM runner_props p"
        " WHERE p.provider_name = n.provider_name AND p.sport = n.sport AND p.prop_id = n.prop_id)"
    )
    counts = {
        (provider, sport): count
        for provider, sport, count in backend.stream(
            f"SELECT n.provider_name, n.sport, count(*) {unknown} GROUP BY n.provider_name, n.sport"
        )
    }
    backend.execute(
        "INSERT INTO runner_props (stage_id, provider_name, sport, prop_id)"
        f" SELECT :stage_id, n.provider_name, n.sport, n.prop_id {unknown}",
        {"stage_id": stage_id},
    )
    return counts


def forget_props(backend: Backend, stage_id: int) -> None:
    """Forget which props a stage saw first: its counts were taken back."""
    backend.execute("DELETE FROM runner_props WHERE stage_id = :stage_id", {"stage_id": stage_id})
