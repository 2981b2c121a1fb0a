"""What changed in the stages: which there are, how long each watches, whom it asks and what it writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.config.model import Mode
from runner.decide.compare.change import Change, Who, count, listed, paired, places, short, span, turned
from runner.decide.compare.chosen import Both, Sides, chosen
from runner.decide.compare.rows import keys, live, selected
from runner.decide.compare.thresholds import beyond, metrics, thresholds
from runner.decide.compare.together import altogether

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.config.model import Rollout, Stage
    from runner.decide.compare.change import Place

HALF = 0.5
MUCH = 5
"""Measured so many times as rarely is dangerous."""
MODES = list(Mode)


def stages(old: Rollout, new: Rollout) -> Iterator[Change]:
    """Yield what changed in the metrics and in the stages."""
    yield from metrics(old, new)
    where = places(new, "rollout", "stages")
    before, after = ({stage.name: number for number, stage in enumerate(side.stages)} for side in (old, new))
    found = paired(
        old.stages,
        new.stages,
        lambda stage: stage.name,
        lambda stage: stage._replace(name=""),
        lambda stage: (stage.mode, (before if stage in old.stages else after)[stage.name]),
    )
    for stage in found.gone:
        said = f" is gone: it was {_described(stage)}"
        yield _whole("stage-removed", stage, said, _plain(stage), None, ("rollout", "stages"))
    others = [now for _, now in (*found.both, *found.renamed)]
    for stage in found.come:
        faults = [*_faults(stage, others, new)]
        code = "stage-added-at-risk" if faults else "stage-added"
        said = "; ".join([f" is new: {_described(stage)}", *faults])
        yield _whole(code, stage, said, None, _plain(stage), where[stage.name])
    for was, now in found.renamed:
        who = Who("stage", (was.name,))
        tail = f" is called {short(now.name)} now"
        yield Change("stage-renamed", "stages", "", who, tail, was.name, now.name, (*where[now.name], "name"))
    both = [Both(*pair, where[pair[1].name], len(new.stages)) for pair in (*found.both, *found.renamed)]
    both.sort(key=lambda each: after[each.new.name])
    order = [before[each.old.name] for each in both]
    if order != sorted(order):
        names = [stage.name for stage in old.stages], [stage.name for stage in new.stages]
        said = f"the stages come in another order: {', '.join(names[0])} -> {', '.join(names[1])}"
        yield Change("stages-reordered", "stages", said, None, "", *names, ("rollout", "stages"))
    yield from altogether(old, new)
    sides = Sides(old, new, live(old), live(new), keys(old) & keys(new))
    for each in both:
        yield from _stage(each, sides)
    yield from thresholds([(each.old, each.new) for each in both], new)


def _whole(code: str, stage: Stage, said: str, before: Any, after: Any, place: Place, **more: Any) -> Change:
    return Change(code, f"stages.{stage.name}", "", Who("stage", (stage.name,)), said, before, after, place, **more)


def _described(stage: Stage) -> str:
    return f"{stage.mode}, {span(stage.duration_s)}, measured every {span(stage.interval_s)}"


def _faults(stage: Stage, others: list[Stage], new: Rollout) -> Iterator[str]:
    """Yield what a new stage does that would be told as dangerous of one that there was."""
    if loose := [*beyond(stage, others)]:
        yield f"it lets through {listed(loose)}"
    rows = selected(new, stage.activate) - selected(new, stage.probe)
    if rows and stage.mode is Mode.ACTIVE:
        yield f"it does not ask {count(len(rows), 'row')} of those that it switches on"


def _plain(stage: Stage) -> dict[str, Any]:
    return {"mode": stage.mode, "duration": span(stage.duration_s), "interval": span(stage.interval_s)}


def _stage(both: Both, sides: Sides) -> Iterator[Change]:
    was, now = both.old, both.new
    if was.mode is not now.mode:
        code = "mode-raised" if MODES.index(now.mode) > MODES.index(was.mode) else "mode-lowered"
        yield both.change(code, "mode", f" goes from {was.mode} to {now.mode}", was.mode, now.mode)
    yield from _times(both)
    yield from chosen(both, sides)


def _times(both: Both) -> Iterator[Change]:
    was, now = both.old, both.new
    times = f"{span(was.duration_s)} -> {span(now.duration_s)}"
    values = span(was.duration_s), span(now.duration_s)
    ratio = now.duration_s / was.duration_s
    if ratio < 1:
        code = "watched-much-shorter" if ratio <= HALF else "watched-shorter"
        yield both.change(code, "duration", f" is watched {_percent(1 - ratio)} shorter: {times}", *values)
    elif ratio > 1:
        yield both.change("watched-longer", "duration", f" is watched longer: {times}", *values)
    values = span(was.interval_s), span(now.interval_s)
    less = "measured-much-less-often" if now.interval_s >= MUCH * was.interval_s else "measured-less-often"
    if often := turned(less, "measured-more-often", was.interval_s, now.interval_s):
        said = f" is measured every {values[1]} instead of every {values[0]}: {was.ticks} -> {count(now.ticks, 'time')}"
        yield both.change(often, "interval", said, *values)
    values = span(was.deadline_s), span(now.deadline_s)
    follows = all(stage.deadline_s == 2 * stage.duration_s for stage in (was, now))
    if not follows and (late := turned("deadline-later", "deadline-sooner", was.deadline_s, now.deadline_s)):
        yield both.change(late, "deadline", f" waits for numbers until {values[1]} instead of {values[0]}", *values)


def _percent(share: float) -> str:
    return f"{share * 100:.0f} %"
