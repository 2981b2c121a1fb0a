"""
A review as Markdown for a pull request: the verdict first, what is dangerous next, then all of it, then details.

Nothing in it obeys a name or a value of the config: no markup, no mention, no link. It stays below what code hosts take
as one comment.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from runner.report import replay
from runner.report.review import NO_CHANGE, place, reassessed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Found = dict[str, Any]

LARGEST_BYTES = 65_000
"""GitHub takes 65,536 characters; a few are left for what a bot adds."""
SIGN = {"blocked": "⛔", "dangerous": "🔴", "caution": "🟡", "safe": "🟢"}
GRAVE = ("blocked", "dangerous")
IN_SENTENCE = 8
"""So many names stand in the sentence itself."""
LISTED = 200
LONGEST = 2_000
_MARKUP = re.compile(r"[\\`*\[\]<|~&$]|(?<![^\W_])_|_(?![^\W_])|:(?=[\w+-]+:)")
_ENTITY = frozenset("<&|")
_MEANS_MORE = re.compile(r"[@#]|://|www\.|\bGH-", re.IGNORECASE)
NOTHING = "\N{ZERO WIDTH SPACE}"


def markdown(found: Found) -> str:
    """Write a review for a pull request, in LARGEST_BYTES at the most."""
    told = found["changes"] + found["findings"]
    told.sort(key=lambda each: list(SIGN).index(each["risk"]))
    page = _Page(LARGEST_BYTES)
    page.add(_head(found))
    page.add_each([_grave(each) for each in told if each["risk"] in GRAVE], "what is dangerous")
    if told:
        page.add(["", "| | change | code | where |", "|---|---|---|---|"])
        page.add_each([[_row(each)] for each in told], "changes")
    if found["replay"]:
        page.add_each(
            [["", "### Would past runs have ended differently?", "", *_replayed(found["replay"])]], "the replay"
        )
    page.add_each([_details(each) for each in told if _has_details(each)], "details")
    return page.text()


def marker(found: Found) -> str:
    """Return the hidden first line by which a bot knows its own comment again."""
    config = found["new"].rpartition(":")[2]
    return f"<!-- runner-review {json.dumps(config).replace('--', '-&#45;').replace('>', '&gt;')} -->"


def escaped(text: str) -> str:
    """Return *text* so that Markdown shows it as it is, on one line, and nobody is mentioned in it."""
    flat = " ".join(text.split())
    parted = _MEANS_MORE.sub(lambda sign: f"{sign[0][0]}{NOTHING}{sign[0][1:]}", flat)
    return _MARKUP.sub(lambda sign: f"&#{ord(sign[0])};" if sign[0] in _ENTITY else f"\\{sign[0]}", parted)


def code(text: str) -> str:
    """Return *text* as a span of code, whatever back-ticks it holds."""
    flat = " ".join(text.split()).replace("|", "\\|")
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", flat)), default=0))
    space = " " if flat.startswith("`") or flat.endswith("`") else ""
    return f"{fence}{space}{flat}{space}{fence}"


def fenced(text: str) -> list[str]:
    """Return *text* as a block of code, whatever fences it holds."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return [fence, text, fence]


class _Page:
    """Lines up to a size; what does not fit any more is counted, and told at the end."""

    def __init__(self, largest: int) -> None:
        self._left = largest - 500  # for the note at the end
        self._lines: list[str] = []
        self._cut: dict[str, int] = {}

    def add(self, lines: Iterable[str]) -> bool:
        """Add all of *lines* if they fit."""
        block = list(lines)
        size = sum(len(line.encode()) + 1 for line in block)
        if size > self._left:
            return False
        self._left -= size
        self._lines += block
        return True

    def add_each(self, blocks: list[list[str]], what: str) -> None:
        """Add *blocks* until one does not fit."""
        for number, block in enumerate(blocks):
            if not self.add(block):
                self._cut[what] = len(blocks) - number
                return

    def text(self) -> str:
        if self._cut:
            left = ", ".join(f"{what} ({count} left out)" for what, count in self._cut.items())
            self._lines += ["", f"> Shortened to fit a comment: {left}. `runner diff` shows all."]
        return "\n".join(self._lines) + "\n"


def _head(found: Found) -> Iterator[str]:
    yield marker(found)
    verdict = found["verdict"]
    sign = SIGN.get(verdict, "⚪")
    yield f"## {sign} Rollout review: {escaped(found['rollout'])} is {verdict}"
    yield ""
    counts = [f"**{count} {risk}**" for risk, count in found["counts"].items() if count]
    sides = f"{code(found['old'])} → {code(found['new'])}, environment {code(found['environment'])}"
    yield f"{', '.join(counts) or NO_CHANGE}: {sides}" if counts else f"{NO_CHANGE}: {sides}"
    if any(found["counts"][risk] for risk in GRAVE):
        yield ""
        yield "### Look at these first"
        yield ""


def _grave(told: Found) -> list[str]:
    why = told.get("why") or told["fix"]
    return [f"- {SIGN[told['risk']]} **{escaped(told['what'])}**{escaped(reassessed(told))}  ", f"  {escaped(why)}"]


def _row(told: Found) -> str:
    what = escaped(told["what"] + reassessed(told))
    return f"| {SIGN[told['risk']]} | {what} | {code(told['code'])} | {code(place(told))} |"


def _replayed(found: Found) -> Iterator[str]:
    """Write the replay as a list: a run has two spaces before it, what is said of it four."""
    yield escaped(replay.summary(found))
    yield ""
    for line in replay.text(found).split("\n")[1:]:
        yield f"{' ' * (len(line) - len(line.lstrip()) - 2)}- {escaped(line)}"


def _has_details(told: Found) -> bool:
    return len(told.get("names", ())) > IN_SENTENCE or _values(told) is not None


def _values(told: Found) -> tuple[str, str] | None:
    """Return what was and is, where it is more than the sentence holds."""
    before, after = (_text(told.get(side)) for side in ("before", "after"))
    return (before, after) if max(len(before), len(after)) > len(told["what"]) else None


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)


def _details(told: Found) -> list[str]:
    lines = ["", f"<details><summary>{SIGN[told['risk']]} {escaped(told['what'])}</summary>", ""]
    names = told.get("names", [])
    if len(names) > IN_SENTENCE:
        more = [f"… and {len(names) - LISTED} more"] if len(names) > LISTED else []
        lines += [f"- {code(name)}" for name in names[:LISTED]] + [f"- {each}" for each in more]
    values = _values(told)
    if values:
        for title, value in zip(("before", "after"), values, strict=True):
            lines += ["", f"{title}:", "", *fenced(value[:LONGEST] or "nothing")]
    return [*lines, "", "</details>"]
