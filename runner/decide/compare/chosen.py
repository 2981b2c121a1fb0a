"""What changed in whom a stage switches on, asks and renews."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from runner.config.model import Mode
from runner.decide.compare.change import Change, Who, count, listed, short, signed, span
from runner.decide.compare.rows import owners, selected

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.config.model import RefreshSelector, Rollout, Selector, Stage
    from runner.decide.compare.change import Place
    from runner.decide.compare.rows import Key


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


class Sides(NamedTuple):
    """Both rollouts, which rows are on in each of their stages, and which rows both have."""

    old: Rollout
    new: Rollout
    was_live: dict[str, set[Key]]
    is_live: dict[str, set[Key]]
    rows: set[Key]


def chosen(both: Both, sides: Sides) -> Iterator[Change]:
    """
    Yield what changed in whom the stage switches on, asks and renews.

    Rows that come or go with their provider are told there, unless the stage's own choice changed too. Whom a stage
    asks because it switches them on is told once, unless rows that are on already are asked no more.
    """
    old, new = sides.old, sides.new
    live = sides.was_live[both.old.name], sides.is_live[both.new.name]
    told = ""
    unasked = _unasked_rows(both, sides)
    for field, code, verb in (("activate", "activates", "switches on"), ("probe", "measures", "asks")):
        was, now = _plainly(getattr(both.old, field)), _plainly(getattr(both.new, field))
        before, after = selected(old, was), selected(new, now)
        if was == now:
            before, after = before & sides.rows, after & sides.rows
        more, fewer = after - before, before - after
        follows = field == "probe" and (was, now) == (_plainly(both.old.activate), _plainly(both.new.activate))
        if follows and not (more & live[0] or fewer & live[1]):
            continue
        if more or fewer:
            which = "others" if more and fewer else "more" if more else "fewer"
            said = f" {verb} {len(before)} -> {count(len(after), 'row')}: {_rows(more, fewer, sides)}"
            if field == "probe":
                told = which
                said += _unmeasured(unasked[1]) if which == "fewer" else ""
            yield both.change(f"{code}-{which}", field, said, len(before), len(after))
        elif was != now:
            texts = _described(was), _described(now)
            said = f" {verb} {texts[1]} instead of {texts[0]}: the same {count(len(after), 'row')} as of now"
            yield both.change("chosen-otherwise", field, said, *texts)
    yield from _unasked(both, sides, unasked, told)
    before_text, after_text = _renewed(both.old.refresh), _renewed(both.new.refresh)
    if before_text != after_text:
        said = f" renews {after_text} instead of {before_text}"
        yield both.change("refresh-changed", "refresh", said, before_text, after_text)


def _unasked_rows(both: Both, sides: Sides) -> tuple[set[Key], set[Key]]:
    """Return which rows are on in the stage, where it is active, and not asked by it: as it was and is."""
    was, now = (
        on[stage.name] - selected(rollout, stage.probe) if stage.mode is Mode.ACTIVE else set()
        for stage, rollout, on in ((both.old, sides.old, sides.was_live), (both.new, sides.new, sides.is_live))
    )
    return was, now


def _unmeasured(rows: set[Key]) -> str:
    if not rows:
        return ""
    return f"; {count(len(rows), 'row')} {'is' if len(rows) == 1 else 'are'} live in it unmeasured"


def _unasked(both: Both, sides: Sides, unasked: tuple[set[Key], set[Key]], told: str) -> Iterator[Change]:
    """Yield which rows are on in an active stage that does not ask them, where what it asks has not told so."""
    was, now = unasked
    for code, rows, rollout, said, told_as in (
        ("live-unasked", now - was, sides.new, "does not ask {} that {} live in it", "fewer"),
        ("live-asked", was - now, sides.old, "leaves out no longer {} that {} live in it", "more"),
    ):
        if rows and told != told_as:
            which = said.format(count(len(rows), "row"), "is" if len(rows) == 1 else "are")
            words = f" {which}: {listed([*owners(rows, rollout)])}"
            yield both.change(code, "probe", words, len(was), len(now))


def _rows(more: set[Key], fewer: set[Key], sides: Sides) -> str:
    """Say which rows come and go."""
    return listed(signed(owners(more, sides.new), owners(fewer, sides.old)))


def _plainly(selector: Selector | None) -> Selector | None:
    """Return *selector* with its names in order, which means nothing."""
    if selector is None:
        return None
    providers, sports = (None if names is None else tuple(sorted(names)) for names in selector[2:])
    return selector._replace(providers=providers, sports=sports)


def _described(selector: Selector | None) -> str:
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


def _renewed(selector: RefreshSelector | None) -> str:
    """Say which entries a stage renews."""
    if selector is None:
        return "no cache entry"
    which = [f"of {', '.join(sorted(selector.types))}"] if selector.types is not None else []
    if selector.expiring_within_s is not None:
        which.append(f"that expire within {span(selector.expiring_within_s)}")
    return " ".join(["the cache entries", *which]) if which else "all cache entries"
