"""
Whether what was found is what an exit criterion expects, and what that makes of the whole.

What could not be evaluated is an error, counts as failed whatever its severity, and never passes.
"""

from __future__ import annotations

from enum import StrEnum
from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple

from runner.config.model import Severity, Subject

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.config.model import Criterion
    from runner.samples import Finding


class Outcome(StrEnum):
    """What came of one criterion: met, not met (which warns or fails), or not to be evaluated."""

    PASS = "pass"  # noqa: S105  not a password
    WARN = "warn"
    FAIL = "fail"
    ERROR = "error"


class Judgement(NamedTuple):
    """One criterion, what came of it, and why in words: what was expected and what there is."""

    criterion: Criterion
    outcome: Outcome
    expected: str
    actual: str

    def plain(self) -> dict[str, Any]:
        """Return the judgement as flat data, for JSON and the ledger."""
        criterion = self.criterion
        return {
            "name": criterion.name,
            "category": criterion.category,
            "kind": criterion.subject,
            "severity": criterion.severity,
            "outcome": self.outcome,
            "expected": self.expected,
            "actual": self.actual,
        }


class Summary(NamedTuple):
    """How many criteria there are, what came of them, and the verdict on the whole: pass, warn or fail."""

    total: int
    passed: int
    warned: int
    failed: int
    errors: int
    pass_rate_pct: float
    verdict: Outcome


def judge(criterion: Criterion, finding: Finding) -> Judgement:
    """
    Hold *finding* against what *criterion* expects.

    No value, one of another kind than the limits, and a number that is not finite are errors: silence is never health.
    """
    expected = _expected(criterion)
    error = finding.error or _not_comparable(criterion, finding.value)
    if error is not None or finding.value is None:
        return Judgement(criterion, Outcome.ERROR, expected, error or "nothing was found")
    if criterion.expect.is_met_by(finding.value):
        outcome = Outcome.PASS
    else:
        outcome = Outcome.WARN if criterion.severity is Severity.WARN else Outcome.FAIL
    return Judgement(criterion, outcome, expected, finding.shown or str(finding.value))


def _not_comparable(criterion: Criterion, value: float | str | None) -> str | None:
    """Say why *value* cannot be held against the limits; None where it can."""
    if value is None:
        return "there is no value"
    if isinstance(value, float) and not isfinite(value):
        return f"the value is {value}, which is no number to compare"
    if {isinstance(limit, str) for limit in criterion.expect.limits} != {isinstance(value, str)}:
        return f"the value is {value!r:.60}, not {'a number' if isinstance(value, str) else 'a text'} as expected"
    return None


_NOUNS = {
    Subject.INTEGRITY: "problems",
    Subject.COUNT: "rows",
    Subject.JSON: "invalid rows",
    Subject.NOT_EXPIRED: "expired rows",
    Subject.FIELDS: "differences",
}


def _expected(criterion: Criterion) -> str:
    match criterion.subject:
        case Subject.COVERAGE:
            return f"in {criterion.column}: {', '.join(map(str, criterion.values))}"
        case Subject.TABLE | Subject.HTTP | Subject.DATABASE | Subject.IMPORT:
            return str(criterion.expect.limits[0])
    return f"{criterion.expect} {_NOUNS.get(criterion.subject, '')}".rstrip()


def summary(judgements: Sequence[Judgement]) -> Summary:
    """Count what came of all criteria; of none there is nothing to say, and the verdict is fail."""
    counts = {outcome: sum(each.outcome is outcome for each in judgements) for outcome in Outcome}
    total, passed = len(judgements), counts[Outcome.PASS]
    verdict = Outcome.WARN if counts[Outcome.WARN] else Outcome.PASS
    if counts[Outcome.FAIL] or counts[Outcome.ERROR] or not total:
        verdict = Outcome.FAIL
    rate = round(100 * passed / total, 1) if total else 0.0
    rate = rate if passed == total else min(rate, 99.9)  # 100 % is all of them, however many there are
    return Summary(total, passed, counts[Outcome.WARN], counts[Outcome.FAIL], counts[Outcome.ERROR], rate, verdict)
