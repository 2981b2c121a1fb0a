"""What changed in the caches: which entries are warmed, with what, for how long, and the look-ups that test them."""

from __future__ import annotations

import json
from collections import Counter
from itertools import groupby
from typing import TYPE_CHECKING, Any

from runner.decide.compare.change import Change, Who, count, paired, span, turned

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.config.model import CacheEntry, Rollout

HALF = 2
TYPES = ("caches", "types")


def caches(old: Rollout, new: Rollout) -> Iterator[Change]:
    """Yield what changed in the cache entries, by key, and in the look-ups."""
    found = paired(old.caches, new.caches, lambda entry: entry.key, _content)
    total = f"{len(old.caches)} -> {count(len(new.caches), 'cache entry')}"
    if found.gone:
        is_most = len(found.gone) * HALF >= len(old.caches)
        code = "cache-mostly-removed" if is_most else "cache-entries-removed"
        said = f"{total}: ", " gone; what is warm already stays until it expires"
        yield _several(code, found.gone, *said, before=len(old.caches), after=len(new.caches))
    if found.come:
        said = f"{total}: ", " added"
        yield _several("cache-entries-added", found.come, *said, before=len(old.caches), after=len(new.caches))
    for was, now in found.renamed:
        tail = f" has the key {now.key} now"
        who = Who("cache entry", (was.key,))
        place = (*TYPES, now.type, "entries")
        yield Change("cache-keys-renamed", "caches.key", "", who, tail, was.key, now.key, place)
    changed = [(was, now) for was, now in found.both if was != now]
    other = [now for was, now in changed if (was.confidence, _text(was.data)) != (now.confidence, _text(now.data))]
    if other:
        yield _several("cache-data-changed", other, "", " with other data or confidence", before=None, after=None)
    yield from _moved(changed)
    yield from _lives(changed, new)
    yield from _lookups(old, new)


def _several(code: str, entries: list[CacheEntry], head: str, tail: str, *, before: Any, after: Any) -> Change:
    who = Who("cache entry", tuple(entry.key for entry in entries))
    path = f"caches.{code.removeprefix('cache-')}"
    return Change(code, path, head, who, tail, before, after, (*TYPES, entries[0].type, "entries"))


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _content(entry: CacheEntry) -> tuple[str, str, float, str]:
    return entry.type, entry.rationale_type, entry.confidence, _text(entry.data)


def _moved(changed: list[tuple[CacheEntry, CacheEntry]]) -> Iterator[Change]:
    """Yield which entries the application has to look for elsewhere."""

    def ways(pair: tuple[CacheEntry, CacheEntry]) -> tuple[str, str]:
        return pair[0].rationale_type, pair[1].rationale_type

    moved = sorted((pair for pair in changed if ways(pair)[0] != ways(pair)[1]), key=ways)
    for (before, after), pairs in groupby(moved, ways):
        entries = [now for _, now in pairs]
        change = _several("cache-moved", entries, "", f" from {before} to {after}", before=before, after=after)
        yield change._replace(path=f"caches.types.{entries[0].type}.rationale_type")


def _lives(changed: list[tuple[CacheEntry, CacheEntry]], new: Rollout) -> Iterator[Change]:
    """Yield which entries live for another time: all of a type, as it is declared."""
    lives = {(now.type, was.ttl_s, now.ttl_s): None for was, now in changed if was.ttl_s != now.ttl_s}
    for kind, before, after in lives:
        code = turned("ttl-lengthened", "ttl-shortened", before, after) or ""
        values = span(before), span(after)
        said = f" live for {values[1]} instead of {values[0]}"
        number = sum(entry.type == kind for entry in new.caches)
        head = f"{count(number, 'cache entry')} of {kind}"
        yield Change(code, f"caches.types.{kind}.ttl", head, None, said, *values, (*TYPES, kind, "ttl"))


def _lookups(old: Rollout, new: Rollout) -> Iterator[Change]:
    before, after = Counter(old.lookups), Counter(new.lookups)
    if before == after:
        return
    said = f"the hit rate is measured by other look-ups: {_hits(old)} -> {_hits(new)} meet an entry that is declared"
    yield Change("lookups-changed", "caches.lookups", said, None, "", _hits(old), _hits(new), ("caches", "lookups"))


def _hits(rollout: Rollout) -> str:
    keys = {entry.key for entry in rollout.caches}
    return f"{sum(key in keys for key in rollout.lookups)} of {len(rollout.lookups)}"
