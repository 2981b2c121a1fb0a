"""
What past runs measured on their way forward, read in few queries however many there are.

Samples and verdicts come one by one, stage after stage: memory stays flat.
"""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from runner.store.ledger import Run, StageEntry

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from runner.store.backend import Backend

WITHOUT_LEVELS = "1"
"""The form of the ledger that knows no rollback levels: every run of it is an apply."""


class ByStage:
    """Rows in the order of their stages, the first column of each; every stage is asked for once, in that order."""

    def __init__(self, rows: Generator[tuple[Any, ...]]) -> None:
        self._rows = rows
        self._groups = groupby(rows, key=itemgetter(0))
        self._next = next(self._groups, None)

    def of(self, stage_id: int) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a stage without their first column; those of stages before it are passed over."""
        while self._next and self._next[0] < stage_id:
            self._next = next(self._groups, None)
        if self._next and self._next[0] == stage_id:
            yield from (row[1:] for row in self._next[1])

    def close(self) -> None:
        """Give up the rows that nobody asked for."""
        self._rows.close()


class Measured:
    """The last *most* runs of *rollout* that went forward and measured something."""

    def __init__(self, backend: Backend, rollout: str, most: int) -> None:
        self._backend = backend
        form = backend.scalar("SELECT value FROM runner_meta WHERE name = 'ledger_version'")
        forward = "r.rollout = :rollout" + ("" if form == WITHOUT_LEVELS else " AND r.level IS NULL")
        something = "EXISTS (SELECT 1 FROM runner_stages e WHERE e.run_id = r.id AND e.ticks > 0)"
        found = backend.rows(
            f"SELECT r.* FROM runner_runs r WHERE {forward} AND {something} ORDER BY r.number DESC LIMIT :most",
            {"rollout": rollout, "most": most},
        )
        self.runs = [Run(**row) for row in found]
        """Newest first."""
        self._values = {"rollout": rollout, "first": self.runs[-1].number if self.runs else 0}
        since = self._values["first"] if len(self.runs) == most else 0
        self.nothing: int = backend.scalar(
            f"SELECT count(*) FROM runner_runs r WHERE {forward} AND NOT {something} AND r.number >= :since",
            {"rollout": rollout, "since": since},
        )
        """How many runs there are beside, as far back, that measured nothing."""
        self._stages = (
            "SELECT e.id FROM runner_stages e JOIN runner_runs r ON r.id = e.run_id"
            f" WHERE {forward} AND r.number >= :first"
        )

    def entries(self) -> list[StageEntry]:
        """Return the passages of these runs through stages, oldest first."""
        sql = f"SELECT * FROM runner_stages WHERE id IN ({self._stages}) ORDER BY id"
        return [StageEntry(**row) for row in self._backend.rows(sql, self._values)]

    def samples(self) -> ByStage:
        """Return tick, metric, subject, values as JSON, observations and error of every sample, as they were stored."""
        return self._by_stage(
            "SELECT stage_id, tick, metric, subject, values_json, observations, error FROM runner_samples"
            f" WHERE stage_id IN ({self._stages}) ORDER BY stage_id, tick, number"
        )

    def verdicts(self) -> ByStage:
        """Return metric, subject, verdict, value, observations, fails and consecutive fails of every threshold."""
        return self._by_stage(
            "SELECT stage_id, metric, subject, verdict, value, observations, fails, consecutive_fails"
            f" FROM runner_verdicts WHERE stage_id IN ({self._stages}) ORDER BY stage_id"
        )

    def _by_stage(self, sql: str) -> ByStage:
        return ByStage(row for row in self._backend.stream(sql, self._values))


def rollouts(backend: Backend) -> list[str]:
    """Return the names of the rollouts that the ledger has runs of."""
    return [name for (name,) in backend.stream("SELECT DISTINCT rollout FROM runner_runs ORDER BY rollout")]
