"""Exit criteria that have passed every check become frozen values."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from runner.config.duration import seconds
from runner.config.model import Criterion, Expectation, Severity, Subject

if TYPE_CHECKING:
    from collections.abc import Iterator

_LITERAL = re.compile(r"'([^']*)'|-?[0-9]+(\.[0-9]+)?")
_SIGN = re.compile(r"[<>=!]=?=?|in")

NONE = Expectation("==", (0,))
IMPLIED = {
    Subject.TABLE: Expectation("==", ("exists",)),
    Subject.INTEGRITY: NONE,
    Subject.COVERAGE: NONE,
    Subject.JSON: NONE,
    Subject.NOT_EXPIRED: NONE,
    Subject.HTTP: Expectation("==", ("answers",)),
    Subject.DATABASE: Expectation("==", ("answers",)),
    Subject.IMPORT: Expectation("==", ("imports",)),
    Subject.FIELDS: NONE,
}
"""What is expected of the subjects that leave no choice; a number counts what is wrong."""

TIMEOUTS = {Subject.INTEGRITY: "60s"}


def expectation(text: str) -> Expectation:
    """Return what *text*, which has the form that the schema asks for, expects: `>= 24`, `in 'a', 'b'`."""
    sign = _SIGN.match(text)
    assert sign is not None  # noqa: S101  the schema saw to it
    return Expectation(sign[0], tuple(_value(found) for found in _LITERAL.finditer(text, sign.end())))


def _value(literal: re.Match[str]) -> float | str:
    if literal[1] is not None:
        return literal[1]
    return float(literal[0]) if literal[2] else int(literal[0])


def criteria(data: dict[str, dict[str, Any]]) -> Iterator[Criterion]:
    """Yield the exit criteria in file order. *data* is a mapping of categories, each a mapping of names."""
    for category, named in data.items():
        for name, declared in named.items():
            yield _criterion(category, name, declared)


def _criterion(category: str, name: str, data: dict[str, Any]) -> Criterion:
    subject = Subject(data["kind"])
    return Criterion(
        name,
        category,
        subject,
        expectation(data["expect"]) if "expect" in data else IMPLIED[subject],
        severity=Severity(data.get("severity", Severity.FAIL)),
        timeout_s=seconds(data.get("timeout", TIMEOUTS.get(subject, "5s"))),
        table=data.get("table", ""),
        column=data.get("column", ""),
        where=data.get("where"),
        values=tuple(data.get("values", ())),
        url=data.get("url") or None,
        classes=(("", data["class"]),) if "class" in data else tuple(data.get("classes", {}).items()),
        query=data.get("query", ""),
    )
