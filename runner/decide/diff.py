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
        if before.get(path) != after.get(path)
    ]


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield every value that holds no others, with its path; things in a list go by their name, key or place."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and value:
        for number, inner in enumerate(value):
            name = inner.get("name", inner.get("key", number)) if isinstance(inner, dict) else number
            yield from _leaves(inner, f"{path}[{name}]")
    else:
        yield path, value
