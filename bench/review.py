"""
10,000 providers and 100,000 cache entries on both sides, of which one in a hundred changed: `runner diff`.

The floor loads both sides, checked and complete; on top of that comes the comparison.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bench import data
from bench.pairs import floor, in_turn, peak, runner, seconds
from bench.scale import ENTRIES, PROVIDERS

if TYPE_CHECKING:
    from pathlib import Path

    from bench.pairs import Line, Spent

LIMIT = 3
ROUNDS = 3
EVERY = 100
"""One in so many changes."""
CHANGES = {
    "providers.yaml": [
        ("poll_interval: 60s", "poll_interval: 10s"),
        ("priority: high", "priority: low"),
        (r"name: p", "name: q"),
    ],
    "caches.yaml": [
        ("strength: 0", "strength: 1"),
        ('key: "c', 'key: "d'),
        (r"confidence: [0-9.]+", "confidence: 0.99"),
    ],
}


def measure(folder: Path) -> list[Line]:
    """Measure the comparison in three forms, and of a config with itself."""
    old, new = (data.large(folder / side, PROVIDERS, ENTRIES) for side in ("old", "new"))
    for name, changes in CHANGES.items():
        _change(new.with_name(name), changes)
    sides = str(old), str(new)
    jobs = [runner(folder, "diff", *sides, "--format", form) for form in ("text", "markdown", "sarif")]
    *spent, least = in_turn(ROUNDS, *jobs, runner(folder, "diff", str(old), str(old)), floor(folder, "declare", *sides))
    lines = zip(("diff", "diff as markdown", "diff as SARIF", "diff with itself"), spent, strict=True)
    return [line for what, each in lines for line in _lines(what, each, least)]


def _lines(what: str, ours: list[Spent], least: list[Spent]) -> list[Line]:
    return [seconds(f"review: {what}", ours, least, LIMIT), peak(f"review: {what}, peak memory", ours, least)]


def _change(path: Path, changes: list[tuple[str, str]]) -> None:
    """Make one of *changes*, in turn, in one of a hundred items of the file at *path*."""
    lines = path.read_text("utf-8").splitlines(keepends=True)
    items = [number for number, line in enumerate(lines) if "- {" in line]
    for turn, number in enumerate(items[::EVERY]):
        old, new = changes[turn % len(changes)]
        lines[number] = re.sub(old, new, lines[number], count=1)
    path.write_text("".join(lines), "utf-8")
