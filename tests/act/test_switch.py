from datetime import timedelta

import pytest
from ground import NOON, dump, entry, provider, targets

from runner.act import seed, switch
from runner.config.model import RefreshSelector
from runner.store.changes import Claim

STUB, DRAFTKINGS = provider("stub", status="ACTIVE"), provider()
BETMGM = provider("betmgm", enabled=False)
ALL = targets(STUB, DRAFTKINGS, BETMGM)
ENTRIES = [
    entry("player:1h"),
    entry("correlation:3h", type="correlation", rationale_type="CACHE_CORRELATION", ttl_s=3 * 3600),
    entry("factor:6h", type="factor", rationale_type="CACHE_FACTOR", ttl_s=6 * 3600),
]
LATER = NOON + timedelta(minutes=30)


@pytest.fixture
def seeded(database):
    with database.transaction():
        seed.providers(database, ALL, NOON).write("run-1")
        seed.caches(database, ENTRIES, NOON).write("run-1")
    return database


@pytest.fixture
def changes(seeded, enter):
    return enter()[0]


def on(backend):
    return backend.scalar("SELECT count(*) FROM provider_states WHERE status = 'ACTIVE' AND is_enabled")


def claim(changes, wanted=ALL, *, with_live_columns=False):
    return switch.claim_providers(changes, wanted, with_live_columns=with_live_columns)


def test_claimed_rows_are_told_as_they_stand(seeded, changes):
    seen = claim(changes, targets(DRAFTKINGS, provider("fanduel")))

    assert {("draftkings", sport): {"status": "INACTIVE", "is_enabled": 1} for sport in DRAFTKINGS.sports} == {
        key: row.found for key, row in seen.items()
    }


def test_live_columns_are_claimed_where_they_will_be_written(changes):
    seen = claim(changes, with_live_columns=True)

    assert {"total_requests": 0, "last_error": None}.items() <= seen["stub", "MLB"].found.items()


@pytest.mark.parametrize(
    ("found", "after", "is_settled"),
    [
        ({"status": "ACTIVE", "is_enabled": 1}, {}, True),
        ({"status": "ACTIVE", "is_enabled": True, "total_requests": 7}, {}, True),
        ({"status": "ACTIVE", "is_enabled": 0}, {}, False),
        ({"status": "INACTIVE", "is_enabled": 1}, {}, False),
        ({"status": "ERROR", "is_enabled": 1}, {"total_requests": 1}, False),
        ({"status": "INACTIVE", "is_enabled": 1}, {"status": "ACTIVE"}, True),  # switched on once is enough
    ],
)
def test_a_provider_is_settled_when_it_was_on_or_has_been_switched_on(found, after, is_settled):
    assert is_settled is switch.is_settled(Claim(found, {}, after))


def test_activation_switches_on_what_is_not_on_yet(seeded, changes):
    assert 4 == on(seeded)

    changed = switch.activate(changes, seeded, ALL, claim(changes), LATER)

    assert 12 == on(seeded)
    assert {"draftkings", "betmgm"} == {change.key[0] for change in changed}
    assert {8} == {len(changed)}
    before = {change.key: change.before for change in changed}
    assert "is_enabled" not in before["draftkings", "MLB"]
    assert ("INACTIVE", 0) == (before["betmgm", "MLB"]["status"], before["betmgm", "MLB"]["is_enabled"])


def test_activation_is_undone_exactly(seeded, changes):
    before = dump(seeded)
    switch.activate(changes, seeded, ALL, claim(changes), LATER)

    assert (8, []) == changes.undo()[:2]
    assert before == dump(seeded)


def test_a_second_activation_switches_nothing(seeded, changes):
    switch.activate(changes, seeded, ALL, claim(changes), LATER)
    before = dump(seeded)

    assert [] == switch.activate(changes, seeded, ALL, claim(changes), LATER + timedelta(hours=1))
    assert before == dump(seeded)


def test_a_row_that_somebody_switched_since_it_was_seen_is_left_alone(seeded, changes):
    seen = claim(changes)
    seeded.execute("UPDATE provider_states SET status = 'MAINTENANCE' WHERE provider_name = 'betmgm' AND sport = 'MLB'")
    seeded.execute("UPDATE provider_states SET is_enabled = 0 WHERE provider_name = 'draftkings' AND sport = 'NBA'")

    changed = switch.activate(changes, seeded, ALL, seen, LATER)

    assert 6 == len(changed)
    assert {("betmgm", "MLB"), ("draftkings", "NBA")}.isdisjoint(change.key for change in changed)
    assert 10 == on(seeded)


def test_a_target_that_was_not_seen_is_not_switched(seeded, changes):
    seen = claim(changes, targets(DRAFTKINGS))

    assert 4 == len(switch.activate(changes, seeded, ALL, seen, LATER))


@pytest.mark.parametrize(
    ("selector", "keys"),
    [
        (RefreshSelector(), {"player:1h", "correlation:3h", "factor:6h"}),
        (RefreshSelector(types=("player",)), {"player:1h"}),
        (RefreshSelector(types=("player", "factor")), {"player:1h", "factor:6h"}),
        (RefreshSelector(types=()), set()),
        (RefreshSelector(expiring_within_s=30 * 60), {"player:1h"}),  # to the second
        (RefreshSelector(expiring_within_s=30 * 60 - 1), set()),
        (RefreshSelector(expiring_within_s=2.5 * 3600), {"player:1h", "correlation:3h"}),
        (RefreshSelector(expiring_within_s=3600, types=("correlation",)), set()),
        (RefreshSelector(expiring_within_s=9 * 3600, types=("factor",)), {"factor:6h"}),
    ],
)
def test_a_refresh_gives_the_selected_entries_a_whole_time_to_live(seeded, changes, selector, keys):
    before = dump(seeded)

    changed = switch.refresh(changes, seeded, ENTRIES, selector, LATER)

    assert keys == {change.key[0] for change in changed}
    for change in changed:
        declared = next(entry for entry in ENTRIES if entry.key == change.key[0])
        assert {"expires_at", "updated_at"} == set(change.after)
        assert seeded.time(LATER + timedelta(seconds=declared.ttl_s)) == change.after["expires_at"]
    assert (len(keys), []) == changes.undo()[:2]
    assert before == dump(seeded)


def test_a_refresh_writes_what_is_declared_over_what_somebody_changed(seeded, changes):
    seeded.execute("UPDATE portfolio_rationales SET data_json = '{}', confidence = 0.1 WHERE cache_key = 'player:1h'")

    [change] = switch.refresh(changes, seeded, ENTRIES, RefreshSelector(types=("player",)), LATER)

    assert ('{"props":15}', 0.75) == (change.after["data_json"], change.after["confidence"])
    assert ("{}", 0.1) == (change.before["data_json"], change.before["confidence"])


def test_an_entry_that_is_gone_is_not_made_anew(seeded, changes):
    seeded.execute("DELETE FROM portfolio_rationales WHERE cache_key = 'player:1h'")

    assert 2 == len(switch.refresh(changes, seeded, ENTRIES, RefreshSelector(), LATER))


def test_shadow_writes_are_the_same_and_are_taken_back(seeded, changes):
    before = dump(seeded, "provider_states", "portfolio_rationales", "runner_changes")

    with seeded.transaction(), seeded.rolled_back():
        activated = switch.activate(changes, seeded, ALL, claim(changes), LATER)
        refreshed = switch.refresh(changes, seeded, ENTRIES, RefreshSelector(), LATER)

    assert (8, 3) == (len(activated), len(refreshed))
    assert before == dump(seeded, "provider_states", "portfolio_rationales", "runner_changes")
