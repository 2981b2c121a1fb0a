"""Names in SQL that were not written by us: they cannot be bound, so they are quoted."""

from __future__ import annotations


def quoted(name: str) -> str:
    """Write *name* as an identifier, whatever it holds."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Write *text* as an SQL string, for a statement that a person is shown; what we run ourselves is bound."""
    return "'" + text.replace("'", "''") + "'"
