"""How dangerous something is that a reviewer is asked to let through."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runner.errors import Where


class Risk(StrEnum):
    """How dangerous, from least to most; BLOCKED is what a run would refuse."""

    SAFE = "safe"
    CAUTION = "caution"
    DANGEROUS = "dangerous"
    BLOCKED = "blocked"

    @property
    def rank(self) -> int:
        """How far up: 0 is safe."""
        return list(Risk).index(self)


def reaches(risks: Iterable[str], limit: str) -> bool:
    """Say whether one of *risks* is as dangerous as *limit*, or more."""
    return any(Risk(risk).rank >= Risk(limit).rank for risk in risks)


class Rule(NamedTuple):
    """
    One kind of thing that is told: its code, how dangerous it is, and why, in a sentence for docs/risk.md.

    `opposite` is the code of the same change the other way round; None where that has the same code, or none.
    """

    code: str
    risk: Risk
    why: str
    opposite: str | None = None


class Finding(NamedTuple):
    """
    One thing that is told of a place in the files.

    `what` is one sentence with the values seen, `fix` what to do about it; `where` is the file as it will be.
    """

    code: str
    risk: Risk
    what: str
    where: Where
    fix: str
