"""What the stages together gained or lost: one that only measures, one that tries, a step in between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.config.model import Mode
from runner.decide.compare.change import Change, count, listed
from runner.decide.compare.rows import begins_on, ends_on, keys, owners
from runner.decide.compare.thresholds import beyond

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.config.model import Rollout, Stage

OBSERVATION = (
    "the first stage does not only measure any more: nothing is seen before the first writes",
    "the first stage only measures now, before the first writes",
)
SHADOW = (
    "no stage tries the writes any more before they are made for good",
    "a stage tries the writes now before they are made for good",
)
"""What is said of the rollout that lost such a stage, and of one that gained it."""


def altogether(old: Rollout, new: Rollout) -> Iterator[Change]:
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
    was, now = begins_on(old), begins_on(new)
    for code, rows, rollout, said in (
        ("live-from-seed", now - was, new, "live from the seed on, before anything of them is measured"),
        ("not-live-from-seed", was - now, old, "not live from the seed on any more"),
    ):
        if rows:
            is_live = f"{count(len(rows), 'row')} {'is' if len(rows) == 1 else 'are'} {said}"
            yield _of_all(code, "seed", f"{is_live}: {listed([*owners(rows, rollout)])}", len(was), len(now))


def _of_all(code: str, field: str, said: str, before: Any, after: Any) -> Change:
    return Change(code, f"stages ({field})", said, None, "", before, after, ("rollout", "stages"))


def _steps(old: Rollout, new: Rollout) -> Iterator[Change]:
    before, after = _active(old), _active(new)
    rows = keys(old) & keys(new)
    never, at_last = (ends_on(old) - ends_on(new)) & rows, (ends_on(new) - ends_on(old)) & rows
    for code, changed, said in (
        ("never-switched-on", never, "never switched on any more"),
        ("switched-on-at-last", at_last, "switched on at the end that never were"),
    ):
        if changed:
            said_of_all = f"{count(len(changed), 'row')} {'is' if len(changed) == 1 else 'are'} {said}"
            words = f"{said_of_all}: {listed([*owners(changed, new)])}"
            yield _of_all(code, "end", words, len(ends_on(old)), len(ends_on(new)))
    if len(before) > 1 and len(after) == 1 and not never:
        said = f"{after[0].name} switches on at once what {count(len(before), 'stage')} switched on in turn"
        yield _of_all("step-between-lost", "steps", said, len(before), 1)
    if len(before) == 1 and len(after) > 1 and not at_last:
        said = f"{count(len(after), 'stage')} switch on in turn what {before[0].name} switched on at once"
        yield _of_all("step-between-gained", "steps", said, 1, len(after))
    was, now = (max(_exposures(side), default=(0, "")) for side in (old, new))
    if was[0] != now[0] and before and after:
        is_comfort = not never and len(after) >= len(before) and not _loosely_added(old, new)
        code = "exposure-raised" if now[0] > was[0] else "exposure-lowered" if is_comfort else "exposure-shifted"
        said = f"exposure: {was[0]} -> {count(now[0], 'row')} go live in one step, in {now[1]}"
        yield _of_all(code, "exposure", said, was[0], now[0])


def _loosely_added(old: Rollout, new: Rollout) -> bool:
    """Say whether one of the active stages has a name that is new, and lets more through than the old ones."""
    known = {stage.name for stage in old.stages}
    others = [stage for stage in new.stages if stage.name in known]
    return any(stage.name not in known and [*beyond(stage, others)] for stage in _active(new))


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
    on = begins_on(rollout)
    for stage in _active(rollout):
        assert stage.activate is not None  # noqa: S101  _active looked
        chosen = {target.key for target in rollout.select(stage.activate)}
        yield len(chosen - on), stage.name
        on |= chosen
