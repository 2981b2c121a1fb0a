"""The two tables that a rollout fills, as the runner reads and writes them."""

from __future__ import annotations

from typing import NamedTuple


class Table(NamedTuple):
    """
    A table and what the runner does with its columns.

    `key` is the natural key. `seeded` are written by seeds whenever they differ, `first` by seeds only where the row is
    new. `switched` are what a stage decides, `live` what probes keep true. `bookkeeping` are restored where nobody else
    touched them, and never a reason to call a row changed. `parents` are columns whose values stand in another
    table: (column, table, its column). `expires` says that rows have a time to live, `ours` is the
    SQL condition under which a row of table t is not the application's own.
    """

    name: str
    key: tuple[str, ...]
    seeded: tuple[str, ...]
    first: tuple[str, ...]
    switched: tuple[str, ...]
    live: tuple[str, ...] = ()
    bookkeeping: tuple[str, ...] = ("updated_at",)
    parents: tuple[tuple[str, str, str], ...] = ()
    expires: bool = False
    ours: str | None = None


PROVIDER_STATES = Table(
    name="provider_states",
    key=("provider_name", "sport"),
    seeded=("poll_interval_seconds", "timeout_seconds", "max_retries", "capabilities"),
    first=("status", "is_enabled"),
    switched=("status", "is_enabled"),
    parents=(("provider_name", "providers", "name"), ("sport", "sports", "code")),
    live=(
        "last_fetch_attempt",
        "last_successful_fetch",
        "last_error",
        "consecutive_errors",
        "total_requests",
        "successful_requests",
        "failed_requests",
        "average_response_time_ms",
        "total_props_fetched",
        "unique_props_seen",
        "last_prop_count",
    ),
)

PORTFOLIO_RATIONALES = Table(
    name="portfolio_rationales",
    key=("cache_key",),
    seeded=("cache_type", "rationale_type", "data_json", "data_hash", "confidence"),
    first=("expires_at",),
    switched=("data_json", "data_hash", "confidence", "expires_at"),
    expires=True,
    ours="substr(t.rationale_type, 1, 6) = 'CACHE_'",
)


TABLES = (PROVIDER_STATES, PORTFOLIO_RATIONALES)
