"""Exit criteria have names of their own, read and do no more, and expect what can be both met and missed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.config.checks.providers import is_http
from runner.config.checks.queries import not_a_condition, not_a_query
from runner.config.criteria import expectation
from runner.config.wording import plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.config.checks.declared import Declared
    from runner.config.model import Expectation
    from runner.config.node import Node
    from runner.errors import Problem


def problems(declared: Declared) -> Iterator[Problem]:
    """Yield what is wrong with the exit criteria."""
    first: dict[str, Node] = {}
    for _, category in declared.rollout["exit_criteria"].entries():
        for name, criterion in category.entries():
            if first.setdefault(name, criterion) is not criterion:
                line = criterion.document.where_key(first[name].path).line
                what = f"the exit criterion {plain(name)} is there twice, first in line {line}"
                yield criterion.key_problem(what, "rename one")
            yield from _problems(name, criterion)


def _problems(name: str, criterion: Node) -> Iterator[Problem]:
    where, query, expect, url = (criterion[key] for key in ("where", "query", "expect", "url"))
    if isinstance(where.value, str):
        yield from not_a_condition(name, where)
    if isinstance(query.value, str):
        yield from not_a_query(name, query, "number or text", "an exit criterion")
    if isinstance(expect.value, str) and criterion["kind"].value == "count":
        yield from _proves_nothing(name, expect)
    if isinstance(url.value, str) and url.value and (not is_http(url.value) or "{" in url.value):
        yield url.problem(f"the url of {plain(name)} is not an http or https URL", "write https://host/path")


def _proves_nothing(name: str, expect: Node) -> Iterator[Problem]:
    """Yield that every number of rows is as expected, or that none is."""
    outcomes = set(_outcomes(expectation(expect.value)))
    if len(outcomes) == 1:
        which = "any" if outcomes.pop() else "no"
        what = f"{plain(name)} expects {plain(expect.value)} rows: {which} number of rows is that"
        yield expect.problem(what, "write what can be both met and missed, such as >= 1 or == 0")


def _outcomes(expected: Expectation) -> Iterator[bool]:
    """Yield what comes of the counts around the limit: all that there is to see."""
    limit = int(expected.limits[0])
    for count in (0, limit - 1, limit, limit + 1):
        if count >= 0:
            yield expected.is_met_by(count)
