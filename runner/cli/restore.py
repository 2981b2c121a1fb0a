"""`runner restore`: bring a snapshot back, once it is said what that takes away."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from runner.cli.door import candidates, config_argument, load_rollout, lock_option, log_option, say, session, where
from runner.errors import ExitCode, Mismatch, Problem

if TYPE_CHECKING:
    from pathlib import Path

    from runner.cli.door import Session
    from runner.engine.keeping import Restoring


@click.command()
@click.argument("snapshot_id", metavar="ID", shell_complete=candidates("snapshots"))
@config_argument
@click.option("--yes", is_flag=True, help="Do not ask; for scripts.")
@click.option("--dry-run", is_flag=True, help="Check the snapshot, show what would be lost, and do nothing.")
@lock_option
@log_option
def command(
    snapshot_id: str,
    config: Path,
    environment: str | None,
    log_file: Path | None,
    lock_timeout_s: float | None,
    *,
    as_json: bool,
    yes: bool,
    dry_run: bool,
) -> int:
    """Bring snapshot ID back to the byte, in one transaction, after a snapshot of how things stand.

    The tables of the snapshot, and what the ledger says of the rollout, are then as they were; the history of runs
    stays. What was done to these tables since is lost, and said before: without --yes you are asked.
    """
    _refuse_unknown(snapshot_id, config, environment)
    with session(config, environment, log_file, as_json=as_json, create=False, lock_timeout_s=lock_timeout_s) as opened:
        keeper = opened.keeper()
        with keeper.beside(keeper.find(snapshot_id)) as restoring:
            return _restore(opened, restoring, yes=yes, dry_run=dry_run)


def _refuse_unknown(snapshot_id: str, config: Path, environment: str | None) -> None:
    from runner.engine.keeping import shelf_of
    from runner.store.connect import exists

    rollout = load_rollout(config, environment)
    shelf = shelf_of(rollout)
    if not shelf.has(snapshot_id):
        raise click.BadParameter(
            f"there is no snapshot {snapshot_id} in {shelf.folder}; `runner snapshot --list` names them",
            param_hint="ID",
        )
    if not exists(rollout.environment.database, rollout.environment.engine):
        raise Mismatch(
            Problem(
                f"there is no database for snapshot {snapshot_id} to go back to: {where(rollout)}",
                fix="bring the database back from a backup first; the snapshot holds only the tables that the rollout"
                " may touch, and is itself a database that can be opened",
            )
        )


def _restore(opened: Session, restoring: Restoring, *, yes: bool, dry_run: bool) -> int:
    from runner.engine.survey import Survey
    from runner.report import snapshot as report

    found = restoring.losses(), Survey(opened.rollout, opened.backend).stands_at(), restoring.migrations()
    said = report.warning(restoring.snapshot, *found, where(opened.rollout))
    would = report.losses(restoring.snapshot, *found)
    if dry_run:
        say(json.dumps({**would, "run_id": None}) if opened.as_json else said)
        return ExitCode.DONE
    if not opened.as_json:
        say(said)
    if not yes and not _agrees(opened, would):
        return ExitCode.FAILED
    done = restoring.bring_back()
    if opened.as_json:
        would["tables"] = [loss._asdict() for loss in done.losses]
        before = done.taken_before.id if done.taken_before else None
        say(json.dumps({**would, "run_id": done.run_id, "final_stage": done.stage, "taken_before": before}))
        return ExitCode.DONE
    undo = f"; to undo it: runner restore {done.taken_before.id}" if done.taken_before else ""
    say(f"restored, every row compared; at {done.stage}, run {done.run_id}{undo}")
    return ExitCode.DONE


def _agrees(opened: Session, would: dict[str, object]) -> bool:
    """Ask a person; where there is none, refuse."""
    if opened.as_json or not (sys.stdin and sys.stdin.isatty()):
        if opened.as_json:
            say(json.dumps({**would, "run_id": None}))
        raise click.UsageError("nobody is there to be asked: say --yes; nothing was changed")
    if click.confirm("bring it back?", err=True):
        return True
    say("nothing was changed")
    return False
