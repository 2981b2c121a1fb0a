"""
10,000 providers and 100,000 cache entries: validate, the first apply (migrations and seeds), and the second.

The floor of `validate` is the bare parser, YAML events to plain data; that of the first `apply` the parser and one
`executemany` of the same rows into the same tables, with the same indexes and durability.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bench import data
from bench.pairs import floor, in_turn, peak, runner, seconds

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bench.pairs import Job, Line, Spent

PROVIDERS, ENTRIES = 10_000, 100_000
LIMIT = 3
GROWTH_LIMIT = 1.3
"""Ten times the size may take ten times as long, and a bit; a loop in a loop takes a hundred times."""

ROUNDS = 3


def measure(folder: Path) -> list[Line]:
    """Measure each command in full size, its floor, and the same command in a tenth of the size, in turn."""
    full, tenth = folder / "full", folder / "tenth"
    data.large(full, PROVIDERS, ENTRIES)
    data.large(tenth, PROVIDERS // 10, ENTRIES // 10)
    parse = floor(full, "parse", str(full))
    seed = floor(full, "seed", str(full), prepare=partial(data.remove_database, full))
    lines = _lines("validate", in_turn(ROUNDS, _validate(full), parse, _validate(tenth)), LIMIT)
    lines += _lines("first apply", in_turn(ROUNDS, _first(full), seed, _first(tenth)), LIMIT)
    _first(full).run()
    return lines + _lines("second apply", in_turn(ROUNDS, _apply(full), parse, _apply(tenth)))


def _validate(folder: Path) -> Job:
    return runner(folder, "validate", "config/rollout.yaml")


def _apply(folder: Path, prepare: Callable[[], None] = lambda: None) -> Job:
    return runner(folder, "apply", "config/rollout.yaml", "--target-stage", "disabled", prepare=prepare)


def _first(folder: Path) -> Job:
    return _apply(folder, partial(data.remove_database, folder))


def _lines(what: str, spent: list[list[Spent]], limit: float | None = None) -> list[Line]:
    full, least, tenth = spent
    return [
        seconds(f"scale: {what}", full, least, limit),
        peak(f"scale: {what}, peak memory", full, least),
        seconds(f"scale: {what}, and ten times a tenth of it", full, tenth, GROWTH_LIMIT, times=10),
    ]
