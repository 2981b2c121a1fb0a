"""What the tests of several rooms stand on: a clock that is moved by hand, real tables, and rows to put into them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from runner.clock import Stop
from runner.config.model import CacheEntry, Provider, Target
from runner.config.sqlfile import migration_files, read_migration

NOON = datetime(2026, 8, 2, 12, 0, tzinfo=UTC)
BUNDLED = Path(__file__).parents[1] / "sql" / "sqlite"
SPORTS = ("MLB", "NBA", "NFL", "NHL")


class FakeClock:
    """A clock that stands at noon until somebody lets seconds pass; whoever sleeps makes them pass."""

    def __init__(self):
        self.stop = Stop()
        self.passed_s = 0.0

    def now(self):
        return NOON + timedelta(seconds=self.passed_s)

    def monotonic(self):
        return self.passed_s

    def sleep_until(self, moment):
        self.passed_s = max(self.passed_s, moment)

    def let_pass(self, seconds):
        self.passed_s += seconds


def bundled_migrations():
    return [read_migration(path, path.name) for path in migration_files(BUNDLED.iterdir())]


def dump(backend, *tables):
    """Return every row of *tables*, whole; without any, of every table that is not the runner's own."""
    names = tables or sorted(name for name in backend.tables() if not name.startswith(("runner_", "sqlite_")))
    return {name: backend.rows(f"SELECT * FROM {name} ORDER BY rowid") for name in names}


def provider(name="draftkings", **declared):
    """Return a provider as the bundled rollout declares draftkings, but for what is *declared*."""
    return Provider(
        **{
            "name": name,
            "sports": SPORTS,
            "enabled": True,
            "status": "INACTIVE",
            "priority": "high",
            "poll_interval_s": 60,
            "timeout_s": 30,
            "retries": 3,
            "capabilities": {"props": True},
            **declared,
        }
    )


def targets(*providers):
    return [Target(provider, sport) for provider in providers for sport in provider.sports]


def entry(key="player:a", **declared):
    """Return a player's cache entry, but for what is *declared*."""
    return CacheEntry(
        **{
            "key": key,
            "type": "player",
            "rationale_type": "CACHE_PLAYER",
            "ttl_s": 3600,
            "confidence": 0.75,
            "data": {"props": 15},
            **declared,
        }
    )
