"""`runner validate`: whether what is declared is sound."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from runner.cli.door import config_argument, load_rollout, say
from runner.errors import ExitCode

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@config_argument
def command(config: Path, environment: str | None, *, as_json: bool) -> int:
    """Check the config and the migrations; no database is opened."""
    rollout = load_rollout(config, environment)
    counts = {
        "providers": len(rollout.providers),
        "rows": len(rollout.targets),
        "cache_entries": len(rollout.caches),
        "look_ups": len(rollout.lookups),
        "stages": len(rollout.stages),
        "migrations": len(rollout.migrations),
    }
    if as_json:
        say(json.dumps({"version": 1, "valid": True, "digest": rollout.digest, **counts}))
    else:
        say(
            f"{config} is valid: {counts['providers']} providers in {counts['rows']} rows,"
            f" {counts['cache_entries']} cache entries, {counts['look_ups']} look-ups,"
            f" {counts['stages']} stages, {counts['migrations']} migrations"
        )
    return ExitCode.DONE
