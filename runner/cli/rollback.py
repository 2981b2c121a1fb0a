"""`runner rollback`: three levels of going back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from runner.cli.door import config_argument, load_rollout, lock_option, log_option, reading, say, session, where
from runner.errors import ExitCode

if TYPE_CHECKING:
    from pathlib import Path

    from runner.config.model import Level, Rollout

LEVELS = ("emergency", "standard", "gradual")


@click.command()
@config_argument
@click.option("--level", type=click.Choice(LEVELS), required=True, help="How far to go; see above.")
@click.option("--dry-run", is_flag=True, help="Show what it would do, row counts included, and do nothing.")
@lock_option
@log_option
def command(
    config: Path,
    environment: str | None,
    log_file: Path | None,
    level: str,
    lock_timeout_s: float | None,
    *,
    as_json: bool,
    dry_run: bool,
) -> int:
    """Roll the rollout back by LEVEL, after a snapshot, and verify it.

    \b
    emergency  drops what the rollout made (migrate:down, newest first), in one transaction
    standard   removes the rows that it seeded, in one transaction, and keeps the schema
    gradual    walks back stage by stage to disabled, observing at each

    Rows that are not the rollout's own are left as they are. The same command goes on with one that was cut off.
    """  # noqa: D301  click wants the backslash
    from runner.config.model import DISABLED, Level
    from runner.report import rollback as report
    from runner.store.connect import exists

    if dry_run:
        return _show(load_rollout(config, environment), Level(level), as_json=as_json)
    rollout = load_rollout(config, environment)
    if not exists(rollout.environment.database, rollout.environment.engine):  # and none is made for this
        found = report.unchanged(rollout.name, level, DISABLED)
        say(json.dumps(found) if as_json else report.text(found, where(rollout)))
        return ExitCode.DONE
    with session(
        config,
        environment,
        log_file,
        as_json=as_json,
        create=False,
        load=lambda *_: rollout,
        lock_timeout_s=lock_timeout_s,
    ) as opened:
        outcome = opened.levels().roll_back(Level(level))
        opened.print_rollback(outcome, level)
    return outcome.exit_code


def _show(rollout: Rollout, level: Level, *, as_json: bool) -> int:
    from runner.report import rollback as report

    found = _preview(rollout, level)
    say(json.dumps(found) if as_json else report.preview(found, where(rollout)))
    return ExitCode.DONE


def _preview(rollout: Rollout, level: Level) -> dict[str, Any]:
    """Return what a rollback of *level* would do, as plain data."""
    from runner.clock import WallClock
    from runner.config.model import Level
    from runner.engine.assessment import assess, nothing
    from runner.engine.site import open_site

    with reading(rollout) as backend:
        found = assess(open_site(rollout, backend, WallClock()), level) if backend else nothing(level)
        return {
            "version": 1,
            "rollout": rollout.name,
            "level": level,
            "nothing": found.is_nothing,
            "promise_s": rollout.rollback.promise_s(level),
            "stages": [entry.stage for entry in found.stages],
            "remove": {table: len(rows) for table, rows in found.remove.items()},
            "put_back": {table: len(rows) for table, rows in found.put_back.items()},
            "revert": [
                {
                    "migration": f"{each.migration.version}_{each.migration.name}",
                    "statements": [statement.sql for statement in each.run],
                    "skipped": list(each.skipped),
                }
                for each in found.reverting
            ],
            "kept": [kept._asdict() for kept in found.kept],
            "staying": found.staying,
            "restored": found.restored,
            "conflicts": list(found.conflicts),
            "observe_s": rollout.rollback.observe_s if level is Level.GRADUAL else None,
            "obstacles": [problem.plain() for problem in found.obstacles],
        }
