"""What is left to the environment now and was not, or the other way round: the value may be the same only here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.decide.compare.change import Change, short

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.config.model import Rollout
    from runner.decide.compare.change import Place

VARIABLE = "${"
ESCAPED = "$${"
ADDRESSES = frozenset({"database", "endpoint", "url", "headers"})
"""Keys whose values are compared as they are declared by those who know them, and not shown here."""
NAMES = ("name", "key", "provider")
"""What items of a list are known by, wherever they stand."""
NOTHING = object()


def variables(old: Rollout, new: Rollout) -> Iterator[Change]:
    """Yield which values are left to the environment on one side, or to it in another way."""
    for file in ("rollout", "providers", "caches"):
        yield from _different((file,), (), old.declared[file], new.declared[file])


def _different(place: Place, path: tuple[str, ...], was: Any, now: Any) -> Iterator[Change]:
    if was == now:
        return
    if isinstance(was, dict) and isinstance(now, dict):
        for key in dict.fromkeys((*was, *now)):
            if key not in ADDRESSES:
                yield from _different((*place, key), (*path, key), was.get(key, NOTHING), now.get(key, NOTHING))
    elif isinstance(was, list) and isinstance(now, list):
        yield from _items(place, path, was, now)
    elif not isinstance(was, dict | list) and not isinstance(now, dict | list) and (_is_left(was) or _is_left(now)):
        yield _change(place, path, _text(was), _text(now))


def _items(place: Place, path: tuple[str, ...], was: list[Any], now: list[Any]) -> Iterator[Change]:
    """Yield what is different between items of the same name; a list of mere values is one value."""
    before = {_name(item): item for item in was}
    for number, item in enumerate(now):
        name = _name(item)
        if name is not None and name in before and item != before[name]:
            yield from _different((*place, number), (*path, name), before[name], item)
    if any(map(_is_left, (*was, *now))):
        texts = [f"[{', '.join(sorted(map(_text, items)))}]" for items in (was, now)]
        if texts[0] != texts[1]:
            yield _change(place, path, texts[0], texts[1])


def _change(place: Place, path: tuple[str, ...], was: str, now: str) -> Change:
    where = ".".join(path)
    said = f"{short(where)} is {short(now)} instead of {short(was)}"
    return Change("variable-changed", where, said, None, "", was, now, place)


def _name(item: Any) -> str | None:
    return next((str(item[key]) for key in NAMES if key in item), None) if isinstance(item, dict) else None


def _is_left(value: Any) -> bool:
    return isinstance(value, str) and VARIABLE in value.replace(ESCAPED, "")


def _text(value: Any) -> str:
    if value is NOTHING:
        return "left out"
    return str(value).lower() if isinstance(value, bool) else str(value)
