"""`runner abort`: end what is unfinished."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from runner.cli.door import config_argument, load_rollout, lock_option, log_option, print_nothing, session
from runner.errors import ExitCode

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@config_argument
@lock_option
@log_option
def command(
    config: Path, environment: str | None, log_file: Path | None, lock_timeout_s: float | None, *, as_json: bool
) -> int:
    """End an unfinished run: take its open stage back, or leave a stuck one as it stands."""
    from runner.config.model import DISABLED
    from runner.store.connect import exists

    rollout = load_rollout(config, environment)
    if not exists(rollout.environment.database, rollout.environment.engine):  # and none is made for this
        print_nothing(rollout, DISABLED, "there is no database yet", as_json=as_json)
        return ExitCode.DONE
    with session(config, environment, log_file, as_json=as_json, create=False, lock_timeout_s=lock_timeout_s) as opened:
        outcome = opened.engine().abort()
        opened.print_outcome(outcome.run_id, outcome.stage, "there is no unfinished run")
    return outcome.exit_code
