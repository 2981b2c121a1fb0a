"""
The config that a past run went by, and what of it is declared otherwise now. Pure: data in, data out.

Thresholds may be held against numbers of the past; the numbers themselves cannot be made again. So whatever decides
what is measured, and how, has to be as it was then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.config import build
from runner.config.model import Kind, Mode, ProbeSettings, Provider
from runner.config.shape import schema
from runner.decide.compare.change import paired

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from runner.config.model import Metric, Rollout, Selector, Stage

Key = tuple[str, str]

RELEVANT = ("metrics", "thresholds", "stages", "probe")
"""What of a config decides how its runs end, beside its providers."""
ASKED_BY = ("endpoint", "headers", "timeout", "retries", "follow_redirects")
"""What of a provider decides how it is probed."""


class NotKnown(Exception):
    """What is needed of a config is not known. The text says why."""


def as_it_was(rollout: Rollout, declared: Any) -> Rollout:
    """
    Return *rollout* with what a run is measured and judged by as it was *declared* then.

    NotKnown where that cannot be said: values of variables are not stored, and other versions may know other keys.
    """
    if declared is None:
        raise NotKnown("the config that it went by is not in the ledger")
    try:
        part = {name: declared["rollout"][name] for name in RELEVANT if name in declared["rollout"]}
        _refuse_variables(part)
        _check_shape(part)
        return rollout._replace(
            metrics=build.metrics(part["metrics"]),
            stages=build.stages(part["stages"], part["thresholds"], part["metrics"]),
            probe=build.probe_settings(part.get("probe", {})),
            providers=tuple(_provider(each, declared["providers"]["sports"]) for each in _providers(declared).values()),
            declared=declared,
        )
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise NotKnown("the config that it went by is none that this version of runner can read") from error


def _refuse_variables(value: Any) -> None:
    match value:
        case dict():
            for inner in value.values():
                _refuse_variables(inner)
        case list():
            for inner in value:
                _refuse_variables(inner)
        case str() if "${" in value:
            raise NotKnown(f"the config that it went by holds {value:.60}, and what that stood for is not recorded")


def _check_shape(part: dict[str, Any]) -> None:
    """Raise ValueError where *part* of a config does not have the form that configs have today."""
    import jsonschema_rs  # noqa: PLC0415  only where there is a past

    wanted = {**schema("rollout"), "required": ["metrics", "thresholds", "stages"]}
    if not jsonschema_rs.Draft202012Validator(wanted).is_valid(part):
        raise ValueError("it does not fit the schema")


def _provider(declared: Any, sports: Any) -> Provider:
    """Return who is probed, with what selects it; the rest does not matter here."""
    chosen = {name: declared.get(name) for name in ("name", "enabled", "priority")}
    chosen["sports"] = declared.get("sports", sports)
    _refuse_variables(chosen)
    if not (isinstance(chosen["name"], str) and isinstance(chosen["enabled"], bool)):
        raise TypeError("a provider without name or enabled")
    return Provider(
        name=chosen["name"],
        sports=tuple(str(sport) for sport in chosen["sports"]),
        enabled=chosen["enabled"],
        status="",
        priority=chosen["priority"] or "normal",
        poll_interval_s=0,
        timeout_s=0,
        retries=0,
        capabilities={},
    )


def _providers(declared: Any) -> dict[str, Any]:
    return {provider["name"]: provider for provider in declared["providers"]["providers"]}


def selected(rollout: Rollout, selector: Selector | None) -> tuple[Key, ...]:
    """Return the rows that *selector* means; none where there is none."""
    return () if selector is None else tuple(target.key for target in rollout.select(selector))


def otherwise(then: Rollout, now: Rollout, stage: str) -> Iterator[str]:
    """Yield why nothing that was measured in *stage* then says what it would measure now."""
    old, new = then.stage(stage), now.stage(stage)
    if old.interval_s != new.interval_s:
        yield f"{stage} was measured every {old.interval_s:g} s, and wants to be every {new.interval_s:g} s"
    if old.mode is not new.mode:
        yield f"{stage} was of mode {old.mode}, and is {new.mode} now"
    if set(selected(then, old.activate)) != set(selected(now, new.activate)):
        yield f"{stage} switched on other rows than it would now"
    if old.refresh != new.refresh:
        yield f"{stage} refreshed other cache entries than it would now"


def unmeasured(then: Rollout, now: Rollout, stage: Stage) -> dict[str, str]:
    """Return, by metric, why a threshold of *stage* cannot be held against what was measured in it."""
    old = {metric.name: metric for metric in then.metrics}
    new = {metric.name: metric for metric in now.metrics}
    asked = asked_otherwise(then, now, stage)
    found = (
        (name, _why_not(old.get(name), new[name], then, now, asked))
        for name in dict.fromkeys(threshold.metric for threshold in stage.thresholds)
    )
    return {name: why for name, why in found if why}


def _why_not(old: Metric | None, new: Metric, then: Rollout, now: Rollout, asked: str | None) -> str | None:
    if old is None:
        return f"the metric {new.name} is new, and was not measured"
    if old != new:
        return f"the metric {new.name} is measured in another way now"
    if new.kind is Kind.PROBE and asked:
        return f"{new.name}: {asked}"
    if new.kind is Kind.LOOKUP and _looked_up(then) != _looked_up(now):
        return f"{new.name}: other cache entries or look-ups are declared now"
    return None


def _looked_up(rollout: Rollout) -> Any:
    caches = rollout.declared.get("caches")
    return {name: caches.get(name) for name in ("types", "lookups")} if isinstance(caches, dict) else None


def asked_otherwise(then: Rollout, now: Rollout, stage: Stage) -> str | None:
    """Say what is different in whom *stage* asks, or how; None where nothing is."""
    old, new = (set(selected(side, side.stage(stage.name).probe)) for side in (then, now))
    if old != new:
        names = sorted("/".join(key) for key in old ^ new)
        return f"other providers are asked now ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"  # noqa: PLR2004
    before, after = _providers(then.declared), _providers(now.declared)
    for name in sorted({name for name, _ in new}):
        if [before[name].get(key) for key in ASKED_BY] != [after[name].get(key) for key in ASKED_BY]:
            return f"{name} is asked in another way now"
    if _manner(then) != _manner(now):
        return "providers are asked in another way now"
    return None


def _manner(rollout: Rollout) -> tuple[ProbeSettings, Any]:
    return rollout.probe._replace(record=True), rollout.declared["rollout"].get("stand_in")


def answers_in_time(then: Rollout, stage: Stage, environment: str) -> bool:
    """
    Say whether every answer had to come before the tick after its own: the last tick then waits for none.

    *stage* is that of *then*. All are asked at once, and the longest timeout is shorter than the interval.
    """
    asked = selected(then, stage.probe)
    declared = then.declared["rollout"].get("environments")
    place = declared.get(environment) if isinstance(declared, dict) else None
    speed = place.get("speed", 1) if isinstance(place, dict) else None
    if not isinstance(speed, int | float) or speed <= 0 or len(asked) > then.probe.concurrency:
        return False
    return then.probe.timeout_s < stage.interval_s / speed


def renamed_stages(old: Rollout, new: Rollout) -> dict[str, str]:
    """Return what stages were called in *old* that the diff takes for renamed, by their names in *new*."""
    places = {stage.name: place for side in (old, new) for place, stage in enumerate(side.stages)}
    found = paired(
        old.stages,
        new.stages,
        lambda stage: stage.name,
        lambda stage: stage._replace(name=""),
        lambda stage: (stage.mode, places[stage.name]),
    )
    return {now.name: was.name for was, now in found.renamed}


def former_names(then: Rollout, old: Rollout, new: Rollout) -> dict[str, str]:
    """Return what the stages of *new* that were renamed were called *then*, *old* being declared in between."""
    earlier, later = renamed_stages(then, old), renamed_stages(old, new)
    known, declared = ({stage.name for stage in side.stages} for side in (then, new))
    between = {name: later.get(name, name) for name in declared - known}
    found = {name: earlier.get(was, was) for name, was in between.items()}
    return {name: was for name, was in found.items() if was not in declared}


def with_names(rollout: Rollout, names: Mapping[str, str]) -> Rollout:
    """Return *rollout* with the stages in *names* called otherwise."""
    return rollout._replace(
        stages=tuple(stage._replace(name=names.get(stage.name, stage.name)) for stage in rollout.stages)
    )


def alike(old: Rollout, new: Rollout, stage: str) -> bool:
    """Say whether whatever was measured in *stage* leads to the same under both."""
    now = new.stage(stage)
    return (
        old.stage(stage) == now
        and not any(otherwise(old, new, stage))
        and not unmeasured(old, new, now)
        and not (may_wait(new, now) and asked_otherwise(old, new, now))
    )


def may_wait(rollout: Rollout, stage: Stage) -> bool:
    """Say whether *stage* waits for rows to be switched on, which takes a probe that passes."""
    return stage.mode is Mode.ACTIVE and bool(selected(rollout, stage.activate))
