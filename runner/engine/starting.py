"""What a new project begins with, as an existing database says. Reads only."""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import UTC, datetime
from itertools import groupby
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from runner.config.starter import (
    EXAMPLE,
    EXAMPLE_SPORT,
    EXAMPLE_TYPE,
    PARENTS,
    WORD,
    Entry,
    Found,
    Provider,
    Table,
    Type,
    word,
)
from runner.config.yamltext import Unwritable, flow
from runner.errors import Mismatch, Problem, StepFailed, Where
from runner.store.digest import canonical
from runner.store.ledger import Ledger
from runner.store.names import quoted
from runner.store.tables import PORTFOLIO_RATIONALES, PROVIDER_STATES, TABLES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from runner.store.backend import Backend, Row
    from runner.store.tables import Table as Filled

MOST_PROVIDERS = 200
MOST_TYPES = 20
MOST_ENTRIES = 50
"""Cache entries of one type."""
LARGEST_ENTRY = 4096
MOST_TABLES = 20
MOST_ROWS = 1_000_000
"""Rows of a table that are counted; in one that has more, so many."""
HIGHEST_RETRIES = 10

_SPORT = re.compile(r"[A-Z][A-Z0-9_]{0,15}")
_ONE_LINE = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]{1,64}")
_KEY = re.compile(r"[^\s\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]{1,255}")
_RATIONALE = re.compile(r"CACHE_[A-Z_]+")
_STATUSES = ("ACTIVE", "INACTIVE", "ERROR", "MAINTENANCE")


class Start(NamedTuple):
    """What was found, and what a person should know of it."""

    found: Found
    notes: tuple[str, ...] = ()


def example(name: str, database: str, *, has_migrations: bool) -> Start:
    """Return a start without a database to look at: one provider and one cache entry, to see it move."""
    parents = (("sports", "code", (EXAMPLE_SPORT,)), ("providers", "name", (EXAMPLE.name,)))
    missing = frozenset([*PARENTS, *(table.name for table in TABLES)])
    found = Found(name, database, (EXAMPLE_SPORT,), (EXAMPLE,), (EXAMPLE_TYPE,), (), missing, parents, has_migrations)
    return Start(found)


def start(backend: Backend, name: str, database: str, migrations: Collection[str] = ()) -> Start:
    """
    Return what the database behind *backend* says; *migrations* are the names of the files that are there already.

    Mismatch where a table has the name of one that the runner fills, but another form, or where migrations were applied
    whose files are not there: no config could be made that works on it.
    """
    tables = {table for table in backend.tables() if not table.startswith(("sqlite_", "runner_"))}
    _refuse_other_forms(backend, tables)
    _refuse_applied(backend, migrations)
    if not tables:
        return example(name, database, has_migrations=bool(migrations))
    reading = _Reading(backend, tables)
    sports, providers = reading.providers()
    types = reading.types()
    found = Found(
        name,
        database,
        sports,
        providers,
        types,
        reading.tables(),
        missing=frozenset(table for table in (*PARENTS, *_FILLED) if table not in tables),
        parents=tuple(reading.parents(sports, providers)),
        has_migrations=bool(migrations),
    )
    return Start(found, tuple(reading.notes))


_FILLED = {table.name: table for table in TABLES}


def _refuse_other_forms(backend: Backend, tables: set[str]) -> None:
    wanted = {table.name: (_columns(table), table.key) for table in TABLES}
    wanted |= {parent: ((column,), (column,)) for parent, column in PARENTS.items()}
    problems = []
    others = {known.partition(" ")[2].lower(): known for known in backend.objects()}
    for table, (columns, key) in wanted.items():
        if table in tables:
            why = _other_form(backend, table, columns, key)
        else:
            why = f"it is the {others[table]}" if table in others else None
        if why:
            what = f"the table {table} is not one that the runner can work with: {why}"
            fix = "the runner needs this name for a table of its own form (sql/sqlite of its repository shows it);"
            problems.append(Problem(what, fix=f"{fix} rename yours, or give it what is missing"))
    if problems:
        raise Mismatch(*problems)


def _columns(table: Filled) -> tuple[str, ...]:
    columns = (*table.key, *table.seeded, *table.first, *table.switched, *table.live, *table.bookkeeping)
    return tuple(dict.fromkeys((*columns, "created_at")))


def _other_form(backend: Backend, table: str, columns: tuple[str, ...], key: tuple[str, ...]) -> str | None:
    """Say why rows cannot be written to *table* by their *key*; None where they can. Nothing is run."""
    missing = [column for column in columns if column not in backend.columns(table)]
    if missing:
        return f"it has no column {', '.join(missing)}"
    try:
        names, nothing = ", ".join(key), ", ".join("NULL" for _ in key)
        backend.rows(f"EXPLAIN INSERT INTO {table} ({names}) VALUES ({nothing}) ON CONFLICT ({names}) DO NOTHING")
    except StepFailed:
        return f"nothing says that {' and '.join(key)} are unique"
    return None


def _refuse_applied(backend: Backend, migrations: Collection[str]) -> None:
    applied = [row for row in Ledger(backend).migrations() if row["state"] != "reverted"]
    gone = [name for row in applied if (name := f"{row['version']}_{row['name']}.sql") not in migrations]
    if gone:
        what = f"the database is part of a rollout already: {', '.join(gone)} was applied to it"
        fix = "go on with the config it was applied with; or put these files into sql/sqlite first, then run init again"
        raise Mismatch(Problem(what, Where(gone[0]), fix))


class _Reading:
    """One look at the tables; collects what a person should know."""

    def __init__(self, backend: Backend, tables: set[str]) -> None:
        self._backend = backend
        self._tables = tables
        self.notes: list[str] = []

    def _note(self, count: int, what: str) -> None:
        if count:
            self.notes.append(f"{count} {what}")

    # providers

    def providers(self) -> tuple[tuple[str, ...], tuple[Provider, ...]]:
        """
        Return the sports and the providers that provider_states has rows for.

        Where it has none: those that the application knows, not enabled; an example, where it knows none either.
        """
        rows = self._rows(PROVIDER_STATES.name, "provider_name, sport") if PROVIDER_STATES.name in self._tables else []
        fitting = [row for row in rows if _fits(_ONE_LINE, row["provider_name"]) and _fits(_SPORT, row["sport"])]
        self._note(len(rows) - len(fitting), "rows of provider_states have a name or sport that a config cannot hold")
        named = [(name, list(group)) for name, group in groupby(fitting, lambda row: row["provider_name"])]
        self._note(len(named[MOST_PROVIDERS:]), "providers are left out: there are too many for a small config")
        sports = tuple(sorted({row["sport"] for _, group in named[:MOST_PROVIDERS] for row in group}))
        providers = tuple(_provider(name, group, sports) for name, group in named[:MOST_PROVIDERS])
        self._note(
            sum(provider.different for provider in providers),
            "rows differ from what is declared now; see `runner plan`",
        )
        return (sports, providers) if providers else self._known()

    def _known(self) -> tuple[tuple[str, ...], tuple[Provider, ...]]:
        sports, names = (
            [value for value in self._parent(parent) if _fits(pattern, value)][:MOST_PROVIDERS]
            for parent, pattern in (("sports", _SPORT), ("providers", _ONE_LINE))
        )
        providers = (EXAMPLE._replace(name=name, enabled=False, capabilities={}) for name in names or [EXAMPLE.name])
        return tuple(sports) or (EXAMPLE_SPORT,), tuple(providers)

    def _parent(self, table: str) -> list[Any]:
        """Return what the application's own *table* of names holds."""
        if table not in self._tables:
            return []
        column = PARENTS[table]
        return [value for (value,) in self._backend.stream(f"SELECT {column} FROM {table} ORDER BY {column}")]

    def _rows(self, table: str, order: str) -> list[Row]:
        return self._backend.rows(f"SELECT * FROM {table} ORDER BY {order}")

    def parents(
        self, sports: tuple[str, ...], providers: tuple[Provider, ...]
    ) -> Iterator[tuple[str, str, tuple[str, ...]]]:
        """Yield the rows that the application's own tables lack: table, column and values."""
        wanted = {"sports": sports, "providers": tuple(provider.name for provider in providers)}
        for parent, column in PARENTS.items():
            known = {*self._parent(parent)}
            missing = tuple(value for value in wanted[parent] if value not in known)
            if missing:
                yield parent, column, missing

    # cache entries

    def types(self) -> tuple[Type, ...]:
        """Return the types of cache entries, each with some of its entries."""
        if PORTFOLIO_RATIONALES.name not in self._tables:
            return ()
        groups = self._backend.rows(
            "SELECT cache_type, rationale_type, count(*) AS entries FROM portfolio_rationales t"
            f" WHERE {PORTFOLIO_RATIONALES.ours} GROUP BY cache_type, rationale_type ORDER BY entries DESC, cache_type"
        )
        found: dict[str, Type] = {}
        for group in groups[:MOST_TYPES]:
            name = group["cache_type"]
            if _fits(WORD, name) and _fits(_RATIONALE, group["rationale_type"]) and name not in found:
                kind = self._type(group)
                if kind.entries:
                    found[name] = kind
        declared = sum(len(kind.entries) for kind in found.values())
        left = sum(group["entries"] for group in groups) - declared
        self._note(
            left, f"cache entries are left out, and stay as they are: a small config holds {MOST_ENTRIES} a type"
        )
        return tuple(found.values())

    def _type(self, group: Row) -> Type:
        rows = self._backend.rows(
            "SELECT cache_key, data_json, confidence, expires_at, updated_at FROM portfolio_rationales"
            " WHERE cache_type = :cache_type AND rationale_type = :rationale_type"
            f" ORDER BY cache_key LIMIT {MOST_ENTRIES}",
            {"cache_type": group["cache_type"], "rationale_type": group["rationale_type"]},
        )
        entries = tuple(entry for row in rows if (entry := _entry(row)))
        lives_s = [life_s for row in rows if (life_s := _life_s(row["updated_at"], row["expires_at"]))]
        ttl_s = max(1, round(median(lives_s))) if lives_s else EXAMPLE_TYPE.ttl_s
        return Type(group["cache_type"], group["rationale_type"], ttl_s, entries, group["entries"] - len(entries))

    # the application's own tables

    def tables(self) -> tuple[Table, ...]:
        """Return the application's own tables with their rows, as many as a small config has room for."""
        own = sorted(self._tables - _FILLED.keys() - PARENTS.keys())
        self._note(len(own[MOST_TABLES:]), "tables are left out of the exit criteria: there are too many")
        fitting = [name for name in own[:MOST_TABLES] if name and name.isprintable()]
        self._note(len(own[:MOST_TABLES]) - len(fitting), "tables have a name that is not written into a config")
        return tuple(Table(name, self._count(name)) for name in fitting)

    def _count(self, table: str) -> int | None:
        """Return how many rows *table* has; None where it cannot be read (a virtual table of another program, say)."""
        try:
            return int(self._backend.scalar(f"SELECT count(*) FROM (SELECT 1 FROM {quoted(table)} LIMIT {MOST_ROWS})"))
        except StepFailed:
            self.notes.append(f"table {word(table)} cannot be counted")
            return None


def _fits(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and bool(pattern.fullmatch(value)) and value == value.strip(" ")


def _provider(name: str, rows: Sequence[Row], sports: tuple[str, ...]) -> Provider:
    """Return what the *rows* of one provider have in common; what most of them say, where they differ."""
    served = tuple(row["sport"] for row in rows)
    declared = Provider(
        name,
        all(row["is_enabled"] == 1 for row in rows),
        _commonest(rows, lambda row: row["status"] if row["status"] in _STATUSES else None) or EXAMPLE.status,
        _commonest(rows, lambda row: _seconds(row["poll_interval_seconds"])) or EXAMPLE.poll_s,
        _commonest(rows, lambda row: _seconds(row["timeout_seconds"])) or EXAMPLE.timeout_s,
        _retries(rows),
        () if len(served) == len(sports) else served,
        json.loads(_commonest(rows, _capabilities) or "{}"),
        len(rows),
    )
    written = (declared.poll_s, declared.timeout_s, declared.retries, canonical(declared.capabilities))
    seeded = ("poll_interval_seconds", "timeout_seconds", "max_retries", "capabilities")
    return declared._replace(different=sum(tuple(row[column] for column in seeded) != written for row in rows))


def _commonest(rows: Sequence[Row], of: Callable[[Row], Any]) -> Any:
    counted = Counter(value for row in rows if (value := of(row)) is not None)
    return counted.most_common(1)[0][0] if counted else None


def _retries(rows: Sequence[Row]) -> int:
    found = _commonest(rows, lambda row: row["max_retries"] if isinstance(row["max_retries"], int) else None)
    return EXAMPLE.retries if found is None else min(max(found, 0), HIGHEST_RETRIES)


def _seconds(value: Any) -> int | None:
    return value if isinstance(value, int) and 0 < value < 10**9 else None


def _capabilities(row: Row) -> str | None:
    """Return the capabilities of *row* in the form that they are compared in; None where a config cannot hold them."""
    found = _json(row["capabilities"])
    if not isinstance(found, dict):
        return None
    try:
        flow(found)
    except Unwritable:
        return None
    return canonical(found)


def _entry(row: Row) -> Entry | None:
    """Return the cache entry of *row*; None where a config cannot hold it as it is."""
    confidence = row["confidence"]
    if not (_fits(_KEY, row["cache_key"]) and isinstance(confidence, int | float) and 0 <= confidence <= 1):
        return None
    try:
        data = flow(_json(row["data_json"]))
    except (Unwritable, RecursionError):
        return None
    return Entry(row["cache_key"], confidence, data) if len(data) <= LARGEST_ENTRY else None


def _json(value: Any) -> Any:
    try:
        return json.loads(value)
    except (ValueError, TypeError, RecursionError):
        return object()  # which no config can hold


def _life_s(since: Any, until: Any) -> float | None:
    """Return how long an entry lives; None where its times do not say."""
    try:
        begun, ended = (datetime.fromisoformat(value) for value in (since, until))
    except (TypeError, ValueError):
        return None
    begun, ended = (moment if moment.tzinfo else moment.replace(tzinfo=UTC) for moment in (begun, ended))
    seconds = (ended - begun).total_seconds()
    return seconds if seconds >= 1 else None
