"""`runner abort`: end what is unfinished."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from runner.cli.door import config_argument, log_option, session

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@config_argument
@log_option
def command(config: Path, environment: str | None, log_file: Path | None, *, as_json: bool) -> int:
    """End an unfinished run: take its open stage back, or leave a stuck one as it stands."""
    with session(config, environment, log_file, as_json=as_json, create=False) as opened:
        outcome = opened.engine().abort()
        opened.print_outcome(outcome.run_id, outcome.stage, "there is no unfinished run")
    return outcome.exit_code
