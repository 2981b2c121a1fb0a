"""Copies of tables in SQLite, and the way back: to the byte, whatever the tables are like."""

import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

from runner.errors import StepFailed
from runner.store.mentions import Mentions
from runner.store.sqlite import SqliteBackend

VALUES = """
INSERT INTO t VALUES (1, NULL), (2, ''), (3, x''), (5, x'00ff00'), (8, 'Größe 日本 🎲'), (13, 'a' || char(0) || 'b'),
    (21, 0), (34, -9223372036854775808), (55, 9223372036854775807), (89, 0.1), (144, -1e308), (233, 1e999),
    (377, 5e-324), (610, 1.0), (987, '1'), (1597, 'true'), (-7, zeroblob(20000)), (9223372036854775807, 'last')
"""
TABLES = {
    "every kind of value": f"CREATE TABLE t (id INTEGER PRIMARY KEY, v); {VALUES}",
    "numbers of rows that are no column, with gaps": f"CREATE TABLE t (a, b TEXT); {VALUES}; DELETE FROM t WHERE a = 5",
    "a key of text": f"CREATE TABLE t (k TEXT PRIMARY KEY, v NUMERIC) ; {VALUES}",
    "a key of text beside numbers of rows": "CREATE TABLE t (k TEXT PRIMARY KEY, v);"
    "INSERT INTO t (rowid, k, v) VALUES (7, 'b', 1), (3, 'c', 2), (99, 'a', 3)",
    "without numbers of rows": "CREATE TABLE t (a TEXT COLLATE NOCASE, b INT, c, PRIMARY KEY (b DESC, a))"
    "WITHOUT ROWID;"
    "INSERT INTO t VALUES ('x', 1, 1), ('X', 2, 1.0), ('y', 1, NULL)",
    "numbers that are never used twice": "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, v);"
    "INSERT INTO t (v) VALUES (1), (2), (3); DELETE FROM t WHERE id = 3",
    "strict": "CREATE TABLE t (id INTEGER PRIMARY KEY, v ANY, w BLOB) STRICT;"
    "INSERT INTO t VALUES (1, 1.0, x'01'), (2, 1, NULL)",
    "generated columns": "CREATE TABLE t (id INTEGER PRIMARY KEY, a INT, b INT AS (a * 2) STORED, c AS (a + 1), d);"
    "INSERT INTO t (a, d) VALUES (1, 'x'), (2, NULL)",
    "a column that hides the number": "CREATE TABLE t (rowid TEXT, v); INSERT INTO t VALUES ('a', 1), ('b', 2)",
    "a key that is no number though it says so": "CREATE TABLE t (id INTEGER PRIMARY KEY DESC, v);"
    "INSERT INTO t (rowid, id, v) VALUES (7, 1, 'a'), (9, NULL, 'b')",
    "odd names": 'CREATE TABLE t ("a ""b""" INTEGER PRIMARY KEY, [select] TEXT, "größe x");'
    "INSERT INTO t VALUES (1, 2, 3)",
    "letters that only differ in case": "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT COLLATE NOCASE);"
    "INSERT INTO t VALUES (1, 'abc'), (2, 'ABD')",
    "indexes and triggers": "CREATE TABLE t (id INTEGER PRIMARY KEY, v INT, w TEXT);"
    "CREATE UNIQUE INDEX t_v ON t (v DESC); CREATE INDEX t_w ON t (lower(w)) WHERE w IS NOT NULL;"
    "CREATE TABLE log (t); CREATE TRIGGER t_log AFTER INSERT ON t BEGIN INSERT INTO log VALUES (new.id); END;"
    "CREATE TRIGGER t_no BEFORE DELETE ON t BEGIN SELECT raise(ABORT, 'rows stay') WHERE old.w = 'stay'; END;"
    "INSERT INTO t VALUES (1, 1, 'a'), (2, 2, NULL)",
    "a column that was added later": "CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1), (2);"
    "ALTER TABLE t ADD COLUMN v TEXT NOT NULL DEFAULT 'x'",
    "rows that break a rule": "PRAGMA ignore_check_constraints=ON;"
    "CREATE TABLE t (id INTEGER PRIMARY KEY, v CHECK (v > 0));"
    "INSERT INTO t VALUES (1, -1); PRAGMA ignore_check_constraints=OFF",
    "many columns": f"CREATE TABLE t (id INTEGER PRIMARY KEY, {', '.join(f'c{n} INT' for n in range(1500))});"
    "INSERT INTO t (c0, c1499) VALUES (1, 2), (3, 4)",
    "a search index": "CREATE VIRTUAL TABLE t USING fts5(body); INSERT INTO t VALUES ('one word'), ('two words')",
    "no rows": "CREATE TABLE t (id INTEGER PRIMARY KEY, v)",
}
WRECKS = {
    "nothing": "",
    "rows removed": "DELETE FROM t",
    "the table dropped": "DROP TABLE t",
    "the table made again": "DROP TABLE t; CREATE TABLE t (other)",
    "a table that hides its rows' numbers in its place": "DROP TABLE t; CREATE TABLE t (rowid, oid, _rowid_)",
    "a view in its place": "DROP TABLE t; CREATE VIEW t AS SELECT 1",
}


def picture(backend, *, without=("sqlite_stat1",)):
    """Everything in a database: what it is made of, and every value with its type and its row's number."""
    with closing(sqlite3.connect(backend.path)) as conn:
        made = conn.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name").fetchall()
        rows = {}
        for kind, name, _, sql in made:
            if kind == "table" and name not in without and not sql.startswith("CREATE VIRTUAL"):
                columns = [
                    f'"{row[1]}"'.replace('a "b"', 'a ""b""')
                    for row in conn.execute("SELECT * FROM pragma_table_xinfo(?)", [name])
                ]
                both = ", ".join(f"{column}, typeof({column})" for column in columns)
                for number in ("oid, ", ""):
                    try:
                        rows[name] = sorted(conn.execute(f"SELECT {number}{both} FROM {name}").fetchall(), key=repr)
                    except sqlite3.OperationalError:
                        continue
                    break
        return made, rows


def script(backend, sql):
    with closing(sqlite3.connect(backend.path)) as conn:
        conn.executescript(sql)


@pytest.fixture
def kept(tmp_path):
    """Where copies are made."""

    def make(backend, *names):
        path = tmp_path / f"{time.monotonic_ns()}.db"
        path.touch()
        backend.copy(Mentions(names), path)
        return path

    return make


def bring_back(backend, path, made=()):
    with backend.beside(path) as beside, backend.transaction():
        beside.bring_back(made)


@pytest.mark.parametrize("wreck", WRECKS.values(), ids=WRECKS)
@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_what_comes_back_is_the_same_to_the_byte(backend, kept, table, wreck):
    script(backend, table)
    before = picture(backend)
    path = kept(backend, "t")
    script(backend, f"DROP TRIGGER IF EXISTS t_no; {wreck}")

    bring_back(backend, path)

    assert before == picture(backend)
    backend.execute("PRAGMA ignore_check_constraints=ON")
    assert "ok" == backend.scalar("PRAGMA integrity_check")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("", None),
        ("UPDATE t SET v = 9 WHERE id = 2", (0, 1, 0, (), ("2",), ())),
        ("UPDATE t SET v = 1.0 WHERE id = 1", (0, 1, 0, (), ("1",), ())),
        ("UPDATE t SET w = 'A' WHERE id = 1", (0, 1, 0, (), ("1",), ())),
        ("UPDATE t SET w = NULL WHERE id = 1", (0, 1, 0, (), ("1",), ())),
        ("DELETE FROM t WHERE id < 3", (0, 0, 2, (), (), ("1", "2"))),
        ("INSERT INTO t VALUES (9, 9, 9)", (1, 0, 0, ("9",), (), ())),
        ("UPDATE t SET id = 9 WHERE id = 1", (1, 0, 1, ("9",), (), ("1",))),
        ("UPDATE t SET v = v + 10", (0, 5, 0, (), ("1", "2", "3"), ())),
    ],
)
def test_what_would_be_lost_is_counted_and_a_few_rows_are_named(backend, kept, change, expected):
    script(
        backend,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v, w TEXT COLLATE NOCASE);"
        "INSERT INTO t VALUES (1, 1, 'a'), (2, 2, 'b'), (3, 3, 'c'), (4, 4, 'd'), (5, 5, 'e')",
    )
    path = kept(backend, "t")
    script(backend, change)

    with backend.beside(path) as beside:
        [loss] = beside.losses()

    assert (expected is None) == loss.is_none
    if expected:
        assert expected == (*loss[2:5], *loss[5:8])


def test_rows_are_named_by_the_key_that_people_know(database, kept):
    database.execute(
        "INSERT INTO portfolio_rationales (cache_key, cache_type, rationale_type, data_json, data_hash)"
        " VALUES ('bet:1', 'bet', 'BET_SELECTION', '{}', '')"
    )
    path = kept(database, "portfolio_rationales")
    database.execute("UPDATE portfolio_rationales SET data_json = '[]'")

    with database.beside(path) as beside:
        [changed] = [loss for loss in beside.losses() if not loss.is_none]

    assert ("portfolio_rationales", ("bet:1",)) == (changed.table, changed.changed_keys)


def test_new_columns_and_dropped_tables_are_told_as_lost(backend, kept):
    script(backend, "CREATE TABLE t (id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 1), (2, 2)")
    path = kept(backend, "t")
    script(
        backend,
        "ALTER TABLE t ADD COLUMN w; UPDATE t SET v = 3 WHERE id = 1; CREATE TABLE n (x); INSERT INTO n VALUES (1)",
    )

    with backend.beside(path) as beside:
        [loss], [dropped] = beside.losses(), beside.dropped(["table n", "table t", "table gone", "index n_x"])

    assert (1, ('"w"',), True) == (loss.changed, loss.columns, loss.is_remade)
    assert ("n", 1, True) == (dropped.table, dropped.added, dropped.is_dropped)


def test_losses_are_counted_again_after_somebody_wrote(backend, kept):
    script(backend, "CREATE TABLE t (id INTEGER PRIMARY KEY, v)")
    path = kept(backend, "t")

    with backend.beside(path) as beside:
        assert [0] == [loss.added for loss in beside.losses()]
        script(backend, "INSERT INTO t VALUES (1, 1)")
        assert [1] == [loss.added for loss in beside.losses()]


@pytest.mark.parametrize("rows", [3_000, 30])
def test_tables_are_exchanged_or_refilled_and_both_are_exact(backend, kept, rows):
    many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)"
    script(backend, f"CREATE TABLE t (id INTEGER PRIMARY KEY, v UNIQUE); {many} INSERT INTO t SELECT i, -i FROM n")
    before = picture(backend)
    path = kept(backend, "t")
    script(backend, f"UPDATE t SET v = NULL WHERE id <= {rows}; UPDATE t SET v = -id + 1 WHERE id BETWEEN 2 AND {rows}")

    bring_back(backend, path)

    assert before == picture(backend)


def test_values_that_were_swapped_under_a_unique_index_come_back(backend, kept):
    script(backend, "CREATE TABLE t (id INTEGER PRIMARY KEY, v UNIQUE); INSERT INTO t VALUES (1, 'a'), (2, 'b')")
    path = kept(backend, "t")
    script(backend, "UPDATE t SET v = NULL; UPDATE t SET v = 'b' WHERE id = 1; UPDATE t SET v = 'a' WHERE id = 2")

    bring_back(backend, path)

    assert [{"v": "a"}, {"v": "b"}] == backend.rows("SELECT v FROM t ORDER BY id")


def test_a_search_index_finds_what_it_found(backend, kept):
    script(
        backend,
        "CREATE TABLE notes (id INTEGER PRIMARY KEY, body);"
        "CREATE VIRTUAL TABLE found USING fts5(body, content='notes', content_rowid='id');"
        "CREATE TRIGGER notes_new AFTER INSERT ON notes"
        " BEGIN INSERT INTO found (rowid, body) VALUES (new.id, new.body); END;"
        "INSERT INTO notes VALUES (1, 'old word'), (2, 'older word')",
    )
    path = kept(backend, "notes")
    script(backend, "INSERT INTO notes VALUES (3, 'new word'); INSERT INTO found (found) VALUES ('optimize')")

    bring_back(backend, path)

    with closing(SqliteBackend(backend.path)) as again:
        again.execute("INSERT INTO found (found, rank) VALUES ('integrity-check', 1)")
        assert [{"rowid": 1}, {"rowid": 2}] == again.rows("SELECT rowid FROM found('word') ORDER BY rowid")


def test_views_triggers_and_rows_of_other_tables_stay(backend, kept):
    script(
        backend,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 1), (2, 2);"
        "CREATE TABLE others (id INTEGER PRIMARY KEY, t INTEGER REFERENCES t (id)); INSERT INTO others VALUES (1, 2);"
        "CREATE VIEW seen AS SELECT * FROM t JOIN others ON t.id = others.t;"
        "CREATE TRIGGER others_new AFTER INSERT ON others BEGIN UPDATE t SET v = v + 1 WHERE id = new.t; END",
    )
    path = kept(backend, "t")
    before = picture(backend)
    script(backend, "DROP TABLE t; CREATE TABLE t (x)")

    bring_back(backend, path)
    assert before == picture(backend)
    backend.execute("INSERT INTO others VALUES (2, 1)")
    assert [(2,), (2,)] == list(backend.stream("SELECT v FROM t ORDER BY id"))


def test_rows_of_others_that_would_refer_to_nothing_are_a_reason_to_refuse(backend, kept):
    script(
        backend,
        "CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1);"
        "CREATE TABLE others (t INTEGER REFERENCES t (id))",
    )
    path = kept(backend, "t")
    script(backend, "INSERT INTO t VALUES (2); INSERT INTO others VALUES (1), (2), (2)")
    before = picture(backend)

    with pytest.raises(StepFailed, match="rows would refer to rows that the snapshot does not have: 2 of others to t"):
        bring_back(backend, path)

    assert before == picture(backend)
    assert 1 == backend.scalar("PRAGMA foreign_keys")


def test_rows_that_referred_to_nothing_before_are_no_reason(backend, kept):
    script(
        backend,
        "CREATE TABLE t (id INTEGER PRIMARY KEY); CREATE TABLE others (t INTEGER REFERENCES t (id));"
        "INSERT INTO others VALUES (7)",
    )
    path = kept(backend, "t")
    script(backend, "INSERT INTO t VALUES (1)")

    bring_back(backend, path)

    assert 0 == backend.scalar("SELECT count(*) FROM t")


def test_children_are_not_removed_with_a_parent_that_is_made_again(backend, kept):
    script(
        backend,
        "CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1), (2);"
        "CREATE TABLE child (t INTEGER REFERENCES t (id) ON DELETE CASCADE); INSERT INTO child VALUES (1), (2)",
    )
    path = kept(backend, "t")
    before = picture(backend)
    script(backend, "DELETE FROM t WHERE id = 1; DELETE FROM child; ALTER TABLE t ADD COLUMN more")

    bring_back(backend, path)

    assert before == picture(backend)


def test_what_was_made_since_is_dropped_and_the_rest_stays(backend, kept):
    script(backend, "CREATE TABLE t (id INTEGER PRIMARY KEY)")
    path = kept(backend, "t")
    before = picture(backend)
    script(
        backend,
        "CREATE TABLE made (x); CREATE INDEX made_x ON made (x); CREATE VIEW made_v AS SELECT * FROM made;"
        "CREATE TRIGGER made_t AFTER INSERT ON made BEGIN SELECT 1; END; CREATE INDEX t_id ON t (id);"
        "CREATE VIRTUAL TABLE words USING fts5(x)",
    )
    made = backend.objects() - {"table t"}
    script(backend, "CREATE TABLE mine (x)")

    bring_back(backend, path, made)

    assert "mine" in backend.tables()
    script(backend, "DROP TABLE mine")
    assert before == picture(backend)


@pytest.mark.parametrize(
    ("mentioned", "expected"),
    [
        (["INSERT INTO T VALUES (1)"], {"t", "child", "grandchild", "log"}),
        (['UPDATE "log" SET x = 1'], {"log"}),
        (["delete from [two words]"], {"two words"}),
        (["DROP INDEX plain_x"], {"plain"}),
        (["UPDATE seen SET x = 1"], {"plain"}),
        (["SELECT 'nothing'"], set()),
    ],
)
def test_a_copy_has_what_a_text_may_write_to(backend, kept, mentioned, expected):
    script(
        backend,
        "CREATE TABLE t (id INTEGER PRIMARY KEY); CREATE TABLE log (x);"
        "CREATE TABLE child (id INTEGER PRIMARY KEY, t INTEGER REFERENCES T (id) ON DELETE CASCADE);"
        "CREATE TABLE grandchild (c INTEGER REFERENCES child (id) ON UPDATE SET NULL);"
        'CREATE TABLE friend (t INTEGER REFERENCES t (id)); CREATE TABLE "two words" (x);'
        "CREATE TABLE plain (x); CREATE INDEX plain_x ON plain (x); CREATE VIEW seen AS SELECT 1 AS x;"
        "CREATE TRIGGER seen_new INSTEAD OF UPDATE ON seen BEGIN INSERT INTO plain VALUES (new.x); END;"
        "CREATE TRIGGER t_new AFTER DELETE ON child BEGIN INSERT INTO log VALUES (1); END",
    )
    path = kept(backend, *mentioned)

    with closing(sqlite3.connect(path)) as conn:
        tables = {name for (name,) in conn.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert expected == tables - {"runner_snapshot", "sqlite_sequence"}


def test_a_database_in_utf_16_is_copied_as_it_is(tmp_path, kept):
    path = tmp_path / "wide.db"
    with closing(sqlite3.connect(path)) as conn:
        conn.executescript(
            "PRAGMA encoding='UTF-16be'; CREATE TABLE t (id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 'ß')"
        )
    with closing(SqliteBackend(path)) as backend:
        before = picture(backend)
        copy = kept(backend, "t")
        backend.execute("DELETE FROM t")
        bring_back(backend, copy)

        assert before == picture(backend)


def test_any_path_will_do(tmp_path, kept):
    folder = tmp_path / "a b#c?d%41;'e"
    folder.mkdir()
    with closing(SqliteBackend(folder / "r.db", create=True)) as backend:
        script(backend, "CREATE TABLE t (v); INSERT INTO t VALUES (1)")
        path = kept(backend, "t").rename(folder / "copy.db")
        backend.execute("DELETE FROM t")

        bring_back(backend, path)

        assert 1 == backend.scalar("SELECT v FROM t")


def test_a_table_that_cannot_be_copied_exactly_is_refused_by_name(backend, kept):
    script(backend, "CREATE TABLE t (rowid, oid, _rowid_)")

    with pytest.raises(StepFailed, match="no exact copy can be made: table t hides the numbers of its rows"):
        kept(backend, "t")


WRITER = """
import sqlite3, sys
conn = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)
for n in range(10**9):
    conn.execute("BEGIN IMMEDIATE")
    conn.execute("UPDATE a SET n = n + 1")
    conn.execute("INSERT INTO log VALUES (?)", [n])
    conn.execute("UPDATE b SET n = n + 1")
    conn.execute("COMMIT")
    if n == 0:
        print("at it", flush=True)
"""


def test_a_copy_is_of_one_moment_and_nobody_waits_for_it(backend, kept):
    script(
        backend,
        "CREATE TABLE a (n); CREATE TABLE log (n); CREATE TABLE b (n); CREATE TABLE big (x);"
        "INSERT INTO a VALUES (0); INSERT INTO b VALUES (0);"
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000)"
        " INSERT INTO big SELECT hex(randomblob(50)) FROM n",
    )
    with subprocess.Popen([sys.executable, "-c", WRITER, backend.path], stdout=subprocess.PIPE) as writer:
        writer.stdout.readline()
        copies = [kept(backend, "a", "big", "log", "b") for _ in range(5)]
        writer.kill()

    seen = []
    for copy in copies:
        with closing(sqlite3.connect(copy)) as conn:
            seen.append(
                conn.execute("SELECT (SELECT n FROM a), (SELECT n FROM b), (SELECT count(*) FROM log)").fetchone()
            )
    assert [len(set(each)) for each in seen] == [1] * 5
    assert len(set(seen)) == 5, "the writer stood still"


def test_a_copy_that_was_altered_meanwhile_does_not_get_in(backend, kept):
    script(backend, "CREATE TABLE t (id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 1)")
    path = kept(backend, "t")
    script(backend, "UPDATE t SET v = 2")
    before = picture(backend)
    with closing(sqlite3.connect(path)) as conn, conn:
        conn.execute("INSERT INTO runner_snapshot VALUES ('index', 'nowhere', 't', 'CREATE INDEX nowhere ON t (none)')")

    with pytest.raises(StepFailed):
        bring_back(backend, path)

    assert before == picture(backend)
    assert 1 == backend.scalar("PRAGMA foreign_keys")
