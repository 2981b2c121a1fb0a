"""Findings that a comment in the file lets through, and what is to be said of such comments."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from difflib import get_close_matches
from typing import TYPE_CHECKING, NamedTuple

from runner.decide.lint.rules import BY_CODE, SQUAWK, TWINS
from runner.decide.risk import Finding, Risk
from runner.errors import Where

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from runner.config.model import Ignore, Migration

FORM = "`-- lint:ignore CODE reason`"


class Heard(NamedTuple):
    """What is left to tell, and a finding for each that a comment lets through: a reviewer has to know of it."""

    left: list[Finding]
    let_through: list[Finding]


def heard(migration: Migration, findings: Iterable[Finding], *, squawked: bool) -> Heard:
    """
    Part *findings* into those that are left and those that the comments of *migration* let through.

    What is left has what is told of the comments, and lacks what squawk says of a statement and we say too.

    One before `-- migrate:up` is for the whole file; one for a line on which several statements begin is for none, as
    nobody can say which is meant. *squawked*: squawk was asked, so that a comment for it counts.
    """
    valid = [each for each in migration.ignores if each.reason and _is_known(each.code)]
    begins = sorted(each.line for part in (migration.up, migration.down, migration.verify) for each in part)
    shared = {line for line, count in Counter(begins).items() if count > 1}
    wanted = {(each.code, each.statement): each for each in reversed(valid) if each.statement not in shared}
    told = [(finding, _statement(finding, begins)) for finding in findings]
    ours = {(finding.code, statement) for finding, statement in told}
    used: set[Ignore] = set()
    found = Heard([], [])
    for finding, statement in told:
        twice = any((code, statement) in ours for code in TWINS.get(finding.code, ()))
        ignore = wanted.get((finding.code, statement)) or wanted.get((finding.code, None))
        if ignore is not None:
            used.add(ignore)
        if twice:
            continue
        if ignore is None:
            found.left.append(finding)
        else:
            found.let_through.append(_let_through(finding, ignore))
    found.left.extend(_faults(migration, used, shared, squawked=squawked))
    return found


def _statement(finding: Finding, begins: list[int]) -> int | None:
    """Return the line on which the statement begins that *finding* is of; None where it is of the file."""
    place = bisect_right(begins, finding.where.line or 0)
    return begins[place - 1] if place else None


def _let_through(finding: Finding, ignore: Ignore) -> Finding:
    what = f"let through here: {finding.code} ({finding.risk}): {finding.what} — reason: {ignore.reason}"
    risk = min(finding.risk, BY_CODE["let-through"].risk, key=lambda risk: Risk(risk).rank)
    fix = f"agree with the reason, or remove lint:ignore {ignore.code}"
    return Finding("let-through", risk, what, finding.where, fix)


def _is_known(code: str) -> bool:
    return code in BY_CODE or code.startswith(SQUAWK)


def _faults(migration: Migration, used: set[Ignore], shared: set[int], *, squawked: bool) -> Iterator[Finding]:
    for ignore in migration.ignores:
        code = ignore.code
        if code and not _is_known(code):
            near = get_close_matches(code, BY_CODE, n=1)
            fix = f"did you mean {near[0]}?" if near else f"write {FORM} with the code of a finding"
            told = "ignore-unknown", f"lint:ignore names {code}, which is no code", fix
        elif not ignore.reason:
            said = f"lint:ignore {code}".strip()
            told = "ignore-without-reason", f"{said} gives no reason, and lets nothing through", f"write {FORM}"
        elif ignore.statement in shared:
            what = f"lint:ignore {code} lets nothing through: several statements begin in line {ignore.statement}"
            told = "ignore-unused", what, "write each of them on a line of its own"
        elif ignore not in used and (squawked or not code.startswith(SQUAWK)):
            told = "ignore-unused", f"lint:ignore {code} lets nothing through: there is no such finding", "remove it"
        else:
            continue
        yield Finding(told[0], BY_CODE[told[0]].risk, told[1], Where(str(migration.path), ignore.line), told[2])
