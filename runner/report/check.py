"""What came of the exit criteria, as text and as JSON."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from runner.clock import timestamp

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from runner.config.model import Rollout

VERSION = 1
"""Of the JSON form. Grows when a key changes its meaning or goes away; new keys do not count."""


def facts(rollout: Rollout, checked: dict[str, Any], now: datetime) -> dict[str, Any]:
    """Return *checked* with what it was about and when: plain data, ready for JSON."""
    return {
        "version": VERSION,
        "rollout": rollout.name,
        "environment": rollout.environment.name,
        "checked_at": timestamp(now),
        **checked,
    }


def text(found: dict[str, Any], where: str) -> str:
    """Write the criteria for people, by category. *where* names environment and database."""
    lines = [f"{found['rollout']} on {where}"]
    width = max(len(line["name"]) for line in found["criteria"])
    for category, criteria in groupby(found["criteria"], lambda line: line["category"]):
        lines.append(f"  {category.replace('_', ' ')}")
        lines += [f"    {line['outcome']:<6}{line['name']:<{width}}  {_actual(line)}" for line in criteria]
    return "\n".join([*lines, f"{counts(found)}; verdict: {found['verdict']}"])


def counts(found: dict[str, Any]) -> str:
    """Say in one line how many criteria passed, and how many did not."""
    rest = {"warned": "warned", "failed": "failed", "errors": "could not be evaluated"}
    others = "".join(f", {found[key]} {words}" for key, words in rest.items())
    return f"{found['passed']} of {found['total']} passed{others}: {found['pass_rate_pct']:.1f} %"


def brief(found: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the verdict, the counts, and the names of what did not pass; None where there is nothing to tell."""
    if found is None:
        return None
    names = [line["name"] for line in found["criteria"] if line["outcome"] != "pass"]
    return {**{key: value for key, value in found.items() if key != "criteria"}, "missed": names}


def missed(found: dict[str, Any]) -> Iterator[str]:
    """Yield a line for every criterion that did not pass."""
    for line in found["criteria"]:
        if line["outcome"] != "pass":
            yield f"{line['outcome']}: {line['name']}: {_actual(line)}"


def round_line(found: dict[str, Any]) -> str:
    """Write one round of a watch as one line: when, the verdict, the counts, and what did not pass."""
    when = found["checked_at"][:19].replace("T", " ")
    names = [f"{line['name']} ({line['outcome']})" for line in found["criteria"] if line["outcome"] != "pass"]
    return f"{when} UTC {found['verdict']:<4} {counts(found)}" + (f"; {', '.join(names)}" if names else "")


def _actual(line: dict[str, Any]) -> str:
    return f"{line['actual']} (expected: {line['expected']})"
