"""Cache entries have keys of their own, and live for whole seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.config.checks.providers import whole_seconds
from runner.config.wording import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.config.checks.declared import Declared
    from runner.config.node import Node
    from runner.errors import Problem

MOST_LOOKUPS = 1_000_000


def problems(declared: Declared) -> Iterator[Problem]:
    """Yield what is wrong with caches.yaml."""
    types = list(declared.caches["types"].entries())
    for _, entries in types:
        yield from whole_seconds(entries["ttl"])
    yield from _doubled_keys([kind["entries"] for _, kind in types])
    count = declared.lookup_count or 0
    if count > MOST_LOOKUPS:
        what = f"{count:,} look-ups are replayed at every tick, more than {MOST_LOOKUPS:,}"
        yield declared.caches["lookups"].problem(what, "record a smaller sample")


def _doubled_keys(lists: list[Node]) -> Iterator[Problem]:
    """Yield every key that stands there again. Plain loops: there may be 100,000."""
    first: dict[str, tuple[Node, int]] = {}
    for entries in lists:
        for number, entry in enumerate(entries.value if isinstance(entries.value, list) else ()):
            key = entry.get("key") if isinstance(entry, dict) else None
            if isinstance(key, str) and first.setdefault(key, (entries, number)) != (entries, number):
                there, place = first[key]
                what = f"the cache key {shown(key)} is there twice, first in line {there[place].where.line}"
                yield entries[number]["key"].problem(what, "keep one, or rename it")
