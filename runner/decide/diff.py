"""What is different between two declared rollouts, value by value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


def differences(old: Any, new: Any) -> list[str]:
    """Return a line for each value that is not the same in both, as `path: old -> new`, in the order of *old*."""
    before, after = dict(_leaves(old, "")), dict(_leaves(new, ""))
    return [
        f"{path}: {before.get(path, 'nothing')} -> {after.get(path, 'nothing')}"
        for path in dict.fromkeys((*before, *after))
        if before.get(path, ...) != after.get(path, ...)
    ] + _moved(dict(_lists(old, "")), dict(_lists(new, "")))


def _moved(before: dict[str, list[str]], after: dict[str, list[str]]) -> list[str]:
    """Return a line for each list that holds the same things in another order."""
    return [
        f"{path}: {', '.join(names)} -> {', '.join(after[path])}"
        for path, names in before.items()
        if path in after and names != after[path] and sorted(names) == sorted(after[path])
    ]


def _lists(value: Any, path: str) -> Iterator[tuple[str, list[str]]]:
    """Yield every list of named things with its path."""
    if isinstance(value, list):
        yield path, _names(value)
        for name, inner in zip(_names(value), value, strict=True):
            yield from _lists(inner, f"{path}[{name}]")
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _lists(inner, f"{path}.{key}" if path else str(key))


def _names(things: list[Any]) -> list[str]:
    """Name what a list holds: by name, key or place, and by a number too where two have the same name."""
    names: dict[str, None] = {}  # in order, and a look at a hundred thousand of them takes no time
    for place, thing in enumerate(things):
        name = str(thing.get("name", thing.get("key", place)) if isinstance(thing, dict) else place)
        while name in names:
            name += f" #{place}"
        names[name] = None
    return list(names)


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield every value that holds no others, with its path; things in a list go by their name, key or place."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and value:
        for name, inner in zip(_names(value), value, strict=True):
            yield from _leaves(inner, f"{path}[{name}]")
    else:
        yield path, value
