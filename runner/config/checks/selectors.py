"""Selectors name what is declared, and select something."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.config.wording import choose, listed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from runner.config.checks.declared import Declared, Served
    from runner.config.node import Node
    from runner.errors import Problem

ALL = "all"


def problems(declared: Declared) -> Iterator[Problem]:
    """Yield what is wrong with the selectors of every stage."""
    for stage in declared.rollout["stages"].each():
        for key in ("activate", "probe"):
            if isinstance(stage[key].value, dict):
                yield from _provider_problems(stage[key], declared)
        if isinstance(stage["refresh"].value, dict):
            yield from _unknown(stage["refresh"]["types"], "cache type", declared.cache_types)


def selected(selector: Any, served: tuple[Served, ...]) -> list[Served]:
    """Return the providers that meet every condition of *selector*, with those of their sports that do."""
    conditions = {} if selector == ALL else {**selector}
    for several in {"providers", "sports"} & conditions.keys():
        conditions[several] = frozenset(conditions[several])
    found = []
    for provider in served:
        sports = tuple(sport for sport in provider.sports if sport in conditions.get("sports", provider.sports))
        if sports and _meets(provider, conditions):
            found.append(provider._replace(sports=sports))
    return found


def _meets(provider: Served, conditions: dict[str, Any]) -> bool:
    return (
        conditions.get("enabled", provider.enabled) == provider.enabled
        and conditions.get("priority", provider.priority) == provider.priority
        and provider.name in conditions.get("providers", (provider.name,))
    )


def _provider_problems(selector: Node, declared: Declared) -> Iterator[Problem]:
    unknown = [
        *_unknown(selector["providers"], "provider", declared.provider_names),
        *_unknown(selector["sports"], "sport", declared.sports),
    ]
    yield from unknown
    served = declared.served
    if unknown or served is None or not selector.sound or selected(selector.value, served):
        return
    priorities = sorted({provider.priority for provider in served})
    if selector["priority"].known and selector["priority"].value not in priorities:
        what = f"no provider has the priority {selector['priority'].value}"
        yield selector["priority"].problem(what, f"select {listed(priorities)}, or give a provider this priority")
    else:
        yield selector.problem("no provider meets all of these conditions", "remove a condition, or change a provider")


def _unknown(names: Node, kind: str, known: Collection[str] | None) -> Iterator[Problem]:
    names_known = frozenset(known or ())
    for name in names.each():
        if known is not None and name.value not in names_known:
            yield name.problem(f"no {kind} is called {name.shown}", choose(name.value, known))
