"""Findings that a comment in the file lets through, and what is to be said of such comments."""

from __future__ import annotations

from bisect import bisect_right
from difflib import get_close_matches
from typing import TYPE_CHECKING

from runner.decide.lint.rules import BY_CODE, SQUAWK
from runner.decide.risk import Finding
from runner.errors import Where

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from runner.config.model import Ignore, Migration

FORM = "`-- lint:ignore CODE reason`"


def heard(migration: Migration, findings: Iterable[Finding], *, squawked: bool) -> list[Finding]:
    """
    Return *findings* without those that the comments of *migration* let through, and what is told of the comments.

    One before `-- migrate:up` is for the whole file. *squawked*: squawk was asked, so that a comment for it counts.
    """
    valid = [each for each in migration.ignores if each.reason and _is_known(each.code)]
    wanted = {(each.code, each.statement): each for each in reversed(valid)}
    begins = sorted(each.line for part in (migration.up, migration.down, migration.verify) for each in part)
    used: set[Ignore] = set()
    left = []
    for finding in findings:
        line = finding.where.line or 0
        place = bisect_right(begins, line)
        statement = begins[place - 1] if place else None
        ignore = wanted.get((finding.code, statement)) or wanted.get((finding.code, None))
        if ignore is None:
            left.append(finding)
        else:
            used.add(ignore)
    return [*left, *_faults(migration, used, squawked=squawked)]


def _is_known(code: str) -> bool:
    return code in BY_CODE or code.startswith(SQUAWK)


def _faults(migration: Migration, used: set[Ignore], *, squawked: bool) -> Iterator[Finding]:
    for ignore in migration.ignores:
        code = ignore.code
        if code and not _is_known(code):
            near = get_close_matches(code, BY_CODE, n=1)
            fix = f"did you mean {near[0]}?" if near else f"write {FORM} with the code of a finding"
            told = "ignore-unknown", f"lint:ignore names {code}, which is no code", fix
        elif not ignore.reason:
            said = f"lint:ignore {code}".strip()
            told = "ignore-without-reason", f"{said} gives no reason, and lets nothing through", f"write {FORM}"
        elif ignore not in used and (squawked or not code.startswith(SQUAWK)):
            told = "ignore-unused", f"lint:ignore {code} lets nothing through: there is no such finding", "remove it"
        else:
            continue
        yield Finding(told[0], BY_CODE[told[0]].risk, told[1], Where(str(migration.path), ignore.line), told[2])
