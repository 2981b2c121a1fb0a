"""Orders to the stand-in name providers and stages that there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.config.wording import choose

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.config.checks.declared import Declared
    from runner.errors import Problem


def problems(declared: Declared) -> Iterator[Problem]:
    """Yield what is wrong with the faults."""
    providers, stages = declared.provider_names, declared.stage_names
    for fault in declared.rollout["stand_in"]["faults"].each():
        provider, since = fault["provider"], fault["since"]
        if provider.known and providers is not None and provider.value not in {"*", *providers}:
            what = f"a fault is ordered for {provider.shown}, which is no provider"
            yield provider.problem(what, choose(provider.value, providers))
        if since.known and stages is not None and since.value not in stages:
            what = f"a fault begins with {since.shown}, which is no stage"
            yield since.problem(what, choose(since.value, stages))
