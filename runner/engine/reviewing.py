"""A review as plain data: what is different between two configs, how dangerous it is, and where it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.decide.compare import compare
from runner.decide.review import Judge
from runner.decide.risk import Risk, reaches
from runner.decide.rules import BY_CODE
from runner.engine.linting import linted, plain
from runner.errors import Where

if TYPE_CHECKING:
    from runner.config.load import Declaration
    from runner.decide.compare.change import Change
    from runner.decide.risk import Finding

    Found = dict[str, Any]


def review(old: Declaration, new: Declaration, names: tuple[str, str]) -> Found:
    """
    Return what changed from *old* to *new*, which the caller calls *names*; the most dangerous first.

    `verdict` is the greatest risk of all, or `unchanged`. `changes` are of what is declared, `findings` of the
    migrations that are new or were edited.
    """
    judge = Judge(old.rollout, new.rollout)
    changes = _sorted([_change(each, judge, new) for each in compare(old.rollout, new.rollout)])
    findings = _sorted([plain(each, judge) for each in _linted(old, new)])
    told = changes + findings
    counts = {str(risk): sum(each["risk"] == risk for each in told) for risk in reversed(Risk)}
    return {
        "version": 1,
        "old": names[0],
        "new": names[1],
        "rollout": new.rollout.name,
        "environment": new.rollout.environment.name,
        "verdict": next((risk for risk, count in counts.items() if count), "unchanged"),
        "counts": counts,
        "changes": changes,
        "findings": findings,
        "replay": None,
    }


def exceeds(found: Found, limit: str) -> bool:
    """Say whether a review found something as dangerous as *limit*, or more."""
    return reaches((each["risk"] for each in found["changes"] + found["findings"]), limit)


def _sorted(told: list[Found]) -> list[Found]:
    return sorted(told, key=lambda each: -Risk(each["risk"]).rank)


def _change(change: Change, judge: Judge, new: Declaration) -> Found:
    return {
        "code": change.code,
        **judge(change.code).plain(),
        "what": change.what,
        "why": BY_CODE[change.code].why,
        "path": change.path,
        "names": list(change.who.names) if change.who else [],
        "before": change.before,
        "after": change.after,
        **_where(change, new)._asdict(),
    }


def _where(change: Change, new: Declaration) -> Where:
    """Return where the change stands in the new files, or where it would."""
    file, *path = change.place
    if file == "migration":
        return Where(str(path[0]), 1, 1)
    return new.documents[str(file)].where_key(tuple(path))


def _linted(old: Declaration, new: Declaration) -> list[Finding]:
    """Return what the lint says, or lets through, of migrations that are not, byte for byte, on the old side."""
    known = {migration.checksum for migration in old.rollout.migrations}
    changed = {str(migration.path) for migration in new.rollout.migrations if migration.checksum not in known}
    if not changed:
        return []
    found = linted(new.rollout.migrations, new.rollout.environment.engine, changed)
    return found.findings + found.let_through
