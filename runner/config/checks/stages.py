"""Stages have names of their own, go forward, and do what their mode says in the time they have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.config.model import DISABLED, Mode
from runner.config.node import ABSENT, doubled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.config.checks.declared import Declared
    from runner.config.node import Node
    from runner.errors import Problem

ORDER = (Mode.OBSERVE, Mode.SHADOW, Mode.ACTIVE)


def problems(declared: Declared) -> Iterator[Problem]:
    """Yield what is wrong with the stages."""
    stages = list(declared.rollout["stages"].each())
    for name, first in doubled(stage["name"] for stage in stages):
        yield name.problem(f"the stage {name.value} is there twice, first in line {first.where.line}", "rename one")
    yield from _backwards(stages)
    for stage in stages:
        yield from _name(stage)
        yield from _times(stage)
        yield from _writes(stage)
        yield from _unmeasured(stage, declared)


def _name(stage: Node) -> Iterator[Problem]:
    if stage["name"].value == DISABLED:
        what = f"a stage is called {DISABLED}: that is the safe start before all stages"
        yield stage["name"].problem(what, "choose another name")


def _times(stage: Node) -> Iterator[Problem]:
    duration_s, interval_s, deadline_s = (stage[key].seconds for key in ("duration", "interval", "deadline"))
    if duration_s and interval_s and interval_s > duration_s:
        what = f"the interval {stage['interval'].value} is longer than the duration {stage['duration'].value}"
        yield stage["interval"].problem(what, "shorten the interval, so that there is at least one tick")
    if duration_s and deadline_s and deadline_s < duration_s:
        what = f"the deadline {stage['deadline'].value} is shorter than the duration {stage['duration'].value}"
        yield stage["deadline"].problem(what, "lengthen it, or leave it out: twice the duration is the default")


def _writes(stage: Node) -> Iterator[Problem]:
    mode, writes = stage["mode"], [stage[key] for key in ("activate", "refresh") if stage[key].value is not ABSENT]
    if mode.value == Mode.OBSERVE:
        for write in writes:
            what = f"a stage that only observes has {write.path[-1]}"
            yield write.key_problem(what, "remove it, or make the mode shadow or active")
    elif mode.known and not writes:
        what = f"a stage of mode {mode.value} has neither activate nor refresh"
        yield mode.problem(what, "say what it writes, or make the mode observe")


def _unmeasured(stage: Node, declared: Declared) -> Iterator[Problem]:
    """Whoever is switched on has to answer first: that takes a probe."""
    metrics = declared.rollout["metrics"]
    probed = not metrics.sound or any(metric["kind"].value == "probe" for _, metric in metrics.entries())
    if not probed and stage["activate"].known:
        what = "a stage activates providers, but no metric probes them"
        yield stage["activate"].key_problem(what, "declare a metric with kind: probe and reading: errors")


def _backwards(stages: list[Node]) -> Iterator[Problem]:
    furthest = 0
    for stage in stages:
        if not stage["mode"].known:
            continue
        here = ORDER.index(Mode(stage["mode"].value))
        if here < furthest:
            what = f"a stage of mode {ORDER[here]} stands after one of mode {ORDER[furthest]}"
            yield stage["mode"].problem(what, "put observe before shadow, and shadow before active")
        furthest = max(furthest, here)
