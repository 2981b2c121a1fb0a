"""Names in SQL that were not written by us: they cannot be bound, so they are quoted."""

from __future__ import annotations


def quoted(name: str) -> str:
    """Write *name* as an identifier, whatever it holds."""
    return '"' + name.replace('"', '""') + '"'
