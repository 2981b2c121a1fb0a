"""
A review as Markdown for a pull request: the verdict first, what is dangerous next, then the rest, then details.

Nothing in it obeys a name or a value of the config: no markup, no mention, no link. It stays below what code hosts take
as one comment.
"""

from __future__ import annotations

import html
import json
import re
from typing import TYPE_CHECKING, Any

from runner.report import replay
from runner.report.review import place, reassessed

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
_MARKUP = re.compile(r"[\\`*\[\]<|~&$]|(?<![^\W_])_|_(?![^\W_])")
_ENTITY = frozenset("<&|")
_MEANS_MORE = re.compile(r"[@#]|:(?=//|[a-z0-9_+-]+:)|(?i:w(?=ww\.)|\bG(?=H-))")
"""The first character of a mention, an issue, an address or an emoji: code hosts look for them after rendering."""
_SPECIAL = re.compile(f"{_MARKUP.pattern}|{_MEANS_MORE.pattern}")
NOTHING = "&#8203;"
"""A space of no width."""


def markdown(found: Found) -> str:
    """Write a review for a pull request, in LARGEST_BYTES at the most."""
    told = found["changes"] + found["findings"]
    told.sort(key=lambda each: list(SIGN).index(each["risk"]))
    page = _Page(LARGEST_BYTES)
    page.add(_head(found))
    page.add_each([_grave(each) for each in told if each["risk"] in GRAVE], "what is dangerous")
    rest = [each for each in told if each["risk"] not in GRAVE]
    if found["replay"]:
        page.add(["", "### Would past runs have ended differently?", "", escaped(replay.summary(found["replay"])), ""])
        page.add_each(_replayed(found["replay"]), "past runs", LARGEST_BYTES // 4)
    if rest:
        title = "### The rest" if rest != told else "### The changes" if found["replay"] else None
        page.add(["", *([title, ""] if title else []), "| | change | code | where |", "|---|---|---|---|"])
        page.add_each([[_row(each)] for each in rest], "changes")
    page.add_each([_details(each) for each in told if _has_details(each)], "details")
    return page.text()


def marker(found: Found) -> str:
    """Return the hidden first line by which a bot knows its own comment again."""
    config = found["new"].rpartition(":")[2]
    return f"<!-- runner-review {json.dumps(config).replace('--', '-&#45;').replace('>', '&gt;')} -->"


def escaped(text: str) -> str:
    """Return *text* so that Markdown shows it as it is, on one line, and nobody is mentioned in it."""
    return _SPECIAL.sub(lambda sign: _shown(sign[0]), " ".join(text.split()))


def _shown(sign: str) -> str:
    if _MARKUP.fullmatch(sign):
        return f"&#{ord(sign)};" if sign in _ENTITY else f"\\{sign}"
    return f"{sign}{NOTHING}"


def code(text: str) -> str:
    """Return *text* as a span of code, whatever back-ticks it holds."""
    flat = " ".join(text.split())
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", flat)), default=0))
    space = " " if flat.startswith("`") or flat.endswith("`") else ""
    return f"{fence}{space}{flat}{space}{fence}"


def fenced(text: str) -> list[str]:
    """Return *text* as a block of code, whatever fences it holds."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return [fence, text, fence]


def _utf8(text: str) -> str:
    """Return *text* with bytes of file names that are not UTF-8 written out: no page can hold them."""
    return text.encode(errors="backslashreplace").decode()


class _Page:
    """Lines up to a size; what does not fit any more is counted, and told at the end."""

    def __init__(self, largest: int) -> None:
        self._left = largest - 500  # for the note at the end
        self._lines: list[str] = []
        self._cut: dict[str, int] = {}

    def add(self, lines: Iterable[str]) -> bool:
        """Add all of *lines* if they fit."""
        block = list(lines)
        size = sum(len(_utf8(line).encode()) + 1 for line in block)
        if size > self._left:
            return False
        self._left -= size
        self._lines += block
        return True

    def add_each(self, blocks: list[list[str]], what: str, most: int = LARGEST_BYTES) -> None:
        """Add *blocks* until one does not fit, or so many bytes are used."""
        least = self._left - most
        for number, block in enumerate(blocks):
            if self._left < least or not self.add(block):
                self._cut[what] = len(blocks) - number
                return

    def text(self) -> str:
        if self._cut:
            left = ", ".join(f"{what} ({count} left out)" for what, count in self._cut.items())
            self._lines += ["", f"> Shortened to fit a comment: {left}. `runner diff` shows all."]
        return _utf8("\n".join(self._lines)) + "\n"


def _head(found: Found) -> Iterator[str]:
    yield marker(found)
    verdict = found["verdict"]
    sign = SIGN.get(verdict, "⚪")
    yield f"## {sign} Rollout review of {escaped(found['rollout'])}: {verdict}"
    yield ""
    counts = [f"**{count} {risk}**" for risk, count in found["counts"].items() if count]
    sides = f"{code(found['old'])} → {code(found['new'])}, environment {code(found['environment'])}"
    yield f"{', '.join(counts)}: {sides}" if counts else f"Both declare the same: {sides}"
    if found["replay"]:
        yield ""
        yield f"Replay: **{escaped(replay.brief(found['replay']))}**"
    if any(found["counts"][risk] for risk in GRAVE):
        yield ""
        yield "### Look at these first"
        yield ""


def _grave(told: Found) -> list[str]:
    why = told.get("why") or _sentence(told["fix"])
    return [
        f"- {SIGN[told['risk']]} **{escaped(told['what'])}** {escaped(reassessed(told))}".rstrip() + "  ",
        f"  {escaped(why)} {code(told['code'])} at {code(place(told))}",
    ]


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _row(told: Found) -> str:
    what = escaped(told["what"] + reassessed(told))
    where = code(place(told)).replace("|", "\\|")
    return f"| {SIGN[told['risk']]} | {what} | {code(told['code'])} | {where} |"


def _replayed(found: Found) -> list[list[str]]:
    """Write the replay as a list, a block for each run: it has two spaces before it, what is said of it four."""
    blocks: list[list[str]] = []
    for line in replay.text(found).split("\n")[1:]:
        inward = len(line) - len(line.lstrip()) - 2
        if not inward:
            blocks.append([])
        blocks[-1].append(f"{' ' * inward}- {escaped(line)}")
    return blocks


def _has_details(told: Found) -> bool:
    return len(told.get("names", ())) > IN_SENTENCE or _is_shortened(told)


def _is_shortened(told: Found) -> bool:
    """Say whether there is more to what was and is than the sentence holds."""
    before, after = told.get("before"), told.get("after")
    if isinstance(before, list) and isinstance(after, list):
        return any(
            str(each) not in told["what"] for each in (*before, *after) if (each in before) is not (each in after)
        )
    if not isinstance(before, str) or not isinstance(after, str) or "..." not in told["what"]:
        return False
    return any(" ".join(each.split()) not in told["what"] for each in (before, after))


def _details(told: Found) -> list[str]:
    """Return all names, and what was and is; inside of the summary, markup of Markdown would be no markup."""
    names = told.get("names", [])
    if len(names) > IN_SENTENCE:
        shown = names[:LISTED]
        which = f"all {len(names)} names" if len(names) == len(shown) else f"the first {LISTED} of {len(names)} names"
        lines = [*_summary(told, told["code"], which), *(f"- {code(name)}" for name in shown), ""]
    else:
        lines = _summary(told, told["path"], "before and after")
    if _is_shortened(told):
        for title in ("before", "after"):
            lines += [f"{title}:", "", *fenced(_text(told[title])[:LONGEST] or "nothing"), ""]
    return [*lines, "</details>"]


def _summary(told: Found, called: str, said: str) -> list[str]:
    shown = html.escape(" ".join(called.split()))
    return ["", f"<details><summary>{SIGN[told['risk']]} <code>{shown}</code>: {said}</summary>", ""]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
