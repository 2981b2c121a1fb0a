"""What changed in the stages: which there are, how long each watches, whom it asks and what it writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from runner.config.model import Mode
from runner.decide.compare.change import Change, Who, count, listed, paired, places, short, signed, span, turned
from runner.decide.compare.thresholds import metrics, thresholds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.config.model import RefreshSelector, Rollout, Selector, Stage
    from runner.decide.compare.change import Place

    Key = tuple[str, str]

OBSERVATION = (
    "the first stage does not only measure any more: nothing is seen before the first writes",
    "the first stage only measures now, before the first writes",
)
SHADOW = (
    "no stage tries the writes any more before they are made for good",
    "a stage tries the writes now before they are made for good",
)
"""What is said of the rollout that lost such a stage, and of one that gained it."""
HALF = 0.5
MUCH = 5
"""Measured so many times as rarely is dangerous."""
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
        tail = f" is called {short(now.name)} now"
        yield Change("stage-renamed", "stages", "", who, tail, was.name, now.name, (*where[now.name], "name"))
    both = [Both(*pair, where[pair[1].name], len(new.stages)) for pair in (*found.both, *found.renamed)]
    both.sort(key=lambda each: after[each.new.name])
    order = [before[each.old.name] for each in both]
    if order != sorted(order):
        names = [stage.name for stage in old.stages], [stage.name for stage in new.stages]
        said = f"the stages come in another order: {', '.join(names[0])} -> {', '.join(names[1])}"
        yield Change("stages-reordered", "stages", said, None, "", *names, ("rollout", "stages"))
    yield from _altogether(old, new)
    sides = _Sides(old, new, _live(old), _live(new))
    for each in both:
        yield from _stage(each, sides)
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
    for code, holds, lost, gained in (
        ("observation", _observes_first, *OBSERVATION),
        ("shadow", _tries_first, *SHADOW),
    ):
        before, after = holds(old), holds(new)
        if before and not after and _writing(new):
            yield _of_all(f"{code}-lost", code, lost, before=True, after=False)
        if after and not before and _writing(old):
            yield _of_all(f"{code}-gained", code, gained, before=False, after=True)
    yield from _steps(old, new)


def _of_all(code: str, field: str, said: str, before: Any, after: Any) -> Change:
    return Change(code, f"stages ({field})", said, None, "", before, after, ("rollout", "stages"))


def _steps(old: Rollout, new: Rollout) -> Iterator[Change]:
    before, after = _active(old), _active(new)
    if len(before) > 1 and len(after) == 1:
        said = f"{after[0].name} switches on at once what {count(len(before), 'stage')} switched on in turn"
        yield _of_all("step-between-lost", "steps", said, len(before), 1)
    if len(before) == 1 and len(after) > 1:
        said = f"{count(len(after), 'stage')} switch on in turn what {before[0].name} switched on at once"
        yield _of_all("step-between-gained", "steps", said, 1, len(after))
    was, now = (max(_exposures(side), default=(0, "")) for side in (old, new))
    if was[0] != now[0] and before and after:
        code = "exposure-raised" if now[0] > was[0] else "exposure-lowered"
        said = f"exposure: {was[0]} -> {count(now[0], 'row')} go live in one step, in {now[1]}"
        yield _of_all(code, "exposure", said, was[0], now[0])


def _active(rollout: Rollout) -> list[Stage]:
    return [stage for stage in rollout.stages if stage.mode is Mode.ACTIVE and stage.activate]


def _writing(rollout: Rollout) -> bool:
    return any(stage.mode is Mode.ACTIVE for stage in rollout.stages)


def _observes_first(rollout: Rollout) -> bool:
    return bool(rollout.stages) and rollout.stages[0].mode is Mode.OBSERVE


def _tries_first(rollout: Rollout) -> bool:
    modes = [stage.mode for stage in rollout.stages]
    return Mode.SHADOW in modes and (Mode.ACTIVE not in modes or modes.index(Mode.SHADOW) < modes.index(Mode.ACTIVE))


def _exposures(rollout: Rollout) -> Iterator[tuple[int, str]]:
    """Yield how many rows each active stage switches on that were not on before, with its name."""
    on = _begins_on(rollout)
    for stage in _active(rollout):
        assert stage.activate is not None  # noqa: S101  _active looked
        chosen = {target.key for target in rollout.select(stage.activate)}
        yield len(chosen - on), stage.name
        on |= chosen


# one stage


class _Sides(NamedTuple):
    """Both rollouts, and which rows are on in each of their stages."""

    old: Rollout
    new: Rollout
    was_live: dict[str, set[Key]]
    is_live: dict[str, set[Key]]


def _stage(both: Both, sides: _Sides) -> Iterator[Change]:
    was, now = both.old, both.new
    if was.mode is not now.mode:
        code = "mode-raised" if MODES.index(now.mode) > MODES.index(was.mode) else "mode-lowered"
        yield both.change(code, "mode", f" goes from {was.mode} to {now.mode}", was.mode, now.mode)
    yield from _times(both)
    yield from _chosen(both, sides)


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


def _chosen(both: Both, sides: _Sides) -> Iterator[Change]:
    """
    Yield what changed in whom the stage switches on, asks and renews.

    Rows that come or go with their provider are told there, unless the stage's own choice changed too. Whom a stage
    asks because it switches them on is told once, unless rows that are on already are asked no more.
    """
    old, new = sides.old, sides.new
    live = sides.was_live[both.old.name], sides.is_live[both.new.name]
    for field, code, verb in (("activate", "activates", "switches on"), ("probe", "measures", "asks")):
        was, now = _plainly(getattr(both.old, field)), _plainly(getattr(both.new, field))
        before, after = _selected(old, was), _selected(new, now)
        if was == now:
            rows = _keys(old) & _keys(new)
            before, after = before & rows, after & rows
        more, fewer = after - before, before - after
        follows = field == "probe" and (was, now) == (_plainly(both.old.activate), _plainly(both.new.activate))
        if follows and not (more & live[0] or fewer & live[1]):
            continue
        if more or fewer:
            which = "others" if more and fewer else "more" if more else "fewer"
            said = f" {verb} {len(before)} -> {count(len(after), 'row')}: {_rows(more, fewer, sides)}"
            yield both.change(f"{code}-{which}", field, said, len(before), len(after))
        elif was != now:
            texts = described(was), described(now)
            said = f" {verb} {texts[1]} instead of {texts[0]}: the same {count(len(after), 'row')} as of now"
            yield both.change("chosen-otherwise", field, said, *texts)
    before_text, after_text = _renewed(both.old.refresh), _renewed(both.new.refresh)
    if before_text != after_text:
        said = f" renews {after_text} instead of {before_text}"
        yield both.change("refresh-changed", "refresh", said, before_text, after_text)


def _rows(more: set[Key], fewer: set[Key], sides: _Sides) -> str:
    """Say which rows come and go."""
    return listed(signed(_owners(more, sides.new), _owners(fewer, sides.old)))


def _owners(rows: set[Key], rollout: Rollout) -> Iterator[str]:
    """Yield the providers of *rows*, with their sports where it is not all of them."""
    found: dict[str, list[str]] = {}
    for provider, sport in sorted(rows):
        found.setdefault(provider, []).append(sport)
    whole = {provider.name: len(provider.sports) for provider in rollout.providers}
    for provider, sports in found.items():
        yield provider if len(sports) == whole[provider] else f"{provider} ({', '.join(sports)})"


def _keys(rollout: Rollout) -> set[Key]:
    return {target.key for target in rollout.targets}


def _live(rollout: Rollout) -> dict[str, set[Key]]:
    """Return which rows are on in each stage, in case all goes well."""
    on = _begins_on(rollout)
    found = {}
    for stage in rollout.stages:
        if stage.mode is Mode.ACTIVE:
            on = on | _selected(rollout, stage.activate)
        found[stage.name] = on
    return found


def _begins_on(rollout: Rollout) -> set[Key]:
    return {target.key for target in rollout.targets if target.provider.status == "ACTIVE" and target.provider.enabled}


def _plainly(selector: Selector | None) -> Selector | None:
    """Return *selector* with its names in order, which means nothing."""
    if selector is None:
        return None
    providers, sports = (None if names is None else tuple(sorted(names)) for names in selector[2:])
    return selector._replace(providers=providers, sports=sports)


def described(selector: Selector | None) -> str:
    """Say whom a selector chooses, as a config would."""
    if selector is None:
        return "nobody"
    given = {name: value for name, value in selector._asdict().items() if value is not None}
    words = [f"{name} {_word(value)}" for name, value in given.items()]
    return short(", ".join(words)) or "all"


def _word(value: bool | str | tuple[str, ...]) -> str:  # noqa: FBT001  whatever a condition holds
    if isinstance(value, tuple):
        return f"[{', '.join(value)}]"
    return str(value).lower() if isinstance(value, bool) else value


def _selected(rollout: Rollout, selector: Selector | None) -> set[Key]:
    return set() if selector is None else {target.key for target in rollout.select(selector)}


def _renewed(selector: RefreshSelector | None) -> str:
    """Say which entries a stage renews."""
    if selector is None:
        return "no cache entry"
    which = [f"of {', '.join(sorted(selector.types))}"] if selector.types is not None else []
    if selector.expiring_within_s is not None:
        which.append(f"that expire within {span(selector.expiring_within_s)}")
    return " ".join(["the cache entries", *which]) if which else "all cache entries"
