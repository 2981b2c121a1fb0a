"""What the YAML parser stumbled over, in the words of somebody who edits a config."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from runner.config.wording import plain
from runner.errors import Problem, Where

if TYPE_CHECKING:
    from yaml import YAMLError

_NOT_YAML = "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"

_SENTENCES = (
    ("tab character|^\t", "a tab stands where YAML wants spaces", "indent with spaces"),
    (
        "mapping values are not allowed",
        "a `:` makes a key here, where none can stand",
        "quote the value, or correct the indentation",
    ),
    (
        "quoted scalar",
        "the quote{since} is not closed or not well formed",
        "close it, and write a backslash in double quotes twice",
    ),
    (
        r"(?s)flow.*\$\{",
        "the bracket{since} ends too early: an unquoted ${{}} cannot stand inside it",
        "quote it where text is wanted; for a number, write one key a line, without brackets",
    ),
    (
        "flow",
        "the bracket{since} is not closed, or a comma is missing",
        "close it, or put a comma between the items",
    ),
    ("cannot start any token", "{found} cannot begin a value", "quote the value"),
    ("", "this is not YAML: {problem}", "look at the indentation of this line and the one above"),
)
"""
First match wins: a sign in the parser's error (character, context, problem, and `${` if the line has one), what to say
of it, and what to do.
"""


def explained(error: YAMLError, text: str, file: str) -> Problem:
    """Return *error*, which the parser raised over *text*, as a problem."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return _control_character(text, file)
    line = _line(text, mark.line)
    found = line[mark.column : mark.column + 1]
    context, problem = getattr(error, "context", None) or "", getattr(error, "problem", None) or ""
    opened = getattr(error, "context_mark", None)
    since = f" opened in line {opened.line + 1}, column {opened.column + 1}," if opened else ""
    hints = f"{found}\n{context}\n{problem}\n{'${' * ('${' in line)}"
    what, fix = next((what, fix) for sign, what, fix in _SENTENCES if re.search(sign, hints))
    values = {"since": since, "found": plain(found) or "this", "problem": f"{context} {problem}".strip()}
    return Problem(what.format(**values), Where(file, mark.line + 1, mark.column + 1), fix.format(**values))


def place(text: str, index: int, file: str) -> Where:
    """Return where in *file* the character of *text* at *index* stands."""
    return Where(file, text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index))


def _line(text: str, number: int) -> str:
    lines = text.split("\n", number + 1)
    return lines[number] if number < len(lines) else ""


def _control_character(text: str, file: str) -> Problem:
    found = re.search(_NOT_YAML, text)
    if found is None:
        return Problem(f"{file} is not YAML", Where(file), "save it as UTF-8 text")
    what = f"the control character U+{ord(found.group()):04X} stands here"
    return Problem(what, place(text, found.start(), file), "remove it, or write it as an escape in double quotes")
