"""
Cut SQL text into statements, knowing the line of each; nothing is run.

Where a statement ends is what SQLite's `sqlite3_complete` says, in one pass: it reads a statement again at each `;`.
For PostgreSQL it is what `psql` says, which knows texts in dollars and the bodies of functions.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from runner.config.model import Statement

if TYPE_CHECKING:
    from collections.abc import Iterator

BLANKS = " \t\r\n\f"
_BLANK = rf"(?>[{BLANKS}]|--[^\n]*+|/\*(?s:.*?)(?:\*/|\Z))"
_NO_MORE = r"(?![A-Za-z0-9_$\x80-\U0010ffff])"
_SPACE = re.compile(rf"(?:{_BLANK}|;)*")
_QUOTED_OR_END = re.compile(
    r"""'[^']*(?:'|\Z) | "[^"]*(?:"|\Z) | `[^`]*(?:`|\Z) | \[[^]]*(?:\]|\Z) | --[^\n]* | /\*(?s:.*?)(?:\*/|\Z)
    | (?P<end>;)""",
    re.VERBOSE,
)
_POSTGRES = re.compile(
    r"""(?<![\w$])[eE]'(?s:[^'\\]|\\.|'')*+(?:'|\Z) | '[^']*(?:'|\Z) | "[^"]*(?:"|\Z)
    | (?<![\w$])\$(?P<tag>(?:[^\W\d]\w*)?)\$(?s:.*?)(?:\$(?P=tag)\$|\Z) | --[^\n]* | /\*(?s:.*?)(?:\*/|\Z)
    | (?P<end>;) | (?P<mark>[()]) | (?P<word>[^\W\d][\w$]*)""",
    re.VERBOSE,
)
_BODY = re.compile(
    rf"CREATE{_NO_MORE}{_BLANK}*(?:OR{_NO_MORE}{_BLANK}*REPLACE{_NO_MORE}{_BLANK}*)?(?:FUNCTION|PROCEDURE){_NO_MORE}",
    re.IGNORECASE,
)
"""A statement of PostgreSQL that begins so may hold others, from BEGIN ATOMIC to an END."""
_ATOMIC = re.compile(rf"{_BLANK}*ATOMIC{_NO_MORE}", re.IGNORECASE)
_TRIGGER = re.compile(
    rf"(?:EXPLAIN{_NO_MORE}{_BLANK}*(?:QUERY{_NO_MORE}{_BLANK}*PLAN{_NO_MORE}{_BLANK}*)?)?"
    rf"CREATE{_NO_MORE}{_BLANK}*(?:TEMP(?:ORARY)?{_NO_MORE}{_BLANK}*)*TRIGGER{_NO_MORE}",
    re.IGNORECASE,
)
"""A statement that begins so holds others; it ends at an END that stands between two semicolons."""
_END_ALONE = re.compile(rf"{_SPACE.pattern}END{_NO_MORE}{_BLANK}*;", re.IGNORECASE)
_KEYWORD = re.compile(r"\S\w*")


def first_keyword(sql: str) -> re.Match[str] | None:
    """Return the first token of *sql* after blanks and comments; None where there is nothing else."""
    return _KEYWORD.match(sql, _code(sql, 0))


def split(sql: str, line: int = 1, engine: str = "sqlite") -> Iterator[Statement]:
    """
    Yield the statements of *sql*, whose first line is line *line* of its file.

    Cuts at a `;` only where a statement ends there for *engine*, so bodies, quotes and comments stay whole.
    A statement's line is that of its first word; comments before it are left out, as is what holds only comments.
    """
    begin = _code(sql, 0)
    counted = 0
    for end in _postgres_ends(sql) if engine == "postgres" else _ends(sql):
        if end <= begin:
            continue
        line += sql.count("\n", counted, begin)
        counted = begin
        yield Statement(sql[begin:end].rstrip(BLANKS), line)
        begin = _code(sql, end)


def line_comments(sql: str, line: int = 1, engine: str = "sqlite") -> Iterator[tuple[int, str]]:
    """Yield the line and the text of each `--` comment of *sql*, whose first line is line *line* of its file."""
    counted = 0
    for found in (_POSTGRES if engine == "postgres" else _QUOTED_OR_END).finditer(sql):
        if found.group().startswith("--"):
            line += sql.count("\n", counted, found.start())
            counted = found.start()
            yield line, found.group()[2:].strip()


def nested_comment(sql: str, line: int = 1) -> int | None:
    """Return the line of the first comment of *sql* in which another begins: for PostgreSQL alone both have to end."""
    comments = (found for found in _POSTGRES.finditer(sql) if found.group().startswith("/*"))
    nested = next((found for found in comments if "/*" in found.group()[2:]), None)
    return None if nested is None else line + sql.count("\n", 0, nested.start())


def _code(sql: str, start: int) -> int:
    found = _SPACE.match(sql, start)
    return found.end() if found else start


def _ends(sql: str) -> Iterator[int]:
    """Yield where each statement of *sql* ends, the last one also where its `;` is missing."""
    begin = _code(sql, 0)
    last = None  # where the `;` before ended, in a trigger
    for found in _QUOTED_OR_END.finditer(sql):
        end = found.end()
        if not found["end"] or end <= begin:
            continue
        if last is None and not _TRIGGER.match(sql, begin):
            yield end
            begin = _code(sql, end)
        elif last is not None and (alone := _END_ALONE.match(sql, last)) and alone.end() == end:
            yield end
            begin, last = _code(sql, end), None
        else:
            last = end
    if begin < len(sql):
        yield len(sql)


def _depth(sql: str, word: re.Match[str], depth: int, parentheses: int) -> int:
    """Return how deep in BEGIN and CASE the text after *word* is; a parameter may be called begin."""
    said = word.group().upper()
    if said == "END":
        return max(0, depth - 1)
    opens = depth > 0 if said == "CASE" else said == "BEGIN" and not parentheses and _ATOMIC.match(sql, word.end())
    return depth + bool(opens)


def _postgres_ends(sql: str) -> Iterator[int]:
    """Yield where each statement of *sql* ends: outside of parentheses, and of BEGIN ATOMIC … END in a function."""
    begin = _code(sql, 0)
    has_body = _BODY.match(sql, begin)
    parentheses = depth = 0
    for found in _POSTGRES.finditer(sql):
        if found["mark"]:
            parentheses = max(0, parentheses + (1 if found["mark"] == "(" else -1))
        elif found["word"] and has_body:
            depth = _depth(sql, found, depth, parentheses)
        elif found["end"] and found.end() > begin and not parentheses and not depth:
            yield found.end()
            begin = _code(sql, found.end())
            has_body = _BODY.match(sql, begin)
    if begin < len(sql):
        yield len(sql)
