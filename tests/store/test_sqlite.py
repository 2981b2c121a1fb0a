import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from ground import NOON

from runner.config.model import Migration, Statement
from runner.errors import Busy, StatementFailed, StepFailed
from runner.store import sqlite
from runner.store.connect import exists, open_backend
from runner.store.sqlite import SqliteBackend, path_of


@pytest.fixture
def other(backend):
    """A second connection to the same database that does not wait."""
    with closing(sqlite3.connect(backend.path, timeout=0, isolation_level=None)) as connection:
        yield connection


@pytest.fixture
def numbers(backend):
    backend.execute("CREATE TABLE numbers (n INTEGER PRIMARY KEY, word TEXT UNIQUE)")
    return backend


def written(backend):
    return [row["n"] for row in backend.rows("SELECT n FROM numbers ORDER BY n")]


def problem(caught):
    [found] = caught.value.problems
    return found


# transactions


def test_what_a_transaction_wrote_is_there_for_everybody_after_its_end(numbers, other):
    with numbers.transaction():
        numbers.execute("INSERT INTO numbers (n) VALUES (1)")
        assert other.execute("SELECT count(*) FROM numbers").fetchone() == (0,)

    assert other.execute("SELECT count(*) FROM numbers").fetchone() == (1,)


@pytest.mark.parametrize("exception", [ValueError, StepFailed, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_any_exception_takes_the_whole_transaction_back(numbers, exception):
    def fail():
        numbers.execute("INSERT INTO numbers (n) VALUES (1)")
        numbers.execute("CREATE TABLE more (n)")
        raise exception

    with pytest.raises(exception), numbers.transaction():
        fail()

    assert [] == written(numbers)
    assert {"numbers"} == numbers.tables()


def test_a_commit_that_fails_takes_the_transaction_back(numbers):
    numbers.execute("CREATE TABLE parts (n REFERENCES numbers (n) DEFERRABLE INITIALLY DEFERRED)")

    with pytest.raises(StepFailed, match="FOREIGN KEY constraint failed"), numbers.transaction():
        numbers.execute("INSERT INTO parts VALUES (1)")

    with numbers.transaction():
        assert numbers.scalar("SELECT count(*) FROM parts") == 0


def test_a_transaction_holds_the_write_lock_from_its_beginning(numbers, other):
    with numbers.transaction(), pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("INSERT INTO numbers (n) VALUES (1)")

    other.execute("INSERT INTO numbers (n) VALUES (2)")
    assert [2] == written(numbers)


def test_what_was_read_in_a_transaction_still_holds_when_it_writes(numbers, other):
    with numbers.transaction():
        count = numbers.scalar("SELECT count(*) FROM numbers")
        with suppress(sqlite3.OperationalError):
            other.execute("INSERT INTO numbers (n) VALUES (7)")
        numbers.execute("INSERT INTO numbers (n) VALUES (:n)", {"n": count})

    assert [0] == written(numbers)


def test_rolled_back_takes_back_rows_and_tables_and_nothing_else(numbers):
    with numbers.transaction():
        numbers.execute("INSERT INTO numbers (n) VALUES (1)")
        with numbers.rolled_back():
            numbers.execute("INSERT INTO numbers (n) VALUES (2)")
            numbers.execute("UPDATE numbers SET n = 9 WHERE n = 1")
            numbers.execute("CREATE TABLE more (n)")
            assert [2, 9] == written(numbers)
        assert [1] == written(numbers)
        numbers.execute("INSERT INTO numbers (n) VALUES (3)")

    assert [1, 3] == written(numbers)
    assert {"numbers"} == numbers.tables()


def test_rolled_back_takes_back_what_a_failing_block_did_and_lets_the_failure_through(numbers):
    def fail():
        numbers.execute("INSERT INTO numbers (n) VALUES (2)")
        raise ValueError("why")

    with numbers.transaction():
        with pytest.raises(ValueError, match="why"), numbers.rolled_back():
            fail()
        numbers.execute("INSERT INTO numbers (n) VALUES (1)")

    assert [1] == written(numbers)


# the file


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_database_is_its_owners_alone_and_writes_ahead(tmp_path):
    umask = os.umask(0)
    try:
        with closing(SqliteBackend(tmp_path / "new.db", create=True)) as made:
            made.execute("CREATE TABLE t (n)")
            modes = {path.name: mode_of(path) for path in tmp_path.iterdir()}
    finally:
        os.umask(umask)

    assert {"new.db": 0o600, "new.db-wal": 0o600, "new.db-shm": 0o600} == modes
    with closing(sqlite3.connect(tmp_path / "new.db")) as found:
        assert found.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.parametrize("journal_mode", ["delete", "wal"])
def test_a_database_that_is_there_keeps_its_journal_mode_and_its_rights(tmp_path, journal_mode):
    path = tmp_path / "theirs.db"
    with closing(sqlite3.connect(path)) as theirs:
        theirs.execute(f"PRAGMA journal_mode={journal_mode}")
        theirs.execute("CREATE TABLE t (n)")
    path.chmod(0o640)

    with closing(SqliteBackend(path, create=True)) as opened:
        opened.execute("INSERT INTO t VALUES (1)")
        assert journal_mode == opened.scalar("PRAGMA journal_mode")
    assert mode_of(path) == 0o640


@pytest.mark.parametrize(("pragma", "value"), [("foreign_keys", 1), ("synchronous", 2)])
def test_references_are_checked_and_every_commit_is_on_the_disk(backend, pragma, value):
    assert value == backend.scalar(f"PRAGMA {pragma}")


def test_without_create_no_file_is_made(tmp_path):
    with pytest.raises(StepFailed) as caught:
        SqliteBackend(tmp_path / "none.db")

    assert (
        "check the path, and the rights on the file, its -wal and -shm beside it, and its folder" == problem(caught).fix
    )
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///rollout.db", "rollout.db"),
        ("sqlite:///data/rollout.db", "data/rollout.db"),
        ("sqlite:////var/lib/rollout.db", "/var/lib/rollout.db"),
        ("sqlite:///with%20space%3F.db", "with space?.db"),
    ],
)
def test_a_url_names_a_file_three_slashes_relative_four_absolute(url, path):
    assert Path(path) == path_of(url)


def test_a_file_may_have_any_name(tmp_path):
    with closing(open_backend(f"sqlite:///{tmp_path}/a%3Fb%23c%20%25.db", "sqlite", create=True)) as opened:
        opened.execute("CREATE TABLE t (n)")

    assert (tmp_path / "a?b#c %.db").stat().st_size


def test_an_engine_that_is_not_known_is_refused():
    with pytest.raises(ValueError, match="oracle"):
        open_backend("oracle://here", "oracle")


def test_a_database_exists_once_something_is_in_it(tmp_path):
    path = tmp_path / "a.db"
    url = f"sqlite:///{path}"
    assert not exists(url, "sqlite")

    path.touch()
    assert not exists(url, "sqlite")

    SqliteBackend(path, create=True).close()
    assert exists(url, "sqlite")


# what goes wrong is told with what to do


def test_a_file_that_is_no_database_is_told(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("notes " * 1000)

    with pytest.raises(StepFailed) as caught:
        SqliteBackend(path)

    assert str(caught.value) == (
        "error: SQLite: file is not a database\n"
        f"  at {path}\n"
        "  fix: the file is no SQLite database; name another one in the environment's `database`"
    )


def test_a_missing_folder_is_told(tmp_path):
    with pytest.raises(StepFailed) as caught:
        SqliteBackend(tmp_path / "none" / "rollout.db")

    assert "SQLite: unable to open database file" == problem(caught).what
    assert (
        "check the path, and the rights on the file, its -wal and -shm beside it, and its folder" == problem(caught).fix
    )


def test_a_folder_instead_of_a_file_is_told(tmp_path):
    with pytest.raises(StepFailed) as caught:
        SqliteBackend(tmp_path, create=True)

    assert "cannot open the database: Is a directory" == problem(caught).what
    assert str(tmp_path) == problem(caught).where.file


def test_what_is_read_in_one_moment_is_of_one_moment(numbers, other):
    with closing(SqliteBackend(numbers.path, read_only=True)) as reader:
        with reader.one_moment():
            before = reader.scalar("SELECT count(*) FROM numbers")
            other.execute("INSERT INTO numbers (n) VALUES (1)")

            assert before == reader.scalar("SELECT count(*) FROM numbers")

        assert before + 1 == reader.scalar("SELECT count(*) FROM numbers")


def test_one_moment_keeps_nobody_from_writing_and_writes_nothing(numbers, other):
    with numbers.one_moment():
        numbers.load("few", {"n": "INTEGER"}, [(1,)])
        other.execute("PRAGMA busy_timeout=0")
        other.execute("BEGIN IMMEDIATE")
        other.execute("INSERT INTO numbers (n) VALUES (1)")
        other.execute("COMMIT")

        assert 1 == numbers.scalar("SELECT count(*) FROM few")

    with numbers.transaction():
        numbers.execute("INSERT INTO numbers (n) VALUES (2)")


WRITE_ALL_THE_TIME = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
while True:
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT INTO numbers DEFAULT VALUES")
    connection.execute("COMMIT")
"""


def test_one_that_writes_all_the_time_lets_others_have_their_turn(numbers):
    """SQLite's own busy handler waited until the other one had ended."""
    command = [sys.executable, "-c", WRITE_ALL_THE_TIME, str(numbers.path)]
    with subprocess.Popen(command) as writer:
        try:
            while not written(numbers):
                time.sleep(0.01)
            waits_s = []
            for _ in range(20):
                begun = time.monotonic()
                with numbers.transaction():
                    waits_s.append(time.monotonic() - begun)
                time.sleep(0.01)
        finally:
            writer.kill()

    assert max(waits_s) < 3


def test_a_commit_waits_for_readers_of_a_database_without_a_log(tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_S", 0.01)
    path = tmp_path / "old.db"
    with closing(sqlite3.connect(path)) as made:
        made.execute("CREATE TABLE numbers (n)")
    reader = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM numbers").fetchall()
    ends = threading.Timer(0.3, reader.rollback)
    with closing(SqliteBackend(path)) as backend:
        ends.start()
        with backend.transaction():
            backend.execute("INSERT INTO numbers VALUES (1)")

        assert 1 == backend.scalar("SELECT count(*) FROM numbers")
    ends.join()
    reader.close()


def test_a_database_that_is_held_too_long_is_told(numbers, monkeypatch):
    monkeypatch.setattr(sqlite, "PATIENCE_S", 0.05)
    with (
        closing(SqliteBackend(numbers.path)) as late,
        numbers.transaction(),
        pytest.raises(Busy) as caught,
        late.transaction(),
    ):
        pass

    assert "SQLite: database is locked" == problem(caught).what
    assert problem(caught).fix.endswith("run the same command again")


WRITE_AS_NOBODY = """
import os, sys
from pathlib import Path
from runner.errors import StepFailed
from runner.store.sqlite import SqliteBackend
if os.getuid() == 0:  # who may write everything
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    SqliteBackend(Path(sys.argv[1])).execute("INSERT INTO t VALUES (1)")
except StepFailed as failure:
    sys.exit(failure.problems[0].fix)
"""


@pytest.fixture
def open_folder():
    """A folder that everybody may enter: pytest's own are for one user."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def test_a_file_of_somebody_else_is_told(open_folder):
    path = open_folder / "theirs.db"
    with closing(sqlite3.connect(path)) as theirs:
        theirs.execute("CREATE TABLE t (n)")
    path.chmod(0o444)

    done = subprocess.run(
        [sys.executable, "-c", WRITE_AS_NOBODY, str(path)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    advice = "give this user the right to write the file, its -wal and -shm beside it, and its folder"
    assert advice == done.stderr.strip()


def test_a_reader_sees_what_was_committed_and_cannot_write(numbers):
    numbers.execute("INSERT INTO numbers (n) VALUES (1)")
    with closing(numbers.reader()) as reader:
        assert [1] == written(reader)
        for statement in ("INSERT INTO numbers (n) VALUES (2)", "DELETE FROM numbers", "DROP TABLE numbers"):
            with pytest.raises(StepFailed, match="not authorized"):
                reader.execute(statement)

    assert [1] == written(numbers)


@pytest.mark.parametrize(
    "statement",
    [
        "PRAGMA query_only=OFF",
        "ATTACH 'file:other.db?mode=rwc' AS other",
        "BEGIN",
        "WITH a AS (SELECT 1) DELETE FROM numbers",
    ],
)
def test_a_reader_cannot_be_talked_into_writing(numbers, statement):
    with closing(numbers.reader()) as reader, pytest.raises(StepFailed, match="not authorized"):
        reader.execute(statement)


def test_a_query_that_is_wrong_is_told(backend):
    with pytest.raises(StepFailed, match="no such table: nowhere"):
        backend.rows("SELECT * FROM nowhere")


# migrations


def migration(path, *statements):
    return Migration("0004", "more", path, "sha256:0", tuple(statements), (), ())


def test_a_statement_that_fails_is_named_by_file_and_line(numbers, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    more = migration(
        tmp_path / "sql" / "0004_more.sql",
        Statement("INSERT INTO numbers (n) VALUES (1)", 2),
        Statement("INSERT INTO numbers (n) VALUES (1)", 5),
    )

    with pytest.raises(StepFailed) as caught, numbers.transaction():
        numbers.run(more, more.up)

    assert str(caught.value) == (
        "error: migration 0004_more failed: UNIQUE constraint failed: numbers.n\n"
        "  at sql/0004_more.sql:5\n"
        "  fix: correct the statement and run the same command again; nothing of this migration was kept"
    )
    assert [] == written(numbers)


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("COMMIT", "the statement ended the runner's transaction"),
        ("ROLLBACK", "the statement ended the runner's transaction"),
        ("INSERT OR ROLLBACK INTO numbers (n) VALUES (1)", "failed: UNIQUE constraint failed"),
    ],
)
def test_a_statement_that_ends_the_transaction_is_noticed_at_once(numbers, tmp_path, statement, what):
    more = migration(
        tmp_path / "0004_more.sql",
        Statement("INSERT INTO numbers (n) VALUES (1)", 2),
        Statement(statement, 3),
        Statement("CREATE TABLE too_late (n)", 4),
    )

    with pytest.raises(StepFailed, match=what) as caught, numbers.transaction():
        numbers.run(more, more.up)

    assert 3 == problem(caught).where.line
    assert {"numbers"} == numbers.tables()


def test_a_statement_that_begins_a_transaction_is_noticed(backend, tmp_path):
    more = migration(tmp_path / "0004_more.sql", Statement("BEGIN", 2))

    with pytest.raises(StepFailed, match="transaction"):
        backend.run(more, more.up)


@pytest.mark.parametrize(
    ("query", "holds"),
    [
        ("SELECT 1", True),
        ("SELECT count(*) = 0 FROM numbers", True),
        ("SELECT 0", False),
        ("SELECT NULL", False),
        ("SELECT n FROM numbers", False),  # no row
    ],
)
def test_a_verify_query_holds_only_where_it_gives_one_true_value(numbers, query, holds):
    assert holds is numbers.holds(Statement(query, 1))


# queries

ENDLESS = "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT max(n) FROM c"


def test_a_deadline_interrupts_a_query_that_does_not_end(backend):
    start = time.monotonic()

    with pytest.raises(StepFailed, match="interrupted"), backend.deadline(0.05, time.monotonic):
        backend.scalar(ENDLESS)

    assert time.monotonic() - start < 5


def test_after_a_deadline_the_connection_is_as_before(backend):
    with suppress(StepFailed), backend.deadline(0, time.monotonic):
        backend.scalar(ENDLESS)

    long_one = "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 100000) SELECT max(n) FROM c"
    assert 100_000 == backend.scalar(long_one)


@pytest.mark.parametrize(
    "moment",
    [
        NOON,
        NOON.astimezone(timezone(timedelta(hours=-7))),  # the same moment elsewhere
    ],
)
def test_a_time_is_stored_in_utc(backend, moment):
    assert backend.time(moment) == "2026-08-02 12:00:00.000000"


@pytest.mark.parametrize(("seconds", "is_over"), [(-2, True), (2, False), (-86_400, True), (86_400, False)])
def test_a_time_compares_with_the_engines_own(backend, seconds, is_over):
    moment = backend.time(datetime.now(UTC) + timedelta(seconds=seconds))

    assert is_over == backend.scalar("SELECT :moment < CURRENT_TIMESTAMP", {"moment": moment})


def test_times_sort_as_they_pass(backend):
    moments = [backend.time(NOON + timedelta(microseconds=step)) for step in (0, 1, 10, 999_999, 1_000_000)]

    assert sorted(moments) == moments


def test_rows_are_plain_dicts_in_the_order_of_the_query(numbers):
    numbers.execute_many(
        "INSERT INTO numbers VALUES (:n, :word)", ({"n": n, "word": w} for n, w in [(2, "b"), (1, "a")])
    )

    assert [{"word": "a", "n": 1}, {"word": "b", "n": 2}] == numbers.rows("SELECT word, n FROM numbers ORDER BY n")
    assert ["word", "n"] == list(numbers.rows("SELECT word, n FROM numbers")[0])
    assert [(1, "a"), (2, "b")] == list(numbers.stream("SELECT * FROM numbers ORDER BY n"))
    assert numbers.scalar("SELECT n FROM numbers WHERE word = :word", {"word": "b"}) == 2
    assert numbers.scalar("SELECT n FROM numbers WHERE word = 'z'") is None


def test_whoever_writes_is_told_how_many_rows_that_were(numbers):
    assert numbers.execute_many("INSERT INTO numbers (n) VALUES (:n)", ({"n": n} for n in range(5))) == 5
    assert numbers.execute("UPDATE numbers SET word = n WHERE n > :n", {"n": 2}) == 2
    assert numbers.execute_many("UPDATE numbers SET word = :n WHERE n = :n", [{"n": 0}, {"n": 99}]) == 1
    assert numbers.execute_many("DELETE FROM numbers WHERE n = :n", []) == 0


# temporary tables


@pytest.mark.parametrize("inside", [True, False])
def test_ten_thousand_rows_are_loaded_and_loading_again_makes_the_table_anew(numbers, inside):
    def load():
        numbers.load("runner_input", {"n": "INTEGER", "word": "TEXT"}, ((n, str(n)) for n in range(10_000)))
        numbers.load("runner_input", {"word": "TEXT"}, ((str(n),) for n in range(10_000)))

    if inside:
        with numbers.transaction():
            load()
    else:
        load()

    assert [{"word": "0"}] == numbers.rows("SELECT * FROM runner_input LIMIT 1")
    assert 10_000 == numbers.scalar("SELECT count(DISTINCT word) FROM runner_input")
    assert {"numbers"} == numbers.tables()


def test_loading_outside_of_a_transaction_leaves_none_open(numbers, other):
    numbers.load("runner_input", {"n": "INTEGER"}, [(1,)])

    other.execute("INSERT INTO numbers (n) VALUES (1)")
    with numbers.transaction():
        pass


def test_a_loaded_table_is_this_connections_own(backend, other):
    backend.load("runner_input", {"n": "INTEGER"}, [(1,)])

    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        other.execute("SELECT * FROM runner_input")


# what is there


def test_tables_columns_and_objects_are_told(backend):
    backend.execute("CREATE TABLE a (n INTEGER PRIMARY KEY AUTOINCREMENT, word TEXT NOT NULL UNIQUE, plain)")
    backend.execute("CREATE INDEX ix_a ON a (plain)")
    backend.execute("CREATE VIEW v AS SELECT n FROM a")
    backend.execute("CREATE TRIGGER tr AFTER INSERT ON a BEGIN SELECT 1; END")

    assert {"a", "sqlite_sequence"} == backend.tables()
    assert [("n", "INTEGER"), ("word", "TEXT"), ("plain", "")] == list(backend.columns("a").items())
    assert {} == backend.columns("nowhere")
    assert {"table a", "index ix_a", "view v", "trigger tr"} == backend.objects()


def test_what_a_migration_dropped_is_known_whatever_another_one_added_after_it(backend):
    def run(*statements):
        migration = Migration("1", "m", Path("1_m.sql"), "", (), (), ())
        backend.run(migration, tuple(Statement(sql, 1) for sql in statements))

    with backend.transaction():
        run("CREATE TABLE a (n)", "CREATE TABLE b (n)")
        assert {"table a", "table b"} == backend.objects()
        run("DROP TABLE a")
        run("CREATE TABLE c (n)")
        run()

        assert {"table b", "table c"} == backend.objects()


def test_a_full_database_is_no_fault_of_the_migrations_statement(backend):
    migration = Migration("1", "m", Path("1_m.sql"), "", (), (), ())
    backend.execute("CREATE TABLE a (n)")
    backend.scalar("PRAGMA max_page_count = 3")

    with pytest.raises(StepFailed, match="database or disk is full") as full, backend.transaction():
        backend.run(migration, (Statement("INSERT INTO a VALUES (zeroblob(100000))", 1),))
    with pytest.raises(StatementFailed, match="migration 1_m failed: no such table: b"), backend.transaction():
        backend.run(migration, (Statement("INSERT INTO b VALUES (1)", 1),))

    assert not isinstance(full.value, StatementFailed)
    assert "make room on the disk" in full.value.problems[0].fix
