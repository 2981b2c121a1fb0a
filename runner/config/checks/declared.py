"""The three files side by side, and what can be known of them even where a part is broken."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from runner.config.node import ABSENT

if TYPE_CHECKING:
    from runner.config.node import Node


class Served(NamedTuple):
    """A provider as a selector sees it."""

    name: str
    enabled: bool
    priority: str
    sports: tuple[str, ...]


class Declared:
    """The roots of the three files."""

    def __init__(self, rollout: Node, providers: Node, caches: Node) -> None:
        self.rollout = rollout
        self.providers = providers
        self.caches = caches

    @property
    def provider_names(self) -> tuple[str, ...] | None:
        """The names of all providers; None where one of them cannot be known."""
        return self.providers["providers"].names("name")

    @property
    def stage_names(self) -> tuple[str, ...] | None:
        """The names of all stages; None where one of them cannot be known."""
        return self.rollout["stages"].names("name")

    @property
    def sports(self) -> tuple[str, ...] | None:
        """The declared sports; None where one of them cannot be known."""
        sports = self.providers["sports"]
        return tuple(sports.value) if isinstance(sports.value, list) and sports.sound else None

    @property
    def metric_names(self) -> tuple[str, ...] | None:
        """The names of all metrics, broken ones too; None where there is no telling."""
        metrics = self.rollout["metrics"]
        return tuple(metrics.value) if isinstance(metrics.value, dict) else None

    @property
    def cache_types(self) -> tuple[str, ...] | None:
        """The names of all cache types; None where there is no telling."""
        types = self.caches["types"]
        return tuple(types.value) if isinstance(types.value, dict) else None

    @cached_property
    def served(self) -> tuple[Served, ...] | None:
        """Every provider as a selector sees it; None where something about one of them cannot be known."""
        document, sports = self.providers.document, self.sports
        if document.problems or document.broken or sports is None:
            return None
        return tuple(
            Served(
                provider["name"].value,
                provider["enabled"].value,
                provider["priority"].otherwise("normal"),
                tuple(provider["sports"].otherwise(sports)),
            )
            for provider in self.providers["providers"].each()
        )

    @property
    def lookup_count(self) -> int | None:
        """How many look-ups one tick replays; None where that cannot be known."""
        lookups = self.caches["lookups"]
        if lookups.value is not ABSENT and not lookups.sound:
            return None
        return sum(item.get("times", 1) if isinstance(item, dict) else 1 for item in lookups.otherwise([]))
