"""Cut SQL text into statements, knowing the line of each. Only SQLite's lexer is asked; nothing is run."""

from __future__ import annotations

import re
import sqlite3
from typing import TYPE_CHECKING

from runner.config.model import Statement

if TYPE_CHECKING:
    from collections.abc import Iterator

_SPACE = re.compile(r"(?:[\s;]+|--[^\n]*|/\*(?s:.*?)(?:\*/|\Z))*")
_QUOTED_OR_END = re.compile(
    r"""'[^']*' | "[^"]*" | `[^`]*` | \[[^]]*\] | --[^\n]* | /\*(?s:.*?)\*/ | (?P<end>;)""", re.VERBOSE
)
_KEYWORD = re.compile(r"\S\w*")


def first_keyword(sql: str) -> re.Match[str] | None:
    """Return the first token of *sql* after blanks and comments; None where there is nothing else."""
    return _KEYWORD.match(sql, _code(sql, 0))


def split(sql: str, line: int = 1) -> Iterator[Statement]:
    """
    Yield the statements of *sql*, whose first line is line *line* of its file.

    Cuts at a `;` only where SQLite agrees that a statement ends there, so triggers, quotes and comments stay whole.
    A statement's line is that of its first word; comments before it are left out, as is what holds only comments.
    """
    begin = _code(sql, 0)
    counted = 0
    for end in _ends(sql):
        if end <= begin:
            continue
        line += sql.count("\n", counted, begin)
        counted = begin
        yield Statement(sql[begin:end].rstrip(), line)
        begin = _code(sql, end)


def _code(sql: str, start: int) -> int:
    found = _SPACE.match(sql, start)
    return found.end() if found else start


def _ends(sql: str) -> Iterator[int]:
    """Yield where each statement of *sql* ends, the last one also where its `;` is missing."""
    begin = _code(sql, 0)
    for found in _QUOTED_OR_END.finditer(sql):
        end = found.end()
        if found["end"] and end > begin and sqlite3.complete_statement(sql[begin:end]):
            yield end
            begin = _code(sql, end)
    if begin < len(sql):
        yield len(sql)
