"""What the lint found, as text: a line for each finding that an editor can jump from, and a count."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.errors import Where
from runner.report.review import reassessed

if TYPE_CHECKING:
    from collections.abc import Iterator


def text(found: dict[str, Any]) -> str:
    """Write the findings for people, in file order."""
    return "\n".join(_lines(found))


def _lines(found: dict[str, Any]) -> Iterator[str]:
    for each in found["findings"]:
        place = Where(each["file"], each["line"], each["column"])
        yield f"{place}: {each['risk']} {each['code']}: {each['what']}{reassessed(each)}"
        yield f"    fix: {each['fix']}"
    counts = ", ".join(f"{count} {risk}" for risk, count in found["counts"].items() if count)
    number = len(found["files"])
    files = "1 migration" if number == 1 else f"{number} migrations"
    squawk = f" (squawk {found['squawk']})" if found["squawk"] else ""
    through = f", {len(found['let_through'])} let through" if found["let_through"] else ""
    yield f"{files} for {found['engine'] or 'both engines'}: {counts or 'nothing to tell'}{through}{squawk}"
