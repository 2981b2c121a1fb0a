"""`runner history`: every run that ever was."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from runner.cli.door import config_argument, load_rollout, reading, say
from runner.errors import ExitCode

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@config_argument
def command(config: Path, environment: str | None, *, as_json: bool) -> int:
    """List every run that ever was: the audit trail."""
    from runner.report import history as report
    from runner.store.ledger import Ledger

    rollout = load_rollout(config, environment)
    with reading(rollout) as backend:
        found = report.trail(Ledger(backend), rollout.name) if backend else {}
    say(json.dumps(found, indent=2) if as_json else report.text(found))
    return ExitCode.DONE
