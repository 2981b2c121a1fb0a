import logging
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.config.model import Migration, Statement
from runner.config.sqlfile import read_migration
from runner.decide.lint.acts import NotUnderstood
from runner.decide.lint.migrations import examined, lint
from runner.decide.lint.reading import MOST_CHARACTERS, read
from runner.decide.lint.rules import BY_CODE, LINTS, TWINS
from runner.decide.risk import Finding, Risk
from runner.errors import Where

ROOT = Path(__file__).parents[2]
WRAPPED = "-- migrate:up\n{}\n-- migrate:down\nSELECT 1;\n-- migrate:verify\nSELECT 1;\n"
LITE, PG = "sqlite", "postgres"


class Case(NamedTuple):
    """A code, an up section (or a whole file) that has it, and its twin that has not, after another migration."""

    code: str
    engine: str
    risky: str
    safe: str
    before: str = ""


FAMILY = (
    "CREATE TABLE a (id INTEGER PRIMARY KEY, x TEXT); CREATE INDEX ia ON a (x);"
    "CREATE TABLE b (a_id INTEGER REFERENCES a (id) ON DELETE CASCADE);"
)
LOOSE = FAMILY.replace(" ON DELETE CASCADE", "")
LONE = "CREATE TABLE a (id INTEGER PRIMARY KEY, x TEXT); CREATE INDEX ia ON a (x);"
REBUILD = (
    "CREATE TABLE n (id INTEGER PRIMARY KEY, x TEXT); INSERT INTO n SELECT id, x FROM a;"
    "DROP TABLE a; ALTER TABLE n RENAME TO a;"
)
UP, BACK, LOOK = "-- migrate:up", "\n-- migrate:down\nDROP TABLE a;", "\n-- migrate:verify\nSELECT 1;"
ALONE = f"{UP} transaction:false\n{{}}{BACK}{LOOK}"
HASTY = f"{UP} lock_timeout:3s\n{{}}{BACK}{LOOK}"

CASES = [
    Case("table-dropped", LITE, "DROP TABLE a;", "CREATE TABLE a (x); DROP TABLE a;"),
    Case("table-dropped", LITE, "DROP TABLE IF EXISTS main.a", REBUILD),
    Case("table-dropped", LITE, REBUILD.replace("INSERT INTO n SELECT id, x FROM a;", ""), REBUILD),
    Case("table-dropped", PG, "DROP TABLE a, b", "CREATE TEMP TABLE a (x int); DROP TABLE a;"),
    Case("column-dropped", LITE, "ALTER TABLE a DROP COLUMN x", "ALTER TABLE a ADD y; ALTER TABLE a DROP y;"),
    Case("column-dropped", LITE, "ALTER TABLE a DROP x", "CREATE TABLE a (x); ALTER TABLE a DROP x;"),
    Case("column-dropped", LITE, REBUILD.replace(", x TEXT", "").replace(", x", ""), REBUILD, LONE),
    Case("column-dropped", PG, 'ALTER TABLE "a" ADD y int, DROP COLUMN IF EXISTS x', "ALTER TABLE a DROP CONSTRAINT x"),
    Case("schema-dropped", PG, "DROP SCHEMA s", "CREATE SCHEMA s"),
    Case("schema-dropped", PG, "DROP OWNED BY someone", "REVOKE ALL ON a FROM someone"),
    Case("drop-cascades", PG, "DROP TABLE a CASCADE", "DROP TABLE a"),
    Case("drop-cascades", PG, "ALTER TABLE a DROP COLUMN x CASCADE", "ALTER TABLE a DROP COLUMN x RESTRICT"),
    Case("truncated", PG, "TRUNCATE a, b", "CREATE TABLE a (x int); TRUNCATE a;"),
    Case("unbounded-delete", LITE, "DELETE FROM a", "DELETE FROM a WHERE x = 1"),
    Case("unbounded-delete", LITE, "DELETE FROM a WHERE x = 1 OR 1 = 1", "DELETE FROM a WHERE EXISTS (SELECT 1)"),
    Case("unbounded-delete", PG, "WITH d AS (DELETE FROM a RETURNING *) SELECT * FROM d", "SELECT * FROM a"),
    Case("unbounded-update", LITE, "UPDATE a SET x = 1", "UPDATE a SET x = 1 WHERE y IS NULL"),
    Case("unbounded-update", LITE, "UPDATE a SET x = 1 WHERE (true)", "CREATE TABLE a (x); UPDATE a SET x = 1;"),
    Case("unbounded-update", LITE, "UPDATE a SET x = 1 WHERE 1=1", "UPDATE a SET x = 1 WHERE x=1"),
    Case("unbounded-update", PG, "UPDATE a SET x = 1 WHERE true", "UPDATE a SET x = 1 WHERE done"),
    Case("unbounded-delete", LITE, "DELETE FROM a WHERE id = id", "DELETE FROM a WHERE id = x"),
    Case(
        "unbounded-delete",
        LITE,
        "CREATE TRIGGER t AFTER INSERT ON b BEGIN SELECT ';'; DELETE FROM a; END",
        "CREATE TRIGGER t AFTER INSERT ON b BEGIN DELETE FROM a WHERE id = NEW.id; END",
    ),
    Case(
        "unbounded-update",
        LITE,
        "CREATE TEMP TRIGGER t AFTER INSERT ON b BEGIN UPDATE OR IGNORE a SET x = CASE x WHEN 1 THEN 2 END; END",
        "CREATE TEMP TRIGGER t AFTER INSERT ON b BEGIN INSERT INTO a VALUES ('UPDATE a'); END",
    ),
    Case("unbounded-update", PG, "UPDATE a SET x = b.x FROM b", "UPDATE a SET x = b.x FROM b WHERE a.id = b.id"),
    Case("insert-or-replace", LITE, "INSERT OR REPLACE INTO a VALUES (1)", "INSERT OR IGNORE INTO a VALUES (1)"),
    Case("insert-or-replace", LITE, "REPLACE INTO a (x) VALUES (1)", "INSERT INTO a VALUES ('REPLACE INTO a')"),
    Case(
        "insert-or-replace", LITE, "INSERT OR REPLACE INTO a SELECT 1", "INSERT INTO a SELECT replace(x, 1, 2) FROM b"
    ),
    Case("insert-or-replace", LITE, "UPDATE OR REPLACE a SET x = 1 WHERE y = 2", "UPDATE a SET x = 1 WHERE y = 2"),
    Case("index-dropped", LITE, "DROP INDEX i", "DROP INDEX i; CREATE INDEX i ON a (x);"),
    Case(
        "constraint-dropped",
        PG,
        "ALTER TABLE a DROP CONSTRAINT c",
        "ALTER TABLE a DROP CONSTRAINT c, ADD CONSTRAINT c CHECK (x > 0) NOT VALID",
    ),
    Case("object-dropped", LITE, "DROP VIEW v", "DROP VIEW v; CREATE VIEW v AS SELECT 1;"),
    Case("object-dropped", PG, "DROP FUNCTION f(int)", "CREATE TYPE t AS ENUM ('x'); DROP TYPE t;"),
    Case("renamed", LITE, "ALTER TABLE a RENAME TO b", "CREATE TABLE a (x); ALTER TABLE a RENAME TO b;"),
    Case("renamed", LITE, "ALTER TABLE a RENAME x TO y", "ALTER TABLE a ADD x; ALTER TABLE a RENAME x TO y;"),
    Case("renamed", PG, "ALTER TABLE a SET SCHEMA s", "ALTER INDEX i RENAME TO j"),
    Case("renamed", PG, "ALTER TYPE mood RENAME VALUE 'x' TO 'y'", "ALTER TABLE a RENAME CONSTRAINT c TO d"),
    Case(
        "not-null-without-default", LITE, "ALTER TABLE a ADD y TEXT NOT NULL", "ALTER TABLE a ADD y NOT NULL DEFAULT 0"
    ),
    Case(
        "not-null-without-default", LITE, "ALTER TABLE a ADD y NOT NULL DEFAULT NULL", "ALTER TABLE a ADD y TEXT NULL"
    ),
    Case("not-null-without-default", PG, "ALTER TABLE a ADD y int NOT NULL", "ALTER TABLE a ADD y int"),
    Case("unique-on-existing", LITE, "CREATE UNIQUE INDEX i ON a (x)", "CREATE INDEX i ON a (x)"),
    Case(
        "unique-on-existing",
        PG,
        "ALTER TABLE a ADD CONSTRAINT c UNIQUE (x)",
        "CREATE TABLE a (x int);ALTER TABLE a ADD CONSTRAINT c UNIQUE (x)",
    ),
    Case("column-refused", LITE, "ALTER TABLE a ADD y TEXT UNIQUE", "ALTER TABLE a ADD y TEXT"),
    Case("column-refused", LITE, "ALTER TABLE a ADD y DEFAULT CURRENT_TIMESTAMP", "ALTER TABLE a ADD y DEFAULT 'now'"),
    Case("column-refused", LITE, "ALTER TABLE a ADD y DEFAULT (1 + 1)", "ALTER TABLE a ADD y DEFAULT -1"),
    Case("column-refused", LITE, "ALTER TABLE a ADD y AS (x) STORED", "ALTER TABLE a ADD y AS (x) VIRTUAL"),
    Case("column-refused", LITE, "ALTER TABLE a ADD y REFERENCES b DEFAULT 1", "ALTER TABLE a ADD y REFERENCES b"),
    Case("statement-refused", LITE, "TRUNCATE TABLE a", "DELETE FROM a"),
    Case("statement-refused", LITE, "ALTER TABLE a ALTER COLUMN x TYPE text", "ALTER TABLE a RENAME x TO y"),
    Case(
        "statement-refused", LITE, "ALTER TABLE a ADD CONSTRAINT c CHECK (x > 0)", "ALTER TABLE a ADD y CHECK (y > 0)"
    ),
    Case("statement-refused", LITE, "ALTER TABLE a ADD x, ADD y", "ALTER TABLE a ADD x DECIMAL(3, 1)"),
    Case("statement-refused", LITE, "CREATE INDEX CONCURRENTLY i ON a (x)", "CREATE INDEX i ON a (x)"),
    Case("needs-no-transaction", LITE, "VACUUM", ALONE.format("VACUUM;")),
    Case("needs-no-transaction", LITE, "PRAGMA journal_mode = WAL", "PRAGMA user_version = 3"),
    Case(
        "needs-no-transaction",
        PG,
        "CREATE INDEX CONCURRENTLY i ON a (x)",
        ALONE.format("CREATE INDEX CONCURRENTLY i ON a (x);"),
    ),
    Case("needs-no-transaction", PG, "VACUUM FULL a", "ANALYZE a"),
    Case("transaction-ended", LITE, "INSERT OR ROLLBACK INTO a VALUES (1)", "INSERT OR ABORT INTO a VALUES (1)"),
    Case("transaction-ended", LITE, "UPDATE OR ROLLBACK a SET x = 1 WHERE y", "UPDATE OR FAIL a SET x = 1 WHERE y"),
    Case("ledger-touched", LITE, "DELETE FROM runner_runs WHERE id = 1", "DELETE FROM runners WHERE id = 1"),
    Case("ledger-touched", LITE, 'DROP TABLE main."Runner_Lock"', "SELECT count(*) FROM runner_lock"),
    Case("ledger-touched", LITE, "INSERT INTO runner_meta VALUES (1, 2)", "INSERT INTO a SELECT * FROM runner_meta"),
    Case("ledger-touched", LITE, "UPDATE sqlite_master SET sql = 1 WHERE name = 2", "SELECT * FROM sqlite_master"),
    Case("ledger-touched", LITE, "PRAGMA writable_schema = ON", "PRAGMA writable_schema"),
    Case("ledger-touched", LITE, "CREATE INDEX i ON runner_runs (id)", "CREATE INDEX runner_runs_i ON a (id)"),
    Case("ledger-touched", LITE, "ALTER TABLE a RENAME TO runner_runs", "ALTER TABLE a RENAME TO runs"),
    Case("ledger-touched", LITE, "CREATE TABLE a (x REFERENCES runner_runs)", "CREATE TABLE a (x REFERENCES runs)"),
    Case(
        "ledger-touched",
        LITE,
        "CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM runner_steps WHERE id = 1; END",
        "CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM steps WHERE id = 1; END",
    ),
    Case(
        "ledger-touched",
        LITE,
        f"{UP} destructive:true\nSELECT 1;\n-- migrate:down\nDROP TABLE runner_runs;{LOOK}",
        f"{UP}\nSELECT 1;\n-- migrate:down\nDROP TABLE runs;{LOOK}",
    ),
    Case("ledger-touched", PG, "TRUNCATE a, runner_samples", "TRUNCATE a, samples"),
    Case("pragma-without-effect", LITE, "PRAGMA foreign_keys = OFF", "PRAGMA foreign_keys"),
    Case("table-rebuilt", LITE, REBUILD, "CREATE TABLE n (x); INSERT INTO n SELECT x FROM a;"),
    Case("rebuild-cascades", LITE, REBUILD, REBUILD, FAMILY),
    Case("rebuild-cascades", LITE, REBUILD, "DELETE FROM b; " + REBUILD, FAMILY),
    Case("rebuild-loses", LITE, REBUILD, REBUILD + "CREATE INDEX ia ON a (x);", LONE),
    Case("parent-dropped", LITE, REBUILD, "DELETE FROM b; " + REBUILD, LOOSE),
    Case("table-rewritten", PG, "ALTER TABLE a ALTER COLUMN x TYPE int", "ALTER TABLE a ALTER COLUMN x SET DEFAULT 1"),
    Case(
        "table-rewritten",
        PG,
        "ALTER TABLE a ALTER x TYPE varchar(5)",
        "ALTER TABLE a ALTER x TYPE varchar(20)",
        "CREATE TABLE a (x varchar(10))",
    ),
    Case(
        "table-rewritten",
        PG,
        "ALTER TABLE a ALTER x TYPE bytea",
        "ALTER TABLE a ALTER x SET DATA TYPE text",
        "CREATE TABLE a (x varchar(10))",
    ),
    Case(
        "table-rewritten",
        PG,
        "ALTER TABLE a ADD y uuid DEFAULT gen_random_uuid()",
        "ALTER TABLE a ADD y timestamptz DEFAULT now()",
    ),
    Case(
        "table-rewritten",
        PG,
        "ALTER TABLE a ADD y float DEFAULT random() * 2",
        "ALTER TABLE a ADD y int[] DEFAULT '{}'",
    ),
    Case(
        "table-rewritten", PG, "ALTER TABLE a ADD y bigserial", "CREATE TABLE a (x int); ALTER TABLE a ADD y bigserial"
    ),
    Case("table-rewritten", PG, "ALTER TABLE a ADD y int GENERATED ALWAYS AS (x) STORED", "ALTER TABLE a ADD y int"),
    Case("table-rewritten", PG, "CLUSTER a USING i", "ALTER TABLE a CLUSTER ON i"),
    Case("index-locks-writes", PG, "CREATE INDEX i ON a (x)", "CREATE TABLE a (x int); CREATE INDEX i ON a (x);"),
    Case("index-locks-writes", PG, "CREATE INDEX i ON a (x)", ALONE.format("CREATE INDEX CONCURRENTLY i ON a (x);")),
    Case("index-locks-writes", PG, "REINDEX TABLE a", ALONE.format("REINDEX TABLE CONCURRENTLY a;")),
    Case(
        "constraint-scans-table",
        PG,
        "ALTER TABLE a ADD CONSTRAINT c CHECK (x > 0)",
        "ALTER TABLE a ADD CONSTRAINT c CHECK (x > 0) NOT VALID",
    ),
    Case(
        "constraint-scans-table",
        PG,
        "ALTER TABLE a ADD FOREIGN KEY (x) REFERENCES b (id)",
        "ALTER TABLE a ADD FOREIGN KEY (x) REFERENCES b (id) NOT VALID",
    ),
    Case("constraint-scans-table", PG, "ALTER TABLE a ALTER x SET NOT NULL", "ALTER TABLE a ALTER x DROP NOT NULL"),
    Case(
        "constraint-scans-table",
        PG,
        "ALTER TABLE a ALTER y SET NOT NULL",
        "ALTER TABLE a ALTER x SET NOT NULL",
        "ALTER TABLE a ADD CONSTRAINT c CHECK (x IS NOT NULL) NOT VALID; ALTER TABLE a VALIDATE CONSTRAINT c;",
    ),
    Case(
        "constraint-scans-table",
        PG,
        "ALTER TABLE a ADD CONSTRAINT c CHECK (x > 0) NOT VALID; ALTER TABLE a VALIDATE CONSTRAINT c;",
        "ALTER TABLE a VALIDATE CONSTRAINT c",
    ),
    Case("constraint-scans-table", PG, "ALTER TABLE a ADD y int CHECK (y > 0)", "ALTER TABLE a ADD y int REFERENCES b"),
    Case(
        "constraint-builds-index",
        PG,
        "ALTER TABLE a ADD PRIMARY KEY (id)",
        "ALTER TABLE a ADD CONSTRAINT c PRIMARY KEY USING INDEX i",
    ),
    Case("constraint-builds-index", PG, "ALTER TABLE a ADD y int UNIQUE", "ALTER TABLE a ADD y int"),
    Case(
        "rows-changed-under-lock",
        PG,
        "ALTER TABLE a ADD y int; UPDATE a SET y = 1 WHERE x = 1;",
        "UPDATE a SET y = 1 WHERE x = 1; ALTER TABLE a ADD y int;",
    ),
    Case(
        "rows-changed-under-lock",
        PG,
        "ALTER TABLE a ADD y int; INSERT INTO b SELECT * FROM c;",
        "ALTER TABLE a ADD y int; INSERT INTO b VALUES (1);",
    ),
    Case(
        "several-tables-locked",
        PG,
        "ALTER TABLE a ADD y int; ALTER TABLE b ADD y int;",
        "ALTER TABLE a ADD y int; ALTER TABLE a ADD z int;",
    ),
    Case("no-lock-timeout", PG, "ALTER TABLE a ADD y int", HASTY.format("ALTER TABLE a ADD y int;")),
    Case("no-lock-timeout", PG, "CREATE INDEX i ON a (x)", "SET LOCAL lock_timeout = '3s'; CREATE INDEX i ON a (x);"),
    Case("no-lock-timeout", PG, "CREATE TABLE c (x int REFERENCES a (id))", "CREATE TABLE c (x int)"),
    Case(
        "index-may-be-invalid",
        PG,
        ALONE.format("CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON a (x);"),
        ALONE.format("CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON a (x);").replace("SELECT 1", "SELECT indisvalid"),
    ),
    Case(
        "enum-value-added", PG, "ALTER TYPE mood ADD VALUE IF NOT EXISTS 'x' BEFORE 'y'", "CREATE TYPE m AS ENUM ('x')"
    ),
    Case("lock-taken", PG, "ALTER TABLE a ADD y int", "CREATE TABLE a (x int); ALTER TABLE a ADD y int;"),
    Case("table-locked", PG, "LOCK TABLE a", "LOCK TABLE a IN ROW SHARE MODE"),
    Case("table-locked", PG, "LOCK TABLE a IN SHARE MODE", "CREATE TABLE a (x int); LOCK TABLE a;"),
    Case("view-refreshed", PG, "REFRESH MATERIALIZED VIEW v", "REFRESH MATERIALIZED VIEW CONCURRENTLY v"),
    Case(
        "view-refreshed",
        PG,
        "REFRESH MATERIALIZED VIEW v WITH NO DATA",
        "CREATE MATERIALIZED VIEW v AS SELECT 1; REFRESH MATERIALIZED VIEW v;",
    ),
    Case("triggers-disabled", PG, "ALTER TABLE a DISABLE TRIGGER ALL", "ALTER TABLE a ENABLE TRIGGER ALL"),
    Case(
        "triggers-disabled",
        PG,
        "ALTER TABLE a DISABLE TRIGGER t",
        "CREATE TABLE a (x int);ALTER TABLE a DISABLE TRIGGER t",
    ),
    Case("triggers-disabled", PG, "SET session_replication_role = replica", "SET statement_timeout = '1s'"),
    Case("row-security-changed", PG, "ALTER TABLE a ENABLE ROW LEVEL SECURITY", "CREATE POLICY p ON a USING (true)"),
    Case(
        "row-security-changed",
        PG,
        "ALTER TABLE a NO FORCE ROW LEVEL SECURITY",
        "CREATE TABLE a (x int); ALTER TABLE a FORCE ROW LEVEL SECURITY;",
    ),
    Case("granted-to-everybody", PG, "GRANT ALL ON a TO public", "GRANT ALL ON public.a TO reader, public_reader"),
    Case(
        "granted-to-everybody",
        PG,
        "grant select on all tables in schema public to reader, PUBLIC with grant option",
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader WITH GRANT OPTION",
    ),
    Case(
        "granted-to-everybody",
        PG,
        "ALTER DEFAULT PRIVILEGES IN SCHEMA s GRANT SELECT ON TABLES TO PUBLIC",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA s REVOKE SELECT ON TABLES FROM PUBLIC",
    ),
    Case("down-missing", LITE, f"{UP}\nSELECT 1;{LOOK}", f"{UP} destructive:true\nSELECT 1;{LOOK}"),
    Case("down-incomplete", LITE, f"{UP}\nCREATE TABLE b (x);{BACK}{LOOK}", f"{UP}\nCREATE TABLE a (x);{BACK}{LOOK}"),
    Case("down-incomplete", LITE, f"{UP}\nALTER TABLE b ADD x;{BACK}{LOOK}", f"{UP}\nALTER TABLE a ADD x;{BACK}{LOOK}"),
    Case("down-incomplete", LITE, "CREATE VIEW v AS SELECT 1", "CREATE VIEW v AS SELECT 1; DROP VIEW v;"),
    Case(
        "down-incomplete",
        LITE,
        "CREATE INDEX i ON b (x)",
        f"{UP}\nCREATE TABLE n (x); CREATE INDEX i ON n (x);ALTER TABLE n RENAME TO a;{BACK}{LOOK}",
    ),
    Case(
        "down-incomplete",
        LITE,
        "ALTER TABLE b RENAME x TO y",
        f"{UP}\nALTER TABLE b RENAME x TO y;\n-- migrate:down\nALTER TABLE b RENAME y TO x;",
    ),
    Case("verify-missing", LITE, f"{UP}\nSELECT 1;{BACK}", f"{UP}\nSELECT 1;{BACK}{LOOK}"),
    Case("not-understood", LITE, "SELEC 1", "SELECT 1"),
    Case("not-understood", PG, "DO $$ DELETE FROM a $$", "SELECT 'DO $$ DELETE FROM a $$'"),
    Case("not-understood", LITE, f"{UP}\nSELECT 1;\n-- migrate:down\nFROB a;{LOOK}", f"{UP}\nSELECT 1;{BACK}{LOOK}"),
    Case(
        "ignore-without-reason",
        LITE,
        "-- lint:ignore table-dropped\nDROP TABLE a;",
        "-- lint:ignore table-dropped it is empty\nDROP TABLE a;",
    ),
    Case(
        "ignore-unknown",
        LITE,
        "-- lint:ignore table-droped it is empty\nDROP TABLE a;",
        "-- lint:ignore table-dropped it is empty\nDROP TABLE a;",
    ),
    Case(
        "ignore-unused",
        LITE,
        "-- lint:ignore column-dropped it is empty\nDROP TABLE a;",
        "-- lint:ignore table-dropped it is empty\nDROP TABLE a;",
    ),
]


@pytest.fixture
def write(tmp_path):
    def write(text, number=2):
        path = tmp_path / f"{number:04}_it.sql"
        path.write_text(text if UP in text else WRAPPED.format(text))
        return read_migration(path, f"{number:04}_it.sql")

    return write


@pytest.fixture
def told(write):
    def told(text, engine=LITE, before="", others=None):
        earlier = [write(before, 1)] if before else []
        return [each for each in lint([*earlier, write(text)], engine, others) if each.where.file == "0002_it.sql"]

    return told


def codes(findings):
    return [finding.code for finding in findings]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.code} {case.engine}")
def test_what_is_dangerous_is_told_and_its_safe_twin_is_not(told, case):
    safe_before = "" if case.risky == case.safe else case.before  # nothing refers to the table
    risky, safe = told(case.risky, case.engine, case.before), told(case.safe, case.engine, safe_before)

    assert case.code in codes(risky)
    assert case.code not in codes(safe)


def test_every_code_has_a_case_and_one_meaning():
    assert {rule.code for rule in LINTS} - {"let-through"} == {case.code for case in CASES}
    assert len(LINTS) == len(BY_CODE)
    assert all(rule.why.endswith(".") and rule.code == rule.code.lower() for rule in LINTS)


def test_the_migrations_that_come_along_have_nothing_to_tell():
    files = sorted((ROOT / "sql" / "sqlite").glob("*.sql"))

    assert [] == lint([read_migration(path, path.name) for path in files], LITE)
    assert len(files) == 3


def test_a_finding_says_where_and_what_to_do(told):
    (finding,) = told("SELECT 1;\n\nDROP TABLE\n  a;")

    assert finding == Finding(
        "table-dropped",
        Risk.DANGEROUS,
        "the table a is dropped, with its rows",
        Where("0002_it.sql", 4),
        "stop using it in one release, and drop it in the next; write `-- migrate:up destructive:true`",
    )


@pytest.mark.parametrize(
    ("sql", "lock"),
    [
        ("ALTER TABLE a ADD y int", "ACCESS EXCLUSIVE on a: readers and writers wait"),
        ("ALTER TABLE a RENAME x TO y", "ACCESS EXCLUSIVE on a: readers and writers wait"),
        ("ALTER TABLE s.a OWNER TO me", "ACCESS EXCLUSIVE on s.a: readers and writers wait"),
        ("ALTER TABLE a SET (fillfactor = 70)", "SHARE UPDATE EXCLUSIVE on a: other changes of its schema wait"),
        ("ALTER TABLE a DISABLE TRIGGER ALL", "SHARE ROW EXCLUSIVE on a: writers wait"),
        ("ALTER TABLE a VALIDATE CONSTRAINT c", "SHARE UPDATE EXCLUSIVE on a: other changes of its schema wait"),
        ("ALTER TABLE a ADD FOREIGN KEY (x) REFERENCES b NOT VALID", "SHARE ROW EXCLUSIVE on a and b: writers wait"),
        ("CREATE INDEX i ON a (x)", "SHARE on a: writers wait"),
        ("CREATE INDEX CONCURRENTLY i ON a (x)", "SHARE UPDATE EXCLUSIVE on a: other changes of its schema wait"),
        ("DROP INDEX i", "ACCESS EXCLUSIVE on the table of i: readers and writers wait"),
        ("CREATE TRIGGER t BEFORE INSERT ON a EXECUTE FUNCTION f()", "SHARE ROW EXCLUSIVE on a: writers wait"),
        ("CREATE TABLE p PARTITION OF a FOR VALUES IN (1)", "ACCESS EXCLUSIVE on a: readers and writers wait"),
        ("TRUNCATE a", "ACCESS EXCLUSIVE on a: readers and writers wait"),
        ("REFRESH MATERIALIZED VIEW CONCURRENTLY a", "EXCLUSIVE on a: writers wait"),
        ("LOCK TABLE a", "ACCESS EXCLUSIVE on a: readers and writers wait"),
    ],
)
def test_postgres_statements_say_which_lock_they_take(told, sql, lock):
    assert any(finding.what.endswith(f"takes {lock}") for finding in told(sql, PG))


@pytest.mark.parametrize(
    "sql", ["SELECT 1", "UPDATE a SET x = 1 WHERE y", "INSERT INTO a VALUES (1)", "GRANT ALL ON a TO b"]
)
def test_nobody_waits_for_what_only_changes_rows(told, sql):
    assert [] == told(sql, PG)


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE a (id INTEGER PRIMARY KEY AUTOINCREMENT, x TEXT CHECK (x GLOB '[A-Z]*')) STRICT, WITHOUT ROWID",
        "CREATE TRIGGER t AFTER UPDATE OF x ON a BEGIN\nUPDATE a SET x = 1;\nDELETE FROM b;\nEND;",
        "CREATE VIRTUAL TABLE a USING fts5(x, content='b')",
        "INSERT INTO a DEFAULT VALUES",
        "INSERT INTO a (x) VALUES ('it''s; -- no comment') ON CONFLICT (x) DO UPDATE SET x = excluded.x WHERE x <> 1",
        "UPDATE a SET x = json_set(x, '$.y', 1) WHERE x ->> '$.y' IS NULL",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9) INSERT INTO a SELECT i FROM n",
        "REINDEX a",
        "ANALYZE",
        "PRAGMA user_version = 1",
    ],
)
def test_what_sqlite_knows_is_understood(sql):
    assert read(sql, LITE)


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE a (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, x jsonb DEFAULT '{}'::jsonb, y text[])",
        "CREATE FUNCTION f() RETURNS trigger AS $f$ BEGIN RETURN NEW; END $f$ LANGUAGE plpgsql",
        "CREATE EXTENSION IF NOT EXISTS pgcrypto",
        "CREATE POLICY p ON a USING (owner = current_user)",
        "CREATE MATERIALIZED VIEW v AS SELECT DISTINCT ON (x) x FROM a ORDER BY x, y DESC",
        "ALTER TABLE a ATTACH PARTITION b FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')",
        "ALTER TABLE a ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
        "ALTER TABLE a ALTER COLUMN x SET STORAGE EXTERNAL",
        "ALTER TABLE a ADD CONSTRAINT c EXCLUDE USING gist (x WITH &&)",
        "ALTER TABLE ONLY a ADD COLUMN y numeric(10, 2) DEFAULT 0, ALTER x DROP DEFAULT",
        "MERGE INTO a USING b ON a.id = b.id WHEN MATCHED THEN UPDATE SET x = b.x",
        "INSERT INTO a VALUES (E'it\\'s') RETURNING id",
        "COPY a FROM '/tmp/x' WITH (FORMAT csv)",
        "COMMENT ON COLUMN a.x IS 'why'",
        "ALTER SEQUENCE s RESTART WITH 10",
    ],
)
def test_what_postgres_knows_is_understood(sql):
    assert read(sql, PG)


@pytest.mark.parametrize("engine", [LITE, PG])
@pytest.mark.parametrize(
    "sql",
    [
        "FROB THE TABLE",
        "DELETE FROM",
        "ALTER TABLE a DROP COLUMN",
        "ALTER TABLE a FROB x",
        "CREATE TABLE a (x",
        "foo bar",
        "SELECT " + "(" * 5000 + "1" + ")" * 5000,
        f"SELECT '{'x' * MOST_CHARACTERS}'",
        "SELECT 'open",
        "\x00",
    ],
)
def test_what_cannot_be_read_is_told_and_stops_nothing(sql, engine):
    with pytest.raises(NotUnderstood):
        read(sql, engine)

    statements = (Statement(sql, 2), Statement("DROP TABLE b", 3))
    migration = Migration("1", "a", Path("f"), "", statements, (), ())
    assert {"not-understood", "table-dropped"} <= set(codes(lint([migration], engine)))


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=60), st.sampled_from([LITE, PG]))
def test_no_text_makes_the_lint_fail(text, engine):
    for sql in (text, f"ALTER TABLE {text}", f"CREATE TABLE a ({text})", f"DELETE FROM a WHERE {text}"):
        assert lint([Migration("1", "a", Path("f"), "", (Statement(sql, 2),), (), ())], engine)  # down-missing at least


def test_rows_to_insert_are_not_read_one_by_one():
    rows = ", ".join(["(1, 'x')"] * 500_000)

    assert len(read(f"INSERT INTO a VALUES {rows}", LITE)) == 1


def test_the_parser_says_nothing_by_itself(caplog):
    with caplog.at_level(logging.DEBUG), pytest.raises(NotUnderstood):
        read("ALTER TABLE a FROB x", PG)

    assert caplog.records == []
    assert not logging.getLogger("sqlglot").disabled


def test_an_action_that_is_unknown_does_not_hide_its_neighbours(told):
    assert "column-dropped" in codes(told("ALTER TABLE a VALIDATE CONSTRAINT c, DROP COLUMN x", PG))


@pytest.mark.parametrize(
    "text",
    [
        "-- lint:ignore table-dropped nobody reads it\nDROP TABLE a;",
        "DROP TABLE a; -- lint:ignore table-dropped: nobody reads it",
        "DROP TABLE -- lint:ignore table-dropped nobody reads it\n a;",
        f"-- lint:ignore table-dropped nobody reads it\n{UP}\nDROP TABLE a;{BACK}{LOOK}",
    ],
)
def test_a_comment_with_a_reason_lets_a_finding_through(told, text):
    assert [] == told(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-- lint:ignore table-dropped\nDROP TABLE a;", ["ignore-without-reason", "table-dropped"]),
        ("-- lint:ignore\nDROP TABLE a;", ["ignore-without-reason", "table-dropped"]),
        ("-- lint:ignore nonsense it is\nDROP TABLE a;", ["ignore-unknown", "table-dropped"]),
        ("-- lint:ignore table-dropped it is empty\nSELECT 1;\nDROP TABLE a;", ["ignore-unused", "table-dropped"]),
        ("DROP TABLE a;\n-- lint:ignore table-dropped too late", ["table-dropped", "ignore-unused"]),
        ("SELECT '-- lint:ignore table-dropped in a text'; DROP TABLE a;", ["table-dropped"]),
    ],
)
def test_a_comment_that_lets_nothing_through_is_told(told, text, expected):
    assert expected == codes(told(text))


def test_a_comment_at_the_top_lets_through_what_is_told_of_the_file(told):
    head = "-- lint:ignore down-missing there is no way back\n-- lint:ignore verify-missing nothing to see\n"

    assert [] == told(f"{head}{UP}\nSELECT 1;")


@pytest.mark.parametrize(
    ("code", "text", "risk", "line", "what"),
    [
        (
            "table-dropped",
            "SELECT 1;\n-- lint:ignore table-dropped unused\nDROP TABLE x;",
            Risk.CAUTION,
            4,
            "table-dropped (dangerous): the table x is dropped, with its rows",
        ),
        (
            "lock-taken",
            "SET lock_timeout = '1s';\n\nALTER TABLE x ADD y int; -- lint:ignore lock-taken unused",
            Risk.SAFE,
            4,
            "lock-taken (safe): takes ACCESS EXCLUSIVE on x: readers and writers wait",
        ),
    ],
)
def test_what_a_comment_lets_through_is_kept_for_the_reviewer(write, code, text, risk, line, what):
    (finding,) = examined([write(text)], PG if code == "lock-taken" else LITE).let_through
    said = f"let through here: {what} — reason: unused"
    fix = f"agree with the reason, or remove lint:ignore {code}"

    assert Finding("let-through", risk, said, Where("0002_it.sql", line), fix) == finding


def test_what_squawk_says_too_is_told_once_for_each_statement(told):
    def squawked(rule, *lines):
        return [Finding(f"squawk:{rule}", Risk.CAUTION, "", Where("0002_it.sql", line), "") for line in lines]

    text = "DROP TABLE a;\n\nDROP\nTABLE b;\n-- lint:ignore table-dropped unused\nDROP TABLE c;\nSELECT 1;"
    others = squawked("ban-drop-table", 2, 5, 7, 8) + squawked("ban-it", 2)
    found = [each for each in told(text, PG, others=others) if each.code.startswith("squawk:")]

    assert [("squawk:ban-it", 2), ("squawk:ban-drop-table", 8)] == [(each.code, each.where.line) for each in found]


def test_a_comment_for_what_squawk_says_too_is_in_its_place(told):
    others = [Finding("squawk:ban-drop-table", Risk.CAUTION, "", Where("0002_it.sql", 2), "")]
    text = "DROP TABLE a; -- lint:ignore squawk:ban-drop-table unused"

    assert ["table-dropped", "no-lock-timeout"] == codes(told(text, PG, others=others))


def test_what_squawk_says_too_are_codes_of_ours():
    assert {code for codes in TWINS.values() for code in codes} <= BY_CODE.keys()


def test_findings_of_squawk_join_and_are_let_through_like_ours(told):
    text = "SELECT 1; -- lint:ignore squawk:ban-it we know\nSELECT 2;"
    others = [Finding("squawk:ban-it", Risk.CAUTION, "", Where("0002_it.sql", line), "") for line in (2, 3)]

    assert others[1:] == told(text, PG, others=others)
    assert [] == told(text, PG)  # squawk was not asked: its comment is not out of place


def test_what_an_earlier_migration_made_is_not_new(told):
    assert "table-dropped" in codes(told("DROP TABLE a", before="CREATE TABLE a (x)"))


def test_a_table_that_stays_is_told_once_and_not_for_each_of_its_parts(told):
    up = "CREATE TABLE b (x); CREATE INDEX i ON b (x); CREATE TRIGGER t AFTER INSERT ON b BEGIN SELECT 1; END;"

    assert ["down-incomplete"] == codes(told(up))


def test_a_parent_that_is_renamed_first_still_has_its_children(told):
    text = "ALTER TABLE a RENAME TO o; CREATE TABLE a (id INTEGER PRIMARY KEY); DROP TABLE o;"

    assert "rebuild-cascades" in codes(told(text, before=FAMILY))
