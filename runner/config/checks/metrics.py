"""Metrics have something to measure, and every threshold a metric."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.config.statements import first_keyword, split
from runner.config.wording import choose, plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.config.checks.declared import Declared
    from runner.config.node import Node
    from runner.errors import Problem

READING = ("SELECT", "WITH", "VALUES")


def problems(declared: Declared) -> Iterator[Problem]:
    """Yield thresholds of metrics that nobody measures, and look-ups of nothing."""
    rollout, known = declared.rollout, declared.metric_names
    for owner in (rollout, *rollout["stages"].each()):
        for name, threshold in owner["thresholds"].entries():
            if known is not None and name not in known:
                what = f"a threshold is set for {plain(name)}, but no metric has this name"
                yield threshold.key_problem(what, choose(name, known))
    for name, metric in rollout["metrics"].entries():
        if metric["kind"].value == "lookup" and declared.lookup_count == 0:
            what = f"the metric {plain(name)} replays look-ups, but {declared.caches.document.file} has none"
            yield metric.problem(what, "list recorded keys under lookups, or remove the metric")
        if metric["kind"].value == "sql" and isinstance(metric["query"].value, str):
            yield from _query(name, metric["query"])


def _query(metric: str, query: Node) -> Iterator[Problem]:
    """Yield that the query of *metric* is not one statement that only reads."""
    statements = list(split(query.value))
    if len(statements) != 1:
        what = f"the query of {plain(metric)} is {len(statements)} statements"
        yield query.problem(what, "write one SELECT that returns one number")
        return
    found = first_keyword(statements[0].sql)
    if found is None or found[0].upper() not in READING:
        what = f"the query of {plain(metric)} begins with {plain(found[0] if found else query.value)}"
        yield query.problem(what, "write one SELECT that returns one number; a metric only reads")
