"""How values and choices are put into a sentence, so that every message of this room reads alike."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST = 60
"""Characters of a value that a message shows."""
MOST_LISTED = 20
"""Names that a message lists."""
MOST_COMPARED = 1000
"""Names among which the one that was meant is looked for."""


def plain(text: str) -> str:
    """Return *text* on one line: control characters escaped, the middle left out where it is long."""
    if len(text) > LONGEST:
        text = f"{text[: LONGEST - 13]}...{text[-10:]}"
    return _escaped(text)


def visible(text: str) -> str:
    """Return the lines of *text* with everything escaped that is not printed as it is: a terminal would obey it."""
    return "\n".join(line if line.isprintable() else _escaped(line) for line in text.split("\n"))


def _escaped(text: str) -> str:
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def shown(value: Any) -> str:
    """Say what *value* is, in YAML's words: text in quotes, `true`, `empty`, `a mapping`."""
    match value:
        case None:
            return "empty"
        case bool():
            return str(value).lower()
        case str():
            return f'"{plain(value)}"'
        case dict():
            return "a mapping"
        case list():
            return "a list"
    return plain(repr(value))


def listed(words: Iterable[object], conjunction: str = "or") -> str:
    """Return *words* as `a, b or c`."""
    *most, last = [str(word) for word in words]
    return f"{', '.join(most)} {conjunction} {last}" if most else last


def closest(word: object, known: Iterable[object]) -> str | None:
    """Return the one of *known* that *word* was probably meant to be."""
    from difflib import get_close_matches  # noqa: PLC0415  needed only where something is wrong

    by_lower = {str(name).lower(): str(name) for name in islice(known, MOST_COMPARED)}
    matches = get_close_matches(str(word)[:200].lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[matches[0]] if matches else None


def choose(word: object, known: Iterable[object]) -> str:
    """Return the advice to write one of *known*, with the likeliest one named."""
    names = list(dict.fromkeys(known))
    if not names:
        return "there is none to choose from yet: declare it first"
    meant = closest(word, names)
    more = [f"{len(names) - MOST_LISTED:,} more"] if len(names) > MOST_LISTED + 1 else []
    shown_names = [plain(str(name)) for name in (names[:MOST_LISTED] if more else names)] + more
    if meant is not None and len(names) > 1:
        return f"did you mean {plain(meant)}? Known: {listed(shown_names, 'and')}"
    return f"write {listed(shown_names)}"
