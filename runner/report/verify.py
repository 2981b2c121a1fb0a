"""How the tables stand, as text: a line for each sport or type, and every drift by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.config.wording import plain
from runner.store.digest import canonical

if TYPE_CHECKING:
    from collections.abc import Iterator

    Found = dict[str, Any]

MANY = 50
"""So many drifts are shown one by one; --json has them all."""
STATUS = ("ACTIVE", "INACTIVE", "ERROR", "MAINTENANCE")
SYMBOL = {"missing": "+", "undeclared": "-"}


def text(found: Found, where: str) -> str:
    """Write what was compared for people; *where* names environment and database."""
    head = f"{found['table']} of {found['rollout']} on {where}, which stands at {found['stage']}"
    if found["problem"]:
        return f"{head}\n  {found['problem']}: {found['declared']} rows are declared, and none can be compared"
    table = _sports(found["groups"]) if found["what"] == "providers" else _types(found["groups"])
    return "\n".join([head, "", *_aligned(table), "", *_drifts(found["drift"]), _ending(found)])


def _sports(groups: list[Found]) -> list[list[str]]:
    others = sorted({status for group in groups for status in group["by_status"]} - set(STATUS))
    status = (*STATUS, *others)
    figures = [
        [group["rows"], group["enabled"], *(group["by_status"].get(name, 0) for name in status), group["drift"]]
        for group in groups
    ]
    names = [group["name"] for group in groups]
    return _table(["sport", "rows", "enabled", *status, "drift"], names, figures)


def _types(groups: list[Found]) -> list[list[str]]:
    figures = [[group["entries"], group["expired"], group["drift"]] for group in groups]
    lines = _table(["type", "entries", "expired", "drift"], [group["name"] for group in groups], figures)
    expiries = [_minute(group["earliest_expiry"]) for group in groups]
    earliest = ["earliest expiry", *expiries, min(filter(None, expiries), default="")]
    return [[*line[:3], when, line[3]] for line, when in zip(lines, earliest, strict=True)]


def _minute(moment: Any) -> str:
    return str(moment)[:16] if moment else ""


def _table(head: list[str], names: list[str], figures: list[list[int]]) -> list[list[str]]:
    """Return the lines of a table, with a sum at its end."""
    total = [sum(column) for column in zip(*figures, strict=True)] or [0] * (len(head) - 1)
    lines = [[name, *map(str, line)] for name, line in zip(names, figures, strict=True)]
    return [head, *lines, ["all", *map(str, total)]]


def _aligned(lines: list[list[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for first, *rest in lines:
        cells = (f"{cell:>{width}}" for cell, width in zip(rest, widths[1:], strict=True))
        yield "  ".join(["", f"{first:<{widths[0]}}", *cells])


def _drifts(drifts: list[Found]) -> Iterator[str]:
    width = max((len(drift["key"]) for drift in drifts[:MANY]), default=0)
    for drift in drifts[:MANY]:
        symbol = "~" if drift["column"] else SYMBOL[drift["found"]]
        yield f"  {symbol} {drift['key']:<{width}}  {_line(drift)}"
    if len(drifts) > MANY:
        yield f"  … and {len(drifts) - MANY} more (--json has them all)"
    if drifts:
        yield ""


def _line(drift: Found) -> str:
    if drift["column"] is None:
        return (
            "is declared, and not there"
            if drift["found"] == "missing"
            else f"is there, and not declared ({drift['by']})"
        )
    return f"{drift['column']}: {_value(drift['expected'])} ({drift['by']}) -> {_value(drift['found'])}"


def _value(value: Any) -> str:
    return plain(value if isinstance(value, str) else canonical(int(value) if isinstance(value, bool) else value))


def _ending(found: Found) -> str:
    count = len(found["drift"])
    if not count:
        return f"no drift: {found['declared']} rows are as declared and as {found['stage']} has left them"
    rows = len({drift["key"] for drift in found["drift"]})
    return f"{count} drift{'' if count == 1 else 's'} in {rows} row{'' if rows == 1 else 's'}"
