import json
import math
import secrets
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from ground import NOON

from runner.errors import Mismatch, StepFailed
from runner.samples import Sample
from runner.store.ledger import Ledger, Run
from runner.store.sqlite import SqliteBackend


def begin(ledger, rollout="r", state="running", declared=None):
    return ledger.begin_run(rollout, "local", "sha256:1", declared or {"name": rollout}, "full", state, NOON)


def enter(ledger, run, stage="dark", position=1, mode="observe"):
    return ledger.enter_stage(run, stage, mode, position, "sha256:rows", {"targets": 12}, NOON)


def test_where_there_are_no_tables_yet_reading_finds_nothing(backend):
    ledger = Ledger(backend)

    assert not ledger.exists
    assert [] == ledger.migrations() == ledger.runs() == ledger.runs("r") == ledger.stages() == ledger.standing("r")
    assert ledger.latest_run("r") is None
    assert ledger.config("sha256:1") is None
    assert set() == backend.tables()


def test_creating_the_tables_again_leaves_them_as_they_are(backend, ledger):
    run = begin(ledger)
    objects = backend.objects()

    with backend.transaction():
        ledger.create()
        Ledger(backend).create()

    assert objects == backend.objects()
    assert [run] == Ledger(backend).runs()


def test_the_tables_are_made_in_the_open_transaction(backend):
    ledger = Ledger(backend)

    def make_and_fail():
        ledger.create()
        raise StepFailed

    with pytest.raises(StepFailed), backend.transaction():
        make_and_fail()

    assert set() == backend.objects()


@pytest.mark.parametrize("version", ["3", "0", ""])
def test_tables_of_another_form_are_refused(backend, ledger, version):
    begin(ledger)
    backend.execute("UPDATE runner_meta SET value = :version", {"version": version})

    with pytest.raises(Mismatch) as caught:
        Ledger(backend)

    assert str(caught.value) == (
        f"error: the runner's tables in this database have form {version}, this runner knows form 2\n"
        "  fix: use the version of runner that made them, or a newer one"
    )
    with pytest.raises(Mismatch):
        ledger.create()


@pytest.fixture
def form_1(backend):
    with closing(sqlite3.connect(backend.path)) as connection:
        connection.executescript((Path(__file__).parent / "ledger_form_1.sql").read_text())
    return backend


def test_tables_of_the_form_before_are_brought_to_this_one(form_1):
    with form_1.transaction():
        Ledger(form_1).create()
    upgraded = {name: form_1.columns(name) for name in form_1.tables()}
    kept = Ledger(form_1)

    with closing(SqliteBackend(form_1.path.with_name("new.db"), create=True)) as new:
        with new.transaction():
            Ledger(new).create()
        assert {name: new.columns(name) for name in new.tables()} == upgraded
    assert [("0001", "done", '["table sports"]')] == [
        (row["version"], row["state"], row["objects_json"]) for row in kept.migrations()
    ]
    assert [("run-1", None)] == [(run.id, run.level) for run in kept.runs()]
    assert 32 == len(kept.database_id)


def test_tables_of_the_form_before_can_be_read_as_they_are(form_1):
    ledger = Ledger(form_1)

    assert ("run-1", None) == (ledger.latest_run("r").id, ledger.database_id)
    assert "1" == form_1.scalar("SELECT value FROM runner_meta WHERE name = 'ledger_version'")


def test_a_reverted_migration_is_known_and_can_be_applied_again(backend, ledger):
    ledger.record_migration("0001", "core", "sha256:1", ["table a"], "run-1", NOON, done=True)
    ledger.record_made_rows("0001", "a", ["[1]"])

    ledger.revert_migration("0001", "run-2")

    assert ["reverted"] == [row["state"] for row in ledger.migrations()]
    assert 0 == backend.scalar("SELECT count(*) FROM runner_made_rows")
    ledger.record_migration("0001", "core", "sha256:2", ["table a"], "run-3", NOON, done=True)
    assert [("done", "sha256:2", "run-3")] == [
        (row["state"], row["checksum"], row["run_id"]) for row in ledger.migrations()
    ]


def test_a_run_comes_back_as_it_was_begun(ledger):
    run = begin(ledger)

    assert run == Run(
        1, run.id, "r", "local", "sha256:1", "full", None, "running", None, None, "2026-08-02T12:00:00.000Z", None, None
    )
    assert run.id.startswith("20260802T120000Z-")
    assert [run] == ledger.runs() == ledger.runs("r")
    assert run == ledger.latest_run("r")


def test_runs_are_told_newest_first_each_rollouts_by_themselves(ledger):
    first, second, other = begin(ledger), begin(ledger), begin(ledger, "other")

    assert [other, second, first] == ledger.runs()
    assert [second, first] == ledger.runs("r")
    assert (second, other, None) == (ledger.latest_run("r"), ledger.latest_run("other"), ledger.latest_run("none"))
    assert len({first.id, second.id, other.id}) == 3, "the same second, and not the same name"


def test_a_run_changes_in_the_columns_that_are_given(ledger):
    first, second = begin(ledger), begin(ledger)

    ledger.update_run(second.id, state="rolling_back", back_to="dark", message="errors is 6")

    changed = ledger.latest_run("r")
    assert ("rolling_back", "dark", "errors is 6") == (changed.state, changed.back_to, changed.message)
    assert second.started_at == changed.started_at
    assert first == ledger.runs()[1]


def test_a_config_is_kept_once_under_its_digest(backend, ledger):
    declared = {"name": "r", "stages": [{"name": "dark", "é": None, "n": 0.7}]}
    begin(ledger, declared=declared)
    begin(ledger, declared=declared)

    assert declared == ledger.config("sha256:1")
    assert ledger.config("sha256:2") is None
    assert backend.scalar("SELECT count(*) FROM runner_configs") == 1


def test_migrations_come_back_by_number_with_their_objects(ledger):
    for version in ("10", "9", "0011"):
        ledger.record_migration(version, "make", "sha256:m", {"table b", "table a"}, "run-1", NOON, done=True)

    assert ["9", "10", "0011"] == [row["version"] for row in ledger.migrations()]
    assert ledger.migrations()[0] == {
        "version": "9",
        "name": "make",
        "checksum": "sha256:m",
        "state": "done",
        "objects_json": '["table a","table b"]',
        "run_id": "run-1",
        "applied_at": "2026-08-02T12:00:00.000Z",
    }


def test_a_migration_that_was_begun_is_done_later(ledger):
    ledger.record_migration("1", "make", "sha256:m", (), "run-1", NOON, done=False)
    assert ["begun"] == [row["state"] for row in ledger.migrations()]

    ledger.record_migration("1", "make", "sha256:m", {"index i"}, "run-1", NOON, done=True)
    assert [("done", '["index i"]')] == [(row["state"], row["objects_json"]) for row in ledger.migrations()]


def test_steps_come_back_in_their_order(ledger):
    run = begin(ledger)
    ledger.record_step(run.id, "providers", {"add": 28}, NOON)
    ledger.record_step(run.id, "caches", {"add": 25}, NOON)

    assert [("providers", {"add": 28}), ("caches", {"add": 25})] == ledger.steps(run.id)
    assert [] == ledger.steps("another")


def test_a_stage_comes_back_as_it_was_entered(ledger):
    run = begin(ledger)

    entry = enter(ledger, run)

    assert [entry] == ledger.stages() == ledger.stages(run_id=run.id) == ledger.stages(rollout="r")
    assert [] == ledger.stages(run_id="another") == ledger.stages(rollout="another")
    assert ("dark", "observe", 1, "entered", 0) == (entry.stage, entry.mode, entry.position, entry.state, entry.ticks)
    assert ({"targets": 12}, "sha256:rows", None) == (entry.summary, entry.digest, entry.breach)


def test_what_was_undone_does_not_stand(ledger):
    run = begin(ledger)
    dark, shadow = enter(ledger, run), enter(ledger, run, "shadow", 2)
    ledger.update_stage(dark.id, state="passed", ticks=20)
    ledger.update_stage(shadow.id, state="undone", undone_by=run.id)
    elsewhere = enter(ledger, begin(ledger, "other"))

    assert [("dark", "passed", 20)] == [(e.stage, e.state, e.ticks) for e in ledger.standing("r")]
    assert [elsewhere] == ledger.standing("other")
    assert ["dark", "shadow"] == [entry.stage for entry in ledger.stages(rollout="r")]


def test_a_stage_of_no_run_is_refused(ledger):
    run = begin(ledger)

    with pytest.raises(StepFailed, match="FOREIGN KEY"):
        enter(ledger, run._replace(id="nobody"))


def test_samples_come_back_tick_by_tick_as_they_were(ledger):
    entry = enter(ledger, begin(ledger))
    first = [
        Sample("response_time_ms", (12.5, 0.1 + 0.2), 2, "stub"),
        Sample("response_time_ms", (), 0, "fanduel"),
        Sample("errors", (0.0,), 2, "stub"),
    ]
    second = [Sample("lag", (), 0, error="no answer within 5 s"), Sample("hit_rate", (74.0,), 50)]

    ledger.record_samples(entry.id, 0, first, NOON)
    ledger.record_samples(entry.id, 1, second, NOON)
    ledger.record_samples(enter(ledger, begin(ledger)).id, 0, second, NOON)

    assert [*((0, sample) for sample in first), *((1, sample) for sample in second)] == list(ledger.samples(entry.id))


def test_numbers_that_are_none_come_back_as_such(ledger):
    entry = enter(ledger, begin(ledger))

    ledger.record_samples(entry.id, 0, [Sample("m", (math.inf, -math.inf, math.nan), 3)], NOON)

    [(_, sample)] = ledger.samples(entry.id)
    assert (math.inf, -math.inf) == sample.values[:2]
    assert math.isnan(sample.values[2])


def verdict(metric, subject="", value=74.0, **more):
    standing = {"verdict": "pass", "observations": 50, "fails": 0, "consecutive_fails": 0}
    return {"metric": metric, "subject": subject, "value": value, **standing, **more}


def test_a_verdict_is_replaced_by_the_next_one(ledger):
    entry = enter(ledger, begin(ledger))
    ledger.record_verdicts(entry.id, [verdict("m", "b"), verdict("m", "a", value=None), verdict("hits")], NOON)

    ledger.record_verdicts(entry.id, [verdict("m", "b", value=9.0, verdict="fail", fails=1)], NOON)

    assert ledger.verdicts(entry.id) == [
        verdict("hits"),
        verdict("m", "a", value=None),
        verdict("m", "b", value=9.0, verdict="fail", fails=1),
    ]
    assert {"hits": 74.0, "m.a": None, "m.b": 9.0} == ledger.figures(entry.id)


def test_what_is_stored_is_plain_text_that_anybody_can_read(backend, ledger):
    entry = enter(ledger, begin(ledger))
    ledger.record_samples(entry.id, 0, [Sample("m", (1.5,), 1)], NOON)

    assert [1.5] == json.loads(backend.scalar("SELECT values_json FROM runner_samples"))
    assert backend.scalar("SELECT at FROM runner_samples") == "2026-08-02T12:00:00.000Z"


def test_two_runs_of_the_same_second_never_get_the_same_id(ledger, monkeypatch):
    drawn = iter(["3f9a", "3f9a", "0b1c"])
    monkeypatch.setattr(secrets, "token_hex", lambda _: next(drawn))

    assert ["3f9a", "0b1c"] == [begin(ledger).id[-4:] for _ in range(2)]
