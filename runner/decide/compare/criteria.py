"""What changed in the exit criteria: what has to hold at the end, and how much of a matter it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.config.model import Severity
from runner.decide.compare.change import Change, Who, paired, short, span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.config.model import Criterion, Expectation, Rollout
    from runner.decide.compare.change import Place

AT_LEAST, AT_MOST = frozenset({">", ">="}), frozenset({"<", "<="})
OTHERS = ("subject", "table", "column", "where", "query", "timeout_s", "classes")
"""The fields in which something else is looked at; what is declared as `kind` is the subject."""


def criteria(old: Rollout, new: Rollout) -> Iterator[Change]:
    """Yield what changed in the exit criteria."""
    found = paired(
        old.criteria,
        new.criteria,
        lambda criterion: (criterion.category, criterion.name),
        lambda criterion: tuple(criterion._replace(category="")),
        lambda criterion: tuple(criterion._replace(category="", name="")),
    )
    for criterion in found.gone:
        yield _change("criterion-removed", criterion, " is gone", str(criterion.expect), None)
    for criterion in found.come:
        yield _change("criterion-added", criterion, f" is new: {criterion.subject}", None, str(criterion.expect))
    for was, now in found.renamed:
        names = f"{was.category}.{was.name}", f"{now.category}.{now.name}"
        tail = f" is called {names[1]} now"
        place = ("rollout", "exit_criteria", now.category, now.name)
        who = Who("criterion", (names[0],))
        yield Change("criterion-renamed", "exit_criteria", "", who, tail, *names, place)
    declared = [side.declared["rollout"].get("exit_criteria", {}) for side in (old, new)]
    for was, now in (*found.both, *found.renamed):
        urls = [side[each.category][each.name].get("url") for side, each in zip(declared, (was, now), strict=True)]
        yield from _changed(was, now, urls)


def _change(code: str, criterion: Criterion, said: str, before: Any, after: Any, field: str = "") -> Change:
    path = ["exit_criteria", criterion.category, criterion.name, *([field] if field else [])]
    place: Place = ("rollout", *path)
    return Change(code, ".".join(path), "", Who("criterion", (criterion.name,)), said, before, after, place)


def _changed(was: Criterion, now: Criterion, urls: list[str | None]) -> Iterator[Change]:
    if was.severity is not now.severity:
        code, said = ("criterion-fails", " fails instead of only warning")
        if now.severity is Severity.WARN:
            code, said = ("criterion-only-warns", " only warns instead of failing")
        yield _change(code, now, said, str(was.severity), str(now.severity), "severity")
    if was.expect != now.expect:
        said = f" expects {now.expect} instead of {was.expect}"
        yield _change(_expects(was.expect, now.expect), now, said, str(was.expect), str(now.expect), "expect")
    before, after = set(was.values), set(now.values)
    if before != after:
        code = (
            "criterion-loosened" if after < before else "criterion-tightened" if after > before else "criterion-changed"
        )
        words = [*(f"+ {each}" for each in _sorted(after - before)), *(f"- {each}" for each in _sorted(before - after))]
        said = f" wants {len(before)} -> {len(after)} values: {short(', '.join(words))}"
        yield _change(code, now, said, _sorted(before), _sorted(after), "values")
    for field in OTHERS:
        if getattr(was, field) != getattr(now, field):
            texts = _text(field, getattr(was, field)), _text(field, getattr(now, field))
            name = {"subject": "kind", "timeout_s": "timeout"}.get(field, field)
            said = f" has another {name}: {short(texts[0])} -> {short(texts[1])}"
            yield _change("criterion-changed", now, said, *texts, name)
    if was.url != now.url or urls[0] != urls[1]:
        shown = urls[0] or "the stand-in", urls[1] or "the stand-in"
        said = f" asks another address: {shown[0]} -> {shown[1]}"
        yield _change("criterion-changed", now, said, *shown, "url")


def _expects(was: Expectation, now: Expectation) -> str:
    """Say whether everything that met *was* meets *now*, the other way round, or neither."""
    if {was.sign, now.sign} <= {"in", "=="}:
        before, after = set(was.limits), set(now.limits)
        looser, stricter = after > before, after < before
    elif {was.sign, now.sign} <= AT_LEAST or {was.sign, now.sign} <= AT_MOST:
        limits: list[Any] = [was.limits[0], now.limits[0]]
        if limits[0] == limits[1]:
            looser = len(now.sign) > len(was.sign)
        else:
            looser = (limits[1] < limits[0]) is (now.sign in AT_LEAST)
        stricter = not looser
    else:
        looser, stricter = (
            now.is_met_by(was.limits[0]) and was.sign == "==",
            was.is_met_by(now.limits[0]) and now.sign == "==",
        )
    return "criterion-loosened" if looser else "criterion-tightened" if stricter else "criterion-changed"


def _sorted(values: set[Any]) -> list[Any]:
    return sorted(values, key=str)


def _text(field: str, value: Any) -> str:
    if field == "timeout_s":
        return span(value)
    if field == "classes":
        return ", ".join(" ".join(part for part in pair if part) for pair in value) or "none"
    return str(value) if value else "none"
