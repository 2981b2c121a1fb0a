"""
What can go wrong, as data first and text later.

The ground floor: everybody may import this room, and it imports nobody.

    RunnerError
    ├── InvalidConfig   3   the config or a migration file is not valid
    ├── StepFailed      1   a step did not work; the database is as the message says
    │   ├── StatementFailed     it was a statement of a migration
    │   └── Busy                others held the database for too long
    ├── Mismatch        7   history, config or database are not what they were
    ├── Locked          6   another runner holds the lock
    ├── Stuck           9   a rollback is incomplete: a person is needed
    └── Interrupted   130   stopped by a signal at a safe point (143 for SIGTERM)
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable


class ExitCode(IntEnum):
    """What the process tells its caller. A public promise: see README."""

    DONE = 0
    FAILED = 1
    PENDING = 2
    INVALID = 3
    CRITERIA_FAILED = 4
    RISKY = 5
    LOCKED = 6
    MISMATCH = 7
    ROLLED_BACK = 8
    STUCK = 9
    USAGE = 64
    INTERRUPTED = 130
    TERMINATED = 143


class Where(NamedTuple):
    """A place that an editor can jump to. Line and column count from 1; None where there is no finer place."""

    file: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        return ":".join(str(part) for part in self if part is not None)


class Problem(NamedTuple):
    """One thing that is wrong: what, with the value that was seen; where; and what to do about it."""

    what: str
    where: Where | None = None
    fix: str | None = None

    def plain(self) -> dict[str, object]:
        """Return the problem as flat data, for JSON."""
        return {"what": self.what, **(self.where._asdict() if self.where else {}), "fix": self.fix}

    def __str__(self) -> str:
        lines = [f"error: {self.what}"]
        if self.where:
            lines.append(f"  at {self.where}")
        if self.fix:
            lines.append(f"  fix: {self.fix}")
        return "\n".join(lines)


class RunnerError(Exception):
    """Something foreseen went wrong. Carries every problem found, and the exit code that says of which kind it is."""

    exit_code: ExitCode = ExitCode.FAILED

    def __init__(self, *problems: Problem, exit_code: ExitCode | None = None) -> None:
        super().__init__(*problems)
        self.problems = problems
        if exit_code is not None:
            self.exit_code = exit_code

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


class InvalidConfig(RunnerError):
    """The declared rollout is not valid. Nothing was touched."""

    exit_code = ExitCode.INVALID


class StepFailed(RunnerError):
    """A step failed and was taken back; what was done before it stands."""

    exit_code = ExitCode.FAILED


class StatementFailed(StepFailed):
    """A statement of a migration does not work; `__cause__` is what the database says of it."""


class Busy(StepFailed):
    """Others held the database for longer than anybody waits."""


class Mismatch(RunnerError):
    """What is stored does not fit what is declared: an edited migration, another config, another database."""

    exit_code = ExitCode.MISMATCH


class Locked(RunnerError):
    """Another runner works on this database."""

    exit_code = ExitCode.LOCKED


class Stuck(RunnerError):
    """Something could not be taken back exactly; a person has to look."""

    exit_code = ExitCode.STUCK


class Interrupted(RunnerError):
    """A signal asked for a stop; everything up to the last safe point is stored."""

    exit_code = ExitCode.INTERRUPTED

    def __init__(self, signal: int, *problems: Problem) -> None:
        super().__init__(*problems, exit_code=ExitCode(128 + signal))


def in_file_order(problems: Iterable[Problem], files: Iterable[str]) -> list[Problem]:
    """Sort *problems* as a reader meets them: files in the order given, then line, then column."""
    rank = {file: number for number, file in enumerate(files)}

    def place(problem: Problem) -> tuple[int, int, int]:
        where = problem.where or Where("")
        return rank.get(where.file, len(rank)), where.line or 0, where.column or 0

    return sorted(problems, key=place)
