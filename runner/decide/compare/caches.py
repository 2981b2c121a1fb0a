"""What changed in the caches: which entries are warmed, with what, for how long, and the look-ups that test them."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from runner.config.model import Kind
from runner.decide.compare.change import Change, Who, apart, count, paired, short, span, turned

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.config.model import CacheEntry, Rollout

HALF = 2
HELD = ("confidence", "data")
SHOWN = 20
"""Of so many entries a review holds what they held and hold."""
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
    yield from _renamed(found.renamed)
    changed = [(was, now) for was, now in found.both if was != now]
    yield from _data(changed)
    changed += [(was, now) for was, now in found.renamed if was.ttl_s != now.ttl_s]
    yield from _moved(changed)
    yield from _lives(changed, new)
    yield from _lookups(old, new)


def _several(code: str, entries: list[CacheEntry], head: str, tail: str, *, before: Any, after: Any) -> Change:
    who = Who("cache entry", tuple(entry.key for entry in entries))
    return Change(code, "caches.types.entries", head, who, tail, before, after, (*TYPES, entries[0].type, "entries"))


def _renamed(pairs: list[tuple[CacheEntry, CacheEntry]]) -> Iterator[Change]:
    if not pairs:
        return
    place = (*TYPES, pairs[0][1].type, "entries")
    before: Any = [was.key for was, _ in pairs]
    after: Any = [now.key for _, now in pairs]
    who, tail = Who("cache entry", tuple(f"{was.key} -> {now.key}" for was, now in pairs)), " has another key"
    if len(pairs) == 1:
        [before], [after] = before, after
        who, tail = Who("cache entry", (before,)), f" has the key {short(after)} now"
    yield Change("cache-keys-renamed", "caches.key", "", who, tail, before, after, place)


def _data(changed: list[tuple[CacheEntry, CacheEntry]]) -> Iterator[Change]:
    """Yield which entries hold something else; of the first of them, what."""
    other = [(was, now) for was, now in changed if _held(was) != _held(now)]
    if not other:
        return
    fields = [
        field
        for number, field in enumerate(HELD)
        if any(_held(was)[number] != _held(now)[number] for was, now in other)
    ]
    sides = (
        {each[side].key: dict(zip(HELD, each[side][-2:], strict=True)) for each in other[:SHOWN]} for side in (0, 1)
    )
    said = f" has other {' and '.join(fields)}"
    if len(other) == 1:
        texts = apart(*("; ".join(map(str, _held(each))) for each in other[0]))
        said += f": {texts[0]} -> {texts[1]}"
    before, after = sides
    yield _several("cache-data-changed", [now for _, now in other], "", said, before=before, after=after)


def _held(entry: CacheEntry) -> tuple[float, str]:
    return entry.confidence, _text(entry.data)


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _content(entry: CacheEntry) -> tuple[str, str, float, str]:
    return entry.type, entry.rationale_type, entry.confidence, _text(entry.data)


def _moved(changed: list[tuple[CacheEntry, CacheEntry]]) -> Iterator[Change]:
    """Yield which entries the application has to look for elsewhere."""
    for field in ("type", "rationale_type"):
        ways = [(getattr(was, field), getattr(now, field)) for was, now in changed]
        for before, after in dict.fromkeys(way for way in ways if way[0] != way[1]):
            entries = [now for (_, now), way in zip(changed, ways, strict=True) if way == (before, after)]
            said = f" has the {field} {after} instead of {before}"
            change = _several("cache-moved", entries, "", said, before=before, after=after)
            yield change._replace(path=f"caches.types.{entries[0].type}.{field}")


def _lives(changed: list[tuple[CacheEntry, CacheEntry]], new: Rollout) -> Iterator[Change]:
    """Yield which entries live for another time."""
    lives = Counter((now.type, was.ttl_s, now.ttl_s) for was, now in changed if was.ttl_s != now.ttl_s)
    sizes = Counter(entry.type for entry in new.caches)
    for (kind, before, after), number in lives.items():
        code = turned("ttl-lengthened", "ttl-shortened", before, after) or ""
        values = span(before), span(after)
        head = (
            f"every cache entry of {kind}" if number == sizes[kind] > 1 else f"{count(number, 'cache entry')} of {kind}"
        )
        verb = "lives" if number in {1, sizes[kind]} else "live"
        said = f" {verb} for {values[1]} instead of {values[0]}"
        yield Change(code, f"caches.types.{kind}.ttl", head, None, said, *values, (*TYPES, kind, "ttl"))


def _lookups(old: Rollout, new: Rollout) -> Iterator[Change]:
    """Yield whether the hit rate is measured by other look-ups, and what the declared entries alone make of it."""
    is_same = Counter(old.lookups) == Counter(new.lookups)
    before, after = _hits(old), _hits(new)
    if is_same and before == after:
        return
    was, now = (f"{hits} of {size}" for hits, size in (before, after))
    said = f"{was} -> {now} look-ups meet an entry that is declared"
    code = turned(
        "entries-hit-more" if is_same else "lookups-hit-more", "lookups-hit-fewer", *map(_share, (before, after))
    )
    said += f": {_wanted(_share(after) * 100, new)}" if code else ""
    said = said if is_same else f"the hit rate is measured by other look-ups: {said}"
    yield Change(code or "lookups-changed", "caches.lookups", said, None, "", was, now, ("caches", "lookups"))


def _hits(rollout: Rollout) -> tuple[int, int]:
    """Return how many of the look-ups meet an entry that is declared, and how many there are."""
    keys = {entry.key for entry in rollout.caches}
    return sum(key in keys for key in rollout.lookups), len(rollout.lookups)


def _share(hits: tuple[int, int]) -> float:
    return hits[0] / hits[1] if hits[1] else 0


def _wanted(rate_pct: float, rollout: Rollout) -> str:
    """Say what the hit rate is, and what the strictest gate on it makes of that; the first of equally strict ones."""
    rated = {metric.name for metric in rollout.metrics if metric.kind is Kind.LOOKUP}
    gates = [
        (threshold.min, stage.name)
        for stage in rollout.stages
        for threshold in stage.thresholds
        if threshold.metric in rated and threshold.min is not None
    ]
    said = f"{rate_pct:.3g} %"
    if not gates:
        return said
    least, name = max(gates, key=lambda gate: gate[0])
    verdict = ": it will breach" if rate_pct < least else ""
    return f"{said}, and {name} wants at least {least:g}{verdict}"
