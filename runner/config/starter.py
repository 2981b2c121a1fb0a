"""
The first files of a new project, as text: small, commented, and valid as they are.

What is found in a database comes in as plain data; what comes out is the text of every file by its path.
"""

from __future__ import annotations

import re
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

from runner.config.editor import schemas
from runner.config.shape import SCHEMAS
from runner.config.yamltext import duration, flow, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

START = SCHEMAS.with_name("start")
FOLDER = "config"
MIGRATIONS = "sql/sqlite"
WORD = re.compile(r"[a-z][a-z0-9_-]{0,63}")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
MOST_LOOKUPS = 20
"""Keys of cache entries that are looked up at every tick, for a start."""


class Provider(NamedTuple):
    """A provider as its rows say; `sports` is empty where it serves all, `different` counts rows that say otherwise."""

    name: str
    enabled: bool
    status: str
    poll_s: int
    timeout_s: int
    retries: int
    sports: tuple[str, ...] = ()
    capabilities: dict[str, Any] = {}  # noqa: RUF012  a NamedTuple's default, which nobody changes
    rows: int = 0
    different: int = 0


class Entry(NamedTuple):
    """A cache entry; `data` is any JSON value, written as YAML already."""

    key: str
    confidence: float
    data: str


class Type(NamedTuple):
    """Cache entries of one type, and how many more of them there are."""

    name: str
    rationale_type: str
    ttl_s: int
    entries: tuple[Entry, ...]
    more: int = 0


class Table(NamedTuple):
    """A table of the application's and its rows; None where they were not counted."""

    name: str
    rows: int | None


class Found(NamedTuple):
    """
    What a project begins with.

    `missing` are the tables that migrations have to make, `parents` the rows that they have to put in: by table, its
    column and the values. `has_migrations` says that migrations stand there already, and none are to be written.
    """

    name: str
    database: str
    sports: tuple[str, ...]
    providers: tuple[Provider, ...]
    types: tuple[Type, ...]
    tables: tuple[Table, ...] = ()
    missing: frozenset[str] = frozenset()
    parents: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
    has_migrations: bool = False


EXAMPLE_SPORT = "NBA"
EXAMPLE = Provider("example", True, "INACTIVE", 60, 30, 3, capabilities={"props": True})  # noqa: FBT003  a row, not a call
EXAMPLE_TYPE = Type("example", "CACHE_EXAMPLE", 3600, (Entry("example:first", 0.8, "{value: 1}"),))


def files(found: Found) -> dict[str, str]:
    """Return the text of every file by its path below the project's folder; `rollout.yaml` is the last."""
    return {
        **{f"{FOLDER}/schema/{name}": content for name, content in schemas().items()},
        **_migrations(found),
        f"{FOLDER}/providers.yaml": "\n".join(_providers(found)) + "\n",
        f"{FOLDER}/caches.yaml": "\n".join(_caches(found)) + "\n",
        f"{FOLDER}/rollout.yaml": "\n".join(_rollout(found)) + "\n",
    }


def word(words: str, taken: Iterable[str] = ()) -> str:
    """Return *words* as a name that a config may give to things, and that is not among *taken*."""
    bare = re.sub(r"[^a-z0-9_-]+", "_", words.lower()).strip("_-")
    bare = (bare if WORD.match(bare) else f"x_{bare}")[:56].rstrip("_")
    known = set(taken)
    names = (bare if number == 1 else f"{bare}_{number}" for number in count(1))
    return next(name for name in names if name not in known)


# rollout.yaml


def _rollout(found: Found) -> Iterator[str]:
    enabled = any(provider.enabled for provider in found.providers)
    lookups = _lookups(found)
    yield _head("rollout")
    yield "# That line is for editors; after an upgrade, `runner schema --out config/schema` writes the schemas anew."
    yield "# What happens where, under which conditions: `runner validate` checks it, `runner plan` shows every step."
    yield "version: 1"
    yield f"name: {text(found.name)}"
    yield "providers: providers.yaml"
    yield "caches: caches.yaml"
    yield "migrations: ../sql/{engine}"
    yield ""
    yield "environments:"
    yield f"  local: {{database: {text(found.database)}, speed: 120}}  # the default; 10 minutes take 5 seconds"
    yield '  production: {database: "${DATABASE_URL}", stand_in: refused, rehearsal: required}  # --env production'
    yield ""
    yield from _measured(found, enabled=enabled, lookups=lookups)
    yield ""
    if enabled:
        yield "probe:"
        yield "  record_live_columns: false  # so that the stand-in's answers are not counted in your rows"
        yield ""
    yield from _stages(found, enabled=enabled)
    yield ""
    yield "rollback: {on_breach: previous}  # or disabled: all the way back"
    yield ""
    yield from _criteria(found)


def _head(name: str) -> str:
    return f"# yaml-language-server: $schema=schema/{name}.schema.json"


def _measured(found: Found, *, enabled: bool, lookups: Sequence[str]) -> Iterator[str]:
    """Yield metrics and thresholds: of what can be measured from the first run on."""
    metrics = {
        "errors": "{kind: probe, reading: errors}",
        "response_time_ms": "{kind: probe, reading: response_time}",
    }
    thresholds = {}
    if enabled:
        thresholds["errors"] = "{max: 5}  # failed requests, counted per stage"
        thresholds["response_time_ms"] = "{max: 1000, min_samples: 10, by: provider}"
    if lookups:
        metrics["cache_hit_rate_pct"] = "{kind: lookup}  # of the look-ups in caches.yaml"
        thresholds["cache_hit_rate_pct"] = f"{{min: 70, min_samples: {len(lookups)}}}"
    watched = max(found.tables, key=lambda table: (table.rows is not None, table.rows or 0), default=None)
    if watched is not None and watched.rows is not None:
        name = word(f"{watched.name}_rows", metrics)
        metrics[name] = f"{{kind: sql, query: {text(_counting(watched.name))}}}"
        least = watched.rows - watched.rows // 10
        thresholds[name] = f"{{min: {least}}}  # of {watched.rows} now: stop where more than a tenth is lost"
    if not thresholds:
        metrics["database_answers"] = "{kind: sql, query: SELECT 1}"
        thresholds["database_answers"] = "{min: 1}"
    yield "metrics:  # what is measured at every tick"
    yield from (f"  {name}: {value}" for name, value in metrics.items())
    yield ""
    yield "thresholds:  # of every stage; a breach rolls back by itself"
    yield from (f"  {name}: {value}" for name, value in thresholds.items())
    if not enabled:
        yield "  # errors: {max: 5}  # once a provider is enabled, and there are requests to be measured"


def _stages(found: Found, *, enabled: bool) -> Iterator[str]:
    writes = ["    activate: {enabled: true}  # the providers that are declared as enabled"] if enabled else []
    if any(kind.entries for kind in found.types):
        writes.append("    refresh: {expiring_within: 1h}  # the cache entries that are about to expire")
    if not enabled:
        writes.append("    # activate: {enabled: true}  # once a provider is enabled")
    if len(writes) == (not enabled):
        writes.append("    refresh: all  # of the cache entries, once caches.yaml has some")
    yield "stages:  # in order; `runner apply --target-stage NAME` stops after one, or walks back to it"
    for name, mode, why, more in (
        ("dark_mode", "observe", "measure only", []),
        ("shadow_mode", "shadow", "run the writes to come, and take them back at once", writes),
        ("full_active", "active", "keep them", writes),
    ):
        yield f"  - name: {name}"
        yield f"    mode: {mode}  # {why}"
        yield "    duration: 10m"
        yield "    interval: 30s"
        yield from more


def _criteria(found: Found) -> Iterator[str]:
    yield "exit_criteria:  # looked at by `runner check`, and after the last stage"
    yield "  database:"
    yield "    database_answers: {kind: database}"
    yield "    database_integrity: {kind: integrity}"
    yield "    provider_states_table: {kind: table, table: provider_states}"
    yield "    portfolio_rationales_table: {kind: table, table: portfolio_rationales}"
    rows = sum(len(provider.sports or found.sports) for provider in found.providers)
    entries = sum(len(kind.entries) for kind in found.types)
    if rows or entries:
        yield "  declared:"
    if rows:
        yield f'    provider_rows: {{kind: count, table: provider_states, expect: ">= {rows}"}}'
    if entries:
        yield "    cache_entries:"
        yield "      kind: count"
        yield "      table: portfolio_rationales"
        yield "      where: substr(rationale_type, 1, 6) = 'CACHE_'"
        yield f'      expect: ">= {entries}"'
    if found.tables:
        yield "  application_tables:  # as they were when this was written"
    taken: set[str] = {"database_answers", "database_integrity", "provider_rows", "cache_entries"}
    taken |= {"provider_states_table", "portfolio_rationales_table"}
    for table in found.tables:
        for name, criterion in _of_table(table, taken):
            taken.add(name)
            yield f"    {name}: {criterion}"


def _of_table(table: Table, taken: set[str]) -> Iterator[tuple[str, str]]:
    """Yield that *table* is there, and that it still has as many rows."""
    named = bool(NAME.fullmatch(table.name))
    if named:
        yield word(f"{table.name}_table", taken), f"{{kind: table, table: {text(table.name)}}}"
    if table.rows is None or (named and not table.rows):
        return
    what = f"kind: count, table: {text(table.name)}" if named else f"kind: sql, query: {text(_counting(table.name))}"
    yield word(f"{table.name}_rows", taken), f'{{{what}, expect: ">= {table.rows}", severity: warn}}'


def _counting(table: str) -> str:
    return 'SELECT count(*) FROM "' + table.replace('"', '""') + '"'


# providers.yaml


def _providers(found: Found) -> Iterator[str]:
    yield _head("providers")
    yield "# Every provider is one row of provider_states for each sport that it serves."
    yield "version: 1"
    yield f"sports: [{', '.join(map(text, found.sports))}]"
    yield ""
    yield "# An endpoint that is empty is answered by the stand-in, where the environment allows it."
    if not any(provider.enabled for provider in found.providers):
        yield "# None of them is enabled yet, so no stage activates one: see `activate` in rollout.yaml."
    yield "providers:"
    variables: set[str] = set()
    for provider in found.providers:
        variable = _variable(provider.name, variables)
        variables.add(variable)
        yield from _provider(provider, variable)


def _variable(name: str, taken: set[str]) -> str:
    bare = re.sub(r"[^A-Z0-9]+", "_", name.upper()).strip("_")
    bare = bare if re.match("[A-Z]", bare) else f"PROVIDER_{bare}".rstrip("_")
    names = (f"{bare}{'' if number == 1 else f'_{number}'}_URL" for number in count(1))
    return next(variable for variable in names if variable not in taken)


def _provider(provider: Provider, variable: str) -> Iterator[str]:
    if provider.different:
        yield f"  # {provider.different} of its {provider.rows} rows are different: apply would write them as this says"
    yield f"  - name: {text(provider.name)}"
    yield f"    enabled: {str(provider.enabled).lower()}"
    if provider.status != "INACTIVE":
        yield f"    status: {provider.status}"
    yield f"    poll_interval: {duration(provider.poll_s)}"
    yield f"    timeout: {duration(provider.timeout_s)}"
    yield f"    retries: {provider.retries}"
    if provider.sports:
        yield f"    sports: [{', '.join(map(text, provider.sports))}]"
    yield f"    endpoint: ${{{variable}:-}}"
    if provider.capabilities:
        yield f"    capabilities: {flow(provider.capabilities)}"


# caches.yaml


def _caches(found: Found) -> Iterator[str]:
    yield _head("caches")
    yield "# The cache entries that are seeded and refreshed, and the look-ups that measure them."
    yield "version: 1"
    if not found.types:
        yield "types: {}"
        yield "# types:"
        yield from (f"# {line}" for line in _type(EXAMPLE_TYPE))
    else:
        yield "types:"
        for kind in found.types:
            yield from _type(kind)
    lookups = _lookups(found)
    yield ""
    yield "# A recorded sample: put in the keys that your application asks for, misses too."
    yield "lookups:" if lookups else "lookups: []"
    yield from (f"  - {text(key)}" for key in lookups)


def _lookups(found: Found) -> list[str]:
    return [entry.key for kind in found.types for entry in kind.entries][:MOST_LOOKUPS]


def _type(kind: Type) -> Iterator[str]:
    yield f"  {text(kind.name)}:"
    yield f"    rationale_type: {kind.rationale_type}"
    yield f"    ttl: {duration(kind.ttl_s)}"
    yield "    entries:"
    for entry in kind.entries:
        yield f"      - {{key: {text(entry.key)}, confidence: {flow(entry.confidence)}, data: {entry.data}}}"
    if kind.more:
        yield f"      # and {kind.more} more in the database, which stay as they are"


# migrations

EXAMPLE_MIGRATION = """\
-- A migration: rename this file to 0001_what_it_does.sql and put your statements in. All of it runs in one transaction.
-- migrate:up
-- CREATE TABLE example (id INTEGER PRIMARY KEY);

-- migrate:down
-- DROP TABLE IF EXISTS example;

-- migrate:verify
-- SELECT count(*) = 1 FROM pragma_table_info('example');
"""
PARENTS = {"sports": "code", "providers": "name"}
"""The application's tables that provider_states refers to, and the column that names a row."""


def _migrations(found: Found) -> dict[str, str]:
    if found.has_migrations:
        return {}
    parts = []
    if any(parent in found.missing for parent in PARENTS) or found.parents:
        parts.append(("core_tables", "\n".join(_core(found)) + "\n"))
    parts += [
        (table, (START / f"{table}.sqlite.sql").read_text("utf-8"))
        for table in ("provider_states", "portfolio_rationales")
        if table in found.missing
    ]
    if not parts:
        return {f"{MIGRATIONS}/0001_example.sql.txt": EXAMPLE_MIGRATION}
    return {f"{MIGRATIONS}/{number:04d}_{name}.sql": content for number, (name, content) in enumerate(parts, start=1)}


def _core(found: Found) -> Iterator[str]:
    """Yield the migration that makes the tables that provider_states refers to, and their rows."""
    made = [parent for parent in PARENTS if parent in found.missing]
    yield "-- The application's own tables that provider_states refers to, and their rows."
    yield "-- migrate:up"
    for parent in made:
        yield f"CREATE TABLE {parent} (\n    {PARENTS[parent]} TEXT NOT NULL PRIMARY KEY\n);\n"
    for parent, column, values in found.parents:
        rows = ",\n    ".join(f"({_literal(value)})" for value in values)
        yield f"INSERT INTO {parent} ({column})\nVALUES\n    {rows};\n"
    yield "-- migrate:down"
    for parent, column, values in reversed(found.parents):
        if parent not in made:
            yield f"DELETE FROM {parent} WHERE {column} IN ({', '.join(map(_literal, values))});"
    yield from (f"DROP TABLE IF EXISTS {parent};" for parent in reversed(made))
    yield ""
    yield "-- migrate:verify"
    yield from (f"SELECT count(*) = 1 FROM pragma_table_info('{parent}');" for parent in made)
    for parent, column, values in found.parents:
        listed = ", ".join(map(_literal, values))
        yield f"SELECT count(*) = {len(values)} FROM {parent} WHERE {column} IN ({listed});"


def _literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
