"""A review as text: how dangerous it is at the most, then every change, the most dangerous first."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from runner.errors import Where
from runner.report import replay

if TYPE_CHECKING:
    from collections.abc import Iterator

    Found = dict[str, Any]

SYMBOL = {"blocked": "X", "dangerous": "!", "caution": "~", "safe": "."}
NO_CHANGE = "no change: both declare the same"


def text(found: Found) -> str:
    """Write a review for people at a terminal."""
    return "\n".join(_lines(found))


def summary(found: Found) -> str:
    """Return how many changes there are of each risk, the greatest first, or that there is none."""
    counts = [f"{count} {risk}" for risk, count in found["counts"].items() if count]
    return ", ".join(counts) or NO_CHANGE


def place(told: Found) -> str:
    """Return where something stands as `file:line:column`."""
    return str(Where(told["file"], told["line"], told["column"]))


def reassessed(told: Found) -> str:
    """Say that the config judges otherwise than the rule, and why; nothing where it does not."""
    return f" ({told['by_rule']} by rule; here {told['risk']}: {told['reason']})" if "reason" in told else ""


def _lines(found: Found) -> Iterator[str]:
    head = f"{found['old']} -> {found['new']}"
    past = f"; replay: {replay.brief(found['replay'])}" if found["replay"] else ""
    yield f"{head}: {summary(found)}{past}"
    if found["replay"]:
        yield replay.text(found["replay"])
    told = sorted(found["changes"] + found["findings"], key=lambda each: list(SYMBOL).index(each["risk"]))
    for risk, group in groupby(told, key=lambda each: each["risk"]):
        yield ""
        yield f"{risk}:"
        for each in group:
            yield f"  {SYMBOL[risk]} {each['what']}{reassessed(each)}"
            yield f"      {place(each)}  [{each['code']}]  {each.get('why') or each['fix']}"
