"""What changed in the exit criteria: what has to hold at the end, and how much of a matter it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.config.model import Severity, Subject
from runner.decide.compare.change import (
    Change,
    Who,
    addresses,
    apart,
    count,
    listed,
    paired,
    same_sql,
    short,
    signed,
    span,
    turned,
)

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from runner.config.model import Criterion, Expectation, Rollout
    from runner.decide.compare.change import Place

    _Values = dict[tuple[str, str], set[Any]]

AT_LEAST, AT_MOST = frozenset({">", ">="}), frozenset({"<", "<="})
SUBJECT = {"subject": "kind", "table": "table", "column": "column", "query": "query", "classes": "class"}
"""The fields that make it look at something else, and what the config calls them."""


def criteria(old: Rollout, new: Rollout) -> Iterator[Change]:
    """Yield what changed in the exit criteria."""
    found = paired(
        old.criteria,
        new.criteria,
        lambda criterion: (criterion.category, criterion.name),
        lambda criterion: (criterion.name, _likeness(criterion)),
        _likeness,
    )
    for criterion in found.gone:
        said = _described(criterion)
        yield _change("criterion-removed", criterion, f" is gone ({said})", said, None)
    for criterion in found.come:
        said = _described(criterion)
        yield _change("criterion-added", criterion, f" is new ({said})", None, said)
    for was, now in found.renamed:
        names = f"{was.category}.{was.name}", f"{now.category}.{now.name}"
        tail = f" is called {names[1]} now"
        place = ("rollout", "exit_criteria", now.category, now.name)
        who = Who("criterion", (names[0],))
        yield Change("criterion-renamed", "exit_criteria", "", who, tail, *names, place)
    declared = [side.declared["rollout"].get("exit_criteria", {}) for side in (old, new)]
    sides = _values(old), _values(new)
    for was, now in (*found.both, *found.renamed):
        urls = [side[each.category][each.name].get("url") for side, each in zip(declared, (was, now), strict=True)]
        yield from _changed(was, now, urls)
        yield from _declared(was, now, sides)


def _described(criterion: Criterion) -> str:
    """Say in a few words what a criterion looks at."""
    looked = ".".join(part for part in (criterion.table, criterion.column) if part) or criterion.query
    expects = str(criterion.expect) if criterion.subject in {Subject.COUNT, Subject.SQL} else ""
    only_warns = "only warns" if criterion.severity is Severity.WARN else ""
    words = " ".join(part for part in (str(criterion.subject), short(looked), expects) if part)
    return ", ".join(part for part in (words, only_warns) if part)


def _likeness(criterion: Criterion) -> Hashable:
    """Return what makes a criterion the same under another name, or in another category."""
    return tuple(criterion._replace(category="", name="", values=(), classes=())), (
        frozenset(criterion.values),
        frozenset(criterion.classes),
    )


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
    if _canonical(was.expect) != _canonical(now.expect):
        said = f" expects {now.expect} instead of {was.expect}"
        yield _change(_expects(was.expect, now.expect), now, said, str(was.expect), str(now.expect), "expect")
    before, after = set(was.values), set(now.values)
    if before != after:
        code = (
            "criterion-loosened" if after < before else "criterion-tightened" if after > before else "criterion-changed"
        )
        words = listed(signed(map(str, _sorted(after - before)), map(str, _sorted(before - after))))
        said = f" wants {len(before)} -> {count(len(after), 'value')}: {words}"
        yield _change(code, now, said, _sorted(before), _sorted(after), "values")
    for field, name in SUBJECT.items():
        texts = _text(getattr(was, field)), _text(getattr(now, field))
        if not same_sql(*texts):
            shown = apart(*texts)
            yield _change("criterion-replaced", now, f" has another {name}: {shown[0]} -> {shown[1]}", *texts, name)
    if not same_sql(was.where or "", now.where or ""):
        texts = was.where or "every row", now.where or "every row"
        shown = apart(*texts)
        yield _change("criterion-rows-changed", now, f" looks at other rows: {shown[0]} -> {shown[1]}", *texts, "where")
    if was.url != now.url or urls[0] != urls[1]:
        texts = urls[0] or "the stand-in", urls[1] or "the stand-in"
        yield _change("criterion-changed", now, f" asks another address: {addresses(*texts)}", *texts, "url")
    if patient := turned("timeout-raised", "timeout-lowered", was.timeout_s, now.timeout_s):
        values = span(was.timeout_s), span(now.timeout_s)
        yield _change(patient, now, f" is waited for {values[1]} instead of {values[0]}", *values, "timeout")


def _values(rollout: Rollout) -> _Values:
    """Return the values that the seed writes, of the columns whose values are declared."""
    keys = [target.key for target in rollout.targets]
    return {
        ("portfolio_rationales", "rationale_type"): {entry.rationale_type for entry in rollout.caches},
        ("provider_states", "provider_name"): {provider for provider, _ in keys},
        ("provider_states", "sport"): {sport for _, sport in keys},
    }


def _declared(was: Criterion, now: Criterion, sides: tuple[_Values, _Values]) -> Iterator[Change]:
    """Yield which of the values that *was* and *now* want are declared on one side only."""
    column = (now.table, now.column)
    if now.subject is not Subject.COVERAGE or column != (was.table, was.column) or column not in sides[0]:
        return
    wanted = set(was.values) & set(now.values)
    missing = [wanted - side[column] for side in sides]
    for code, values, tail in (
        ("wanted-undeclared", missing[1] - missing[0], "which nothing declares any more"),
        ("wanted-declared", missing[0] - missing[1], "which is declared now"),
    ):
        if values:
            said = f" wants {listed([*map(str, _sorted(values))])}, {tail}"
            yield _change(code, now, said, _sorted(missing[0]), _sorted(missing[1]), "values")


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
        looser, stricter = _holds(was, now), _holds(now, was)
    return "criterion-loosened" if looser else "criterion-tightened" if stricter else "criterion-changed"


def _canonical(expect: Expectation) -> tuple[str, frozenset[Any]]:
    """Return what is expected so that the same is equal: `in` has no order, and one value is what `==` wants."""
    return "in" if expect.sign == "==" else expect.sign, frozenset(expect.limits)


def _holds(exact: Expectation, other: Expectation) -> bool:
    """Say whether each of the few values that *exact* allows is among those that *other* does."""
    if exact.sign not in {"==", "in"}:
        return False
    if other.sign not in {"==", "in", "!="} and any(isinstance(limit, str) for limit in exact.limits):
        return False
    return all(other.is_met_by(limit) for limit in exact.limits)


def _sorted(values: set[Any]) -> list[Any]:
    return sorted(values, key=str)


def _text(value: str | tuple[tuple[str, str], ...]) -> str:
    if isinstance(value, tuple):
        value = ", ".join(": ".join(part for part in pair if part) for pair in sorted(value))
    return str(value) or "none"
