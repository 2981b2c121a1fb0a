"""The way back through the stages: newest first, each in one transaction, each compared with how it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.act import live
from runner.clock import timestamp
from runner.decide.machine import Signal
from runner.engine.site import Outcome
from runner.errors import ExitCode, Problem, StepFailed, Stuck
from runner.store.changes import Changes
from runner.store.digest import canonical

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.engine.site import Site
    from runner.events import Teller
    from runner.store.changes import Conflict
    from runner.store.ledger import Run, StageEntry

SHOWN = 8
"""So many conflicts are shown to a person; the log has them all."""
BREAK = "\n    "


def nothing_between(_: StageEntry) -> None:
    """Go on at once."""


class Conflicting(Stuck):
    """Others changed values that have to be taken back. *command* goes on; *so_far* says what was done."""

    def __init__(self, conflicts: list[Conflict], command: str, so_far: str) -> None:
        first = {(conflict.table, conflict.key, conflict.column): str(conflict) for conflict in reversed(conflicts)}
        told = list(reversed(first.values()))
        more = [f"and {len(told) - SHOWN} more"] if len(told) > SHOWN else []
        what = f"the rollback is not exact: others changed {count(told, 'value')} that it had to take back"
        fix = (
            f"{so_far}; set them to what is right, and run `{command}` again: it goes on with the rollback;"
            " or leave them as they are: `runner abort`"
        )
        super().__init__(Problem(BREAK.join((what, *told[:SHOWN], *more)), fix=fix))
        self.conflicts = conflicts


class WayBack:
    """Takes stages back. *between* is called with the stage that stands after each one that was taken back."""

    def __init__(self, site: Site, tell: Teller, between: Callable[[StageEntry], None] = nothing_between) -> None:
        self._site = site
        self._tell = tell
        self._between = between

    def undo_down_to(self, run: Run, end: Signal) -> Outcome:
        """
        Undo every stage that stands beyond where *run* goes back to, newest first, each in one transaction.

        One that cannot be undone exactly does not keep the older ones from it; Stuck tells of it afterwards.
        """
        site = self._site
        entries = self.to_be_undone(run)
        conflicts: list[Conflict] = []
        for number, entry in enumerate(entries, start=1):
            found = self._undo(run, entry, entries[number:])
            conflicts += found
            if not found and number < len(entries):
                self._between(entries[number])
        if conflicts:
            command = f"runner rollback --level {run.level}" if run.level else "runner apply"
            stuck = Conflicting(conflicts, command, "everything else was taken back")
            self.stick(run, stuck)
            raise stuck
        with site.lock.transaction():
            site.finish(run, end)
        told = {
            Signal.UNDONE: "run.rolled_back",
            Signal.TARGET_REACHED: "run.walked_back",
            Signal.ABORTED: "run.aborted",
        }
        self._tell(told[end], final_stage=site.survey.stands_at(), cause=run.message, verified=True)
        code = ExitCode.ROLLED_BACK if end is Signal.UNDONE and run.level is None else ExitCode.DONE
        return Outcome(code, site.survey.stands_at(), run.id)

    def _undo(self, run: Run, entry: StageEntry, older: list[StageEntry]) -> list[Conflict]:
        """Take one stage back and compare; return what kept it from being exact."""
        site = self._site
        with site.lock.transaction():
            changes = Changes(site.backend, entry.id)
            undone = changes.undo(stage.id for stage in older)
            if not (undone.conflicts or undone.noticed) and changes.digest_now() != changes.claimed_digest():
                what = f"the rows of stage {entry.stage} do not have the digest that they had before it"
                raise StepFailed(Problem(what, fix="nothing of this stage was taken back; please report this"))
            live.forget_props(site.backend, entry.id)
            self.note(entry, undone.noticed)
            if not undone.conflicts:
                self.close(run, entry, "undone")
        for change in undone.noticed:
            self._tell("change.noticed", stage=entry.stage, **change._asdict())
        for change in undone.conflicts:
            self._tell("change.conflicted", stage=entry.stage, **change._asdict())
        if not undone.conflicts:
            self._tell(
                "stage.undone",
                stage=entry.stage,
                rows=undone.rows,
                digest=entry.digest,
                verified=True,
                changed_by_others=len(undone.noticed),
            )
        return undone.conflicts

    def note(self, entry: StageEntry, noticed: list[Conflict]) -> None:
        """Keep with the stage which values of its rows others had changed meanwhile."""
        if noticed:
            known = entry.summary.get("changed_by_others", [])
            summary = {**entry.summary, "changed_by_others": [*known, *(str(change) for change in noticed)]}
            self._site.ledger.update_stage(entry.id, summary_json=canonical(summary))

    def stick(self, run: Run, stuck: Stuck) -> None:
        """Write that a person is needed, and for what."""
        what = "; ".join(problem.what.replace(BREAK, "; ") for problem in stuck.problems)
        with self._site.lock.transaction():
            self._site.move(run, Signal.UNDO_FAILED, stopped=what)
        conflicts = stuck.conflicts if isinstance(stuck, Conflicting) else []
        values = {(conflict.table, conflict.key, conflict.column) for conflict in conflicts}
        self._tell("run.stuck", conflicts=len(values), cause=what)

    def to_be_undone(self, run: Run) -> list[StageEntry]:
        """Return the stages that stand beyond the one *run* goes back to, newest first. The ledger knows the order."""
        return self._site.survey.beyond(run.back_to)

    def close(self, run: Run, entry: StageEntry, state: str, **values: object) -> None:
        """Write that a stage stands no more."""
        at = timestamp(self._site.clock.now())
        self._site.ledger.update_stage(entry.id, state=state, undone_at=at, undone_by=run.id, **values)


def count(things: list[str], noun: str) -> str:
    """Return how many there are, in words."""
    return f"{len(things)} {noun}{'' if len(things) == 1 else 's'}"
