"""Rows of provider_states as a config declares them: which there are, which are chosen, and which are live when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.config.model import Mode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.config.model import Rollout, Selector

    Key = tuple[str, str]


def keys(rollout: Rollout) -> set[Key]:
    """Return every row there is, as a provider and a sport."""
    return {target.key for target in rollout.targets}


def selected(rollout: Rollout, selector: Selector | None) -> set[Key]:
    """Return the rows that meet *selector*; none where there is none."""
    return set() if selector is None else {target.key for target in rollout.select(selector)}


def begins_on(rollout: Rollout) -> set[Key]:
    """Return the rows that are on from the seed on."""
    return {target.key for target in rollout.targets if target.provider.status == "ACTIVE" and target.provider.enabled}


def live(rollout: Rollout) -> dict[str, set[Key]]:
    """Return which rows are on in each stage, in case all goes well."""
    on = begins_on(rollout)
    found = {}
    for stage in rollout.stages:
        if stage.mode is Mode.ACTIVE:
            on = on | selected(rollout, stage.activate)
        found[stage.name] = on
    return found


def ends_on(rollout: Rollout) -> set[Key]:
    """Return the rows that are on at the end, in case all goes well."""
    return [begins_on(rollout), *live(rollout).values()][-1]


def owners(rows: set[Key], rollout: Rollout) -> Iterator[str]:
    """Yield the providers of *rows*, with their sports where it is not all of them."""
    found: dict[str, list[str]] = {}
    for provider, sport in sorted(rows):
        found.setdefault(provider, []).append(sport)
    whole = {provider.name: len(provider.sports) for provider in rollout.providers}
    for provider, sports in found.items():
        yield provider if len(sports) == whole[provider] else f"{provider} ({', '.join(sports)})"
