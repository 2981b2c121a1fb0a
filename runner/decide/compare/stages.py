"""What changed in the stages: which there are, how long each watches, whom it asks and what it writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from runner.config.model import Mode
from runner.decide.compare.change import Change, Who, count, paired, places, span, turned
from runner.decide.compare.thresholds import metrics, thresholds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.config.model import RefreshSelector, Rollout, Selector, Stage
    from runner.decide.compare.change import Place

HALF = 0.5
MODES = list(Mode)


class Both(NamedTuple):
    """A stage as it was and is, and where it stands."""

    old: Stage
    new: Stage
    place: Place
    of: int

    @property
    def who(self) -> Who:
        return Who("stage", (self.new.name,), self.of)

    def change(self, code: str, field: str, words: str, before: Any, after: Any, head: str = "") -> Change:
        """Return a change of one *field* of the stage; *words* come after its name."""
        path = f"stages.{self.new.name}.{field}"
        return Change(code, path, head, self.who, words, before, after, (*self.place, field))


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
    for stage in found.come:
        yield _whole("stage-added", stage, f" is new: {_described(stage)}", None, _plain(stage), where[stage.name])
    for was, now in found.renamed:
        who = Who("stage", (was.name,))
        tail = f" is called {now.name} now"
        yield Change("stage-renamed", "stages", "", who, tail, was.name, now.name, (*where[now.name], "name"))
    both = [Both(*pair, where[pair[1].name], len(new.stages)) for pair in (*found.both, *found.renamed)]
    both.sort(key=lambda each: after[each.new.name])
    order = [before[each.old.name] for each in both]
    if order != sorted(order):
        names = [stage.name for stage in old.stages], [stage.name for stage in new.stages]
        said = f"the stages come in another order: {', '.join(names[0])} -> {', '.join(names[1])}"
        yield Change("stages-reordered", "stages", said, None, "", *names, ("rollout", "stages"))
    yield from _altogether(old, new)
    for each in both:
        yield from _stage(each, old, new)
    yield from thresholds([(each.old, each.new) for each in both], new)


def _whole(code: str, stage: Stage, said: str, before: Any, after: Any, place: Place, **more: Any) -> Change:
    return Change(code, f"stages.{stage.name}", "", Who("stage", (stage.name,)), said, before, after, place, **more)


def _described(stage: Stage) -> str:
    return f"{stage.mode}, {span(stage.duration_s)}, measured every {span(stage.interval_s)}"


def _plain(stage: Stage) -> dict[str, Any]:
    return {"mode": stage.mode, "duration": span(stage.duration_s), "interval": span(stage.interval_s)}


# the stages together


def _altogether(old: Rollout, new: Rollout) -> Iterator[Change]:
    """Yield what the rollout as a whole gained or lost: a step that tries, one that only measures, one in between."""
    for code, holds, said in (
        ("observation", _observes_first, ("nothing is measured", "a stage only measures")),
        ("shadow", _tries_first, ("no stage tries the writes", "a stage tries the writes")),
    ):
        before, after = holds(old), holds(new)
        if before and not after and _active(new):
            lost = f"{said[0]} before the first is made for good any more"
            yield _of_all(f"{code}-lost", code, lost, before=True, after=False)
        if after and not before and _active(old):
            yield _of_all(
                f"{code}-gained", code, f"{said[1]} before the first is made for good", before=False, after=True
            )
    yield from _steps(old, new)


def _of_all(code: str, field: str, said: str, before: Any, after: Any) -> Change:
    return Change(code, f"stages ({field})", said, None, "", before, after, ("rollout", "stages"))


def _steps(old: Rollout, new: Rollout) -> Iterator[Change]:
    before, after = _active(old), _active(new)
    if len(before) > 1 and len(after) == 1:
        said = (
            f"no stage between the first and the last that is active any more: {after[0].name} switches on all at once"
        )
        yield _of_all("step-between-lost", "steps", said, len(before), 1)
    if len(before) == 1 and len(after) > 1:
        said = f"{count(len(after), 'stage')} switch on in turn what {before[0].name} did at once"
        yield _of_all("step-between-gained", "steps", said, 1, len(after))
    was, now = (max(_exposures(side), default=(0, "")) for side in (old, new))
    if was[0] != now[0] and before and after:
        code = "exposure-raised" if now[0] > was[0] else "exposure-lowered"
        said = f"exposure: {was[0]} -> {count(now[0], 'row')} go live in one step, in {now[1]}"
        yield _of_all(code, "exposure", said, was[0], now[0])


def _active(rollout: Rollout) -> list[Stage]:
    return [stage for stage in rollout.stages if stage.mode is Mode.ACTIVE and stage.activate]


def _observes_first(rollout: Rollout) -> bool:
    return bool(rollout.stages) and rollout.stages[0].mode is Mode.OBSERVE


def _tries_first(rollout: Rollout) -> bool:
    modes = [stage.mode for stage in rollout.stages]
    return Mode.SHADOW in modes and (Mode.ACTIVE not in modes or modes.index(Mode.SHADOW) < modes.index(Mode.ACTIVE))


def _exposures(rollout: Rollout) -> Iterator[tuple[int, str]]:
    """Yield how many rows each active stage switches on that were not on before, with its name."""
    on = {target.key for target in rollout.targets if target.provider.status == "ACTIVE" and target.provider.enabled}
    for stage in _active(rollout):
        assert stage.activate is not None  # noqa: S101  _active looked
        chosen = {target.key for target in rollout.select(stage.activate)}
        yield len(chosen - on), stage.name
        on |= chosen


# one stage


def _stage(both: Both, old: Rollout, new: Rollout) -> Iterator[Change]:
    was, now = both.old, both.new
    if was.mode is not now.mode:
        code = "mode-raised" if MODES.index(now.mode) > MODES.index(was.mode) else "mode-lowered"
        yield both.change(code, "mode", f" goes from {was.mode} to {now.mode}", was.mode, now.mode)
    yield from _times(both)
    yield from _chosen(both, old, new)


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
    if often := turned("measured-less-often", "measured-more-often", was.interval_s, now.interval_s):
        said = f" is measured every {values[1]} instead of every {values[0]}: {was.ticks} -> {count(now.ticks, 'time')}"
        yield both.change(often, "interval", said, *values)
    values = span(was.deadline_s), span(now.deadline_s)
    follows = all(stage.deadline_s == 2 * stage.duration_s for stage in (was, now))
    if not follows and (late := turned("deadline-later", "deadline-sooner", was.deadline_s, now.deadline_s)):
        yield both.change(late, "deadline", f" waits for numbers until {values[1]} instead of {values[0]}", *values)


def _percent(share: float) -> str:
    return f"{share * 100:.0f} %"


def _chosen(both: Both, old: Rollout, new: Rollout) -> Iterator[Change]:
    """
    Yield what changed in whom the stage switches on, asks and renews.

    Rows that come or go with their provider are told there, unless the stage's own choice changed too.
    """
    rows = {target.key for target in old.targets} & {target.key for target in new.targets}
    for field, code, verb in (("activate", "activates", "switches on"), ("probe", "measures", "asks")):
        was, now = getattr(both.old, field), getattr(both.new, field)
        before, after = _selected(old, was), _selected(new, now)
        more, fewer = after - before, before - after
        if was == now:
            more, fewer = more & rows, fewer & rows
        follows = field == "probe" and (was, now) == (both.old.activate, both.new.activate)
        if follows or not more | fewer:
            continue
        which = "others" if more and fewer else "more" if more else "fewer"
        said = f" {verb} {len(before)} -> {count(len(after), 'row')}: {len(more)} more, {len(fewer)} less"
        yield both.change(f"{code}-{which}", field, said, len(before), len(after))
    if both.old.refresh != both.new.refresh:
        before_text, after_text = _renewed(both.old.refresh), _renewed(both.new.refresh)
        said = f" renews {after_text} instead of {before_text}"
        yield both.change("refresh-changed", "refresh", said, before_text, after_text)


def _selected(rollout: Rollout, selector: Selector | None) -> set[tuple[str, str]]:
    return set() if selector is None else {target.key for target in rollout.select(selector)}


def _renewed(selector: RefreshSelector | None) -> str:
    """Say which entries a stage renews."""
    if selector is None:
        return "no cache entry"
    which = [f"of {', '.join(sorted(selector.types))}"] if selector.types is not None else []
    if selector.expiring_within_s is not None:
        which.append(f"that expire within {span(selector.expiring_within_s)}")
    return " ".join(["all cache entries", *which])
