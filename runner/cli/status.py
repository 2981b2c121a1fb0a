"""`runner status`: where it stands."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from runner.cli.door import config_argument, load_rollout, reading, say, where
from runner.errors import ExitCode, RunnerError

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from runner.config.model import Rollout
    from runner.store.backend import Backend


@click.command()
@config_argument
def command(config: Path, environment: str | None, *, as_json: bool) -> int:
    """Say where the rollout stands, and what comes next."""
    from runner.clock import WallClock
    from runner.report import status as report
    from runner.store.ledger import Ledger

    rollout = load_rollout(config, environment)
    now = WallClock().now()
    with reading(rollout) as backend:
        ledger = Ledger(backend) if backend else None
        found = report.facts(rollout, backend, ledger, now)
        found["next"] = _next(rollout, backend, now)
    command = f"runner apply {config}" + (f" --env {environment}" if environment else "")
    say(json.dumps(found) if as_json else report.text(found, where(rollout), command))
    return ExitCode.DONE


def _next(rollout: Rollout, backend: Backend | None, now: datetime) -> dict[str, Any]:
    """Say what apply would do: nothing (and what is left over), something, or refuse."""
    from runner.engine.survey import Survey

    if backend is None:
        return {"apply": "begins"}
    survey = Survey(rollout, backend)
    try:
        done = survey.is_done(None, now)
    except RunnerError as refusal:
        return {"apply": "refuses", "problems": [problem.plain() for problem in refusal.problems]}
    found = "nothing" if done else "goes on"
    return {"apply": found, "undeclared": survey.undeclared, "newer": survey.newer}
