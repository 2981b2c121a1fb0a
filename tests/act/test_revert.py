from pathlib import Path

import pytest

from runner.act.revert import dropped, reverting
from runner.config.model import Migration, Statement


@pytest.mark.parametrize(
    ("sql", "what"),
    [
        ("DROP TABLE a", "table a"),
        ("DROP TABLE a;", "table a"),
        ("drop table if exists A ;", "table A"),
        ("DROP INDEX i", "index i"),
        ("Drop View v", "view v"),
        ("DROP TRIGGER IF EXISTS t", "trigger t"),
        ("DROP\n\tTABLE\n a", "table a"),
        ('DROP TABLE "a b"', "table a b"),
        ('DROP TABLE"a"', "table a"),
        ('DROP TABLE IF EXISTS"a ""b"""', 'table a "b"'),
        ("DROP TABLE `a``b`", "table a`b"),
        ("DROP TABLE 'it''s'", "table it's"),
        ("DROP TABLE [a]", "table a"),
        ("DROP TABLE [if exists]", "table if exists"),
        ("DROP TABLE main.a", "table a"),
        ('DROP TABLE IF EXISTS "main" . [a]', "table a"),
        ("DROP TABLE `main`.'a'", "table a"),
        ("DROP -- a word\nTABLE /* another */ a -- the end", "table a"),
        ("/* first */ DROP TABLE/**/a", "table a"),
        ("-- first\n DROP TABLE a/* last */;", "table a"),
        ('DROP TABLE "a--b"', "table a--b"),
        ("DROP TABLE [a /* b */]", "table a /* b */"),
        ("DROP TABLE größe", "table größe"),
        ("DROP TABLE a$1", "table a$1"),
        ("DROP TABLE IF EXISTS if_exists", "table if_exists"),
        ("DROPS TABLE a", None),
        ("DROP COLUMN a", None),
        ("DROP TABLES a", None),
        ("ALTER TABLE a DROP COLUMN b", None),
        ("DELETE FROM a", None),
        ("-- DROP TABLE a", None),
        ("SELECT 'DROP TABLE a'", None),
        ("", None),
    ],
)
def test_what_a_statement_drops_is_read_as_sqlite_reads_it(sql, what):
    assert what == dropped(sql)


DOWN = (
    "DROP INDEX i",
    "DROP TABLE IF EXISTS Mine",
    "DROP TABLE theirs",
    "DROP TABLE made_by_this_section",
    "DELETE FROM theirs WHERE n = 1",
    "DROP TABLE older",
)


def test_drops_of_what_others_made_are_not_run_and_told():
    statements = tuple(Statement(sql, line) for line, sql in enumerate(DOWN, start=1))
    migration = Migration("0004", "more", Path("0004_more.sql"), "sha256:1", (), statements, ())

    found = reverting(
        migration,
        {"table mine", "index i"},
        {"table mine", "index i", "table older"},
        {"table mine", "index i", "table theirs", "table older"},
    )

    assert [DOWN[0], DOWN[1], *DOWN[3:]] == [statement.sql for statement in found.run]
    assert ("table theirs",) == found.skipped
    assert {"table mine", "index i"} == found.made


def test_a_section_without_a_statement_that_may_run_is_empty():
    migration = Migration("1", "m", Path("1_m.sql"), "", (), (Statement("DROP TABLE a", 1),), ())

    assert ((), ("table a",)) == reverting(migration, (), (), {"table a"})[2:]
