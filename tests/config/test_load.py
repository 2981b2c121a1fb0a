import re
import shutil
import sqlite3
from collections import Counter
from pathlib import Path

import pytest

from runner.config.database import NotADatabase, engine_of
from runner.config.load import declaration, load, shown_path
from runner.config.model import FaultKind, Mode, Policy, Selector, Statistic
from runner.errors import ExitCode, InvalidConfig

ROOT = Path(__file__).parents[2]
BUNDLED = ROOT / "config" / "rollout.yaml"


@pytest.fixture(scope="module")
def rollout():
    return load(BUNDLED, environ={})


@pytest.fixture
def edited(tmp_path):
    """Load a copy of the bundled rollout in which each `(file, old, new)` was replaced."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    shutil.copytree(ROOT / "sql", tmp_path / "sql")

    def load_edited(*edits, environment=None, **environ):
        for file, old, new in edits:
            path = tmp_path / "config" / file
            assert old in path.read_text()
            path.write_text(path.read_text().replace(old, new))
        return load(tmp_path / "config" / "rollout.yaml", environment, environ)

    return load_edited


def test_seven_providers_serve_four_sports(rollout):
    assert len(rollout.targets) == 28
    assert len({target.key for target in rollout.targets}) == 28
    assert len(list(rollout.select(Selector(enabled=True)))) == 12
    assert len(list(rollout.select(Selector(priority="high")))) == 8
    assert sum(target.provider.status == "ACTIVE" for target in rollout.targets) == 4
    assert len(list(rollout.select(Selector(sports=("NHL",))))) == 7


def test_the_providers_are_those_of_the_facts(rollout):
    facts = [(p.name, p.enabled, p.priority, p.poll_interval_s, p.timeout_s, p.retries) for p in rollout.providers]

    assert facts == [
        ("stub", True, "high", 300, 10, 1),
        ("draftkings", True, "high", 60, 30, 3),
        ("fanduel", True, "normal", 60, 30, 3),
        ("prizepicks", False, "normal", 120, 45, 3),
        ("betmgm", False, "normal", 60, 30, 3),
        ("theodds", False, "normal", 90, 60, 2),
        ("sportsradar", False, "normal", 30, 30, 3),
    ]
    assert all(provider.endpoint is None for provider in rollout.providers)


def test_there_are_25_cache_entries(rollout):
    lifetimes = {entry.rationale_type: entry.ttl_s for entry in rollout.caches}

    assert Counter(entry.rationale_type for entry in rollout.caches) == {
        "CACHE_CORRELATION": 15,
        "CACHE_FACTOR": 4,
        "CACHE_PLAYER": 6,
    }
    assert lifetimes == {"CACHE_CORRELATION": 3 * 3600, "CACHE_FACTOR": 6 * 3600, "CACHE_PLAYER": 3600}
    correlations = [entry for entry in rollout.caches if entry.type == "correlation"]
    assert all(0.70 <= entry.confidence <= 0.85 for entry in correlations)
    assert not any("NHL" in entry.key for entry in correlations)


def test_the_recorded_sample_hits_37_times_in_50(rollout):
    seeded = {entry.key for entry in rollout.caches}

    assert len(rollout.lookups) == 50
    assert sum(key in seeded for key in rollout.lookups) == 37


def test_the_stages_go_from_measuring_to_everything(rollout):
    assert [(stage.name, stage.mode, stage.duration_s, stage.ticks) for stage in rollout.stages] == [
        ("dark_mode", Mode.OBSERVE, 600, 20),
        ("shadow_mode", Mode.SHADOW, 900, 30),
        ("partial_active", Mode.ACTIVE, 1200, 40),
        ("full_active", Mode.ACTIVE, 600, 20),
    ]
    assert [2 * stage.duration_s for stage in rollout.stages] == [stage.deadline_s for stage in rollout.stages]


def test_who_is_probed_follows_from_who_is_activated(rollout):
    assert [Selector(enabled=True), Selector(enabled=True), Selector(priority="high"), Selector()] == [
        stage.probe for stage in rollout.stages
    ]


def test_a_threshold_without_a_statistic_takes_the_one_of_its_metric(rollout):
    assert [
        (t.metric, t.statistic, t.min, t.max, t.min_samples, t.by_provider) for t in rollout.stages[0].thresholds
    ] == [
        ("errors", Statistic.SUM, None, 5, 1, False),
        ("response_time_ms", Statistic.MEAN, None, 1000, 10, True),
        ("cache_hit_rate_pct", Statistic.LAST, 70, None, 50, False),
    ]


def test_a_stage_overrides_a_threshold_key_by_key(edited):
    stages = edited(
        (
            "rollout.yaml",
            "refresh: all",
            "refresh: all\n    thresholds:\n      response_time_ms: {max: 300, on_error: rollback}",
        )
    ).stages

    first, last = (stage.thresholds[1] for stage in (stages[0], stages[3]))
    assert (first.max, first.min_samples, first.on_error) == (1000, 10, Policy.HOLD)
    assert (last.max, last.min_samples, last.on_error) == (300, 10, Policy.ROLLBACK)


def test_a_limit_in_a_row_replaces_the_limit_of_all_failures(edited):
    stages = edited(("rollout.yaml", "{max: 5} ", "{max: 5, consecutive_failure_limit: 3} ")).stages

    assert (stages[0].thresholds[0].failure_limit, stages[0].thresholds[0].consecutive_failure_limit) == (None, 3)
    assert (stages[0].thresholds[1].failure_limit, stages[0].thresholds[1].consecutive_failure_limit) == (0, None)


NAMES = ("STUB", "DRAFTKINGS", "FANDUEL", "PRIZEPICKS", "BETMGM", "THEODDS", "SPORTSRADAR")
ADDRESSES = {f"{name}_URL": "https://odds.example/{sport}" for name in NAMES} | {"API_URL": "https://odds.example/"}


def test_production_refuses_the_stand_in(edited):
    with pytest.raises(InvalidConfig) as caught:
        edited(
            environment="production", DATABASE_URL="sqlite:///a.db", **{**ADDRESSES, "FANDUEL_URL": "", "API_URL": ""}
        )

    assert [
        "api_answers has no url, and production refuses the stand-in",
        "fanduel has no endpoint, and production refuses the stand-in",
    ] == [problem.what for problem in caught.value.problems]


def test_local_is_the_default(rollout, edited):
    production = edited(environment="production", DATABASE_URL="sqlite:////srv/odds.db", **ADDRESSES)

    assert (
        rollout.environment.name,
        rollout.environment.database,
        rollout.environment.engine,
        rollout.environment.speed,
    ) == ("local", "sqlite:///rollout.db", "sqlite", 120)
    assert (
        production.environment.name,
        production.environment.database,
        production.environment.speed,
    ) == ("production", "sqlite:////srv/odds.db", 1)


def test_a_variable_of_another_environment_may_be_unset(edited):
    other = edited(
        (
            "rollout.yaml",
            'production: {database: "${DATABASE_URL}", stand_in: refused, rehearsal: required}',
            'production:\n    database: "${DATABASE_URL}"\n    speed: ${SPEED}',
        )
    )

    assert other.environment.name == "local"
    assert edited(environment="production", DATABASE_URL="sqlite:///a.db", SPEED="2.5").environment.speed == 2.5


def test_an_endpoint_from_the_environment_is_used_and_not_declared(edited):
    rollout = edited(DRAFTKINGS_URL="https://user:hunter2@odds.example/{sport}")

    assert rollout.providers[1].endpoint == "https://user:hunter2@odds.example/{sport}"
    assert "hunter2" not in str(rollout.declared)


def test_faults_come_from_the_file_and_the_environment(edited):
    rollout = edited(
        (
            "rollout.yaml",
            "rollback:",
            "stand_in: {faults: [{provider: fanduel, kind: slow, delay: 2s, since: full_active}]}\nrollback:",
        ),
        RUNNER_STAND_IN_FAULTS="draftkings:fail=500@partial_active, fanduel:slow=1500ms,*:hang",
    )

    assert [(fault.provider, fault.kind, fault.since, fault.delay_s, fault.status) for fault in rollout.faults] == [
        ("fanduel", FaultKind.SLOW, "full_active", 2.0, 503),
        ("draftkings", FaultKind.FAIL, "partial_active", 1.5, 500),
        ("fanduel", FaultKind.SLOW, None, 1.5, 503),
        ("*", FaultKind.HANG, None, 1.5, 503),
    ]


@pytest.mark.parametrize(
    "edit",
    [
        ("rollout.yaml", "# measure only", "# look, do not touch"),
        ("rollout.yaml", "mode: observe\n    duration: 10m", "duration: 10m\n    mode: observe"),
        ("rollout.yaml", "rollback: {on_breach: previous}", "rollback:\n  on_breach: 'previous'"),
        ("providers.yaml", "\n", "\r\n"),
    ],
)
def test_how_a_config_is_written_does_not_change_its_digest(rollout, edited, edit):
    assert rollout.digest == edited(edit).digest


@pytest.mark.parametrize(
    "edit",
    [
        ("rollout.yaml", "{max: 5} ", "{max: 6} "),
        ("providers.yaml", "retries: 2", "retries: 3"),
        ("caches.yaml", "ttl: 6h", "ttl: 7h"),
    ],
)
def test_what_a_config_says_changes_its_digest(rollout, edited, edit):
    assert rollout.digest != edited(edit).digest


def test_the_environment_does_not_change_the_digest(rollout, edited):
    assert rollout.digest == edited(DRAFTKINGS_URL="https://odds.example").digest


def test_an_unknown_environment_is_refused_with_the_exit_code_of_a_bad_config():
    with pytest.raises(InvalidConfig) as caught:
        load(BUNDLED, "nowhere", {})

    assert caught.value.exit_code is ExitCode.INVALID


def test_files_are_named_as_one_would_type_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert shown_path(tmp_path / "config" / "a.yaml") == "config/a.yaml"
    assert shown_path(Path("config/../sql/a.sql")) == "sql/a.sql"
    assert str(tmp_path.parent / "a.yaml") == shown_path(Path("../a.yaml"))


def test_an_empty_folder_of_migrations_is_fine(edited, tmp_path):
    for file in (tmp_path / "sql" / "sqlite").iterdir():
        file.unlink()
    (tmp_path / "sql" / "sqlite" / ".gitkeep").touch()
    (tmp_path / "sql" / "sqlite" / "README.md").touch()

    assert edited().migrations == ()


@pytest.fixture
def database():
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("PRAGMA foreign_keys = ON")
    yield connection
    connection.close()


def apply(database, migrations, section):
    for migration in migrations:
        for statement in getattr(migration, section):
            database.execute(statement.sql)


def columns(database, table):
    return [row[0] for row in database.execute("SELECT name FROM pragma_table_info(?)", [table])]


def test_the_migrations_make_the_two_tables_and_verify_them(rollout, database):
    apply(database, rollout.migrations, "up")

    assert len(columns(database, "provider_states")) == 22
    assert len(columns(database, "portfolio_rationales")) == 24
    for migration in rollout.migrations:
        assert migration.verify
        assert [1] * len(migration.verify) == [database.execute(query.sql).fetchone()[0] for query in migration.verify]
    indexes = database.execute("SELECT count(*) FROM sqlite_master WHERE type = 'index' AND name LIKE 'ix_%'")
    assert indexes.fetchone() == (9,)


def test_down_leaves_nothing(rollout, database):
    apply(database, rollout.migrations, "up")
    apply(database, reversed(rollout.migrations), "down")

    assert database.execute("SELECT name FROM sqlite_master").fetchall() == []


def test_verification_sees_a_missing_column_index_and_key(rollout, database):
    apply(database, rollout.migrations, "up")
    states = rollout.migrations[1].verify
    database.execute("ALTER TABLE provider_states DROP COLUMN last_error")
    database.execute("DROP INDEX ix_provider_states_sport")

    assert [database.execute(query.sql).fetchone()[0] for query in states] == [0, 0, 1, 1]

    database.execute("DROP TABLE provider_states")
    database.execute("CREATE TABLE provider_states (provider_name, sport)")
    assert not any(database.execute(query.sql).fetchone()[0] for query in states)


def test_core_tables_that_the_application_has_already_are_kept(rollout, database):
    database.execute("CREATE TABLE sports (code TEXT PRIMARY KEY, title TEXT)")
    database.execute("INSERT INTO sports VALUES ('NBA', 'Basketball'), ('MLS', 'Soccer')")
    apply(database, rollout.migrations, "up")

    sports = database.execute("SELECT code, title FROM sports ORDER BY code").fetchall()
    assert sports == [("MLB", None), ("MLS", "Soccer"), ("NBA", "Basketball"), ("NFL", None), ("NHL", None)]


STATE = {
    "provider_name": "stub",
    "sport": "NBA",
    "poll_interval_seconds": 60,
    "timeout_seconds": 10,
    "max_retries": 1,
}
ENTRY = {
    "cache_key": "k",
    "cache_type": "player",
    "rationale_type": "CACHE_PLAYER",
    "data_json": "{}",
    "data_hash": "x",
}


@pytest.mark.parametrize(
    ("table", "row", "fine"),
    [
        ("provider_states", {}, True),
        ("provider_states", {"status": "BROKEN"}, False),
        ("provider_states", {"is_enabled": 2}, False),
        ("provider_states", {"capabilities": "{"}, False),
        ("provider_states", {"provider_name": "nobody"}, False),
        ("provider_states", {"sport": "XFL"}, False),
        ("portfolio_rationales", {}, True),
        ("portfolio_rationales", {"rationale_type": "RISK_ANALYSIS"}, True),
        ("portfolio_rationales", {"rationale_type": "OTHER"}, False),
        ("portfolio_rationales", {"data_json": "nothing"}, False),
        ("portfolio_rationales", {"confidence": 1.1}, False),
        ("portfolio_rationales", {"is_flagged": 2}, False),
    ],
)
def test_the_tables_refuse_what_cannot_be(rollout, database, table, row, fine):
    apply(database, rollout.migrations, "up")
    whole = {**(STATE if table == "provider_states" else ENTRY), **row}
    insert = f"INSERT INTO {table} ({', '.join(whole)}) VALUES ({', '.join(f':{name}' for name in whole)})"

    if fine:
        database.execute(insert, whole)
        with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
            database.execute(insert, whole)
    else:
        with pytest.raises(sqlite3.IntegrityError):
            database.execute(insert, whole)


def test_a_value_from_the_environment_is_never_shown(edited):
    with pytest.raises(InvalidConfig) as caught:
        edited(
            ("rollout.yaml", "activate: {priority: high}", 'activate: {providers: ["${KEY}"]}'),
            ("rollout.yaml", "mode: shadow", "mode: ${KEY}"),
            ("rollout.yaml", "speed: 120", 'speed: "${KEY}"'),
            ("providers.yaml", "sports: [MLB, NBA, NFL, NHL]", "sports: [MLB, NBA, NFL, NHL]\nversoin: 1"),
            ("providers.yaml", "${FANDUEL_URL:-}", "${KEY}"),
            KEY="hunter2",
        )

    assert len(caught.value.problems) == 5
    assert "${KEY}" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "edits",
    [
        [("interval: 30s", "interval: 10m"), (", min_samples: 10, by: provider", "")],
        [("    duration: 15m", "    duration: 15m\n    deadline: 15m")],
        [("{min: 70, ", "{min: 100, max: 100, ")],
        [("{min: 70, ", "{min: 0, ")],
        [("{max: 5} ", "{warn_max: 5} ")],
        [("min_samples: 10,", "min_samples: 80,")],
        [("rollback: {on_breach: previous}", "")],
        [("activate: all", "activate: {sports: [NHL]}\n    probe: {providers: [stub]}")],
    ],
)
def test_the_limits_of_every_check_are_allowed(edited, edits):
    assert len(edited(*(("rollout.yaml", old, new) for old, new in edits)).stages) == 4


def test_an_exit_criterion_has_its_category_and_the_defaults_of_its_kind(rollout):
    criteria = {criterion.name: criterion for criterion in rollout.criteria}
    rows, api, sound = (criteria[name] for name in ("provider_rows", "api_answers", "database_integrity"))

    assert ("provider_states", "count", ">= 24", "fail", 5.0, None) == (
        rows.category, rows.subject, str(rows.expect), rows.severity, rows.timeout_s, rows.where,
    )  # fmt: skip
    assert ("system_health", None, "== 'answers'") == (api.category, api.url, str(api.expect))
    assert ("== 0", 60.0) == (str(sound.expect), sound.timeout_s)
    assert "https" not in repr(api._replace(url="https://odds.example/hunter2"))


def test_an_exit_criterion_says_what_differs(edited):
    [changed] = [
        criterion
        for criterion in edited(
            ("rollout.yaml", "{kind: database}", "{kind: database, severity: warn, timeout: 200ms}"),
            ("rollout.yaml", "  system_health:", "  own_health:"),
        ).criteria
        if criterion.name == "database_answers"
    ]

    assert ("own_health", "warn", 0.2) == (changed.category, changed.severity, changed.timeout_s)


def test_who_only_reads_needs_no_secret(tmp_path):
    for folder in ("config", "sql"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    path = tmp_path / "config/rollout.yaml"
    providers = path.with_name("providers.yaml")
    providers.write_text(providers.read_text().replace("${FANDUEL_URL:-}", "${FANDUEL_URL}"))
    text = path.read_text()
    [line] = [line for line in text.splitlines() if line.startswith("  production:")]
    path.write_text(
        text.replace(line, "  production:\n    database: ${DATABASE_URL}\n    stand_in: refused\n    speed: ${SPEED}")
    )

    with pytest.raises(InvalidConfig) as every:
        load(path, "production", {})
    with pytest.raises(InvalidConfig) as only:
        declaration(path, "production", {}, secrets_known=False)
    found = declaration(path, "production", {"SPEED": "2"}, secrets_known=False).rollout

    assert {"DATABASE_URL", "SPEED", "FANDUEL_URL"} <= set(re.findall(r"[A-Z]+_?[A-Z]+", str(every.value)))
    assert "${SPEED} needs the environment variable SPEED, which is not set" in str(only.value)
    assert 1 == len(only.value.problems)
    assert ("sqlite", 2.0, False) == (found.environment.engine, found.environment.speed, found.environment.stand_in)
    assert "${FANDUEL_URL}" == found.declared["providers"]["providers"][2]["endpoint"]


@pytest.mark.parametrize(
    "url", ["rollout.db", "mongodb://x", "sqlite:///", "sqlite:///a/", "sqlite:///a%00b", "sqlite:///a?b"]
)
def test_a_url_that_names_no_file_is_no_database(url):
    with pytest.raises(NotADatabase):
        engine_of(url)
