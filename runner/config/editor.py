"""The JSON Schemas as editors get them: the same, with what helps while a file is still half written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from runner.config.shape import schema

if TYPE_CHECKING:
    from collections.abc import Iterator

FILES = ("rollout", "providers", "caches")


def schemas() -> dict[str, str]:
    """Return the JSON Schemas as text, by the names of their files."""
    return {f"{name}.schema.json": json.dumps(_offering(schema(name)), indent=2) + "\n" for name in FILES}


def _offering(whole: dict[str, Any]) -> dict[str, Any]:
    """
    Let every kind of a metric or criterion name all kinds that there are; *whole* means what it meant before.

    An editor offers what the likeliest of several forms allows: behind a `kind:` with nothing after it, that would be
    the kind of the shortest form alone.
    """
    for forms in _alternatives(whole):
        kinds = [form.get("properties", {}).get("kind", {}) for form in forms]
        names = [kind["const"] for kind in kinds if "const" in kind]
        for kind in kinds if len(names) == len(kinds) else ():
            kind["enum"] = names
    return whole


def _alternatives(node: Any) -> Iterator[list[dict[str, Any]]]:
    """Yield every list of alternatives in *node*."""
    if isinstance(node, dict):
        if "oneOf" in node:
            yield node["oneOf"]
        for inner in node.values():
            yield from _alternatives(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from _alternatives(inner)
