"""
What a ledger forgets: details of what is over, and older than the policy keeps them.

Single samples, and the images of rows in stages that were taken back. Runs, stages, steps, verdicts with the numbers
behind them, and the audit trail stay for ever. So does what a run may still go on with, or take back.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from runner.clock import timestamp
from runner.errors import RunnerError

if TYPE_CHECKING:
    from runner.engine.site import Site
    from runner.events import Teller

AT_ONCE = 20_000
"""So many rows go in one transaction: whoever else writes to the database waits a moment, however many there are."""


def prune(site: Site, tell: Teller) -> None:
    """
    Remove what is older than `ledger.keep_details`, and tell it where there was anything.

    What cannot be done now, or is cut off, is done at the end of the next run: it makes no run fail.
    """
    before = timestamp(site.clock.now() - timedelta(seconds=site.rollout.keep_details_s))
    removed = Counter({"samples": 0, "images": 0})
    with suppress(RunnerError):
        _remove(site, before, removed)
    if removed.total():
        tell("ledger.pruned", **removed, before=before)


def _remove(site: Site, before: str, removed: Counter[str]) -> None:
    """Count into *removed* what was, transaction by transaction; stops where somebody asks for it."""
    name, ledger = site.rollout.name, site.ledger
    while not site.clock.stop.signal and (numbers := ledger.old_samples(name, before, AT_ONCE)):
        with site.lock.transaction():
            more = ledger.remove_samples(numbers)
        removed["samples"] += more
    for stage_id in ledger.old_images(name, before):
        with site.lock.transaction():
            more = ledger.remove_images(stage_id)
        removed["images"] += more
