"""
What stands in the tables, against what is declared and what the stages have switched. Reads only.

Drift is named row by row and column by column. What probes write, and that entries expire, is none.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from runner.act import seed
from runner.act.seed import What
from runner.act.switch import ON
from runner.config.model import Mode
from runner.config.secret import masked
from runner.engine.survey import Survey
from runner.store.changes import Changes
from runner.store.digest import of_text, read_back
from runner.store.tables import PORTFOLIO_RATIONALES, PROVIDER_STATES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import datetime

    from runner.act.seed import RowDifference
    from runner.config.model import Rollout
    from runner.store.backend import Backend, Row
    from runner.store.changes import Key
    from runner.store.tables import Table

VERSION = 1
"""Of the JSON form. Grows when a key changes its meaning or goes away; new keys do not count."""

MISSING, UNDECLARED = "missing", "undeclared"
"""What is found of a whole row that should be there and is not, or the other way round."""
DECLARED = "declared"


class Drift(NamedTuple):
    """
    A value that is not as it should be; without a column, a whole row that is `missing` or `undeclared`.

    `group` is the row's sport or type. `by` says who wants what is expected: the declaration, a stage, or how the row
    was found.
    """

    key: str
    group: str
    column: str | None
    expected: Any
    found: Any
    by: str


class _Site(NamedTuple):
    rollout: Rollout
    backend: Backend
    now: datetime
    survey: Survey


class _Expected(NamedTuple):
    value: Any
    by: str


def verify_providers(rollout: Rollout, backend: Backend, now: datetime) -> dict[str, Any]:
    """Return how provider_states stands, by sport, and every drift in it, as plain data."""
    site = _Site(rollout, backend, now, Survey(rollout, backend))
    return _found(site, "providers", PROVIDER_STATES, _providers, len(rollout.targets))


def verify_caches(rollout: Rollout, backend: Backend, now: datetime) -> dict[str, Any]:
    """Return how the cache entries stand, by type, and every drift in them, as plain data."""
    site = _Site(rollout, backend, now, Survey(rollout, backend))
    return _found(site, "caches", PORTFOLIO_RATIONALES, _caches, len(rollout.caches))


def _found(
    site: _Site, what: str, table: Table, compare: Callable[[_Site], tuple[list[Row], list[Drift]]], declared: int
) -> dict[str, Any]:
    problem = _problem(site.backend, table)
    groups, drifts = ([], []) if problem else compare(site)
    in_group = Counter(drift.group for drift in drifts)
    return {
        "version": VERSION,
        "rollout": site.rollout.name,
        "environment": site.rollout.environment.name,
        "database": masked(site.rollout.environment.database),
        "what": what,
        "table": table.name,
        "stage": site.survey.stands_at(),
        "declared": declared,
        "as_declared": problem is None and not drifts,
        "problem": problem,
        "groups": [{**group, "drift": in_group[group["name"]]} for group in groups],
        "drift": [drift._asdict() for drift in drifts],
    }


def _problem(backend: Backend, table: Table) -> str | None:
    """Say why there is nothing to compare; None where there is."""
    if table.name not in backend.tables():
        return f"there is no table {table.name}"
    columns = backend.columns(table.name)
    missing = [name for name in (*table.key, *table.seeded, *table.first) if name not in columns]
    return f"table {table.name} has no column {', '.join(missing)}" if missing else None


def _shown(key: Key) -> str:
    return "/".join(map(str, key))


def _seeded_drift(
    table: Table, differences: Iterable[RowDifference], group_of: Callable[[Key], str]
) -> Iterator[Drift]:
    """Yield what is not as declared, in declared order: rows that are missing, and columns that seeds keep."""
    for difference in differences:
        key, group = _shown(difference.key), group_of(difference.key)
        if difference.what is What.ADD:
            yield Drift(key, group, None, None, MISSING, DECLARED)
        elif difference.what is What.CHANGE:
            for column in table.seeded:
                if column in difference.after:
                    expected, found = difference.after[column], difference.before[column]
                    yield Drift(key, group, column, expected, found, DECLARED)


# providers


def _providers(site: _Site) -> tuple[list[Row], list[Drift]]:
    seeds = seed.providers(site.backend, site.rollout.targets, site.now, foreseen=not site.survey.ledger.exists)
    drifts = list(_seeded_drift(PROVIDER_STATES, seeds.differences(), lambda key: str(key[1])))
    drifts += _switched_drift(_expected(site), dict(seeds.standing(*ON)))
    drifts += [
        Drift(key, key.rpartition("/")[2], None, None, UNDECLARED, "seeded once, declared no more")
        for key in seeds.undeclared()
    ]
    return _sports(site.backend, drifts), drifts


def _switched_drift(expected: Mapping[Key, Mapping[str, _Expected]], standing: Mapping[Key, Row]) -> Iterator[Drift]:
    for key, row in standing.items():
        for column, wanted in expected.get(key, {}).items():
            if row[column] != wanted.value:
                yield Drift(_shown(key), str(key[1]), column, wanted.value, row[column], wanted.by)


def _expected(site: _Site) -> dict[Key, dict[str, _Expected]]:
    """
    Return what every row's switched columns should be, and who says so.

    That is what seeds have started them with, or how they were found then; over that, what the stages that stand have
    found and switched, the newest last. Of a row that somebody else made and no seed had to touch, nothing is known.
    """
    expected = _started(site)
    for entry in site.survey.ledger.standing(site.rollout.name):
        if entry.mode != Mode.ACTIVE:
            continue
        for key, claim in Changes(site.backend, entry.id).claimed(PROVIDER_STATES).items():
            columns = expected.setdefault(key, {})
            for name in ON:
                if name in claim.after:
                    columns[name] = _Expected(claim.after[name], entry.stage)
                elif name in claim.found:
                    columns[name] = _Expected(claim.found[name], f"as {entry.stage} found it")
    for shown in site.survey.find_newer():
        by = f"{site.survey.stands_at()}, declared after it was passed"
        expected.setdefault(tuple(shown.rsplit("/", 1)), {}).update(
            {name: _Expected(value, by) for name, value in ON.items()}
        )
    return expected


def _started(site: _Site) -> dict[Key, dict[str, _Expected]]:
    if not site.survey.ledger.exists:
        return {}
    declared = {
        target.key: {"status": target.provider.status, "is_enabled": target.provider.enabled}
        for target in site.rollout.targets
    }
    started: dict[Key, dict[str, _Expected]] = {}
    for row in site.backend.rows("SELECT * FROM runner_seeds WHERE table_name = 'provider_states'"):
        key = tuple(json.loads(row["row_key"]))
        if key in declared:
            found = (
                read_back(row["before_json"]) | read_back(row.get("after_json") or "{}") if row["before_json"] else {}
            )
            values, by = (found, "as seeds found it") if found else (declared[key], DECLARED)
            started[key] = {name: _Expected(values[name], by) for name in ON if name in values}
    return started


def _sports(backend: Backend, drifts: Iterable[Drift]) -> list[Row]:
    """Return a line for each sport that has rows, or should have some."""
    lines: dict[str, Row] = {}
    for row in backend.rows(
        "SELECT sport, status, count(*) AS rows, count(*) FILTER (WHERE is_enabled) AS enabled FROM provider_states"
        " GROUP BY sport, status ORDER BY sport, status"
    ):
        line = lines.setdefault(row["sport"], {"name": row["sport"], "rows": 0, "enabled": 0, "by_status": {}})
        line["rows"] += row["rows"]
        line["enabled"] += row["enabled"]
        line["by_status"][row["status"]] = row["rows"]
    for drift in drifts:
        lines.setdefault(drift.group, {"name": drift.group, "rows": 0, "enabled": 0, "by_status": {}})
    return list(lines.values())


# caches


def _caches(site: _Site) -> tuple[list[Row], list[Drift]]:
    seeds = seed.caches(site.backend, site.rollout.caches, site.now, foreseen=not site.survey.ledger.exists)
    types = {entry.key: entry.type for entry in site.rollout.caches}
    differences = list(seeds.differences())
    drifts = list(_seeded_drift(PORTFOLIO_RATIONALES, differences, lambda key: types[key[0]]))
    drifts += _false_hashes(differences, types)
    seeded = set(seeds.undeclared())
    drifts += [
        Drift(key, str(kind), None, None, UNDECLARED, "seeded once, declared no more" if key in seeded else "by nobody")
        for key, kind in seeds.unknown("cache_type")
    ]
    return _types(site, drifts), drifts


def _false_hashes(differences: Iterable[RowDifference], types: Mapping[str, str]) -> Iterator[Drift]:
    """Yield the entries whose hash is not that of their data. Where data or hash are as declared, so is the other."""
    for difference in differences:
        if difference.what is What.CHANGE and "data_json" in difference.after:
            true = of_text(difference.before["data_json"])
            found = difference.before.get("data_hash", of_text(difference.after["data_json"]))
            if found != true:
                key = difference.key[0]
                yield Drift(key, types[key], "data_hash", true, found, "the hash of its data")


def _types(site: _Site, drifts: Iterable[Drift]) -> list[Row]:
    """Return a line for each type that has entries, or should have some: how many, how many expired, and the first."""
    rows = site.backend.rows(
        "SELECT cache_type AS name, count(*) AS entries, count(*) FILTER (WHERE expires_at <= :now) AS expired,"
        f" min(expires_at) AS earliest_expiry FROM {PORTFOLIO_RATIONALES.name} t WHERE {PORTFOLIO_RATIONALES.ours}"
        " GROUP BY cache_type ORDER BY cache_type",
        {"now": site.backend.time(site.now)},
    )
    lines = {row["name"]: row for row in rows}
    for drift in drifts:
        lines.setdefault(drift.group, {"name": drift.group, "entries": 0, "expired": 0, "earliest_expiry": None})
    return list(lines.values())
