"""Breaches on order: what a stage would have to measure to be given up. Pure; a rehearsal feeds it to the gate."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from runner.samples import Sample

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.config.model import Stage, Threshold


class Injection(NamedTuple):
    """A number outside the limits of *threshold*, put in place of what was measured."""

    threshold: Threshold
    value: float

    def __str__(self) -> str:
        return f"{self.threshold.metric} is given as {self.value:g}"

    def spoil(self, samples: Sequence[Sample], subject: str) -> list[Sample]:
        """
        Return *samples* with those of the metric replaced, enough of them to be judged.

        *subject* is whom the number speaks of where nothing was measured.
        """
        metric, count = self.threshold.metric, max(1, self.threshold.min_samples)
        subjects = [sample.subject for sample in samples if sample.metric == metric] or [subject]
        kept = [sample for sample in samples if sample.metric != metric]
        return kept + [Sample(metric, (self.value,) * count, count, who) for who in subjects]


def injection(stage: Stage) -> Injection:
    """Return what breaches *stage*: beyond the first limit that fails. The loader leaves none without a limit."""
    for threshold in stage.thresholds:
        if threshold.max is not None:
            return Injection(threshold, threshold.max + abs(threshold.max) + 1)
        if threshold.min is not None:
            return Injection(threshold, threshold.min - abs(threshold.min) - 1)
    raise ValueError(f"stage {stage.name} has no limit that fails")
