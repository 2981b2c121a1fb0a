"""Plain data that has passed every check becomes the frozen values of `model`: defaults filled in, nothing judged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.config.duration import seconds
from runner.config.model import (
    CacheEntry,
    Environment,
    Fault,
    FaultKind,
    Kind,
    Level,
    Metric,
    Mode,
    OnBreach,
    Policy,
    ProbeSettings,
    Provider,
    Reading,
    Reassessed,
    Redirects,
    RefreshSelector,
    Rollback,
    Selector,
    Snapshots,
    Stage,
    Statistic,
    Threshold,
)
from runner.config.statistics import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Iterator

Data = dict[str, Any]


def environment(name: str, data: Data, engine: str) -> Environment:
    """Return the environment called *name*."""
    return Environment(
        name,
        data["database"],
        engine,
        speed=float(data.get("speed", 1)),
        stand_in=data.get("stand_in") != "refused",
        must_rehearse=data.get("rehearsal") == "required",
    )


def metrics(data: Data) -> tuple[Metric, ...]:
    """Return the metrics in file order."""
    return tuple(
        Metric(
            name,
            Kind(metric["kind"]),
            reading=Reading(metric["reading"]) if "reading" in metric else None,
            query=metric.get("query"),
            timeout_s=seconds(metric.get("timeout", "5s")),
            max_age_s=seconds(metric["max_age"]) if "max_age" in metric else None,
        )
        for name, metric in data.items()
    )


def probe_settings(data: Data) -> ProbeSettings:
    """Return how probes behave."""
    return ProbeSettings(
        timeout_s=seconds(data.get("timeout", "5s")),
        concurrency=int(data.get("concurrency", 100)),
        record=data.get("record_live_columns", True),
    )


def rollback(data: Data) -> Rollback:
    """Return how the rollout goes back."""
    within = {"emergency": "5m", "standard": "15m", "gradual": "30m", **data.get("within", {})}
    return Rollback(
        on_breach=OnBreach(data.get("on_breach", OnBreach.PREVIOUS)),
        observe_s=seconds(data.get("observe", "5m")),
        within_s=tuple((level, seconds(within[level])) for level in Level),
    )


def snapshots(data: Data) -> Snapshots:
    """Return where snapshots stand, and how many."""
    return Snapshots(data.get("folder"), int(data.get("keep", 10)), data.get("before_run", True))


def keep_details_s(data: Data) -> float:
    """Return how long the ledger keeps the details of what is over."""
    return seconds(data.get("keep_details", "90d"))


def reassessed(data: Data) -> tuple[Reassessed, ...]:
    """Return what the config says of the risks of changes."""
    return tuple(Reassessed(code, each["risk"], each["reason"]) for code, each in data.get("risks", {}).items())


def stages(data: list[Data], general: Data, known: Data) -> tuple[Stage, ...]:
    """Return the stages in order. *general* are the rollout's thresholds, *known* its metrics."""
    return tuple(_stage(stage, general, known) for stage in data)


def _stage(data: Data, general: Data, known: Data) -> Stage:
    duration_s = seconds(data["duration"])
    activate = _selector(data["activate"]) if "activate" in data else None
    probe = _selector(data["probe"]) if "probe" in data else activate or Selector(enabled=True)
    own = data.get("thresholds", {})
    return Stage(
        name=data["name"],
        mode=Mode(data["mode"]),
        duration_s=duration_s,
        interval_s=seconds(data["interval"]),
        deadline_s=seconds(data["deadline"]) if "deadline" in data else 2 * duration_s,
        thresholds=tuple(
            _threshold(metric, {**general.get(metric, {}), **own.get(metric, {})}, known[metric])
            for metric in {**general, **own}
        ),
        probe=probe,
        activate=activate,
        refresh=_refresh(data["refresh"]) if "refresh" in data else None,
    )


def _threshold(name: str, data: Data, metric: Data) -> Threshold:
    default = DEFAULT[metric["kind"], metric.get("reading")]
    in_a_row = data.get("consecutive_failure_limit")
    return Threshold(
        metric=name,
        statistic=Statistic(data.get("statistic", default)),
        min=data.get("min"),
        max=data.get("max"),
        warn_min=data.get("warn_min"),
        warn_max=data.get("warn_max"),
        min_samples=int(data.get("min_samples", 1)),
        by_provider="by" in data,
        failure_limit=data.get("failure_limit", 0 if in_a_row is None else None),
        consecutive_failure_limit=in_a_row,
        on_no_data=Policy(data.get("on_no_data", Policy.HOLD)),
        on_error=Policy(data.get("on_error", Policy.HOLD)),
    )


def _selector(data: Data | str) -> Selector:
    if isinstance(data, str):
        return Selector()
    return Selector(
        enabled=data.get("enabled"),
        priority=data.get("priority"),
        providers=_names(data.get("providers")),
        sports=_names(data.get("sports")),
    )


def _refresh(data: Data | str) -> RefreshSelector:
    if isinstance(data, str):
        return RefreshSelector()
    within = data.get("expiring_within")
    return RefreshSelector(None if within is None else seconds(within), _names(data.get("types")))


def _names(data: list[str] | None) -> tuple[str, ...] | None:
    return None if data is None else tuple(data)


def faults(data: list[Data]) -> tuple[Fault, ...]:
    """Return the faults that the file orders."""
    return tuple(
        Fault(
            provider=fault["provider"],
            kind=FaultKind(fault["kind"]),
            since=fault.get("since"),
            delay_s=seconds(fault.get("delay", "1500ms")),
            status=int(fault.get("status", 503)),
        )
        for fault in data
    )


def providers(data: Data) -> tuple[Provider, ...]:
    """Return the providers in file order."""
    return tuple(
        Provider(
            name=provider["name"],
            sports=tuple(provider.get("sports", data["sports"])),
            enabled=provider["enabled"],
            status=provider.get("status", "INACTIVE"),
            priority=provider.get("priority", "normal"),
            poll_interval_s=int(seconds(provider["poll_interval"])),
            timeout_s=int(seconds(provider["timeout"])),
            retries=int(provider["retries"]),
            capabilities=provider.get("capabilities", {}),
            endpoint=provider.get("endpoint") or None,
            headers=tuple(provider.get("headers", {}).items()),
            follow_redirects=Redirects(provider.get("follow_redirects", Redirects.SAME_HOST)),
        )
        for provider in data["providers"]
    )


def cache_entries(data: Data) -> tuple[CacheEntry, ...]:
    """Return the cache entries of all types in file order."""
    return tuple(
        CacheEntry(entry["key"], name, kind["rationale_type"], ttl_s, entry["confidence"], entry["data"])
        for name, kind in data["types"].items()
        for ttl_s in [int(seconds(kind["ttl"]))]
        for entry in kind["entries"]
    )


def lookups(data: Data) -> Iterator[str]:
    """Yield the key of every look-up, each as often as it was recorded."""
    for lookup in data.get("lookups", []):
        if isinstance(lookup, str):
            yield lookup
        else:
            yield from [lookup["key"]] * int(lookup.get("times", 1))
