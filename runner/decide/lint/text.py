"""SQL as text: what has to be done before, or instead of, parsing it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

IDENTIFIER = r'(?:"(?:[^"]|"")+"|`[^`]+`|\[[^\][]+\]|[^\W\d][\w$]*)'
NAME = rf"{IDENTIFIER}(?:\s*\.\s*{IDENTIFIER})*"
NAMES = rf"{NAME}(?:\s*,\s*{NAME})*"
HOME = frozenset({"main", "public", "temp"})
"""Schemas that need not be written, so that a name is the same with them and without."""

# What is not closed goes on to the end, as in the databases: every other of many would be looked for to the end, too.
_DOLLARS = r"(?<![\w$])\$(?P<tag>\w*)\$(?s:.*?)(?:\$(?P=tag)\$|\Z)"
_QUOTED = rf"""'(?:[^']|'')*+' | {_DOLLARS} | "(?:[^"]|"")*+" | `[^`]*` | \[[^\][]*\]"""
_ESCAPED = r"(?<![\w$])[eE]'(?s:[^'\\]|\\.|'')*+(?:'|\Z)"
_COMMENT = re.compile(rf"(?P<kept>{_ESCAPED} | {_QUOTED}) | --[^\n]* | /\*(?s:.*?)(?:\*/|\Z)", re.VERBOSE)
_BREAK = re.compile(rf"{_ESCAPED} | {_QUOTED} | (?P<mark>[(),])", re.VERBOSE)
_CUT = re.compile(rf"{_QUOTED} | (?P<cut>;)", re.VERBOSE)
_BEGIN = re.compile(r"\bBEGIN\b", re.IGNORECASE)
_END = re.compile(r"\bEND\Z", re.IGNORECASE)
_ALTER_TABLE = re.compile(
    rf"\s*ALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?(?P<table>{NAME})\s*\*?\s+(?P<actions>.+)",
    re.IGNORECASE | re.DOTALL,
)


def without_comments(sql: str) -> str:
    """Return *sql* with a blank for each comment, and without blanks and semicolons at its ends."""
    return _COMMENT.sub(lambda found: found["kept"] or " ", sql).strip("; \t\r\n\f")


def alter_table(sql: str) -> tuple[str, list[str]] | None:
    """Return the table of an ALTER TABLE, as written, and its actions; None where it is another statement."""
    found = _ALTER_TABLE.fullmatch(sql)
    return None if found is None else (found["table"], list(_parts(found["actions"])))


def _parts(sql: str) -> Iterator[str]:
    """Cut *sql* at its commas, but for those in parentheses and quotes."""
    begin = depth = 0
    for found in _BREAK.finditer(sql):
        if found["mark"] == "(":
            depth += 1
        elif found["mark"] == ")":
            depth -= 1
        elif found["mark"] and depth == 0:
            yield sql[begin : found.start()].strip()
            begin = found.end()
    yield sql[begin:].strip()


def body_of_trigger(sql: str) -> list[str]:
    """Return the statements in the body of a trigger of SQLite; none where it has no body."""
    begin = _BEGIN.search(sql)
    end = _END.search(sql, max(0, len(sql) - len("end")))
    if begin is None or end is None:
        return []
    body = sql[begin.end() : end.start()]
    cuts = [found.start() for found in _CUT.finditer(body) if found["cut"]]
    ends = zip([0, *(cut + 1 for cut in cuts)], [*cuts, len(body)], strict=True)
    return [part for part in (body[start:stop].strip() for start, stop in ends) if part]


def known_as(written: str) -> str:
    """Return the name by which a table or object is known: small letters, no quotes, no schema that goes without."""
    parts = [part.strip('"`[]').lower() for part in re.findall(IDENTIFIER, written)]
    return named(*parts)


def named(*parts: str) -> str:
    """Return the name that *parts*, a schema if any and the name itself, are known by."""
    said = [part.lower() for part in parts if part]
    return ".".join(said[1:] if len(said) > 1 and said[0] in HOME else said)
