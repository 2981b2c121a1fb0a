"""`runner lint`: what is dangerous about migrations, told from their text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from runner.cli.door import DEFAULT, OUTSIDE, fail_on_option, foreseen, say
from runner.errors import ExitCode


@click.command()
@click.argument(
    "paths", nargs=-1, metavar="[CONFIG | FOLDER | FILE.sql...]", type=click.Path(path_type=Path, readable=False)
)
@foreseen
@click.option("--engine", type=click.Choice(["sqlite", "postgres"]), help="Lint for this engine. [that of --env]")
@fail_on_option
def command(
    paths: tuple[Path, ...], environment: str | None, engine: str | None, fail_on: str | None, *, as_json: bool
) -> int:
    """Say what is dangerous about the migrations of a config, a folder, or about files; no database is opened.

    --engine takes the migrations of that engine's folder. Files are for the engine that their folder is named after. A
    comment above a statement lets a finding through: -- lint:ignore CODE reason. Above `-- migrate:up` it is for the
    whole file.
    """
    from runner.engine.linting import exceeds

    found = _found(paths or (Path(DEFAULT),), environment, engine)
    say(json.dumps(found) if as_json else _text(found))
    return ExitCode.RISKY if fail_on and exceeds(found, fail_on) else ExitCode.DONE


def _text(found: dict[str, Any]) -> str:
    from runner.report.lint import text

    return text(found)


def _found(paths: tuple[Path, ...], environment: str | None, engine: str | None) -> dict[str, Any]:
    """Lint the one config, or all files; a mixture is no use of the command."""
    from runner.config.load import load_for
    from runner.decide.review import Judge
    from runner.engine.linting import facts, linted, of_files

    if all(path.suffix == ".sql" or path.is_dir() for path in paths):
        if environment is not None:
            raise click.UsageError("--env goes with a config, and not with files")
        return facts(of_files(paths, engine))
    if len(paths) > 1:
        raise click.UsageError("lint takes one config, or any number of folders and .sql files")
    outside = click.get_current_context().meta[OUTSIDE]
    rollout = load_for(paths[0], environment, engine, allow_outside=outside)
    return facts([linted(rollout.migrations, rollout.environment.engine)], Judge(rollout, rollout))
