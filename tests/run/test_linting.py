"""`runner lint` as people, hooks and machines use it."""

import json
import shutil
import stat
import sys
from pathlib import Path

import pytest

DROP = "-- migrate:up\nDROP TABLE sports;\n-- migrate:down\nSELECT 1;\n-- migrate:verify\nSELECT 1;\n"
INDEX = DROP.replace("up\nDROP TABLE sports", "up lock_timeout:3s\n\nCREATE INDEX i ON a (x)").replace(
    "SELECT 1", "DROP INDEX i", 1
)


@pytest.fixture
def add(project):
    def add(text, file="sql/sqlite/0004_more.sql"):
        path = project.folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return file

    return add


def test_the_config_that_comes_along_has_nothing_to_tell(project):
    result = project.run("lint", "--fail-on", "caution")

    assert (0, "3 migrations for sqlite: nothing to tell\n") == (result.exit_code, result.stdout)
    assert not project.database.exists()


def test_a_finding_is_a_line_from_which_an_editor_can_jump(project, add):
    file = add(DROP)
    result = project.run("lint")

    assert 0 == result.exit_code
    assert result.stdout.startswith(f"{file}:2: dangerous table-dropped: the table sports is dropped, with its rows\n")
    assert result.stdout.endswith("\n4 migrations for sqlite: 2 dangerous\n")
    assert "rows of provider_states refer to sports" in result.stdout


@pytest.mark.parametrize(("limit", "code"), [("caution", 5), ("dangerous", 5), ("blocked", 0)])
def test_fail_on_says_how_dangerous_is_too_dangerous(project, add, limit, code):
    add(DROP)

    assert code == project.run("lint", "--fail-on", limit).exit_code


def test_what_the_config_makes_of_a_risk_counts(project, add):
    add(DROP)
    agreed = 'review: {risks: {table-dropped: {risk: safe, reason: "nobody reads it"}}}\n'
    project.edit("config/rollout.yaml", r"(?m)^rollback:", f"{agreed}rollback:")

    result = project.run("lint")

    assert "safe table-dropped: the table sports is dropped, with its rows (dangerous by rule; here" in result.stdout
    assert "nobody reads it" in result.stdout


def test_the_json_form_has_the_files_the_counts_and_every_finding(project, add):
    file = add(DROP.replace("-- migrate:down\nSELECT 1;\n", ""))
    found = json.loads(project.run("lint", "--json", file).stdout)

    assert {"version", "engine", "files", "squawk", "counts", "findings", "let_through"} == set(found)
    assert (1, "sqlite", [file]) == (found["version"], found["engine"], found["files"])
    assert {"blocked": 0, "dangerous": 2, "caution": 1, "safe": 0} == found["counts"]
    assert {"code", "risk", "what", "file", "line", "column", "fix"} == set(found["findings"][0])
    assert ("down-missing", "caution", file, 1) == tuple(
        found["findings"][0][key] for key in ("code", "risk", "file", "line")
    )


def test_files_are_for_the_engine_that_their_folder_is_named_after(project, add):
    files = [add(INDEX), add(INDEX, "sql/postgres/0001_more.sql")]
    found = json.loads(project.run("lint", "--json", *files).stdout)
    ours = [each for each in found["findings"] if not each["code"].startswith("squawk:")]

    assert found["engine"] is None
    assert [("index-locks-writes", files[1], 3)] == [(each["code"], each["file"], each["line"]) for each in ours]


def test_the_folder_of_another_engine_is_linted_on_order(project, add):
    missing = project.run("lint", "--engine", "postgres")
    add(INDEX, "sql/postgres/0001_more.sql")

    assert 3 == missing.exit_code
    assert "the migrations folder sql/postgres does not exist" in missing.stdout
    assert 5 == project.run("lint", "--engine", "postgres", "--fail-on", "dangerous").exit_code


def test_what_is_let_through_is_counted_and_fails_no_hook(project, add):
    file = add(
        DROP.replace("DROP", "-- lint:ignore parent-dropped empty\n-- lint:ignore table-dropped unused\nDROP", 1)
    )
    result = project.run("lint", "--fail-on", "caution", file)
    found = json.loads(project.run("lint", "--json", file).stdout)

    assert (0, "1 migration for sqlite: nothing to tell, 2 let through\n") == (result.exit_code, result.stdout)
    assert [] == found["findings"]
    assert {("let-through", "caution", file, 4)} == {
        tuple(each[key] for key in ("code", "risk", "file", "line")) for each in found["let_through"]
    }


def test_what_is_let_through_is_shown_to_a_reviewer(project, add):
    shutil.copytree(project.folder, project.folder / "old")
    file = add(f"-- lint:ignore table-dropped unused\n{DROP}")
    result = project.run("diff", "old/config/rollout.yaml", "config/rollout.yaml", "--allow-outside")
    said = "let through here: table-dropped (dangerous): the table sports is dropped, with its rows — reason: unused"

    assert f"  ~ {said}\n      {file}:3  [let-through]" in result.stdout


def test_a_function_in_dollars_is_no_reason_to_refuse_a_migration_of_postgres(project, add):
    body = "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $f$ BEGIN RETURN 1; END; $f$"
    file = add(DROP.replace("DROP TABLE sports", body), "sql/postgres/0001_more.sql")

    assert 0 == project.run("lint", "--engine", "postgres").exit_code
    assert 0 == project.run("lint", file).exit_code
    assert 3 == project.run("lint", "--engine", "sqlite", file).exit_code


def test_a_folder_stands_for_its_migrations(project, add):
    add(DROP)
    add(INDEX, "sql/postgres/0001_more.sql")
    found = json.loads(project.run("lint", "--json", "sql/sqlite", "sql/postgres").stdout)
    nothing = project.run("lint", "sql")

    assert 5 == len(found["files"])
    assert {"table-dropped", "index-locks-writes"} <= {each["code"] for each in found["findings"]}
    assert 3 == nothing.exit_code
    assert "the folder sql holds no .sql file" in nothing.stdout


def test_a_file_that_is_not_there_is_said_to_be_missing(project):
    result = project.run("lint", "nosuch.sql")

    assert 3 == result.exit_code
    assert "nosuch.sql does not exist" in result.stdout


def test_squawk_joins_in_where_it_is_installed(project, add):
    text = INDEX.replace("-- migrate:down", "ALTER TABLE a ALTER x DROP NOT NULL;\n-- migrate:down")
    file = add(text, "sql/postgres/0001_more.sql")
    found = json.loads(project.run("lint", "--json", file).stdout)
    told = {each["code"] for each in found["findings"]}
    squawked = [each for each in found["findings"] if each["code"] == "squawk:ban-drop-not-null"]

    assert Path(sys.executable).with_name("squawk").exists()
    assert [("caution", file, 4)] == [(each["risk"], each["file"], each["line"]) for each in squawked]
    assert "squawk:require-lock-timeout" not in told  # the option is known to it
    assert "squawk:require-concurrent-index-creation" not in told  # we say so ourselves
    assert "index-locks-writes" in told


def test_squawk_repeats_nothing(project, add):
    statements = [
        "DROP TABLE a",
        "ALTER TABLE a\nDROP COLUMN x",
        "TRUNCATE a CASCADE",
        "ALTER TABLE a ALTER COLUMN x TYPE text",
        "ALTER TABLE a RENAME TO b",
        "ALTER TABLE a ADD COLUMN y text NOT NULL",
        "ALTER TABLE a ADD CONSTRAINT c UNIQUE (x)",
        "ALTER TABLE a ADD CONSTRAINT c FOREIGN KEY (x) REFERENCES b (id)",
        "ALTER TABLE a ALTER x SET NOT NULL",
        "ALTER TABLE a ADD PRIMARY KEY (id)",
        "ALTER TABLE a ADD z uuid DEFAULT gen_random_uuid()",
        "REINDEX TABLE a",
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON a (x)",
        "DROP INDEX j",
        "DROP SCHEMA s",
    ]
    file = add(DROP.replace("DROP TABLE sports", ";\n".join(statements)), "sql/postgres/0001_more.sql")
    found = json.loads(project.run("lint", "--json", file).stdout)
    squawked = {each["code"] for each in found["findings"] if each["code"].startswith("squawk:")}

    assert None is found["squawk"]
    assert {"squawk:require-statement-timeout"} == squawked


@pytest.mark.parametrize("script", ["echo nonsense", "exit 3", "echo '[{}]'", "echo '[1]'"])
def test_a_squawk_that_fails_is_told_and_stops_nothing(project, add, tmp_path, script):
    file = add(INDEX, "sql/postgres/0001_more.sql")
    squawk = tmp_path / "bin" / "squawk"
    squawk.parent.mkdir()
    squawk.write_text(f"#!/bin/sh\n{script}\n")
    squawk.chmod(squawk.stat().st_mode | stat.S_IXUSR)
    result = project.run("lint", file, PATH=str(squawk.parent))

    assert 0 == result.exit_code
    assert "index-locks-writes" in result.stdout
    assert "1 migration for postgres: 1 dangerous (squawk could not be understood: " in result.stdout


def test_a_file_that_is_not_valid_is_told_and_its_neighbours_do_not_matter(project, add):
    wrong, right = add("SELECT 1;\n", "sql/sqlite/0004_wrong.sql"), add(DROP, "sql/sqlite/0005_right.sql")

    assert 3 == project.run("lint", wrong).exit_code
    assert 0 == project.run("lint", right).exit_code
    assert 3 == project.run("lint", "sql/sqlite/0009_nowhere.sql").exit_code


@pytest.mark.parametrize(
    "arguments",
    [("config/rollout.yaml", "a.sql"), ("a.yaml", "b.yaml"), ("--env", "local", "a.sql"), ("--fail-on", "safe")],
)
def test_a_mixture_is_no_use(project, arguments):
    assert 64 == project.run("lint", *arguments).exit_code
