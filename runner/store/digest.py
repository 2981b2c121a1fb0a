"""Digests of rows: how the runner proves that something is as it was."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable


def _plain(value: Any) -> Any:
    return {BLOB: value.hex()} if isinstance(value, bytes) else str(value)


def read_back(text: str) -> Any:
    """Return what `canonical` wrote; bytes are bytes again."""
    return json.loads(text, object_hook=_bytes)


def _bytes(found: dict[str, Any]) -> Any:
    return bytes.fromhex(found[BLOB]) if found.keys() == {BLOB} else found


BLOB = "$blob"
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_plain)


def canonical(value: Any) -> str:
    """Write *value* as JSON in the one form that digests and keys use: sorted, compact, not escaped."""
    return _ENCODER.encode(value)


def of_rows(rows: Iterable[Any]) -> str:
    """Return `sha256:` and the digest of *rows* in the order they come; reads them one by one."""
    total = hashlib.sha256()
    for row in rows:
        total.update(canonical(row).encode())
        total.update(b"\n")
    return f"sha256:{total.hexdigest()}"


def of_text(text: str) -> str:
    """Return `sha256:` and the digest of *text* in UTF-8."""
    return f"sha256:{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"


DEEPEST = 100


def from_file(raw: bytes) -> dict[str, Any]:
    """Return the JSON object that a file holds; ValueError, which says why, where there is none, or none of ours."""
    try:
        found = json.loads(raw)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")  # noqa: TRY004  what is wrong is the file, not a call
    layer: list[Any] = [found]
    for _ in range(DEEPEST):
        layer = [inner for value in layer for inner in _inside(value)]
        if not layer:
            return found
    raise ValueError("it is nested too deep")


def _inside(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
