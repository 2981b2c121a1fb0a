"""A config that `runner init` makes is valid as it is, works on the database it was made for, and costs it nothing."""

import hashlib
import json
import sqlite3
from contextlib import closing

import pytest
from conftest import ROOT, Project

from runner.config.load import load
from runner.config.starter import START

HOSTILE = [
    "x'); DROP TABLE y;--",
    "on",
    "010",
    "a: b",
    "${HOME}",
    "$${A}",
    "# no",
    "- {",
    'say "hi" \\n',
    "ümläut ☃",
    "1e3",
    "~",
]
DATA = {"${HOME}": "${HOME}", "on": [1, 2.5, None, True, "no"], "a: b\n": {"": "tab\t\u2028\u202e\x00"}, "n": 10**17}
SLOW = "speed: 120"


def made(folder):
    """A project in *folder*; its files are made by init."""
    return Project(folder)


def hurry(project):
    project.edit("config/rollout.yaml", SLOW, "speed: 6000")


def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def create(path, *migrations):
    """Make a database of the application's own, by the bundled migrations; nothing of the runner is in it."""
    connection = sqlite3.connect(path)
    for name in migrations:
        text = (ROOT / "sql" / "sqlite" / name).read_text()
        connection.executescript(text.split("-- migrate:up")[1].split("-- migrate:down")[0])
    return connection


@pytest.fixture
def lived_in(tmp_path):
    """A folder with a database that holds providers, entries and tables whose names were not chosen for YAML."""
    connection = create(
        tmp_path / "app.db", "0001_core_tables.sql", "0002_provider_states.sql", "0003_portfolio_rationales.sql"
    )
    with connection:
        connection.executemany("INSERT INTO providers VALUES (?)", [(name,) for name in HOSTILE])
        connection.executemany(
            "INSERT INTO provider_states (provider_name, sport, is_enabled, status, poll_interval_seconds,"
            " timeout_seconds, max_retries, capabilities) VALUES (?, ?, ?, 'ACTIVE', 90, 30, 2, ?)",
            [
                (name, sport, number % 2, canonical(DATA))
                for number, name in enumerate(HOSTILE)
                for sport in ("MLB", "NBA")[: 1 + number % 2]
            ],
        )
        for number in range(60):
            data = canonical([number, DATA])
            connection.execute(
                "INSERT INTO portfolio_rationales (cache_key, cache_type, rationale_type, data_json, data_hash,"
                " confidence, updated_at, expires_at) VALUES (?, 'player', 'CACHE_PLAYER', ?, ?, 0.75,"
                " '2099-01-01 00:00:00', '2099-01-01 01:30:00')",
                (f"player:${{HOME}}:{number:02d}", data, f"sha256:{hashlib.sha256(data.encode()).hexdigest()}"),
            )
        connection.execute('CREATE TABLE "or;der \'"" by"(x)')
        connection.execute('INSERT INTO "or;der \'"" by" VALUES (1)')
        connection.execute("CREATE TABLE [select](x)")
    connection.close()
    return made(tmp_path)


def test_a_new_project_is_valid_and_rolls_out_as_it_is(tmp_path):
    project = made(tmp_path)

    first = project.run("init")
    hurry(project)

    assert [0] * 4 == [first.exit_code, *(project.run(name).exit_code for name in ("validate", "plan", "apply"))]
    assert "6 of 6 passed" in project.run("check").stdout
    assert (1, 1) == project.on()


def test_init_writes_over_nothing_and_names_all_that_is_there(tmp_path):
    project = made(tmp_path)
    (tmp_path / "config").mkdir()
    for name in ("caches", "rollout"):
        (tmp_path / f"config/{name}.yaml").write_text("mine")

    result = project.run("init")

    assert (1, "") == (result.exit_code, result.stderr)
    assert "error: there already: config/caches.yaml and config/rollout.yaml\n" in result.stdout
    assert ["caches.yaml", "rollout.yaml"] == sorted(path.name for path in tmp_path.rglob("*.*"))
    assert "mine" == (tmp_path / "config/rollout.yaml").read_text()


def test_nothing_is_left_where_not_all_can_be_written(tmp_path):
    (tmp_path / "sql").write_text("a file, where a folder should be")

    result = made(tmp_path).run("init", "--json")

    assert 1 == result.exit_code
    assert "the system says" in json.loads(result.stdout)["problems"][0]["what"]
    assert [tmp_path / "sql"] == list(tmp_path.iterdir())


def test_what_a_database_holds_is_declared_as_it_is_and_the_database_is_only_read(lived_in):
    path = lived_in.folder / "app.db"
    before = path.read_bytes()

    result = lived_in.run("init", "--database", "app.db")

    assert (0, "") == (result.exit_code, result.stderr)
    assert (before, ["app.db"]) == (path.read_bytes(), [each.name for each in lived_in.folder.glob("app.db*")])
    rollout = load(lived_in.folder / "config/rollout.yaml", environ={})
    assert sorted(HOSTILE) == sorted(provider.name for provider in rollout.providers)
    assert [DATA] * len(HOSTILE) == [provider.capabilities for provider in rollout.providers]
    assert [[number, DATA] for number in range(50)] == [entry.data for entry in rollout.caches]
    assert {5400.0} == {entry.ttl_s for entry in rollout.caches}
    assert "note: 10 cache entries are left out, and stay as they are" in result.stdout


def counted(project):
    """How many entries there are, and what the live columns count, in which answers of the stand-in have no place."""
    with closing(sqlite3.connect(project.folder / "app.db")) as connection:
        return [
            connection.execute(sql).fetchone()
            for sql in (
                "SELECT count(*) FROM portfolio_rationales",
                "SELECT total(total_requests), total(total_props_fetched) FROM provider_states",
            )
        ]


def test_what_was_found_is_planned_to_be_left_alone_and_can_be_applied(lived_in):
    lived_in.run("init", "--database", "app.db")
    hurry(lived_in)
    before = counted(lived_in)

    plan = json.loads(lived_in.run("plan", "--json").stdout)
    applied = lived_in.run("apply")

    assert [] == [step for step in plan["steps"] if step["step"] != "stage"]
    assert 0 == applied.exit_code, applied.stdout
    assert "0 could not be evaluated: 100.0 %" in applied.stdout
    assert before == counted(lived_in)


def test_what_the_runner_needs_is_made_and_taken_back_and_the_rest_stays(tmp_path):
    connection = sqlite3.connect(tmp_path / "shop.db")
    with connection:
        connection.executescript(
            "CREATE TABLE orders (id INTEGER PRIMARY KEY); INSERT INTO orders VALUES (1), (2);"
            "CREATE TABLE sports (code TEXT PRIMARY KEY); CREATE TABLE providers (name TEXT PRIMARY KEY);"
            "INSERT INTO providers VALUES ('o''neill; --')"
        )
    connection.close()
    project = made(tmp_path)

    said = json.loads(project.run("init", "--database", f"sqlite:///{tmp_path / 'shop.db'}", "--json").stdout)
    hurry(project)

    assert ["0001_core_tables.sql", "0002_provider_states.sql", "0003_portfolio_rationales.sql"] == [
        name.rpartition("/")[2] for name in said["written"] if name.startswith("sql/")
    ]
    codes = [project.run(*words.split()).exit_code for words in ("apply", "check", "rollback --level emergency")]
    assert [0, 0, 0] == codes
    left = sqlite3.connect(tmp_path / "shop.db").execute("SELECT * FROM providers, orders").fetchall()
    assert [("o'neill; --", 1), ("o'neill; --", 2)] == left
    assert [] == sqlite3.connect(tmp_path / "shop.db").execute("SELECT * FROM sports").fetchall()


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("CREATE TABLE providers (id INTEGER PRIMARY KEY)", "the table providers is not one"),
        ("CREATE TABLE sports (code TEXT)", "nothing says that code are unique"),
        ("CREATE VIEW provider_states AS SELECT 1", "it is the view provider_states"),
        ("CREATE TABLE Sports (code TEXT PRIMARY KEY)", "it is the table Sports"),
        ("CREATE TABLE provider_states (provider_name, sport)", "it has no column poll_interval_seconds, "),
    ],
)
def test_a_table_of_another_form_is_refused_by_name(tmp_path, table, said):
    sqlite3.connect(tmp_path / "app.db").execute(table).connection.close()

    result = made(tmp_path).run("init", "--database", "app.db")

    assert 7 == result.exit_code
    assert said in result.stdout
    assert ["app.db"] == [path.name for path in tmp_path.iterdir()]


def test_a_database_with_applied_migrations_needs_their_files(seeded, tmp_path):
    (tmp_path / "rollout.db").write_bytes(seeded.database.read_bytes())
    project = made(tmp_path)

    refused = project.run("init", "--database", "rollout.db")
    assert 7 == refused.exit_code
    assert "0001_core_tables.sql, 0002_provider_states.sql, 0003_portfolio_rationales.sql was applied" in refused.stdout
    (tmp_path / "sql").mkdir()
    (tmp_path / "sql/sqlite").symlink_to(ROOT / "sql/sqlite")

    assert 0 == project.run("init", "--database", "rollout.db").exit_code
    assert 28 == len(load(tmp_path / "config/rollout.yaml", environ={}, allow_outside=True).targets)
    assert [0, 0] == [project.run(name, "--allow-outside").exit_code for name in ("validate", "plan")]


@pytest.mark.parametrize("database", ["nowhere.db", "postgres://host/db", "."])
def test_a_database_that_is_not_there_is_wrong_usage(tmp_path, database):
    result = made(tmp_path).run("init", "--database", database)

    assert 64 == result.exit_code
    assert "Invalid value for --database" in result.stderr
    assert [] == list(tmp_path.iterdir())


def test_the_migrations_that_init_writes_are_those_of_the_bundled_rollout():
    for number, name in ((2, "provider_states"), (3, "portfolio_rationales")):
        bundled = ROOT / "sql" / "sqlite" / f"{number:04d}_{name}.sql"
        assert bundled.read_text() == (START / f"{name}.sqlite.sql").read_text()


def test_a_table_may_be_called_as_yaml_calls_nothing(tmp_path):
    with closing(sqlite3.connect(tmp_path / "app.db")) as connection:
        connection.executescript('CREATE TABLE "null" (a); CREATE TABLE "on" (a); INSERT INTO "null" VALUES (1)')
    project = made(tmp_path)

    assert 0 == project.run("init", "--database", "app.db").exit_code
    assert {"null", "on"} <= {criterion.table for criterion in load(tmp_path / "config/rollout.yaml").criteria}
