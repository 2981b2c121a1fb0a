"""`runner plan`: every step that apply would take."""

from __future__ import annotations

import json
from pathlib import Path

import click

from runner.cli.door import candidates, check_target, config_argument, load_rollout, looking, say, where
from runner.errors import ExitCode


@click.command()
@config_argument
@click.option(
    "--target-stage",
    metavar="STAGE",
    help="Plan the way to this stage; one behind the current walks back.",
    shell_complete=candidates("stages"),
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Save the plan: `runner apply FILE` does exactly that, or refuses.",
)
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 2 where changes are pending.")
def command(
    config: Path,
    environment: str | None,
    target_stage: str | None,
    out: Path | None,
    *,
    as_json: bool,
    detailed_exitcode: bool,
) -> int:
    """Show every step that apply would take, in order; nothing is written and no lock taken."""
    from runner import __version__
    from runner.clock import WallClock
    from runner.engine.planning import plan
    from runner.report import plan as report

    rollout = load_rollout(config, environment)
    check_target(rollout, target_stage)
    with looking(rollout) as backend:
        found = plan(rollout, backend, WallClock().now(), target_stage)
        if out:
            from runner.engine import planfile

            planfile.write(out, planfile.make(rollout, backend, found, target_stage, __version__))
    say(json.dumps(found) if as_json else report.text(found, where(rollout)))
    if out and not as_json:
        say(f"\nSaved as {out}; `runner apply {out}` does exactly this, or refuses.")
    return ExitCode.PENDING if detailed_exitcode and found["pending"] else ExitCode.DONE
