"""What changed in what a stage lets through: thresholds, and the metrics that they judge."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from runner.config.model import Policy, Statistic
from runner.decide.compare.change import Change, Who, apart, number, paired, places, same_sql, span, turned

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runner.config.model import Metric, Rollout, Stage, Threshold
    from runner.decide.compare.change import Place

UP, DOWN = 1, -1
LIMITS = {"min": DOWN, "max": UP, "warn_min": DOWN, "warn_max": UP}
"""The limits, and the direction that is looser."""
SIZES = (
    Statistic.MIN,
    Statistic.P50,
    Statistic.MEAN,
    Statistic.LAST,
    Statistic.P90,
    Statistic.P95,
    Statistic.P99,
    Statistic.MAX,
    Statistic.SUM,
)
"""The statistics by what they give for the same samples, none of them negative: smaller ones first."""
SILENCE = {"on_no_data": "its number is missing", "on_error": "its source cannot be read"}
UNORDERED = frozenset({Statistic.MEAN, Statistic.LAST})
"""Those of which only that is known: they lie between the least and the greatest sample."""


class _Gate(NamedTuple):
    """A metric's threshold in one stage, on one side or both."""

    stage: Stage
    metric: str
    place: Place
    of: int

    def change(self, code: str, field: str, words: str, before: Any, after: Any, **more: Any) -> Change:
        """Return a change of *field*: *words*, and the stage."""
        path = f"stages.{self.stage.name}.thresholds.{self.metric}" + (f".{field}" if field else "")
        who = Who("stage", (self.stage.name,), self.of)
        place = (*self.place, field) if field else self.place
        return Change(code, path, f"{words}, in ", who, "", before, after, place, **more)


def thresholds(stages: list[tuple[Stage, Stage]], new: Rollout) -> Iterator[Change]:
    """Yield what changed in the thresholds of *stages*, each as it was and is."""
    for was, now in stages:
        before, after = ({threshold.metric: threshold for threshold in stage.thresholds} for stage in (was, now))
        of = len(new.stages)
        for metric, threshold in before.items():
            if metric not in after:
                gate = _Gate(now, metric, _place(new, now, metric), of)
                said = f"gate removed: {metric} {_described(threshold)}"
                yield gate.change("gate-removed", "", said, _described(threshold), None)
        for metric, threshold in after.items():
            gate = _Gate(now, metric, _place(new, now, metric), of)
            if metric in before:
                yield from _changed(gate, before[metric], threshold)
            else:
                said = f"gate added: {metric} {_described(threshold)}"
                yield gate.change("gate-added", "", said, None, _described(threshold))


def beyond(stage: Stage, others: Sequence[Stage]) -> Iterator[str]:
    """Yield the limits of *stage* that let through more than those of every one of *others*, in words."""
    own = {threshold.metric: threshold for threshold in stage.thresholds}
    theirs = [{threshold.metric: threshold for threshold in other.thresholds} for other in others]
    for metric in theirs[0] if theirs else ():
        for field, looser in (("min", DOWN), ("max", UP)):
            limits: list[Any] = [getattr(each.get(metric), field, None) for each in theirs]
            if None in limits:
                continue
            loosest = max(limits, key=lambda limit: limit * looser)
            limit: Any = getattr(own.get(metric), field, None)
            if limit is None or limit * looser > loosest * looser:
                yield f"{metric} {field} {number(limit)} (other stages {number(loosest)})"


def _place(rollout: Rollout, stage: Stage, metric: str) -> Place:
    """Return where the threshold is declared: in the stage itself, or for all of them."""
    own = places(rollout, "rollout", "stages")[stage.name]
    number_of = own[-1]
    if metric in rollout.declared["rollout"]["stages"][number_of].get("thresholds", {}):
        return (*own, "thresholds", metric)
    return ("rollout", "thresholds", metric)


def _described(threshold: Threshold) -> str:
    limits = ((name, getattr(threshold, name)) for name in LIMITS)
    return ", ".join(f"{name} {number(value)}" for name, value in limits if value is not None)


def _changed(gate: _Gate, was: Threshold, now: Threshold) -> Iterator[Change]:
    yield from _limits(gate, was, now)
    yield from _proof(gate, was, now)
    for field in ("on_no_data", "on_error"):
        before, after = getattr(was, field), getattr(now, field)
        if before is not after:
            code = "silence-tolerated" if after is Policy.HOLD else "silence-refused"
            acts = {Policy.HOLD: "waits", Policy.ROLLBACK: "rolls back"}
            said = f"{gate.metric} {acts[after]} where {SILENCE[field]} ({field}: {before} -> {after})"
            yield gate.change(code, field, said, str(before), str(after))
    if was.by_provider is not now.by_provider:
        code, which = "judged-together", "over all providers at once instead of provider by provider"
        if now.by_provider:
            code, which = "judged-apart", "provider by provider instead of over all at once"
        yield gate.change(code, "by", f"{gate.metric} is judged {which}", was.by_provider, now.by_provider)
    if was.statistic is not now.statistic:
        said = f"{gate.metric} is judged by its {now.statistic} instead of its {was.statistic}"
        code = f"gate-{turn}" if (turn := _statistic(was, now)) else "statistic-changed"
        head = f"gate {turn}: " if turn else ""
        yield gate.change(code, "statistic", f"{head}{said}", str(was.statistic), str(now.statistic))


def _statistic(was: Threshold, now: Threshold) -> str | None:
    """Say whether the new statistic loosens or tightens the limits; None where that depends on the samples."""
    before, after = was.statistic, now.statistic
    if UNORDERED & {before, after} and not {Statistic.MIN, Statistic.MAX, Statistic.SUM} & {before, after}:
        return None
    has_min, has_max = (any(getattr(each, field) is not None for each in (was, now)) for field in ("min", "max"))
    if has_min is has_max:
        return None
    is_lower = SIZES.index(after) < SIZES.index(before)
    return "loosened" if is_lower is has_max else "tightened"


def _limits(gate: _Gate, was: Threshold, now: Threshold) -> Iterator[Change]:
    for field, looser in LIMITS.items():
        before, after = getattr(was, field), getattr(now, field)
        if before == after:
            continue
        ends = [-looser * float("-inf") if value is None else value for value in (before, after)]
        is_looser = (ends[1] - ends[0]) * looser > 0
        kind = "warning" if field.startswith("warn") else "gate"
        word = "loosened" if is_looser else "tightened"
        said = f"{kind} {word}: {gate.metric} {field} {number(before)} -> {number(after)}"
        yield gate.change(f"{kind}-{word}", field, said, before, after)


def _proof(gate: _Gate, was: Threshold, now: Threshold) -> Iterator[Change]:
    if code := turned("more-samples", "fewer-samples", was.min_samples, now.min_samples):
        said = f"{gate.metric} is content with {now.min_samples} samples instead of {was.min_samples}"
        if code == "more-samples":
            said = f"{gate.metric} wants {now.min_samples} samples instead of {was.min_samples}"
        yield gate.change(code, "min_samples", said, was.min_samples, now.min_samples)
    for field, ticks in (("failure_limit", "failing ticks"), ("consecutive_failure_limit", "failing ticks in a row")):
        before, after = getattr(was, field), getattr(now, field)
        if code := turned("failures-tolerated", "failures-refused", before, after):
            values = ["any number of" if value is None else number(value) for value in (before, after)]
            said = f"{gate.metric} tolerates {values[1]} {ticks} instead of {values[0]}"
            said = said.removesuffix(" of")
            yield gate.change(code, field, said, before, after)


# metrics


def metrics(old: Rollout, new: Rollout) -> Iterator[Change]:
    """Yield what changed in the metrics themselves."""
    found = paired(old.metrics, new.metrics, attrgetter("name"))
    for metric in found.gone:
        yield _metric("metric-removed", metric, " is gone", str(metric.kind), None)
    for metric in found.come:
        yield _metric("metric-added", metric, f" is new: {metric.kind}", None, str(metric.kind))
    for was, now in found.both:
        for field in ("kind", "reading", "query"):
            before, after = (_word(getattr(side, field)) for side in (was, now))
            if not same_sql(before, after):
                shown = apart(before, after)
                yield _metric(
                    "metric-changed", now, f" has another {field}: {shown[0]} -> {shown[1]}", before, after, field
                )
        if patient := turned("timeout-raised", "timeout-lowered", was.timeout_s, now.timeout_s):
            values = span(was.timeout_s), span(now.timeout_s)
            yield _metric(patient, now, f" is waited for {values[1]} instead of {values[0]}", *values, "timeout")
        if code := turned("older-data-allowed", "older-data-refused", was.max_age_s, now.max_age_s):
            values = span(was.max_age_s), span(now.max_age_s)
            yield _metric(code, now, f" has the max_age {values[1]} instead of {values[0]}", *values, "max_age")


def _word(value: str | None) -> str:
    return "none" if value is None else value.strip()


def _metric(code: str, metric: Metric, said: str, before: Any, after: Any, field: str = "", **more: Any) -> Change:
    path = f"metrics.{metric.name}" + (f".{field}" if field else "")
    place: Place = ("rollout", "metrics", metric.name, field) if field else ("rollout", "metrics", metric.name)
    return Change(code, path, "", Who("metric", (metric.name,)), said, before, after, place, **more)
