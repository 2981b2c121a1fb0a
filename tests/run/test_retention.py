"""Details of what is over are kept as long as is declared; whatever else a ledger holds is kept for ever."""

import signal
import sqlite3
from contextlib import closing
from datetime import timedelta
from types import SimpleNamespace

import pytest
from ground import NOON, FakeClock

from bench import soak
from runner.clock import timestamp
from runner.engine import retention
from runner.engine.site import Site
from runner.errors import StepFailed
from runner.events import Teller
from runner.samples import Sample

DAY_S = 86_400
KEPT = ("runner_runs", "runner_stages", "runner_steps", "runner_verdicts", "runner_configs", "runner_migrations")


def make_older(project, days):
    """Move everything that the ledger holds so many days into the past."""
    columns = {
        "runner_runs": ("started_at", "finished_at"),
        "runner_stages": ("entered_at", "left_at", "undone_at"),
        "runner_samples": ("at",),
    }
    for table, names in columns.items():
        moved = ", ".join(f"{name} = strftime('%Y-%m-%dT%H:%M:%fZ', {name}, '-{days} days')" for name in names)
        project.write(f"UPDATE {table} SET {moved}")


def test_what_is_older_than_ninety_days_goes_at_the_end_of_the_next_run_and_all_else_stays(project):
    first = project.run("apply", "--target-stage", "dark_mode")
    measured = project.rows("SELECT count(*) FROM runner_samples")[0][0]
    make_older(project, 91)
    before = {table: project.rows(f"SELECT * FROM {table}") for table in KEPT}
    trail = project.run("history", "--json").stdout

    second = project.run("apply", "--target-stage", "shadow_mode")

    assert [] == first.told("ledger.pruned")
    [pruned] = second.told("ledger.pruned")
    assert ("info", measured) == (pruned["level"], pruned["samples"])
    assert second.events.index(pruned) > second.events.index(second.told("run.completed")[0])
    assert [(2,)] == project.rows("SELECT DISTINCT stage_id FROM runner_samples")
    for table, rows in before.items():
        assert set(rows) <= set(project.rows(f"SELECT * FROM {table}")), table
    assert trail.rstrip().rstrip("}").rstrip() in project.run("history", "--json").stdout


@pytest.mark.parametrize(
    ("days", "declared", "left"), [(89, "", True), (91, "", False), (91, "99999d", True), (2, "1d", False)]
)
def test_the_policy_says_how_long(project, days, declared, left):
    if declared:
        project.edit("config/rollout.yaml", "\nrollback:", f"\nledger: {{keep_details: {declared}}}\nrollback:")
    project.run("apply", "--target-stage", "dark_mode")
    make_older(project, days)

    told = project.run("apply", "--target-stage", "disabled").told("ledger.pruned")

    assert left == bool(project.rows("SELECT 1 FROM runner_samples LIMIT 1")) == (not told)


def test_where_there_is_nothing_to_do_nothing_is_pruned_either(project):
    project.run("apply", "--target-stage", "dark_mode")
    make_older(project, 1000)
    project.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    before = project.database.read_bytes()

    again = project.run("apply", "--target-stage", "dark_mode")

    assert (0, []) == (again.exit_code, again.events)
    assert before == project.database.read_bytes()


def test_what_an_open_stage_measured_is_there_when_it_goes_on(project):
    process = project.start("apply", "--target-stage", "dark_mode")
    while '"tick": 5' not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGTERM)
    assert 143 == process.wait()
    process.stderr.close()
    process.stdout.close()
    [(ticks,)] = project.rows("SELECT ticks FROM runner_stages")
    make_older(project, 1000)

    resumed = project.run("apply", "--target-stage", "dark_mode")

    assert 0 == resumed.exit_code
    assert 20 - ticks == len(resumed.told("tick.recorded"))
    assert 20 == resumed.told("stage.passed")[0]["ticks"]
    [(requests,)] = project.rows("SELECT observations FROM runner_verdicts WHERE metric = 'errors'")
    assert 12 * (20 - ticks) < requests <= 12 * 20  # those from before the signal are counted
    assert ticks == project.rows("SELECT min(tick) FROM runner_samples")[0][0]  # they went when the run was over


# who is spared


@pytest.fixture
def site(database, ledger, lock, clock):
    rollout = SimpleNamespace(name="r", keep_details_s=90 * DAY_S)
    return Site(rollout, database, clock, None, ledger, lock)


def measure(ledger, *, rollout="r", days=100, state="passed", run_state="completed", samples=3):
    """Write a run that measured so many days ago; return its stage."""
    at = NOON - timedelta(days=days)
    run = ledger.begin_run(rollout, "local", "sha256:1", {}, "full", run_state, at)
    entry = ledger.enter_stage(run, "dark", "observe", 1, "", {}, at)
    ledger.update_stage(entry.id, state=state)
    if run_state in {"completed", "aborted", "rolled_back"}:
        ledger.update_run(run.id, finished_at=timestamp(at))
    ledger.record_samples(entry.id, 0, [Sample("m", (1.0,), 1)] * samples, at)
    return entry


def told(site):
    events = []
    retention.prune(site, Teller(site.clock.now, events.append))
    return [(event.name, event.fields) for event in events]


BEFORE = "2026-05-04T12:00:00.000Z"


@pytest.mark.parametrize(
    ("written", "goes"),
    [
        ({}, True),
        ({"state": "undone", "run_state": "rolled_back"}, True),
        ({"state": "abandoned", "run_state": "aborted"}, True),
        ({"days": 90}, False),  # to the second
        ({"days": 90.001}, True),
        ({"rollout": "another"}, False),  # which has a policy of its own
        ({"state": "entered", "run_state": "running"}, False),
        ({"state": "passed", "run_state": "running"}, False),
        ({"state": "entered", "run_state": "aborted"}, False),  # another run may go on with it
        ({"samples": 0}, False),
    ],
)
def test_only_old_samples_of_what_is_over_go(site, ledger, written, goes):
    entry = measure(ledger, **written)

    assert ([("ledger.pruned", {"samples": 3, "images": 0, "before": BEFORE})] if goes else []) == told(site)
    assert goes == (not list(ledger.samples(entry.id))) or written == {"samples": 0}


def test_new_samples_of_an_old_stage_stay(site, ledger):
    entry = measure(ledger)  # held for data, say, or taken up again after a long time
    ledger.record_samples(entry.id, 1, [Sample("m", (2.0,), 1)], NOON)

    told(site)

    assert [(1, Sample("m", (2.0,), 1))] == list(ledger.samples(entry.id))


@pytest.mark.parametrize(
    ("state", "days", "goes"),
    [("undone", 91, True), ("undone", 89, False), ("passed", 91, False), ("abandoned", 91, False)],
)
def test_images_of_rows_go_with_stages_that_were_taken_back_long_ago(site, ledger, state, days, goes):
    entry = measure(ledger, days=days, state=state, samples=0)
    ledger.update_stage(entry.id, undone_at=timestamp(NOON - timedelta(days=days)))
    image = {"id": entry.id, "key": '["stub","NBA"]'}
    site.backend.execute("INSERT INTO runner_changes VALUES (:id, 'provider_states', :key, '{}', '{}', '{}')", image)

    assert ([("ledger.pruned", {"samples": 0, "images": 1, "before": BEFORE})] if goes else []) == told(site)
    assert goes == (not site.backend.rows("SELECT * FROM runner_changes"))


def test_many_go_a_part_at_a_time_so_that_nobody_waits_long(site, ledger, monkeypatch):
    monkeypatch.setattr(retention, "AT_ONCE", 10)
    measure(ledger, samples=95)
    transactions = []
    monkeypatch.setattr(site.backend, "longest_transaction_s", 0.0)
    real = site.ledger.remove_samples
    monkeypatch.setattr(
        site.ledger, "remove_samples", lambda numbers: transactions.append(len(numbers)) or real(numbers)
    )

    assert [("ledger.pruned", {"samples": 95, "images": 0, "before": BEFORE})] == told(site)
    assert [10] * 9 + [5] == transactions


def test_a_signal_leaves_the_rest_to_the_next_run(site, ledger):
    measure(ledger)
    site.clock.stop.ask(15)

    assert [] == told(site)
    assert 3 == site.backend.scalar("SELECT count(*) FROM runner_samples")


def test_what_cannot_be_removed_now_makes_no_run_fail(site, ledger):
    measure(ledger)
    site.backend.execute("CREATE TRIGGER t BEFORE DELETE ON runner_samples BEGIN SELECT RAISE(ABORT, 'not now'); END")

    assert [] == told(site)
    with pytest.raises(StepFailed, match="not now"):
        ledger.remove_samples([1])


# the whole


def test_a_ledger_that_forgets_samples_does_not_grow_with_every_run(tmp_path):
    path = soak.config(tmp_path, 150, soak.FEW)
    clock = FakeClock()
    sizes, samples = [], []
    for _ in range(6):
        for target in (None, "disabled"):
            soak.run_ahead(path, clock, target=target)
        clock.let_pass(40 * DAY_S)  # the third run sees those of the first go
        with closing(sqlite3.connect(tmp_path / "rollout.db")) as connection:
            samples.append(connection.execute("SELECT count(*) FROM runner_samples").fetchone()[0])
            [(pages, free)] = [
                tuple(connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count"))
            ]
            sizes.append(pages - free)

    assert [1, 2, 3, 3, 3, 3] == [round(count / samples[0]) for count in samples]
    assert sizes[5] - sizes[3] <= 2, sizes  # pages: of what is kept for ever
