"""What is left to do: what is declared against what the ledger says was done."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from runner.config.model import DISABLED
from runner.errors import Mismatch, Problem, Where

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    from runner.config.model import Migration, Rollout, Stage


DONE, REVERTED = "done", "reverted"


class Applied(NamedTuple):
    """A migration as the ledger knows it: done, begun outside a transaction and never finished, or reverted since."""

    version: str
    name: str
    checksum: str
    applied_at: str
    state: str


class Route(NamedTuple):
    """The way from where the rollout stands to its target: stages to enter in order, or a stage to walk back to."""

    forward: tuple[Stage, ...] = ()
    back_to: str | None = None

    def __bool__(self) -> bool:
        return bool(self.forward) or self.back_to is not None


def pending(declared: Sequence[Migration], applied: Mapping[str, Applied]) -> list[Migration]:
    """
    Return the migrations that are still to be applied, oldest first.

    Mismatch names every one that was edited, removed or slipped in before one that is applied already: applied history
    is immutable.
    """
    known = {migration.version: migration for migration in declared}
    problems = [_gone(done) for version, done in applied.items() if version not in known and done.state != REVERTED]
    newest = max((int(version) for version, done in applied.items() if done.state != REVERTED), default=-1)
    todo = []
    for migration in declared:
        done = applied.get(migration.version)
        if done is None:
            todo.append(migration)
            if int(migration.version) < newest:
                problems.append(_late(migration, newest))
        elif done.state != DONE:
            todo.append(migration)  # begun: its verify queries say whether it took effect; reverted: it may be edited
        elif done.checksum != migration.checksum:
            problems.append(_edited(migration, done))
    if problems:
        raise Mismatch(*problems)
    return todo


def applied(declared: Sequence[Migration], history: Mapping[str, Applied], wanted: Container[str]) -> list[Migration]:
    """Return the *wanted* versions as they are declared, oldest first; Mismatch for one that was edited or removed."""
    known = {migration.version: migration for migration in declared}
    problems = [
        _gone(done) if version not in known else _edited(known[version], done)
        for version, done in history.items()
        if version in wanted and (version not in known or known[version].checksum != done.checksum)
    ]
    if problems:
        raise Mismatch(*problems)
    return [migration for migration in declared if migration.version in wanted]


def _gone(done: Applied) -> Problem:
    return Problem(
        f"migration {done.version}_{done.name} was applied on {_day(done)} and its file is gone",
        fix="bring the file back; to undo a migration, write a new one that does",
    )


def _late(migration: Migration, newest: int) -> Problem:
    return Problem(
        f"migration {migration.version}_{migration.name} is new, but {newest:04d} after it is applied already",
        Where(str(migration.path)),
        f"give it a number above {newest:04d}",
    )


def _edited(migration: Migration, done: Applied) -> Problem:
    return Problem(
        f"migration {migration.version}_{migration.name} was changed after it was applied on {_day(done)}",
        Where(str(migration.path)),
        "restore the file, and put the change in a new migration",
    )


def _day(done: Applied) -> str:
    return f"{done.applied_at[:16].replace('T', ' ')} UTC"


def route(rollout: Rollout, passed: Sequence[str], target: str) -> Route:
    """
    Return the way from the last of the stages *passed* to *target*.

    Mismatch where those are not declared any more, or in another order, or where *target* lies behind but was never
    passed. There is a way back to the start all the same.
    """
    if target == DISABLED:
        return Route(back_to=DISABLED if passed else None)
    names = [stage.name for stage in rollout.stages]
    for stage in passed:
        if stage not in names:
            raise Mismatch(_stale(rollout, f"the database stands at stage {stage}, which is no longer declared"))
    here = [names.index(stage) for stage in passed]
    if here != sorted(here):
        raise Mismatch(
            _stale(rollout, f"the stages were passed as {', '.join(passed)}, and are declared in another order")
        )
    there = names.index(target)
    reached = here[-1] + 1 if here else 0
    if there + 1 < reached:
        if target not in passed:
            raise Mismatch(_stale(rollout, f"{target} was never passed, and {passed[-1]} after it was"))
        return Route(back_to=target)
    return Route(forward=rollout.stages[reached : there + 1])


def _stale(rollout: Rollout, what: str) -> Problem:
    fix = f"declare the stages as they were, or begin anew: walk back with --target-stage {DISABLED}"
    return Problem(what, Where(str(rollout.path)), fix)
