"""Look at every exit criterion, judge it, and keep with a run what came of it. Looking only reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.decide.criteria import Outcome, judge, summary
from runner.errors import ExitCode
from runner.measure.criteria import AT_ONCE, look, sight
from runner.store.ledger import EXIT_CRITERIA

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.clock import Clock
    from runner.config.model import Rollout
    from runner.decide.criteria import Judgement
    from runner.events import Teller
    from runner.store.backend import Backend
    from runner.store.ledger import Ledger


class Checked:
    """What came of all criteria."""

    def __init__(self, judgements: list[Judgement]) -> None:
        self._judgements = judgements
        self.summary = summary(judgements)

    def exit_code(self, *, fail_on_warn: bool = False) -> ExitCode:
        """Say how a command ends that found this: what only warns counts where *fail_on_warn* says so."""
        bad = {Outcome.FAIL, Outcome.WARN} if fail_on_warn else {Outcome.FAIL}
        return ExitCode.CRITERIA_FAILED if self.summary.verdict in bad else ExitCode.DONE

    def plain(self) -> dict[str, Any]:
        """Return the summary, and each criterion below it, as plain data."""
        return {**self.summary._asdict(), "criteria": [judgement.plain() for judgement in self._judgements]}


def check(rollout: Rollout, connect: Callable[[], Backend | None], clock: Clock) -> Checked:
    """
    Evaluate every exit criterion of *rollout*, in file order.

    *connect* opens the database for reading; None where there is none. That it cannot be opened is found by the
    criteria, and raised by nobody. Those that look at nothing else see the database as it is at one moment.
    """
    with sight(connect, clock) as seen:
        with seen.one_moment():
            found = {each.name: look(seen, each) for each in rollout.criteria if each.subject in AT_ONCE}
        found |= {each.name: look(seen, each) for each in rollout.criteria if each.name not in found}
        return Checked([judge(each, found[each.name]) for each in rollout.criteria])


def record(checked: Checked, backend: Backend, ledger: Ledger, run_id: str, clock: Clock, tell: Teller) -> None:
    """Store what came of the criteria with a run that has just reached its last stage, and tell it."""
    found = checked.plain()
    with backend.transaction():  # adds a row that nobody else writes: that takes no lease
        ledger.record_step(run_id, EXIT_CRITERIA, found, clock.now())
    missed = [line["name"] for line in found.pop("criteria") if line["outcome"] != Outcome.PASS]
    tell("criteria.checked", run_id=run_id, **found, missed=missed)
