"""Thresholds limit something, make sense, and can be met by what a stage measures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.config.checks.selectors import ALL, selected
from runner.config.node import ABSENT
from runner.config.statistics import DEFAULT
from runner.config.wording import listed, plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.config.checks.declared import Declared, Served
    from runner.config.node import Node
    from runner.errors import Problem, Where

LIMITS = ("min", "max", "warn_min", "warn_max")
HUNDRED = 100


class Effective:
    """A threshold as it holds in a stage: the rollout's keys, and the stage's own over them."""

    __slots__ = ("metric", "places", "stage")

    def __init__(self, metric: str, stage: Node, places: tuple[Node, ...]) -> None:
        self.metric = metric
        self.stage = stage
        self.places = places

    def __getitem__(self, key: object) -> Node:
        """Return the value that counts for *key*: the stage's own where it has one."""
        found = [place[key] for place in self.places]
        return next((node for node in reversed(found) if node.value is not ABSENT), found[0])


def problems(declared: Declared) -> Iterator[Problem]:
    """Yield what is wrong with the thresholds that hold in every stage."""
    thresholds = list(_effective(declared.rollout))
    for threshold in thresholds:
        yield from _no_limit(threshold)
        yield from _order(threshold)
        yield from _percent(threshold)
        yield from _by_provider(threshold, _kind(threshold, declared))
    yield from _too_few(thresholds, declared)
    yield from _unguarded(declared.rollout)


def _effective(rollout: Node) -> Iterator[Effective]:
    general = dict(rollout["thresholds"].entries())
    for stage in rollout["stages"].each():
        own = dict(stage["thresholds"].entries())
        for metric in {**general, **own}:
            places = tuple(places[metric] for places in (general, own) if metric in places)
            if all(place.known for place in places):
                yield Effective(metric, stage, places)


def _no_limit(threshold: Effective) -> Iterator[Problem]:
    if all(threshold[key].value is ABSENT for key in LIMITS):
        what = f"the threshold {plain(threshold.metric)} has no limit"
        yield threshold.places[0].key_problem(what, "give it min or max")


def _unguarded(rollout: Node) -> Iterator[Problem]:
    """Yield the stages that no threshold holds for: they would pass without a single measurement."""
    for stage in rollout["stages"].each() if rollout["thresholds"].value == {} else ():
        if stage["name"].known and stage["thresholds"].value in (ABSENT, {}):
            what = f"the stage {plain(stage['name'].value)} has no threshold, and would pass unmeasured"
            yield stage["name"].problem(what, "declare thresholds, for every stage or for this one")


def _order(threshold: Effective) -> Iterator[Problem]:
    for low, high in (("min", "max"), ("warn_min", "warn_max"), ("min", "warn_max"), ("warn_min", "max")):
        least, most = threshold[low], threshold[high]
        if least.known and most.known and least.value > most.value:
            what = f"the threshold {plain(threshold.metric)} has {low} {least.value}, above {high} {most.value}"
            yield least.problem(what, "no number meets both: exchange or correct them")
            return


def _percent(threshold: Effective) -> Iterator[Problem]:
    for key in LIMITS if threshold.metric.endswith("_pct") else ():
        limit = threshold[key]
        if limit.known and not 0 <= limit.value <= HUNDRED:
            side = f"more than {HUNDRED} %" if limit.value > 0 else "less than 0 %"
            what = f"the threshold {plain(threshold.metric)} has {key} {limit.value}, {side}"
            yield limit.problem(what, f"write a number from 0 to {HUNDRED}")


def _by_provider(threshold: Effective, kind: object) -> Iterator[Problem]:
    by = threshold["by"]
    if by.known and kind in {"lookup", "sql"}:
        what = f"the threshold {plain(threshold.metric)} is by provider, but its metric is of kind {kind}"
        yield by.problem(what, "remove `by`: only a probe knows providers")


def _too_few(thresholds: list[Effective], declared: Declared) -> Iterator[Problem]:
    """Yield each min_samples that a stage cannot reach in its duration, with all the stages that cannot."""
    short: dict[Where, tuple[Node, str, list[str]]] = {}
    for threshold in thresholds:
        least, most = threshold["min_samples"], _most_samples(threshold, declared)
        if least.known and most is not None and most < least.value:
            gives = f"{threshold.stage['name'].otherwise('a stage')} gives {most}"
            each = " of each provider" if threshold["by"].known else ""
            what = f"{plain(threshold.metric)} wants {least.value} samples{each}"
            short.setdefault(least.where, (least, what, []))[2].append(gives)
    for least, wants, given in short.values():
        yield least.problem(
            f"{wants}, but {listed(given, 'and')}", "lower min_samples, lengthen the stage, or shorten its interval"
        )


def _most_samples(threshold: Effective, declared: Declared) -> int | None:
    """Return how many observations a stage can give in its duration; None where that cannot be known."""
    ticks, statistic = _ticks(threshold.stage), _statistic(threshold, declared)
    per_tick = _per_tick(threshold, declared)
    if ticks is None or statistic is None or not per_tick:
        return None
    return per_tick * (1 if statistic == "last" else ticks)


def _ticks(stage: Node) -> int | None:
    duration_s, interval_s = stage["duration"].seconds, stage["interval"].seconds
    return int(duration_s / interval_s + 1e-9) or None if duration_s and interval_s else None


def _kind(threshold: Effective, declared: Declared) -> object:
    return declared.rollout["metrics"][threshold.metric]["kind"].value


def _statistic(threshold: Effective, declared: Declared) -> object:
    """Return the statistic that counts; None where it cannot be known."""
    metric, statistic = declared.rollout["metrics"][threshold.metric], threshold["statistic"]
    default = DEFAULT.get((metric["kind"].value, metric["reading"].otherwise(None)))
    value = statistic.otherwise(default)
    return value if isinstance(value, str) else None


def _per_tick(threshold: Effective, declared: Declared) -> int | None:
    """Return how many observations one tick gives; None where that cannot be known."""
    kind = _kind(threshold, declared)
    if kind == "sql":
        return 1
    if kind == "lookup":
        return declared.lookup_count
    chosen = _probed(threshold.stage, declared.served) if kind == "probe" else None
    if not chosen:
        return None
    counts = [len(provider.sports) for provider in chosen]
    by = threshold["by"]
    return (min(counts) if by.known else sum(counts)) if by.value is ABSENT or by.known else None


def _probed(stage: Node, served: tuple[Served, ...] | None) -> list[Served] | None:
    probe = stage["probe"] if stage["probe"].value is not ABSENT else stage["activate"]
    selector = probe.otherwise({"enabled": True})
    if served is None or not (selector == ALL or probe.value is ABSENT or probe.sound):
        return None
    return selected(selector, served)
