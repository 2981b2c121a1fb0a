"""What the stages ahead will do, as plain data: how long they take, whom they measure and switch, how they go back."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from runner.config.model import DISABLED, Kind, Mode, OnBreach

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from runner.config.model import CacheEntry, Rollout, Stage, Target

Key = tuple[Any, ...]
Step = dict[str, Any]


class Open(NamedTuple):
    """A stage that was entered and not left: the ticks it has behind it, and the rows that it still has to switch."""

    ticks: int
    waiting: frozenset[Key]


class Coming(NamedTuple):
    """
    What stands when the stages begin, and changes as they pass.

    `on` are the provider rows that are switched on; `expires` says when each cache entry does, as the database writes
    a time, None for never; `at` gives the time so many seconds from now in that form.
    """

    on: set[Key]
    expires: dict[str, Any]
    at: Callable[[float], Any]


def stage_steps(
    rollout: Rollout, stages: Iterable[Stage], passed: Iterable[str], coming: Coming, opened: Open | None
) -> list[Step]:
    """
    Return a step for each of *stages*, in order; *opened* is the passage through the first one that goes on.

    *passed* are the stages that stand before them. Changes *coming* to what the last stage leaves.
    """
    behind = list(passed)
    steps: list[Step] = []
    for stage in stages:
        start_s = sum(step["takes_s"] for step in steps)
        steps.append(_stage_step(rollout, stage, behind, coming, opened, start_s))
        behind.append(stage.name)
        opened = None
    return steps


def _stage_step(
    rollout: Rollout, stage: Stage, behind: list[str], coming: Coming, opened: Open | None, start_s: float
) -> Step:
    speed = rollout.environment.speed
    ticks_left = max(0, stage.ticks - opened.ticks) if opened else stage.ticks
    switches = _switches(rollout, stage, coming, opened)
    due = [] if opened else _due(rollout, stage, coming, start_s)
    step = {
        "step": "stage",
        "stage": stage.name,
        "mode": stage.mode.value,
        "goes_on": opened is not None,
        "ticks": stage.ticks,
        "ticks_left": ticks_left,
        "interval_s": stage.interval_s / speed,
        "takes_s": ticks_left * stage.interval_s / speed,
        "declared_s": stage.duration_s,
        "deadline_s": stage.deadline_s,
        "thresholds": [_plain(threshold._asdict()) for threshold in stage.thresholds],
        "probes": _probes(rollout, stage),
        "switches": switches,
        "refreshes": None if opened else _refreshes(rollout, stage, due),
        "rollback": _rollback(rollout, stage, behind),
    }
    if stage.mode is Mode.ACTIVE:
        if stage.activate is not None:
            coming.on.update(target.key for target in rollout.select(stage.activate))
        expires = {ttl_s: coming.at(start_s + ttl_s) for ttl_s in {entry.ttl_s for entry in due}}
        coming.expires.update((entry.key, expires[entry.ttl_s]) for entry in due)
    return step


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, str) else value for name, value in values.items()}


def _probes(rollout: Rollout, stage: Stage) -> dict[str, Any] | None:
    """Say whose addresses are asked at every tick, and for how many of the rows the stand-in answers."""
    if not any(metric.kind is Kind.PROBE for metric in rollout.metrics):
        return None
    targets = list(rollout.select(stage.probe))
    by_stand_in = sum(target.provider.endpoint is None for target in targets)
    return {"rows": len(targets), "stand_in": by_stand_in, "providers": _names(targets)}


def _switches(rollout: Rollout, stage: Stage, coming: Coming, opened: Open | None) -> dict[str, Any] | None:
    """Say which rows the stage switches on, and how many of those that it selects are on already."""
    if stage.activate is None or stage.mode is Mode.OBSERVE:
        return None
    selected = list(rollout.select(stage.activate))
    off = [target for target in selected if target.key not in coming.on]
    if opened and stage.mode is Mode.ACTIVE:
        off = [target for target in off if target.key in opened.waiting]
    return {
        "selected": len(selected),
        "rows": len(off),
        "providers": _names(off),
        "keys": ["/".join(target.key) for target in off],
    }


def _names(targets: Iterable[Target]) -> list[str]:
    return list(dict.fromkeys(target.provider.name for target in targets))


def _refreshes(rollout: Rollout, stage: Stage, due: list[CacheEntry]) -> dict[str, Any] | None:
    """Say which entries the stage writes anew, and how many of each type are *due* when it is entered on schedule."""
    if stage.refresh is None or stage.mode is Mode.OBSERVE:
        return None
    types = stage.refresh.types
    return {
        "expiring_within_s": stage.refresh.expiring_within_s,
        "types": None if types is None else list(types),
        "selected": sum(types is None or entry.type in types for entry in rollout.caches),
        "due": dict(Counter(entry.type for entry in due)),
    }


def _due(rollout: Rollout, stage: Stage, coming: Coming, start_s: float) -> list[CacheEntry]:
    """Return the entries that *stage* writes anew when it is entered *start_s* from now."""
    refresh = stage.refresh
    if refresh is None or stage.mode is Mode.OBSERVE:
        return []
    limit = None if refresh.expiring_within_s is None else coming.at(start_s + refresh.expiring_within_s)
    return [
        entry
        for entry in rollout.caches
        if (refresh.types is None or entry.type in refresh.types)
        and entry.key in coming.expires
        and (limit is None or _is_before(coming.expires[entry.key], limit))
    ]


def _is_before(moment: Any, limit: Any) -> bool:
    return moment is not None and bool(moment <= limit)


def _rollback(rollout: Rollout, stage: Stage, behind: list[str]) -> dict[str, Any]:
    """Say what a breach in *stage* does: to which stage it goes back, and which it takes back for that."""
    if rollout.rollback.on_breach is OnBreach.DISABLED:
        return {"to": DISABLED, "takes_back": [stage.name, *reversed(behind)]}
    return {"to": behind[-1] if behind else DISABLED, "takes_back": [stage.name]}
