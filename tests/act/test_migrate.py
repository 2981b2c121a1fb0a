import json

import pytest
from ground import bundled_migrations

from runner.act import migrate
from runner.config.sqlfile import read_migration
from runner.errors import Locked, StepFailed
from runner.store.lock import LEASE_S, Lock
from runner.store.sqlite import SqliteBackend


@pytest.fixture
def apply(backend, ledger, lock, clock, tmp_path):
    """Write a migration file and apply it; return the schema objects that it made."""

    def apply(up, verify="SELECT 1;", options=""):
        path = tmp_path / "0004_more.sql"
        path.write_text(f"-- migrate:up {options}\n{up}\n-- migrate:verify\n{verify}\n")
        known = backend.objects()
        migrate.apply(backend, ledger, lock, clock, read_migration(path, path.name), "run-1")
        return backend.objects() - known

    return apply


def recorded(ledger):
    return [(row["version"], row["state"], row["objects_json"]) for row in ledger.migrations()]


def test_a_migration_and_its_ledger_row_are_there_together(backend, ledger, apply):
    made = apply("CREATE TABLE a (n);\nCREATE INDEX i ON a (n);\nINSERT INTO a VALUES (1);", "SELECT count(*) FROM a;")

    assert {"table a", "index i"} == made
    assert [("0004", "done", '["index i","table a"]')] == recorded(ledger)
    [row] = ledger.migrations()
    assert ("more", "run-1", "2026-08-02T12:00:00.000Z") == (row["name"], row["run_id"], row["applied_at"])
    assert row["checksum"].startswith("sha256:")


def test_the_bundled_migrations_make_two_tables_and_nine_indexes_beside_the_core_ones(backend, ledger, lock, clock):
    for migration in bundled_migrations():
        migrate.apply(backend, ledger, lock, clock, migration, "run-1")

    assert ["0001", "0002", "0003"] == [version for version, _, _ in recorded(ledger)]
    assert [2, 5, 6] == [objects.count('"') // 2 for _, _, objects in recorded(ledger)]
    assert (22, 24) == (len(backend.columns("provider_states")), len(backend.columns("portfolio_rationales")))


@pytest.mark.parametrize(
    ("up", "verify", "what", "line"),
    [
        (
            "CREATE TABLE a (n);\nINSERT INTO a VALUES (1);\nINSERT INTO b VALUES (1);",
            "SELECT 1;",
            "no such table: b",
            4,
        ),
        ("CREATE TABLE a (n);", "SELECT 1;\nSELECT count(*) = 1 FROM a;", "its verify query is not true", 5),
        ("CREATE TABLE a (n);", "SELECT n FROM a;", "its verify query is not true", 4),
        ("CREATE TABLE a (n UNIQUE);\nINSERT OR ROLLBACK INTO a VALUES (1), (1);", "SELECT 1;", "UNIQUE constraint", 3),
    ],
)
def test_a_migration_that_fails_anywhere_leaves_nothing(backend, ledger, apply, up, verify, what, line):
    before = backend.objects()

    with pytest.raises(StepFailed, match=what) as caught:
        apply(up, verify)

    assert line == caught.value.problems[0].where.line
    assert before == backend.objects()
    assert [] == ledger.migrations()


def test_a_verify_query_that_is_wrong_leaves_nothing(backend, ledger, apply):
    before = backend.objects()

    with pytest.raises(StepFailed, match="no such table: nowhere"):
        apply("CREATE TABLE a (n);", "SELECT 1 FROM nowhere;")

    assert (before, []) == (backend.objects(), ledger.migrations())


def test_after_it_was_corrected_it_is_applied(ledger, apply):
    with pytest.raises(StepFailed):
        apply("CREATE TABLE a (n);\nINSERT INTO b VALUES (1);")

    assert {"table a"} == apply("CREATE TABLE a (n);")


def test_a_runner_that_lost_its_lease_applies_nothing(backend, ledger, clock, apply):
    before = backend.objects()
    backend.execute("UPDATE runner_lock SET host = 'elsewhere'")
    clock.let_pass(LEASE_S)
    other = SqliteBackend(backend.path)
    Lock(other, clock).take()
    other.close()

    with pytest.raises(Locked):
        apply("CREATE TABLE a (n);")

    assert (before, []) == (backend.objects(), ledger.migrations())


# outside of a transaction

VERIFIED = "SELECT count(*) = 1 FROM sqlite_master WHERE name = 'i';"


@pytest.fixture
def table(backend):
    backend.execute("CREATE TABLE a (n)")


@pytest.fixture
def alone(apply, table):
    def alone(up="CREATE INDEX i ON a (n);", verify=VERIFIED):
        return apply(up, verify, "transaction:false")

    return alone


def begin(backend, ledger, alone):
    """Leave behind what a runner does that was killed right after it began."""
    with pytest.raises(StepFailed):
        alone("CREATE INDEX i ON nowhere (n);")
    assert [("0004", "begun", "[]")] == recorded(ledger)


def test_a_migration_outside_of_a_transaction_is_done_once_it_is_verified(ledger, alone):
    assert {"index i"} == alone()
    assert [("0004", "done", '["index i"]')] == recorded(ledger)


def test_vacuum_may_run(ledger, alone):
    alone("VACUUM;", "SELECT 1;")

    assert [("0004", "done", "[]")] == recorded(ledger)


def test_one_that_is_not_verified_stays_begun(ledger, alone):
    with pytest.raises(StepFailed, match="its verify query is not true"):
        alone("CREATE INDEX j ON a (n);")

    assert [("0004", "begun", "[]")] == recorded(ledger)


def test_one_that_was_begun_and_took_no_effect_is_run(backend, ledger, alone):
    begin(backend, ledger, alone)

    assert {"index i"} == alone()
    assert [("0004", "done", '["index i"]')] == recorded(ledger)


def test_one_that_was_begun_and_took_effect_is_not_run_again(backend, ledger, alone):
    begin(backend, ledger, alone)
    backend.execute("CREATE INDEX i ON a (n)")

    alone("CREATE INDEX i ON a (n);")  # a second time this would fail

    assert ["done"] == [state for _, state, _ in recorded(ledger)]


@pytest.mark.parametrize(
    ("up", "made"),
    [
        ("CREATE TABLE c (n);", {"table c"}),
        ("DROP TABLE b;\nCREATE TABLE c (n);", {"table c"}),  # c takes the row of b in sqlite_master
        ("ALTER TABLE a RENAME TO c;", {"table c"}),
        ("CREATE TABLE IF NOT EXISTS a (n);", set()),
        ("/* a word */ DROP TABLE a;\nCREATE VIEW v AS SELECT 1;", {"view v"}),
        ("INSERT INTO a VALUES (1);", set()),
    ],
)
def test_what_a_migration_made_is_told_from_what_was_there(backend, ledger, apply, up, made):
    backend.execute("CREATE TABLE a (n)")
    backend.execute("CREATE TABLE b (n)")

    apply(up)

    assert [sorted(made)] == [json.loads(row["objects_json"]) for row in ledger.migrations()]


@pytest.mark.parametrize("options", ["", "transaction:false"])
def test_the_rows_that_a_migration_puts_into_its_own_tables_are_remembered_by_key(backend, apply, options):
    backend.execute("CREATE TABLE old (n)")

    apply(
        "CREATE TABLE a AS SELECT 1 AS n, x'00' AS b;"
        if options
        else "CREATE TABLE a (n, b); INSERT INTO a VALUES (1, x'00'); INSERT INTO old VALUES (2);"
        " CREATE TABLE keyed (x, k TEXT PRIMARY KEY); INSERT INTO keyed VALUES (1, 'one');",
        options=options,
    )

    expected = [("a", '[1,{"$blob":"00"}]', "0004")] + ([] if options else [("keyed", '["one"]', "0004")])
    assert expected == list(backend.stream("SELECT table_name, row_key, version FROM runner_made_rows ORDER BY 1"))
