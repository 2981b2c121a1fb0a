"""
The command line: parse, wire, print, exit.

Results go to stdout, events to stderr: JSON lines, or a live view on a terminal. This is the one place that turns an
error into text and an exit code. Every command imports what it uses, and nothing else.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

import click

from runner import __version__
from runner.errors import ExitCode, RunnerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from runner.clock import Stop, WallClock
    from runner.config.model import Rollout
    from runner.engine.loop import Engine
    from runner.engine.survey import Survey
    from runner.events import Event, Sink, Teller
    from runner.measure.probe import Prober
    from runner.store.backend import Backend

DEFAULT = "config/rollout.yaml"
MANY = 6


def main() -> None:
    """Run the command line and exit with one of `ExitCode`."""
    gc.set_threshold(100_000, 20, 20)  # nearly all that is made while starting lives to the end: do not look so often
    try:
        code = cli.main(prog_name="runner", standalone_mode=False)
    except click.UsageError as wrong:
        wrong.show()
        code = ExitCode.USAGE
    except click.Abort:  # what click makes of a KeyboardInterrupt
        click.echo("stopped at once; the same command goes on from the last commit", err=True)
        code = ExitCode.INTERRUPTED
    sys.exit(code or 0)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="runner")
def cli() -> None:
    """Carry a schema, its data and its caches into a database, stage by stage, and roll back by itself.

    \b
    Exit codes:
      0         done, or nothing to do
      1         a step failed and was taken back
      3         the config or a migration is not valid
      6         another runner works on this database
      7         history or config do not match
      8         breached, and rolled back
      9         a rollback is not exact: a person is needed
      64        wrong usage
      130, 143  interrupted; the same command goes on
    """  # noqa: D301  click wants the backslash


def config_argument(command: Callable[..., int]) -> Callable[..., int]:
    """Give *command* the config file, the environment and --json, and turn its RunnerError into text and exit code."""

    @functools.wraps(command)
    def run(**arguments: Any) -> int:
        try:
            return command(**arguments)
        except RunnerError as failure:
            _print_problems(failure, as_json=arguments["as_json"])
            return failure.exit_code

    run = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")(run)
    run = click.option("--env", "environment", metavar="NAME", help="Environment of the config. [local]")(run)
    return click.argument("config", type=click.Path(path_type=Path), default=DEFAULT)(run)


@cli.command()
@config_argument
@click.option("--target-stage", metavar="STAGE", help="Stop after this stage; one behind the current walks back.")
@click.option("--accept-changes", is_flag=True, help="Go on with an unfinished run although its config was changed.")
@click.option("--log-file", type=click.Path(path_type=Path, dir_okay=False), help="Append the events to a file, too.")
def apply(
    config: Path,
    environment: str | None,
    target_stage: str | None,
    log_file: Path | None,
    *,
    as_json: bool,
    accept_changes: bool,
) -> int:
    """Carry the rollout to its last stage, or to --target-stage, and go on where an earlier run stopped."""
    with _session(config, environment, log_file, as_json=as_json, target=target_stage) as session:
        if session.is_done(target_stage):
            return ExitCode.DONE
        outcome = session.engine().apply(target_stage, accept_changes=accept_changes)
        session.print_outcome(outcome.run_id, outcome.stage)
    return outcome.exit_code


@cli.command()
@config_argument
@click.option("--log-file", type=click.Path(path_type=Path, dir_okay=False), help="Append the events to a file, too.")
def abort(config: Path, environment: str | None, log_file: Path | None, *, as_json: bool) -> int:
    """End an unfinished run: take its open stage back, or leave a stuck one as it stands."""
    with _session(config, environment, log_file, as_json=as_json, create=False) as session:
        outcome = session.engine().abort()
        session.print_outcome(outcome.run_id, outcome.stage, "there is no unfinished run")
    return outcome.exit_code


@cli.command()
@config_argument
def validate(config: Path, environment: str | None, *, as_json: bool) -> int:
    """Check the config and the migrations; no database is opened."""
    rollout = _load(config, environment)
    counts = {
        "providers": len(rollout.providers),
        "rows": len(rollout.targets),
        "cache_entries": len(rollout.caches),
        "look_ups": len(rollout.lookups),
        "stages": len(rollout.stages),
        "migrations": len(rollout.migrations),
    }
    if as_json:
        _say(json.dumps({"version": 1, "valid": True, "digest": rollout.digest, **counts}))
    else:
        _say(
            f"{config} is valid: {counts['providers']} providers in {counts['rows']} rows,"
            f" {counts['cache_entries']} cache entries, {counts['look_ups']} look-ups,"
            f" {counts['stages']} stages, {counts['migrations']} migrations"
        )
    return ExitCode.DONE


@cli.command()
@config_argument
def status(config: Path, environment: str | None, *, as_json: bool) -> int:
    """Say where the rollout stands, and what comes next."""
    from runner.clock import WallClock
    from runner.report import status as report
    from runner.store.ledger import Ledger

    rollout = _load(config, environment)
    now = WallClock().now()
    with _reading(rollout) as backend:
        ledger = Ledger(backend) if backend else None
        found = report.facts(rollout, backend, ledger, now)
        found["next"] = _next(rollout, backend, now)
    command = f"runner apply {config}" + (f" --env {environment}" if environment else "")
    _say(json.dumps(found) if as_json else report.text(found, _where(rollout), command))
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


@cli.command()
@config_argument
def history(config: Path, environment: str | None, *, as_json: bool) -> int:
    """List every run that ever was: the audit trail."""
    from runner.report import history as report
    from runner.store.ledger import Ledger

    rollout = _load(config, environment)
    with _reading(rollout) as backend:
        found = report.trail(Ledger(backend), rollout.name) if backend else {}
    _say(json.dumps(found, indent=2) if as_json else report.text(found))
    return ExitCode.DONE


class Session(NamedTuple):
    """What a command that writes works with, and how it ends."""

    rollout: Rollout
    backend: Backend
    clock: WallClock
    tell: Teller
    as_json: bool

    def is_done(self, target: str | None) -> bool:
        """Say whether there is nothing to do, and if so print it; much is not imported then."""
        from runner.engine.survey import Survey

        survey = Survey(self.rollout, self.backend)
        done = survey.is_done(target, self.clock.now())
        if done:
            self.print_outcome(None, survey.stands_at(), _declared(survey))
        return done

    def engine(self) -> Engine:
        """Return the engine, wired to real clock, database and network."""
        from runner.engine.loop import Engine

        return Engine(self.rollout, self.backend, self.clock, self.tell, self._make_prober)

    def _make_prober(self) -> Prober:
        from runner.measure.probe import Prober
        from runner.measure.stub import StandIn

        rollout = self.rollout
        needed = any(provider.endpoint is None for provider in rollout.providers)
        stand_in = StandIn(rollout.faults, tuple(stage.name for stage in rollout.stages)) if needed else None
        return Prober(rollout.probe, self.clock, stand_in)

    def print_outcome(self, run_id: str | None, stage: str, otherwise: str = "all is as declared") -> None:
        """Print what a run did, or that there was nothing to do, and why."""
        if run_id is None:
            name = self.rollout.name
            found = {"version": 1, "rollout": name, "run_id": None, "state": "unchanged", "final_stage": stage}
            said = f"{name} on {_where(self.rollout)}: nothing to do; it stands at {stage}, and {otherwise}"
            _say(json.dumps(found) if self.as_json else said)
            return
        from runner.report import run as report
        from runner.store.ledger import Ledger

        ledger = Ledger(self.backend)
        run = next(run for run in ledger.runs(self.rollout.name) if run.id == run_id)
        found = report.facts(ledger, run)
        _say(json.dumps(found) if self.as_json else report.text(found, _where(self.rollout)))


@contextlib.contextmanager
def _session(
    config: Path,
    environment: str | None,
    log_file: Path | None,
    *,
    as_json: bool,
    target: str | None = None,
    create: bool = True,
) -> Iterator[Session]:
    """Load, connect and listen; what goes wrong before a run has told of it is told as an event."""
    from runner.clock import WallClock
    from runner.store.connect import open_backend

    clock = WallClock()
    told: set[str] = set()
    with contextlib.ExitStack() as stack:
        tell = stack.enter_context(_events(clock, log_file, told))
        try:
            rollout = _load(config, environment)
            _check_target(rollout, target)
            where = rollout.environment
            backend = stack.enter_context(contextlib.closing(open_backend(where.database, where.engine, create=create)))
            stack.enter_context(_signals(clock.stop))
            yield Session(rollout, backend, clock, tell, as_json)
        except RunnerError as failure:
            if told.isdisjoint({"run.failed", "run.interrupted", "run.stuck"}):
                tell("run.refused", problems=[problem.plain() for problem in failure.problems])
            raise


@contextlib.contextmanager
def _events(clock: WallClock, log_file: Path | None, told: set[str]) -> Iterator[Teller]:
    """Give a teller that writes to stderr and *log_file*, and notes in *told* which events there were."""
    from runner.events import Teller

    def note(event: Event) -> None:
        told.add(event.name)

    with contextlib.ExitStack() as stack:
        sinks = [_on_first_event(_for_stderr), note]
        if log_file:
            try:
                number = os.open(log_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            except OSError as error:
                raise click.UsageError(f"cannot write the log file {log_file}: {error.strerror}") from error
            log = os.fdopen(number, "a", encoding="utf-8")
            stack.callback(_close, log)
            sinks.append(_on_first_event(_json_lines, log))
        yield Teller(clock.now, *sinks)


def _for_stderr() -> Sink:
    from runner.report import live

    if sys.stderr is None:  # closed by the caller
        return _nowhere
    return live.view(sys.stderr) if sys.stderr.isatty() else _json_lines(sys.stderr)


def _json_lines(stream: TextIO) -> Sink:
    from runner.events import json_lines

    return json_lines(stream)


def _on_first_event(make: Callable[..., Sink], *arguments: Any) -> Sink:
    """Return a sink that is made when there is something to tell, and given up when it cannot be told there."""
    made: list[Sink] = []

    def write(event: Event) -> None:
        if not made:
            made.append(make(*arguments))
        try:
            made[0](event)
        except (OSError, ValueError):  # a pipe that was closed, a disk that is full: no reason to stop a rollout
            made[0] = _nowhere

    return write


def _close(log: TextIO) -> None:
    with contextlib.suppress(OSError):  # the disk is full: that was no reason to stop, and is none now
        log.close()


def _nowhere(event: Event) -> None:
    """Stand in for a listener that has gone away. The ledger has it all."""


@contextlib.contextmanager
def _signals(stop: Stop) -> Iterator[None]:
    """Turn the first SIGINT or SIGTERM into a request to stop at the next safe point; a second SIGINT stops at once."""

    def ask(number: int, _: object) -> None:
        stop.ask(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _declared(survey: Survey) -> str:
    """Say what is not as declared, though apply would not change it."""
    said = []
    if survey.undeclared:
        said.append(f"{_rows(survey.undeclared)} that are declared no more")
    if survey.newer:
        said.append(
            f"{_rows(survey.newer)} that were declared after the stage had been passed, and are not switched on"
        )
    return " and ".join(said) or "all is as declared"


def _rows(keys: list[str]) -> str:
    count = "is 1 row" if len(keys) == 1 else f"are {len(keys)} rows"
    return f"there {count} ({', '.join(keys[:MANY])}{', …' if len(keys) > MANY else ''})"


def _load(config: Path, environment: str | None) -> Rollout:
    from runner.config.load import load

    return load(config, environment)


@contextlib.contextmanager
def _reading(rollout: Rollout) -> Iterator[Backend | None]:
    """Open the database for reading; None where there is none yet."""
    from runner.store.connect import exists, open_backend

    where = rollout.environment
    if not exists(where.database, where.engine):
        yield None
        return
    with contextlib.closing(open_backend(where.database, where.engine, read_only=True)) as backend:
        yield backend


def _check_target(rollout: Rollout, target: str | None) -> None:
    from runner.config.model import DISABLED

    stages = [DISABLED, *(stage.name for stage in rollout.stages)]
    if target is not None and target not in stages:
        raise click.BadParameter(
            f"{target} is no stage; the stages are {', '.join(stages)}", param_hint="--target-stage"
        )


def _where(rollout: Rollout) -> str:
    from runner.config.secret import masked

    return f"{rollout.environment.name} ({masked(rollout.environment.database)})"


def _say(text: str) -> None:
    """Print a result. Where nobody takes it (a closed pipe, a full disk), the exit code still tells."""
    try:
        click.echo(text)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _print_problems(failure: RunnerError, *, as_json: bool) -> None:
    if as_json:
        problems = [problem.plain() for problem in failure.problems]
        _say(json.dumps({"version": 1, "exit_code": failure.exit_code, "problems": problems}))
    else:
        _say(str(failure))
