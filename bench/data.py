"""Configs to measure with: the bundled one, faster, larger, or with more migrations. Written, not built."""

from __future__ import annotations

import shutil
from pathlib import Path

HOME = Path(__file__).parent.parent
SPORTS = ("MLB", "NBA", "NFL", "NHL")
DATABASE = "rollout.db"


def bundled(folder: Path, *, speed: int = 100_000) -> Path:
    """Copy the bundled config and migrations below *folder*, to run at *speed*; return the config's path."""
    shutil.copytree(HOME / "config", folder / "config")
    shutil.copytree(HOME / "sql", folder / "sql")
    rollout = folder / "config" / "rollout.yaml"
    text = rollout.read_text("utf-8")
    assert "speed: 120}" in text, "config/rollout.yaml has no speed to replace"  # noqa: S101  it would measure nothing
    rollout.write_text(text.replace("speed: 120}", f"speed: {speed}}}"), "utf-8")
    return rollout


def remove_database(folder: Path) -> None:
    """Begin anew: remove the database in *folder* and what SQLite keeps beside it."""
    shutil.rmtree(folder / f"{DATABASE}.runner", ignore_errors=True)
    for path in folder.glob(f"{DATABASE}*"):
        path.unlink()


def large(folder: Path, providers: int, entries: int) -> Path:
    """Write a config with that many providers, of one sport each, and cache entries; return its path."""
    rollout = bundled(folder)
    with (folder / "config" / "providers.yaml").open("w", encoding="utf-8") as file:
        file.write(f"version: 1\nsports: [{', '.join(SPORTS)}]\nproviders:\n")
        file.writelines(_provider(number) for number in range(providers))
    with (folder / "config" / "caches.yaml").open("w", encoding="utf-8") as file:
        file.write(
            "version: 1\ntypes:\n  correlation:\n    rationale_type: CACHE_CORRELATION\n    ttl: 3h\n    entries:\n"
        )
        file.writelines(_entry(number) for number in range(entries))
        file.write('lookups:\n  - {key: "correlation:0", times: 50}\n')
    # the application's own table of providers, which provider_states refers to
    (folder / "sql" / "sqlite" / "0004_more_providers.sql").write_text(
        "-- migrate:up\n"
        f"WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {providers - 1})\n"
        "INSERT INTO providers (name) SELECT printf('provider-%05d', i) FROM n;\n",
        "utf-8",
    )
    return rollout


def _provider(number: int) -> str:
    return (
        f"  - {{name: provider-{number:05}, sports: [{SPORTS[number % 4]}], enabled: true, priority: high,"
        " poll_interval: 60s, timeout: 30s, retries: 3,"
        " capabilities: {live_odds: true, props: true, requests_per_minute: 120}}\n"
    )


def _entry(number: int) -> str:
    sport, strength = SPORTS[number % 4], 0.5 + number % 50 / 100
    return (
        f'      - {{key: "correlation:{number}", confidence: {strength:.2f},'
        f" data: {{sport: {sport}, stat: stat_{number}, strength: {strength:.2f}}}}}\n"
    )


def with_migrations(folder: Path, count: int) -> Path:
    """Write the bundled config with *count* small migrations after its own; return its path."""
    rollout = bundled(folder)
    for number in range(count):
        name = f"{number + 4:04}_step_{number}.sql"
        (folder / "sql" / "sqlite" / name).write_text(_migration(number), "utf-8")
    return rollout


def _migration(number: int) -> str:
    """Return a table, an index on it and two inserts into it, in turn."""
    table = f"step_{number - number % 4}"
    up, down = (
        (f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, name TEXT NOT NULL, size INTEGER)", f"DROP TABLE {table}"),
        (f"CREATE INDEX {table}_name ON {table} (name)", f"DROP INDEX {table}_name"),
        (f"INSERT INTO {table} (name, size) VALUES ('a', 1), ('b', 2), ('c', 3)", f"DELETE FROM {table}"),
        (f"INSERT INTO {table} (name, size) VALUES ('d', 4)", f"DELETE FROM {table} WHERE name = 'd'"),
    )[number % 4]
    return f"-- migrate:up\n{up};\n\n-- migrate:down\n{down};\n"
