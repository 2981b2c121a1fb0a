from pathlib import Path

import pytest

from runner.config.sqlfile import InvalidMigration, checksum, duplicate_versions, migration_files, read_migration

FULL = """-- why this is needed
-- migrate:up lock_timeout:3s destructive:true
CREATE TABLE a (n);

-- a comment
INSERT INTO a
VALUES (1);
-- migrate:down
DROP TABLE a
-- migrate:verify
SELECT count(*) = 1 FROM a;
"""


@pytest.fixture
def write(tmp_path):
    def write(text, name="0001_a.sql"):
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


def test_a_migration_has_sections_options_and_statements_with_their_lines(write):
    migration = read_migration(write(FULL, "0042_make_a.sql"), "f")

    assert (migration.version, migration.name) == ("0042", "make_a")
    assert [tuple(part) for part in migration.up] == [("CREATE TABLE a (n);", 3), ("INSERT INTO a\nVALUES (1);", 6)]
    assert [tuple(part) for part in migration.down] == [("DROP TABLE a", 9)]
    assert [tuple(part) for part in migration.verify] == [("SELECT count(*) = 1 FROM a;", 11)]
    assert (migration.in_transaction, migration.destructive, migration.lock_timeout_s) == (True, True, 3.0)


def test_a_single_statement_may_ask_to_run_outside_of_a_transaction(write):
    text = "-- migrate:up transaction:false\nVACUUM;\n-- migrate:verify\nSELECT 1;\n"

    assert not read_migration(write(text), "f").in_transaction


def test_a_trigger_may_begin_and_end(write):
    text = "-- migrate:up\nCREATE TRIGGER t AFTER INSERT ON a BEGIN\nDELETE FROM b;\nEND;\n"

    assert len(read_migration(write(text), "f").up) == 1


def test_a_function_of_postgres_may_begin_and_end(write):
    function = "CREATE FUNCTION f() RETURNS int AS $b$ BEGIN\nRETURN 1;\nEND; $b$;\n"
    text = f"-- migrate:up\n{function}DO $$ BEGIN\nNULL;\nEND; $$;\n"
    migration = read_migration(write(text), "f", "postgres")

    assert [2, 5] == [statement.line for statement in migration.up]
    with pytest.raises(InvalidMigration, match=r"END stands in a migration.*\n  at f:4\n"):
        read_migration(write(text), "f")


def test_a_comment_inside_of_a_comment_is_refused_where_it_counts(write):
    text = "-- migrate:up\nSELECT 1;\nSELECT /* /* */ ' */ 1; DROP TABLE a; --'\n"

    assert 2 == len(read_migration(write(text), "f").up)
    with pytest.raises(InvalidMigration, match=r"a comment begins inside of another comment\n  at f:3\n"):
        read_migration(write(text), "f", "postgres")


def test_a_file_that_is_not_there_is_told_before_its_name(tmp_path):
    with pytest.raises(InvalidMigration, match=r"nosuch\.sql does not exist"):
        read_migration(tmp_path / "nosuch.sql", "nosuch.sql")


def test_line_ends_do_not_change_a_checksum(write):
    lf, crlf = FULL.encode(), FULL.replace("\n", "\r\n").encode()

    assert checksum(lf) == checksum(crlf) == read_migration(write(crlf), "f").checksum
    assert checksum(lf).startswith("sha256:")
    assert checksum(lf) != checksum(lf + b" ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["f: there is no section migrate:up"]),
        ("-- migrate:up\n-- nothing\n", ["f:1: the section migrate:up holds no statement"]),
        ("\nSELECT 1;\n-- migrate:up\nSELECT 2;", ["f:2: a statement stands before the first section"]),
        ("-- migrate:up\nSELECT 1;\n-- migrate:dwon\n", ["f:3: there is no section migrate:dwon"]),
        (
            "-- migrate:up\nSELECT 1;\n-- migrate:up\nSELECT 2;",
            ["f:3: the section migrate:up stands here again, and first in line 1"],
        ),
        ("-- migrate:up transction:false\nSELECT 1;", ["f:1: there is no option transction:false"]),
        ("-- migrate:up transaction:no\nSELECT 1;", ['f:1: the option transaction is "no"']),
        ("-- migrate:up lock_timeout:3\nSELECT 1;", ['f:1: the option lock_timeout is "3"']),
        (
            "-- migrate:up\nSELECT 1;\n-- migrate:down destructive:true\nSELECT 2;",
            ["f:3: the section migrate:down has an option: destructive:true"],
        ),
        (
            "-- migrate:up transaction:false\nSELECT 1;\nSELECT 2;",
            ["f:1: transaction:false with 2 statements", "f:1: transaction:false without a section migrate:verify"],
        ),
        (
            "-- migrate:up\n-- now\nbegin;\nSELECT 1;\n/* x */ COMMIT;",
            [
                "f:3: BEGIN stands in a migration: the runner begins and ends the transaction",
                "f:5: COMMIT stands in a migration: the runner begins and ends the transaction",
            ],
        ),
        (
            "-- migrate:up\nSELECT 1;\n-- migrate:down\nROLLBACK",
            ["f:4: ROLLBACK stands in a migration: the runner begins and ends the transaction"],
        ),
        (b"-- migrate:up\n\xff", ["f:2:1: f is not UTF-8: byte 0xff"]),
        (b"SQLite\0", ["f:1:7: f is binary: it holds a NUL"]),
    ],
)
def test_what_is_wrong_with_a_migration_is_said_with_its_line(write, text, expected):
    with pytest.raises(InvalidMigration) as caught:
        read_migration(write(text), "f")

    assert expected == [f"{problem.where}: {problem.what}" for problem in caught.value.problems]
    assert all(problem.fix for problem in caught.value.problems)


@pytest.mark.parametrize("name", ["a.sql", "0001.sql", "0001-a.sql", "x0001_a.sql", "0001_.sql"])
def test_a_name_without_number_and_words_is_refused(write, name):
    with pytest.raises(InvalidMigration, match="is not a migration's name"):
        read_migration(write(FULL, name), name)


def test_migrations_are_ordered_by_number_and_other_files_left_out():
    names = ["0010_c.sql", "9_b.sql", ".0001_x.sql", "README.md", "0001_a.sql", "1000_d.sql"]

    files = migration_files([Path(name) for name in names])

    assert [file.name for file in files] == ["0001_a.sql", "9_b.sql", "0010_c.sql", "1000_d.sql"]


def test_two_migrations_cannot_have_the_same_number():
    names = ["0001_a.sql", "1_b.sql", "0002_c.sql"]

    problems = list(duplicate_versions((Path(name), name) for name in names))

    assert [problem.what for problem in problems] == ["migration 1 is there twice: 0001_a.sql has this number too"]


IGNORES = """-- lint:ignore down-missing we never go back
-- migrate:up
-- lint:ignore table-dropped: nobody reads it
DROP TABLE a; -- lint:ignore
DROP TABLE
  b -- lint : ignore x y z
; DROP TABLE c; -- lint:ignore squawk:ban-drop-table why
INSERT INTO a VALUES ('-- lint:ignore a b'); /*
-- lint:ignore a b
*/
-- lint:ignore last one
-- migrate:down
-- lint:ignored is another word
-- lint:ignore f the one below
SELECT 1;
"""


def test_what_the_lint_is_to_ignore_is_known_with_its_statement(write):
    ignores = read_migration(write(IGNORES), "f").ignores

    assert [tuple(each) for each in ignores] == [
        ("down-missing", "we never go back", 1, None),
        ("table-dropped", "nobody reads it", 3, 4),
        ("", "", 4, 4),
        ("x", "y z", 6, 5),
        ("squawk:ban-drop-table", "why", 7, 7),
        ("last", "one", 11, 11),
        ("f", "the one below", 14, 15),
    ]


def test_a_comment_for_the_lint_changes_the_checksum_as_every_edit_does(write):
    commented = FULL.replace("-- a comment", "-- lint:ignore a b")

    assert read_migration(write(FULL), "f").checksum != read_migration(write(commented), "f").checksum
    assert read_migration(write(FULL), "f").up == read_migration(write(commented), "f").up
