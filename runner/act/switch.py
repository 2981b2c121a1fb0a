"""What a stage switches: providers on, cache entries anew. Shadow stages run the very same and take it back."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from runner.act.seed import cache_row
from runner.store.changes import read
from runner.store.tables import PORTFOLIO_RATIONALES, PROVIDER_STATES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from runner.config.model import CacheEntry, RefreshSelector, Target
    from runner.store.backend import Backend, Row
    from runner.store.changes import Change, Changes, Claim, Key

ON: dict[str, Any] = {"status": "ACTIVE", "is_enabled": True}


def claim_providers(changes: Changes, targets: Iterable[Target], *, with_live_columns: bool) -> dict[Key, Claim]:
    """
    Claim the rows of *targets*; return all claimed ones by key, as the stage found them first and as it wrote them.

    A row that is missing is left out.
    """
    columns = PROVIDER_STATES.switched + (PROVIDER_STATES.live if with_live_columns else ())
    changes.claim(PROVIDER_STATES, columns, (target.key for target in targets))
    return changes.claimed(PROVIDER_STATES)


def is_settled(claim: Claim) -> bool:
    """Say whether a provider's row was on when it was claimed, or has been switched on since."""
    return all(claim.found[name] == value for name, value in ON.items()) or not claim.after.keys().isdisjoint(ON)


def activate(
    changes: Changes, backend: Backend, targets: Iterable[Target], seen: Mapping[Key, Claim], now: datetime
) -> list[Change]:
    """
    Switch the claimed rows of *targets* on, where they still are as they were found; return those that changed.

    A row that somebody else switched meanwhile is left alone.
    """
    wanted = {target.key: {**ON, "updated_at": backend.time(now)} for target in targets if target.key in seen}
    expected = {key: {name: seen[key].found[name] for name in ON} for key in wanted}
    return changes.write(PROVIDER_STATES, wanted, expected)


def refresh(
    changes: Changes, backend: Backend, entries: Iterable[CacheEntry], selector: RefreshSelector, now: datetime
) -> list[Change]:
    """
    Claim the cache entries that are due and write them anew, with a whole time to live; return those that changed.

    One that never expires is due only where everything is.
    """
    wanted: dict[Key, Row] = {}
    for entry in entries:
        if selector.types is None or entry.type in selector.types:
            row = cache_row(entry, backend, now)
            wanted[(entry.key,)] = {
                **{name: row[name] for name in PORTFOLIO_RATIONALES.switched},
                "updated_at": backend.time(now),
            }
    limit = _limit(backend, selector, now)
    due = {
        key: wanted[key]
        for key, row in read(backend, PORTFOLIO_RATIONALES, wanted, ("expires_at",)).items()
        if limit is None or (row["expires_at"] is not None and row["expires_at"] <= limit)
    }
    changes.claim(PORTFOLIO_RATIONALES, PORTFOLIO_RATIONALES.switched, due)
    return changes.write(PORTFOLIO_RATIONALES, due)


def _limit(backend: Backend, selector: RefreshSelector, now: datetime) -> Any:
    if selector.expiring_within_s is None:
        return None
    return backend.time(now + timedelta(seconds=selector.expiring_within_s))
