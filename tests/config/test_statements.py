from time import perf_counter

import pytest

from runner.config.statements import first_keyword, line_comments, split

TRIGGER = """CREATE TRIGGER t AFTER INSERT ON a
BEGIN
  UPDATE a SET n = 1;
  DELETE FROM b;
END;"""


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("", []),
        ("-- only a comment\n", []),
        (" ;; ; ", []),
        ("SELECT 1", [("SELECT 1", 1)]),  # the last `;` may be missing
        ("SELECT 1;\n\nSELECT 2;", [("SELECT 1;", 1), ("SELECT 2;", 3)]),
        ("SELECT 1; SELECT\n2; SELECT 3", [("SELECT 1;", 1), ("SELECT\n2;", 1), ("SELECT 3", 2)]),
        ("-- why\n/* and\nhow; */ SELECT 1;", [("SELECT 1;", 3)]),  # the line of the first word
        ("SELECT ';';SELECT \";\";", [("SELECT ';';", 1), ('SELECT ";";', 1)]),
        ("SELECT 'it''s; fine';", [("SELECT 'it''s; fine';", 1)]),
        ("SELECT 1 -- a; b\n;", [("SELECT 1 -- a; b\n;", 1)]),
        ("SELECT 1 /* a; b */;", [("SELECT 1 /* a; b */;", 1)]),
        ("SELECT [a;b], `c;d`;", [("SELECT [a;b], `c;d`;", 1)]),
        (f"SELECT 1;\n{TRIGGER}\nSELECT 2;", [("SELECT 1;", 1), (TRIGGER, 2), ("SELECT 2;", 7)]),
        ("SELECT 1;\n-- the end", [("SELECT 1;", 1)]),
        ("SELECT 'never closed; SELECT 2;", [("SELECT 'never closed; SELECT 2;", 1)]),
    ],
)
def test_sql_is_cut_where_a_statement_ends_and_nowhere_else(sql, expected):
    assert expected == [tuple(statement) for statement in split(sql)]


def test_lines_are_counted_from_the_line_given():
    assert [statement.line for statement in split("SELECT 1;\nSELECT 2;", line=11)] == [11, 12]


@pytest.mark.parametrize(
    "parts",
    [
        ["DO $$ BEGIN DELETE FROM a; END; $$;", "SELECT 1"],
        ["CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $body$ BEGIN RETURN $$;$$; END; $body$;", "SELECT 1;"],
        ["CREATE TRIGGER t BEFORE INSERT ON a EXECUTE FUNCTION f();", "DROP TABLE a;"],  # it has no body of its own
        ["CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END;", "SELECT 3;"],
        ["CREATE FUNCTION begin() RETURNS int LANGUAGE sql AS 'SELECT 1;';", "DROP TABLE a;"],
        ["CREATE FUNCTION f(begin int) RETURNS int LANGUAGE sql AS 'SELECT 1;';", "DROP TABLE a;"],
        ["CREATE FUNCTION f(begin atomic) RETURNS int LANGUAGE sql AS 'SELECT 1;';", "DROP TABLE a;"],
        ["CREATE RULE r AS ON INSERT TO a DO ALSO (DELETE FROM b; SELECT 1;);", "SELECT 2;"],
        ["SELECT a$1$ FROM b;", "SELECT $1;", "SELECT E'it\\';';", "SELECT '$$;';", "SELECT ARRAY['x;]'];"],
        ["SELECT 1);", "BEGIN;", "SELECT 2;", "END;"],
        ["DO $ä$ ; $$ ; $ä$;", "SELECT 1 /* $$ */;", "SELECT 2 -- $$\n;", "SELECT 3;"],
        ["DO $$ never closed; SELECT 2;"],
    ],
)
def test_postgres_has_texts_in_dollars_and_bodies(parts):
    assert parts == [statement.sql for statement in split(" ".join(parts), engine="postgres")]


def test_a_comment_in_a_text_in_dollars_is_none():
    sql = "DO $$\n-- one\n$$; -- two"

    assert [(3, "two")] == list(line_comments(sql, engine="postgres"))
    assert [(2, "one"), (3, "two")] == list(line_comments(sql))


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE FUNCTION f " + "BEGIN " * 100_000,
        "CREATE" + " " * 100_000 + "BEGIN " * 10_000,  # a bug once: each BEGIN looked at its beginning again
        "$a$ $b$ " * 50_000,
        "(" * 100_000 + ";" * 1000,
        "E'" * 100_000,
    ],
)
def test_cutting_for_postgres_takes_time_in_proportion_to_the_text(sql):
    started = perf_counter()

    assert 1 == sum(1 for _ in split(sql, engine="postgres"))
    assert perf_counter() - started < 2


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO a VALUES ('x;y');\n" * 20_000,
        "INSERT INTO a VALUES ('" + ";" * 100_000 + "');",  # a bug once: every `;` in the text was asked about
        "/*" + "*" * 100_000 + "*/ SELECT 1;",
    ],
)
def test_cutting_takes_time_in_proportion_to_the_text(sql):
    started = perf_counter()
    count = sum(1 for _ in split(sql))

    assert sql.count("INSERT") + sql.count("SELECT") == count
    assert perf_counter() - started < 2


@pytest.mark.parametrize(
    ("sql", "expected"),
    [("  -- x\n commit;", "commit"), ("/* BEGIN */ SELECT 1", "SELECT"), ("", None), ("-- x", None)],
)
def test_the_first_keyword_stands_after_blanks_and_comments(sql, expected):
    found = first_keyword(sql)

    assert expected == (found and found.group())
