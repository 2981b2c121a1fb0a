"""`runner apply`: the main job."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import click

from runner.cli.door import candidates, config_argument, connect, load_rollout, lock_option, log_option, session
from runner.errors import ExitCode

if TYPE_CHECKING:
    from pathlib import Path

    from runner.cli.door import Session
    from runner.config.model import Rollout
    from runner.engine.planfile import Saved
    from runner.engine.site import Outcome


@click.command()
@config_argument
@click.option(
    "--target-stage",
    metavar="STAGE",
    help="Stop after this stage; one behind the current walks back.",
    shell_complete=candidates("stages"),
)
@click.option("--accept-changes", is_flag=True, help="Go on with an unfinished run although its config was changed.")
@lock_option
@log_option
def command(
    config: Path,
    environment: str | None,
    target_stage: str | None,
    log_file: Path | None,
    lock_timeout_s: float | None,
    *,
    as_json: bool,
    accept_changes: bool,
) -> int:
    """Carry the rollout to its last stage, or to --target-stage, and go on where an earlier run stopped.

    CONFIG may be a plan that `runner plan --out` has saved: apply then does exactly that, or refuses.
    """
    planned = _planned(config, environment, target_stage)
    load = planned.load if planned else None
    with session(
        config,
        environment,
        log_file,
        as_json=as_json,
        target=target_stage,
        load=load,
        lock_timeout_s=lock_timeout_s,
    ) as opened:
        if planned:
            outcome = planned.carry_out(opened, accept_changes=accept_changes)
        elif opened.is_done(target_stage):
            return _check_again(opened)
        else:
            outcome = opened.engine().apply(target_stage, accept_changes=accept_changes)
        code = _check_criteria(opened, outcome)
        opened.print_outcome(outcome.run_id, outcome.stage)
    return code


class _Planned:
    """A plan that was saved, on its way into the database."""

    saved: Saved

    def load(self, path: Path, _: str | None) -> Rollout:
        """Load what the plan at *path* was made of; Mismatch where that is something else now."""
        from runner import __version__
        from runner.engine.planfile import read

        self.saved = read(path)
        rollout = load_rollout(self.saved.config, self.saved.environment)
        self.saved.refuse_other_config(rollout, __version__)
        return rollout

    def carry_out(self, opened: Session, *, accept_changes: bool) -> Outcome:
        """Apply what was planned; Mismatch where apply would do anything else by now."""
        check = functools.partial(self.saved.refuse_other_database, opened.rollout, opened.backend)
        return opened.engine().apply(self.saved.target, accept_changes=accept_changes, check=check)


def _planned(config: Path, environment: str | None, target_stage: str | None) -> _Planned | None:
    from runner.engine.planfile import is_plan

    if not is_plan(config):
        return None
    if environment or target_stage:
        raise click.UsageError(
            f"{config} is a plan: it says itself where to and how far; leave --env and --target-stage out"
        )
    return _Planned()


def _check_again(opened: Session) -> ExitCode:
    """Evaluate the exit criteria once more where the last run's had failed, or where it was cut off before them."""
    from runner.engine.survey import Survey

    run = Survey(opened.rollout, opened.backend).run_without_criteria()
    if run is None:
        return ExitCode.DONE
    from runner.engine.site import Outcome

    outcome = Outcome(ExitCode.DONE, opened.rollout.stages[-1].name, run.id)
    code = _check_criteria(opened, outcome)
    opened.print_outcome(run.id, outcome.stage)
    return code


def _check_criteria(opened: Session, outcome: Outcome) -> ExitCode:
    """Evaluate the exit criteria after a run that reached the last stage, and return the exit code that is due."""
    rollout = opened.rollout
    reached = outcome.exit_code is ExitCode.DONE and outcome.stage == rollout.stages[-1].name
    if outcome.run_id is None or not reached or not rollout.criteria:
        return outcome.exit_code
    from runner.engine.criteria import check, record
    from runner.store.ledger import Ledger

    checked = check(rollout, functools.partial(connect, rollout), opened.clock)
    tell = opened.tell.bind(rollout=rollout.name)
    record(checked, opened.backend, Ledger(opened.backend), outcome.run_id, opened.clock, tell)
    return checked.exit_code()
