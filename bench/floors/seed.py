"""Parse a config, make its tables, and write all of its rows by one `executemany` each: `seed.py FOLDER`."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parse import config

if TYPE_CHECKING:
    from collections.abc import Iterator

HOURS = {"1h": 1, "3h": 3, "6h": 6}


def providers(declared: dict[str, Any], now: str) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of provider_states."""
    for one in declared["providers"]:
        times = int(one["poll_interval"][:-1]), int(one["timeout"][:-1])
        for sport in one["sports"]:
            yield (one["name"], sport, *times, one["retries"], _json(one["capabilities"]), "INACTIVE", True, now, now)


def caches(declared: dict[str, Any], now: str) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of portfolio_rationales."""
    for name, kind in declared["types"].items():
        expires_at = str(datetime.fromisoformat(now) + timedelta(hours=HOURS[kind["ttl"]]))
        for entry in kind["entries"]:
            data = _json(entry["data"])
            digest = hashlib.sha256(data.encode()).hexdigest()
            fixed = entry["key"], name, kind["rationale_type"], data, f"sha256:{digest}", entry["confidence"]
            yield (*fixed, expires_at, now, now)


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def main(folder: Path) -> None:
    """Write everything in one transaction, as durably as the runner does."""
    declared, now = config(folder), str(datetime.now(UTC).replace(tzinfo=None))
    db = sqlite3.connect(folder / "rollout.db", isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("PRAGMA foreign_keys=ON")
    for path in sorted((folder / "sql" / "sqlite").glob("*.sql")):
        db.executescript(path.read_text("utf-8").partition("-- migrate:down")[0])
    db.execute("BEGIN IMMEDIATE")
    db.executemany(
        "INSERT INTO provider_states (provider_name, sport, poll_interval_seconds, timeout_seconds, max_retries,"
        " capabilities, status, is_enabled, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        providers(declared["providers"], now),
    )
    db.executemany(
        "INSERT INTO portfolio_rationales (cache_key, cache_type, rationale_type, data_json, data_hash, confidence,"
        " expires_at, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        caches(declared["caches"], now),
    )
    db.execute("COMMIT")
    db.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
