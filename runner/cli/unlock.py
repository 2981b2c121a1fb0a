"""`runner unlock`: who holds the lock, and a way to break it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from runner.cli.door import config_argument, load_rollout, log_option, reading, say, session, where
from runner.errors import ExitCode

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@config_argument
@click.option("--holder", metavar="ID", help="Break the lock of this holder, and of no other.")
@log_option
def command(config: Path, environment: str | None, log_file: Path | None, holder: str | None, *, as_json: bool) -> int:
    """Show who holds the lock; break it with --holder.

    The lock of a process that is gone, or whose lease is over, need not be broken: the next runner takes over. A
    runner whose lock was broken can commit nothing any more, even if it still runs, and ends with exit code 6.
    """
    if holder is None:
        return _show(config, environment, as_json=as_json)
    return _remove(config, environment, log_file, holder, as_json=as_json)


def _show(config: Path, environment: str | None, *, as_json: bool) -> int:
    from runner.clock import WallClock
    from runner.report import lock as report
    from runner.store.lock import holder

    rollout = load_rollout(config, environment)
    with reading(rollout) as backend:
        found = report.facts(holder(backend) if backend else None, WallClock().now())
    if as_json:
        say(json.dumps({"version": report.VERSION, "holder": found}))
    else:
        command = f"runner unlock {config}" + (f" --env {environment}" if environment else "")
        say(report.text(found, f"{rollout.name} on {where(rollout)}", command))
    return ExitCode.DONE


def _remove(config: Path, environment: str | None, log_file: Path | None, token: str, *, as_json: bool) -> int:
    from runner.report import lock as report
    from runner.store.connect import exists
    from runner.store.lock import remove

    rollout = load_rollout(config, environment)
    found = None
    if exists(rollout.environment.database, rollout.environment.engine):  # and none is made for this
        with session(config, environment, log_file, as_json=as_json, create=False, load=lambda *_: rollout) as opened:
            removed = remove(opened.backend, token)
            found = report.facts(removed, opened.clock.now())
            if removed:
                opened.tell("lock.removed", rollout=rollout.name, **removed.plain())
    if as_json:
        say(json.dumps({"version": report.VERSION, "removed": found}))
    else:
        say(report.removed(found, f"{rollout.name} on {where(rollout)}"))
    return ExitCode.DONE
