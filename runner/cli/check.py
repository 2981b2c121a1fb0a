"""`runner check`: the exit criteria, once or every so often."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING

import click

from runner.cli.door import config_argument, connect, duration_option, load_rollout, say, signals, where
from runner.errors import ExitCode, InvalidConfig, Problem, Where

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runner.config.model import Rollout

ROUNDS = 96
"""So many rounds a watch makes unless told otherwise: every 15 minutes, that is a day."""


@click.command()
@config_argument
@click.option(
    "--fail-on", type=click.Choice(["fail", "warn"]), default="fail", show_default=True, help="What counts as failed."
)
@click.option("--watch", metavar="DURATION", callback=duration_option, help="Check again every so often, such as 15m.")
@click.option("--rounds", type=click.IntRange(min=1), help=f"How many times --watch checks. [{ROUNDS}]")
def command(
    config: Path, environment: str | None, fail_on: str, watch: float | None, rounds: int | None, *, as_json: bool
) -> int:
    """Say whether the exit criteria are met; nothing is written.

    Exits with 4 where one fails or cannot be evaluated, with --fail-on warn also where one only warns. With --watch
    each round is one line (with --json a line of JSON), the exit code is that of the last round, and SIGINT or SIGTERM
    ends it after the round under way.
    """
    if rounds is not None and watch is None:
        raise click.UsageError("--rounds goes with --watch")
    rollout = load_rollout(config, environment)
    if not rollout.criteria:
        what = "the rollout declares no exit criteria"
        raise InvalidConfig(Problem(what, Where(str(config)), "declare exit_criteria"))
    fail_on_warn = fail_on == "warn"
    if watch is None:
        return _once(rollout, as_json=as_json, fail_on_warn=fail_on_warn)
    return _again_and_again(rollout, watch, rounds or ROUNDS, as_json=as_json, fail_on_warn=fail_on_warn)


def _once(rollout: Rollout, *, as_json: bool, fail_on_warn: bool) -> int:
    from runner.clock import WallClock
    from runner.engine.criteria import check
    from runner.report import check as report

    clock = WallClock()
    checked = check(rollout, functools.partial(connect, rollout), clock)
    found = report.facts(rollout, checked.plain(), clock.now())
    say(json.dumps(found) if as_json else report.text(found, where(rollout)))
    return checked.exit_code(fail_on_warn=fail_on_warn)


def _again_and_again(rollout: Rollout, interval_s: float, rounds: int, *, as_json: bool, fail_on_warn: bool) -> int:
    from runner.clock import WallClock
    from runner.engine.criteria import check
    from runner.report import check as report

    clock = WallClock()
    code = ExitCode.DONE
    show: Callable[..., str] = json.dumps if as_json else report.round_line
    with signals(clock.stop):
        start = clock.monotonic()
        for number in range(rounds):
            clock.sleep_until(start + number * interval_s)
            if clock.stop.signal:
                break
            checked = check(rollout, functools.partial(connect, rollout), clock)
            say(show(report.facts(rollout, checked.plain(), clock.now())))
            code = checked.exit_code(fail_on_warn=fail_on_warn)
    return code
