"""`runner rehearse`: everything, on a copy."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from runner.cli.door import config_argument, listening, log_option, make_prober, reading, say, where
from runner.errors import ExitCode

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@config_argument
@click.option("--live-probes", is_flag=True, help="Ask the providers' own addresses, not the stand-in.")
@log_option
def command(config: Path, environment: str | None, log_file: Path | None, *, as_json: bool, live_probes: bool) -> int:
    """Carry the rollout into a copy of the database, and take every way back once.

    The database itself is only read. On the copy each stage is breached once and has to roll back by itself; then come
    the three rollback levels, each followed by a restore. What came of it is kept, for environments that require it
    (`rehearsal: required`). Exit code 0 says that all was proved, 1 that something was not.
    """
    from runner.engine.rehearsal import rehearse

    with listening(config, environment, log_file) as (rollout, clock, tell):
        with reading(rollout) as original:
            found = rehearse(rollout, original, clock, tell, make_prober, live_probes=live_probes)
        _show(found, where(rollout), as_json=as_json)
    return ExitCode.DONE if found["passed"] else ExitCode.FAILED


def _show(found: dict[str, Any], place: str, *, as_json: bool) -> None:
    from runner.report import rehearsal as report

    say(json.dumps({"version": 1, **found}) if as_json else report.text(found, place))
