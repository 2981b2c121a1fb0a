"""Each of these was a fault once, found by looking for it."""

import os
import signal
import subprocess
import sys
import time
from datetime import timedelta

import pytest
from ground import NOON, dump, entry, provider, targets

from runner.act import migrate, seed, switch
from runner.config.model import Kind, Metric, RefreshSelector, Statistic, Threshold
from runner.config.sqlfile import read_migration
from runner.decide.diff import differences
from runner.decide.gate import Gate, Verdict
from runner.errors import StepFailed
from runner.measure.query import ask
from runner.samples import Sample
from runner.store.changes import Changes
from runner.store.ledger import Ledger
from runner.store.lock import Lock, holder
from runner.store.sqlite import SqliteBackend
from runner.store.tables import PROVIDER_STATES

TOMORROW = NOON + timedelta(days=1)
MLB = ("draftkings", "MLB")
COLUMNS = ("status", "is_enabled")


@pytest.fixture
def rows(database):
    with database.transaction():
        seed.providers(database, targets(provider()), NOON).write("run-1")
        seed.caches(database, [entry("player:a"), entry("player:b", ttl_s=9 * 3600)], NOON).write("run-1")
    return database


@pytest.fixture
def passage(rows):
    ledger = Ledger(rows)

    def enter():
        run = ledger.begin_run("r", "local", "sha256:1", {}, "full", "running", NOON)
        return Changes(rows, ledger.enter_stage(run, "partial", "active", 3, "", {}, NOON).id)

    return enter


# store/changes, act/seed


def test_seeds_do_not_take_what_somebody_else_switched_for_their_own(rows, passage):
    changes = passage()
    seen = switch.claim_providers(changes, targets(provider()), with_live_columns=False)
    switch.activate(changes, rows, targets(provider()), seen, NOON)
    rows.execute("UPDATE provider_states SET status = 'MAINTENANCE' WHERE sport = 'MLB'")
    with rows.transaction():
        seed.providers(rows, targets(provider(timeout_s=31)), NOON).write("run-2")

    _, conflicts = changes.undo()[:2]

    assert [(MLB, "status", "MAINTENANCE")] == [(c.key, c.column, c.found) for c in conflicts]
    assert "MAINTENANCE" == rows.scalar("SELECT status FROM provider_states WHERE sport = 'MLB'")


def test_a_refresh_claims_only_what_it_writes(rows, passage):
    """An entry that was not due expires later and is warmed by seeds; the stage could not be undone then."""
    changes = passage()
    entries = [entry("player:a"), entry("player:b", ttl_s=9 * 3600)]
    switch.refresh(changes, rows, entries, RefreshSelector(expiring_within_s=3600), NOON + timedelta(minutes=30))
    with rows.transaction():
        seed.caches(rows, entries, TOMORROW).write("run-2")

    assert [] == changes.undo()[1]


def test_seeds_may_change_a_refreshed_entry_in_a_column_that_the_refresh_left_alone(rows, passage):
    """A refresh mostly changes expires_at alone; new declared data in the row then made its undo a conflict."""
    changes = passage()
    switch.refresh(changes, rows, [entry("player:a")], RefreshSelector(), NOON + timedelta(minutes=30))
    with rows.transaction():
        seed.caches(rows, [entry("player:a", data={"props": 16})], NOON + timedelta(minutes=40)).write("run-2")
    declared = dump(rows)

    assert (0, [], []) == changes.undo()
    assert declared == dump(rows)


def test_a_start_value_that_is_redeclared_while_a_stage_stands_is_no_conflict(rows, passage):
    changes = passage()
    seen = switch.claim_providers(changes, targets(provider()), with_live_columns=False)
    switch.activate(changes, rows, targets(provider()), seen, NOON)
    with rows.transaction():
        seed.providers(rows, targets(provider(enabled=False)), NOON).write("run-2")

    assert [] == changes.undo()[1]


def test_a_value_that_somebody_changed_between_two_writes_of_a_stage_is_not_overwritten(rows, passage):
    changes = passage()
    changes.claim(PROVIDER_STATES, ("total_requests",), [MLB])
    changes.write(PROVIDER_STATES, {MLB: {"total_requests": 1}})
    rows.execute("UPDATE provider_states SET total_requests = 100 WHERE sport = 'MLB'")
    changes.write(PROVIDER_STATES, {MLB: {"total_requests": 101}})

    _, conflicts, noticed = changes.undo()

    assert ([], [MLB]) == (conflicts, [change.key for change in noticed])
    assert 100 == rows.scalar("SELECT total_requests FROM provider_states WHERE sport = 'MLB'")


def test_a_row_whose_start_value_is_redeclared_is_dated(rows):
    with rows.transaction():
        seed.providers(rows, targets(provider(enabled=False)), TOMORROW).write("run-2")

    assert {rows.time(TOMORROW)} == {row["updated_at"] for row in dump(rows)["provider_states"]}


def test_an_entry_that_never_expires_is_not_due(rows, passage):
    rows.execute("UPDATE portfolio_rationales SET expires_at = NULL WHERE cache_key = 'player:a'")

    changed = switch.refresh(passage(), rows, [entry("player:a")], RefreshSelector(expiring_within_s=3600), NOON)

    assert [] == changed


def test_ten_thousand_provider_rows_take_seconds_and_not_minutes(database):

    names = [f"provider-{number}" for number in range(2500)]
    database.execute_many("INSERT INTO providers VALUES (:name)", ({"name": name} for name in names))
    start = time.monotonic()
    with database.transaction():
        seed.providers(database, targets(*(provider(name) for name in names)), NOON).write("run-1")

    assert time.monotonic() - start < 2


# act/migrate


def test_one_that_was_begun_and_took_effect_is_recorded_with_what_it_made(backend, ledger, clock, tmp_path):
    """A runner killed after the statement knew, when it began again, the index already, and recorded nothing."""
    lock = Lock(backend, clock)
    lock.take()
    backend.execute("CREATE TABLE a (n)")
    path = tmp_path / "0004_more.sql"
    path.write_text(
        "-- migrate:up transaction:false\nCREATE INDEX i ON a (n);\n"
        "-- migrate:verify\nSELECT count(*) = 1 FROM sqlite_master WHERE name = 'i';\n"
    )
    more = read_migration(path, path.name)

    class Killed(Exception):
        pass

    def kill():
        raise Killed

    record, calls = ledger.record_migration, []

    def killed_before_done(*values, **named):
        calls.append(named)
        if named["done"] and len(calls) == 2:
            kill()
        record(*values, **named)

    ledger.record_migration = killed_before_done
    with pytest.raises(Killed):
        migrate.apply(backend, ledger, lock, clock, more, "run-1")

    migrate.apply(backend, ledger, lock, clock, more, "run-1")

    assert [("done", '["index i"]')] == [(row["state"], row["objects_json"]) for row in ledger.migrations()]


# store/sqlite, store/ledger, store/lock


def test_a_missing_folder_of_a_new_database_is_told_with_what_to_do(tmp_path):
    with pytest.raises(StepFailed) as caught:
        SqliteBackend(tmp_path / "none" / "rollout.db", create=True)

    assert (
        "check the path, and the rights on the file, its -wal and -shm beside it, and its folder"
        == caught.value.problems[0].fix
    )


@pytest.mark.parametrize("rows", [[(1, 2)], [(object(),)]])
def test_a_load_that_fails_leaves_no_transaction_open(backend, rows):
    with pytest.raises(StepFailed):
        backend.load("runner_input", {"n": "INTEGER"}, rows)

    with backend.transaction():
        backend.execute("CREATE TABLE a (n)")


def test_two_statements_in_a_query_are_an_error_of_the_query(backend):
    sample = ask(backend, Metric("m", Kind.SQL, query="SELECT 1; SELECT 2"), NOON, lambda: 0.0)

    assert ((), "SQLite: You can only execute one statement at a time.") == (sample.values, sample.error)


def test_where_there_are_no_tables_yet_there_are_no_steps_samples_and_verdicts(backend):
    ledger = Ledger(backend)

    assert [] == ledger.steps("run-1") == list(ledger.samples(1)) == ledger.verdicts(1)
    assert {} == ledger.figures(1)


def test_a_dead_holder_whose_parent_has_not_noticed_yet_is_not_waited_for(backend, clock):
    """In a container whose first process reaps nobody, a killed runner stays a zombie."""
    take = (
        "import sys, time; from pathlib import Path; from runner.clock import WallClock;"
        "from runner.store.lock import Lock; from runner.store.sqlite import SqliteBackend;"
        "Lock(SqliteBackend(Path(sys.argv[1])), WallClock()).take(); print('taken', flush=True); time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", take, str(backend.path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert "taken\n" == process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

        Lock(backend, clock).take()

    assert os.getpid() == holder(backend).pid


# decide


def gate_of(threshold, *ticks):
    gate = Gate([threshold], [])
    for tick in ticks:
        gate.take(tick)
    return gate.judgements[0]


@pytest.mark.parametrize(
    ("threshold", "value"),
    [
        (Threshold("m", Statistic.LAST, max=1000), 1000.004),
        (Threshold("m", Statistic.LAST, min=70), 69.999),
        (Threshold("m", Statistic.LAST, max=0), 0.0001),
    ],
)
def test_a_number_outside_the_limits_does_not_read_as_the_limit(threshold, value):
    text = str(gate_of(threshold, [Sample("m", (value,), 1)]))

    assert f"m is {value:.12g}, " in text


def test_numbers_too_large_to_be_added_are_a_failure_of_the_threshold():
    judgement = gate_of(Threshold("m", Statistic.SUM, max=5), [Sample("m", (1e308, 1e308), 2)])

    assert Verdict.FAIL is judgement.verdict


def test_a_sum_does_not_depend_on_how_ticks_cut_it():
    assert Verdict.PASS is gate_of(Threshold("m", Statistic.SUM, min=1), *[[Sample("m", (0.1,), 1)]] * 10).verdict


def test_stages_in_another_order_are_a_difference():
    old = {"stages": [{"name": "dark"}, {"name": "shadow"}]}

    assert ["stages: dark, shadow -> shadow, dark"] == differences(old, {"stages": old["stages"][::-1]})


def test_of_things_that_have_the_same_name_each_is_compared():
    old = {"lookups": [{"key": "a", "times": 3}, {"key": "a", "times": 2}]}
    new = {"lookups": [{"key": "a", "times": 9}, {"key": "a", "times": 2}]}

    assert ["lookups[a].times: 3 -> 9"] == differences(old, new)


def test_a_value_that_is_nothing_is_not_one_that_is_missing():
    assert ["a: nothing -> None"] == differences({"b": 1}, {"b": 1, "a": None})
