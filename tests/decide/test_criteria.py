from math import inf, nan

import pytest

from runner.config.criteria import IMPLIED, expectation
from runner.config.model import Criterion, Severity, Subject
from runner.decide.criteria import Judgement, Outcome, Summary, judge, summary
from runner.samples import Finding

PASS, WARN, FAIL, ERROR = Outcome


def criterion(expect, severity=Severity.FAIL, subject=Subject.SQL, **more):
    return Criterion("lag", "health", subject, expect, severity, **more)


def outcome(expect, value, severity=Severity.FAIL):
    return judge(criterion(expectation(expect), severity), Finding(value)).outcome


@pytest.mark.parametrize(
    ("expect", "passing", "failing"),
    [
        (">= 24", (24, 25, 24.0, 2**62), (23, 0, -24, 23.999)),
        ("> 24", (25, 24.001), (24, 0)),
        ("<= 5", (5, 0, -1), (6, 5.001)),
        ("< 5", (4, 4.999), (5, 6)),
        ("== 0", (0, 0.0, False), (1, -1, 0.001)),
        ("!= 0", (1, -1), (0,)),
        ("==0", (0,), (1,)),  # the blank may be left out
        (">= -0.5", (-0.5, 0), (-0.6,)),
        ("== 'done'", ("done",), ("Done", "", "done ")),
        ("!= 'done'", ("begun",), ("done",)),
        ("in 'done', 'reverted'", ("done", "reverted"), ("begun", "'done'", "")),
        ("in 1, 2", (1, 2.0), (0, 3)),
    ],
)
def test_only_a_value_that_is_as_expected_passes(expect, passing, failing):
    assert {PASS} == {outcome(expect, value) for value in passing}
    assert {FAIL} == {outcome(expect, value) for value in failing}
    assert {WARN} == {outcome(expect, value, Severity.WARN) for value in failing}


@pytest.mark.parametrize("severity", Severity)
@pytest.mark.parametrize(
    ("expect", "value"),
    [
        (">= 0", None),  # NULL, or no row
        ("!= 0", None),
        (">= 0", nan),
        ("!= 0", nan),
        (">= 0", inf),
        ("<= 0", -inf),
        (">= 0", "24"),  # a text, though it looks like a number
        ("!= 0", "much"),
        ("!= 'done'", 5),
        ("in 'a', 'b'", 1),
        ("in 1, 'a'", 1),  # which of them is meant cannot be told
    ],
)
def test_what_cannot_be_compared_is_an_error_whatever_the_severity(expect, value, severity):
    assert ERROR is outcome(expect, value, severity)


def test_what_could_not_be_evaluated_is_an_error_and_says_why():
    asked = criterion(expectation("== 0"), Severity.WARN)

    assert judge(asked, Finding(0, "0", error="no such table")) == Judgement(asked, ERROR, "== 0", "no such table")


@pytest.mark.parametrize(
    ("subject", "more", "expected"),
    [
        (Subject.TABLE, {}, "exists"),
        (Subject.INTEGRITY, {}, "== 0 problems"),
        (Subject.COVERAGE, {"column": "sport", "values": ("MLB", 5)}, "in sport: MLB, 5"),
        (Subject.JSON, {}, "== 0 invalid rows"),
        (Subject.NOT_EXPIRED, {}, "== 0 expired rows"),
        (Subject.HTTP, {}, "answers"),
        (Subject.DATABASE, {}, "answers"),
        (Subject.IMPORT, {}, "imports"),
        (Subject.FIELDS, {}, "== 0 differences"),
    ],
)
def test_a_subject_that_leaves_no_choice_says_what_it_expects(subject, more, expected):
    asked = criterion(IMPLIED[subject], subject=subject, **more)
    good = asked.expect.limits[0]

    assert Judgement(asked, PASS, expected, "fine") == judge(asked, Finding(good, "fine"))
    assert Judgement(asked, FAIL, expected, "bad") == judge(
        asked, Finding("bad" if isinstance(good, str) else 1, "bad")
    )


def test_what_is_expected_is_shown_as_it_was_written():
    shown = [">= 24", "== 0", "!= 0.5", "== 'done'", "in 'a', 'b'"]

    assert shown == [str(expectation(text)) for text in shown]


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([PASS] * 18, (18, 18, 0, 0, 0, 100.0, PASS)),
        ([PASS] * 17 + [WARN], (18, 17, 1, 0, 0, 94.4, WARN)),
        ([PASS] * 16 + [WARN, FAIL], (18, 16, 1, 1, 0, 88.9, FAIL)),
        ([PASS] * 17 + [ERROR], (18, 17, 0, 0, 1, 94.4, FAIL)),  # an error fails the whole, and is counted apart
        ([PASS] * 4999 + [WARN], (5000, 4999, 1, 0, 0, 99.9, WARN)),  # 100 % is all of them
        ([FAIL], (1, 0, 0, 1, 0, 0.0, FAIL)),
        ([], (0, 0, 0, 0, 0, 0.0, FAIL)),  # nothing was looked at: that is no pass
    ],
)
def test_the_summary_counts_what_came_of_all(outcomes, expected):
    judgements = [Judgement(criterion(expectation("== 0")), outcome, "", "") for outcome in outcomes]

    assert Summary(*expected) == summary(judgements)
