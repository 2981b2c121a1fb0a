"""
What is different between two declared rollouts, in the words of what is declared.

Values are compared as they are meant: after defaults, expansion and substitution. Order, format and comments are no
change. Every kind of change has a code, which `rules` knows; the sentence of each stands where it is found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.decide.compare.caches import caches
from runner.decide.compare.change import grouped
from runner.decide.compare.criteria import criteria
from runner.decide.compare.environments import environments
from runner.decide.compare.migrations import migrations
from runner.decide.compare.providers import providers
from runner.decide.compare.settings import settings
from runner.decide.compare.stages import stages
from runner.decide.compare.variables import variables

if TYPE_CHECKING:
    from runner.config.model import Rollout
    from runner.decide.compare.change import Change

PARTS = (migrations, stages, providers, caches, criteria, environments, settings, variables)


def compare(old: Rollout, new: Rollout) -> list[Change]:
    """Return every change from *old* to *new*; what is the same change of several things is one."""
    return [change for part in PARTS for change in grouped(part(old, new))]
