"""What is left to do: what is declared against what the ledger says was done."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from runner.config.model import DISABLED
from runner.errors import Mismatch, Problem, Where

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runner.config.model import Migration, Rollout, Stage


class Applied(NamedTuple):
    """A migration as the ledger knows it. Not `done`: begun outside a transaction, never finished."""

    version: str
    name: str
    checksum: str
    applied_at: str
    done: bool


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
    problems = [_gone(done) for version, done in applied.items() if version not in known]
    newest = max((int(version) for version in applied), default=-1)
    todo = []
    for migration in declared:
        done = applied.get(migration.version)
        if done is None:
            todo.append(migration)
            if int(migration.version) < newest:
                problems.append(_late(migration, newest))
        elif done.checksum != migration.checksum:
            problems.append(_edited(migration, done))
        elif not done.done:
            todo.append(migration)
    if problems:
        raise Mismatch(*problems)
    return todo


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


def route(rollout: Rollout, at: str, target: str) -> Route:
    """
    Return the way from stage *at*, which was passed, to *target*.

    Mismatch where *at* is no longer declared; there is a way back to the start all the same.
    """
    if target == DISABLED != at:
        return Route(back_to=DISABLED)
    try:
        here = rollout.position(at)
    except KeyError:
        raise Mismatch(
            Problem(
                f"the database stands at stage {at}, which {rollout.path} no longer declares",
                Where(str(rollout.path)),
                f"declare {at} again, walk back with --target-stage {DISABLED}, and then take it out",
            )
        ) from None
    there = rollout.position(target)
    if there < here:
        return Route(back_to=target)
    return Route(forward=rollout.stages[here:there])
