"""The two tables that a rollout fills, as the runner reads and writes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Table(NamedTuple):
    """
    A table and what the runner does with its columns.

    `key` is the natural key. `seeded` are written by seeds whenever they differ, `first` by seeds only where the row is
    new. `switched` are what a stage decides, `live` what probes keep true. `bookkeeping` are restored where nobody else
    touched them, and never a reason to call a row changed. `expires` says that rows have a time to live, `ours` is the
    SQL condition under which a row of table t is not the application's own.
    """

    name: str
    key: tuple[str, ...]
    seeded: tuple[str, ...]
    first: tuple[str, ...]
    switched: tuple[str, ...]
    live: tuple[str, ...] = ()
    bookkeeping: tuple[str, ...] = ("updated_at",)
    expires: bool = False
    ours: str | None = None


PROVIDER_STATES = Table(
    name="provider_states",
    key=("provider_name", "sport"),
    seeded=("poll_interval_seconds", "timeout_seconds", "max_retries", "capabilities"),
    first=("status", "is_enabled"),
    switched=("status", "is_enabled"),
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


@dataclass(frozen=True, slots=True)
class ProviderState:
    """A row of provider_states: a provider serving a sport, what it is set to, and how it has been doing."""

    id: int
    provider_name: str
    sport: str
    status: str
    is_enabled: bool
    poll_interval_seconds: int
    timeout_seconds: int
    max_retries: int
    last_fetch_attempt: str | None
    last_successful_fetch: str | None
    last_error: str | None
    consecutive_errors: int
    total_requests: int
    successful_requests: int
    failed_requests: int
    average_response_time_ms: float | None
    total_props_fetched: int
    unique_props_seen: int
    last_prop_count: int
    capabilities: str
    created_at: str
    updated_at: str


@dataclass(frozen=True, slots=True)
class PortfolioRationale:
    """A row of portfolio_rationales: a result of the application's own, or a cache entry (`rationale_type` CACHE_…)."""

    id: int
    cache_key: str
    cache_type: str
    rationale_type: str
    data_json: str
    data_hash: str
    context_data: str | None
    user_preferences: str | None
    narrative: str | None
    key_points: str | None
    confidence: float | None
    generation_time_ms: int | None
    model_info: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    total_cost: float | None
    user_rating: int | None
    user_feedback: str | None
    is_flagged: bool
    cache_hits: int
    last_accessed: str | None
    expires_at: str | None
    created_at: str
    updated_at: str


TABLES = (PROVIDER_STATES, PORTFOLIO_RATIONALES)
