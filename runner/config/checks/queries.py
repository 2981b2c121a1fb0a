"""SQL in a config is one statement that reads; that it cannot do more is seen to where it is run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.config.statements import first_keyword, split
from runner.config.wording import plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.config.node import Node
    from runner.errors import Problem

READING = ("SELECT", "WITH", "VALUES")


def not_a_query(owner: str, query: Node, returns: str, who: str) -> Iterator[Problem]:
    """Yield that the query of *owner* is not one statement that reads. *returns* and *who* are for the advice."""
    statements = list(split(query.value))
    advice = f"write one SELECT that returns one {returns}"
    if len(statements) != 1:
        yield query.problem(f"the query of {plain(owner)} is {len(statements)} statements", advice)
        return
    found = first_keyword(statements[0].sql)
    if found is None or found[0].upper() not in READING:
        what = f"the query of {plain(owner)} begins with {plain(found[0] if found else query.value)}"
        yield query.problem(what, f"{advice}; {who} only reads")


def not_a_condition(owner: str, where: Node) -> Iterator[Problem]:
    """Yield that the condition of *owner* is none, or more than one."""
    statements = list(split(where.value))
    if len(statements) != 1 or statements[0].sql.endswith(";"):
        what = f"the condition of {plain(owner)} is {where.shown}, not one SQL condition"
        yield where.problem(what, "write what stands after WHERE, without a semicolon, such as status = 'ACTIVE'")
