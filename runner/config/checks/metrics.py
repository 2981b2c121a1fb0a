"""Metrics have something to measure, and every threshold a metric."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.config.checks.queries import not_a_query
from runner.config.wording import choose, plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.config.checks.declared import Declared
    from runner.errors import Problem


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
            yield from not_a_query(name, metric["query"], "number", "a metric")
