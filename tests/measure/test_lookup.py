from datetime import timedelta

import pytest
from ground import NOON, entry

from runner.act import seed
from runner.measure.lookup import replay
from runner.samples import Sample


@pytest.fixture
def cached(database):
    """Three entries that expire in one, two and three hours, and a result of the application's own."""
    entries = [entry(f"player:{hours}h", ttl_s=hours * 3600) for hours in (1, 2, 3)]
    with database.transaction():
        seed.caches(database, entries, NOON).write("run-1")
        database.execute(
            "INSERT INTO portfolio_rationales (cache_key, cache_type, rationale_type, data_json, data_hash)"
            " VALUES ('theirs', 'summary', 'PORTFOLIO_SUMMARY', '{}', 'x')"
        )
    return database


@pytest.mark.parametrize(
    ("keys", "hours", "rate"),
    [
        (["player:1h", "player:2h", "player:3h"], 0, 100.0),
        (["player:1h", "player:2h", "player:3h", "player:4h"], 0, 75.0),
        (["player:1h"] * 3 + ["player:x"], 0, 75.0),  # every look-up counts, not every key
        (["player:x"], 0, 0.0),
        (["player:1h", "player:2h"], 0.99, 100.0),
        (["player:1h", "player:2h"], 1, 50.0),  # an entry is over when its time to live is
        (["player:1h", "player:2h", "player:3h"], 3, 0.0),
        (["theirs"], 0, 0.0),  # never expires, and is no cache entry
    ],
)
def test_the_hit_rate_is_the_share_of_look_ups_that_find_a_living_entry(cached, keys, hours, rate):
    sample = replay(cached, "cache_hit_rate_pct", keys, NOON + timedelta(hours=hours))

    assert Sample("cache_hit_rate_pct", (rate,), len(keys)) == sample


def test_no_look_ups_are_no_measurement(cached):
    assert Sample("cache_hit_rate_pct", (), 0) == replay(cached, "cache_hit_rate_pct", [], NOON)
