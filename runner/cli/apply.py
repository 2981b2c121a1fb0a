"""`runner apply`: the main job."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from runner.cli.door import config_argument, log_option, session
from runner.errors import ExitCode

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@config_argument
@click.option("--target-stage", metavar="STAGE", help="Stop after this stage; one behind the current walks back.")
@click.option("--accept-changes", is_flag=True, help="Go on with an unfinished run although its config was changed.")
@log_option
def command(
    config: Path,
    environment: str | None,
    target_stage: str | None,
    log_file: Path | None,
    *,
    as_json: bool,
    accept_changes: bool,
) -> int:
    """Carry the rollout to its last stage, or to --target-stage, and go on where an earlier run stopped."""
    with session(config, environment, log_file, as_json=as_json, target=target_stage) as opened:
        if opened.is_done(target_stage):
            return ExitCode.DONE
        outcome = opened.engine().apply(target_stage, accept_changes=accept_changes)
        opened.print_outcome(outcome.run_id, outcome.stage)
    return outcome.exit_code
