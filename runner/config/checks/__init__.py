"""
What a schema cannot say: that names refer to something, that limits can be met, that stages go forward.

Each check reads the three files as far as they are sound, and yields its own problems.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.config.checks import caches, criteria, limits, metrics, providers, selectors, stages, stand_in
from runner.config.document import not_too_many

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.config.checks.declared import Declared
    from runner.errors import Problem

CHECKS = (metrics, stages, selectors, limits, stand_in, criteria, providers, caches)


def cross_check(declared: Declared) -> Iterator[Problem]:
    """Yield every problem that shows only when keys and files are seen together; the same problem once."""
    seen = set()
    for check in CHECKS:
        for problem in not_too_many(check.problems(declared)):
            if problem not in seen:
                seen.add(problem)
                yield problem
