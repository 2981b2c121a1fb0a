"""
A row of each table that a rollout fills, and what the runner does with every column.

A column may have several roles; one without any is left to the database and the application. A pair is the table and
column in which its values have to stand.

`tables.py` is made from these classes, and the exit criteria hold their fields against the live columns.
"""

from typing import Annotated, NamedTuple

KEY = "key"
"""A part of the natural key."""
SEEDED = "seeded"
"""Written by seeds whenever it differs."""
FIRST = "first"
"""Written by seeds only where the row is new."""
SWITCHED = "switched"
"""What a stage decides."""
LIVE = "live"
"""What probes keep true."""
BOOKKEEPING = "bookkeeping"
"""Restored where nobody else touched it, and never a reason to call a row changed."""


class ProviderState(NamedTuple):
    """A row of provider_states: an odds provider serving a sport. Times are UTC as text, capabilities are JSON."""

    id: int
    provider_name: Annotated[str, KEY, ("providers", "name")]
    sport: Annotated[str, KEY, ("sports", "code")]
    status: Annotated[str, FIRST, SWITCHED]
    is_enabled: Annotated[bool, FIRST, SWITCHED]
    poll_interval_seconds: Annotated[int, SEEDED]
    timeout_seconds: Annotated[int, SEEDED]
    max_retries: Annotated[int, SEEDED]
    last_fetch_attempt: Annotated[str | None, LIVE]
    last_successful_fetch: Annotated[str | None, LIVE]
    last_error: Annotated[str | None, LIVE]
    consecutive_errors: Annotated[int, LIVE]
    total_requests: Annotated[int, LIVE]
    successful_requests: Annotated[int, LIVE]
    failed_requests: Annotated[int, LIVE]
    average_response_time_ms: Annotated[float | None, LIVE]
    total_props_fetched: Annotated[int, LIVE]
    unique_props_seen: Annotated[int, LIVE]
    last_prop_count: Annotated[int, LIVE]
    capabilities: Annotated[str, SEEDED]
    created_at: str
    updated_at: Annotated[str, BOOKKEEPING]


class PortfolioRationale(NamedTuple):
    """A row of portfolio_rationales: a cache entry of the rollout's, or a rationale of the application's."""

    id: int
    cache_key: Annotated[str, KEY]
    cache_type: Annotated[str, SEEDED]
    rationale_type: Annotated[str, SEEDED]
    data_json: Annotated[str, SEEDED, SWITCHED]
    data_hash: Annotated[str, SEEDED, SWITCHED]
    context_data: str | None
    user_preferences: str | None
    narrative: str | None
    key_points: str | None
    confidence: Annotated[float | None, SEEDED, SWITCHED]
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
    expires_at: Annotated[str | None, FIRST, SWITCHED]
    created_at: str
    updated_at: Annotated[str, BOOKKEEPING]


def having(row: type, role: str) -> tuple[str, ...]:
    """Return the columns of *row* that have *role*, in their order."""
    return tuple(name for name, found in _said(row) if role in found)


def parents(row: type) -> tuple[tuple[str, str, str], ...]:
    """Return the columns of *row* whose values stand in another table: (column, table, its column)."""
    return tuple((name, *said) for name, found in _said(row) for said in found if isinstance(said, tuple))


def _said(row: type) -> list[tuple[str, tuple[object, ...]]]:
    return [(name, getattr(kind, "__metadata__", ())) for name, kind in row.__annotations__.items()]
