"""
Cut SQL text into statements, knowing the line of each; nothing is run.

Where a statement ends is what SQLite's `sqlite3_complete` says, in one pass: it reads a statement again at each `;`.
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


def split(sql: str, line: int = 1) -> Iterator[Statement]:
    """
    Yield the statements of *sql*, whose first line is line *line* of its file.

    Cuts at a `;` only where a statement ends there for SQLite, so triggers, quotes and comments stay whole.
    A statement's line is that of its first word; comments before it are left out, as is what holds only comments.
    """
    begin = _code(sql, 0)
    counted = 0
    for end in _ends(sql):
        if end <= begin:
            continue
        line += sql.count("\n", counted, begin)
        counted = begin
        yield Statement(sql[begin:end].rstrip(BLANKS), line)
        begin = _code(sql, end)


def line_comments(sql: str, line: int = 1) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of each `--` comment of *sql*, whose first line is line *line* of its file."""
    counted = 0
    for found in _QUOTED_OR_END.finditer(sql):
        if found.group().startswith("--"):
            line += sql.count("\n", counted, found.start())
            counted = found.start()
            yield line, found.group()[2:].strip()


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
