"""`runner snapshot`: copy the tables that the rollout may touch, and list what there is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from runner.cli.door import candidates, config_argument, load_rollout, log_option, reading, say, session, where
from runner.errors import ExitCode

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@config_argument
@click.option("--list", "listing", is_flag=True, help="List the snapshots that there are, newest first; take none.")
@click.option("--remove", metavar="ID", help="Remove that snapshot; take none.", shell_complete=candidates("snapshots"))
@log_option
def command(
    config: Path,
    environment: str | None,
    log_file: Path | None,
    remove: str | None,
    *,
    as_json: bool,
    listing: bool,
) -> int:
    """Copy the tables that the rollout may touch, compare every row, and keep the copy for `runner restore`.

    Safe at any time: it is of one moment, and neither the application nor a run waits for it.
    """
    if listing and remove:
        raise click.UsageError("--list and --remove do not go together")
    if listing:
        return _list(config, environment, as_json=as_json)
    if remove:
        return _remove(config, environment, remove, as_json=as_json)
    return _take(config, environment, log_file, as_json=as_json)


def _take(config: Path, environment: str | None, log_file: Path | None, *, as_json: bool) -> int:
    from runner.report import snapshot as report
    from runner.store.connect import exists

    rollout = load_rollout(config, environment)
    taken = None
    if exists(rollout.environment.database, rollout.environment.engine):  # and none is made for this
        with session(config, environment, log_file, as_json=as_json, create=False) as opened:
            keeper = opened.keeper()
            taken = keeper.take("by hand", is_automatic=False)
    if taken is None:
        nothing = {"version": report.VERSION, "snapshot": None}
        say(json.dumps(nothing) if as_json else f"{rollout.name} on {where(rollout)}: there is no table yet to be kept")
        return ExitCode.DONE
    found = {"version": report.VERSION, "snapshot": report.facts(taken)}
    say(json.dumps(found) if as_json else report.taken(taken, str(keeper.shelf.folder)))
    return ExitCode.DONE


def _list(config: Path, environment: str | None, *, as_json: bool) -> int:
    from runner.engine.keeping import shelf_of
    from runner.report import snapshot as report
    from runner.store.ledger import Ledger

    rollout = load_rollout(config, environment)
    found, problems = shelf_of(rollout).all()
    if as_json:
        plain = [report.facts(each) for each in found]
        damaged = [problem.plain() for problem in problems]
        say(json.dumps({"version": report.VERSION, "snapshots": plain, "damaged": damaged}))
        return ExitCode.DONE
    with reading(rollout) as backend:
        database_id = Ledger(backend).database_id if backend else None
    say(report.listing(found, problems, database_id))
    return ExitCode.DONE


def _remove(config: Path, environment: str | None, snapshot_id: str, *, as_json: bool) -> int:
    from runner.engine.keeping import shelf_of
    from runner.report.snapshot import VERSION

    shelf = shelf_of(load_rollout(config, environment))
    if not shelf.has(snapshot_id):
        raise click.BadParameter(f"there is no snapshot {snapshot_id}; --list names them", param_hint="--remove")
    shelf.remove(snapshot_id)
    say(json.dumps({"version": VERSION, "removed": snapshot_id}) if as_json else f"snapshot {snapshot_id} removed")
    return ExitCode.DONE
