"""`runner verify`: what stands in the tables, against what is declared."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from runner.cli.door import config_argument, load_rollout, looking, say, where
from runner.errors import ExitCode

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@click.argument("what", type=click.Choice(["providers", "caches"]))
@config_argument
def command(what: str, config: Path, environment: str | None, *, as_json: bool) -> int:
    """Compare what stands in the tables with what is declared, and with what the stages have switched.

    Names every drift, row by row, and exits with 4 where there is one.
    """
    from runner.clock import WallClock
    from runner.engine.verifying import verify_caches, verify_providers
    from runner.report import verify as report

    rollout = load_rollout(config, environment)
    verify = verify_providers if what == "providers" else verify_caches
    with looking(rollout) as backend:
        found = verify(rollout, backend, WallClock().now())
    say(json.dumps(found) if as_json else report.text(found, where(rollout)))
    return ExitCode.DONE if found["as_declared"] else ExitCode.CRITERIA_FAILED
