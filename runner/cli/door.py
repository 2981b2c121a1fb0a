"""
What every command goes through: its config, its database, its events.

And the one place that turns an error into text and an exit code.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

import click

from runner.errors import Problem, RunnerError, StepFailed, Where

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runner.clock import Clock, Stop, WallClock
    from runner.config.model import Rollout
    from runner.engine.keeping import Keeper
    from runner.engine.levels import Levels
    from runner.engine.loop import Engine
    from runner.engine.site import Outcome
    from runner.engine.survey import Survey
    from runner.events import Event, Sink, Teller
    from runner.measure.probe import Prober
    from runner.store.backend import Backend
    from runner.store.ledger import Ledger, Run
    from runner.store.lock import Lock

DEFAULT = "config/rollout.yaml"
MANY = 6
DECLARED = "everything that is declared is applied"


def candidates(of: str) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """Return what offers a shell the names *of* which module `candidates` knows; nothing where anything is wrong."""

    def offer(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
        from runner.cli import candidates as known

        given = context.params
        try:
            names: list[str] = getattr(known, of)(Path(given.get("config") or DEFAULT), given.get("environment"))
        except Exception:  # noqa: BLE001  somebody is typing: what is wrong is told by the command itself
            return []
        return [name for name in names if name.startswith(incomplete)]

    return offer


def config_argument(command: Callable[..., int]) -> Callable[..., int]:
    """Give *command* the config file, and all that `foreseen` gives."""
    path = click.Path(path_type=Path, readable=False)  # a config that cannot be read is an invalid one
    return click.argument("config", type=path, default=DEFAULT)(foreseen(command))


def foreseen(command: Callable[..., int]) -> Callable[..., int]:
    """Give *command* the environment and --json, and turn its RunnerError into text and exit code."""

    @functools.wraps(command)
    def run(**arguments: Any) -> int:
        try:
            return command(**arguments)
        except RunnerError as failure:
            print_problems(failure, as_json=arguments["as_json"])
            return failure.exit_code
        except OSError as failure:
            known = surroundings(failure)
            print_problems(known, as_json=arguments["as_json"])
            return known.exit_code

    run = click.option(
        "--allow-outside",
        is_flag=True,
        expose_value=False,
        callback=_note_outside,
        help="Let the config name files and folders outside of its project.",
    )(run)
    run = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")(run)
    offered = candidates("environments")
    named = click.option(
        "--env", "environment", metavar="NAME", help="Environment of the config. [local]", shell_complete=offered
    )
    return named(run)


OUTSIDE = f"{__name__}.outside"
"""Where a command's context keeps whether its config may name what is outside of its project."""


def _note_outside(context: click.Context, _: click.Parameter, said: bool) -> None:  # noqa: FBT001  click's own form
    context.meta[OUTSIDE] = said


log_option = click.option(
    "--log-file", type=click.Path(path_type=Path, dir_okay=False), help="Append the events to a file, too."
)


fail_on_option = click.option(
    "--fail-on",
    type=click.Choice(["caution", "dangerous", "blocked"]),
    help="Exit with 5 where something is as dangerous as that.",
)


def duration_option(_: click.Context, __: click.Parameter, text: str | None) -> float | None:
    """Return the seconds of a duration, for an option that takes one."""
    from runner.config.duration import seconds

    try:
        return None if text is None else seconds(text)
    except ValueError as error:
        raise click.BadParameter(f"{error}; write 15m, say") from error


lock_option = click.option(
    "--lock-timeout",
    "lock_timeout_s",
    metavar="DURATION",
    callback=duration_option,
    help="Wait so long for another runner, such as 10m. [not at all]",
)


class Session(NamedTuple):
    """What a command that writes works with, and how it ends."""

    rollout: Rollout
    backend: Backend
    clock: WallClock
    tell: Teller
    as_json: bool
    lock_timeout_s: float = 0.0

    def is_done(self, target: str | None) -> bool:
        """Say whether there is nothing to do, and if so print it; much is not imported then."""
        from runner.engine.survey import Survey

        with self.backend.one_moment():  # another runner may be at work
            survey = Survey(self.rollout, self.backend)
            done = survey.is_done(target, self.clock.now())
        if done:
            self.print_outcome(None, survey.stands_at(), _declared(survey))
        return done

    def engine(self) -> Engine:
        """Return the engine, wired to real clock, database and network."""
        from runner.engine.loop import Engine

        return Engine(self.rollout, self.backend, self.clock, self.tell, self._make_prober, lock=self._lock())

    def keeper(self) -> Keeper:
        """Return who takes snapshots and brings them back, wired likewise."""
        from runner.engine.keeping import Keeper

        return Keeper(self.rollout, self.backend, self.clock, self.tell, self._lock())

    def levels(self) -> Levels:
        """Return the rollback levels, wired likewise."""
        from runner.engine.levels import Levels

        def keep(reason: str) -> str | None:
            taken = self.keeper().take(reason)
            return taken.id if taken else None

        return Levels(self.rollout, self.backend, self.clock, self.tell, self._make_prober, keep, self._lock())

    def _lock(self) -> Lock:
        from runner.store.lock import Lock

        return Lock(self.backend, self.clock, self.lock_timeout_s, self.tell.bind(rollout=self.rollout.name))

    def _make_prober(self) -> Prober:
        return make_prober(self.rollout, self.clock)

    def print_rollback(self, outcome: Outcome, level: str) -> None:
        """Print what a rollback did, or that there was nothing to roll back."""
        from runner.config.model import Level
        from runner.report import rollback as report

        if outcome.run_id is None:
            found = report.unchanged(self.rollout.name, level, outcome.stage)
        else:
            ledger, run = self._run(outcome.run_id)
            found = report.facts(ledger, run, self.rollout.rollback.promise_s(Level(level)))
        say(json.dumps(found) if self.as_json else report.text(found, where(self.rollout)))

    def _run(self, run_id: str) -> tuple[Ledger, Run]:
        from runner.store.ledger import Ledger

        ledger = Ledger(self.backend)
        return ledger, next(run for run in ledger.runs(self.rollout.name) if run.id == run_id)

    def print_outcome(self, run_id: str | None, stage: str, otherwise: str = DECLARED) -> None:
        """Print what a run did, or that there was nothing to do, and why."""
        if run_id is None:
            print_nothing(self.rollout, stage, otherwise, as_json=self.as_json)
            return
        from runner.report import run as report

        ledger, run = self._run(run_id)
        found = report.facts(ledger, run)
        say(json.dumps(found) if self.as_json else report.text(found, where(self.rollout)))


def print_nothing(rollout: Rollout, stage: str, why: str, *, as_json: bool) -> None:
    """Print that there was nothing to do, and why."""
    found = {"version": 1, "rollout": rollout.name, "run_id": None, "state": "unchanged", "final_stage": stage}
    said = f"{rollout.name} on {where(rollout)}: nothing to do; it stands at {stage}, and {why}"
    say(json.dumps(found) if as_json else said)


def make_prober(rollout: Rollout, clock: Clock) -> Prober:
    """Return a prober for *rollout*, with the stand-in where one of its providers has no address."""
    from runner.measure.probe import Prober
    from runner.measure.stub import StandIn

    needed = any(provider.endpoint is None for provider in rollout.providers)
    stand_in = StandIn(rollout.faults, tuple(stage.name for stage in rollout.stages)) if needed else None
    return Prober(rollout.probe, clock, stand_in)


@contextlib.contextmanager
def session(
    config: Path,
    environment: str | None,
    log_file: Path | None,
    *,
    as_json: bool,
    target: str | None = None,
    create: bool = True,
    load: Callable[[Path, str | None], Rollout] | None = None,
    lock_timeout_s: float | None = None,
) -> Iterator[Session]:
    """
    Load, connect and listen; what goes wrong before a run has told of it is told as an event.

    *load* stands in for `load_rollout` where *config* is something else; another runner is waited for as long as
    *lock_timeout_s* says.
    """
    from runner.store import rehearsed
    from runner.store.connect import exists, open_backend

    with listening(config, environment, log_file, load) as (rollout, clock, tell):
        check_target(rollout, target)
        place = rollout.environment
        if create and place.must_rehearse and not exists(place.database, place.engine):
            rehearsed.require(rollout)  # no database is made for a refusal
        _warn_of_network(rollout, tell)
        with contextlib.closing(open_backend(place.database, place.engine, create=create)) as backend:
            yield Session(rollout, backend, clock, tell, as_json, lock_timeout_s or 0.0)


def _warn_of_network(rollout: Rollout, tell: Teller) -> None:
    """Tell where the database lies, if locks do not hold there."""
    from runner.store.connect import on_network

    mount = on_network(rollout.environment.database, rollout.environment.engine)
    if mount:
        tell("network.noticed", rollout=rollout.name, file_system=mount.kind, mounted_at=mount.folder)


@contextlib.contextmanager
def listening(
    config: Path,
    environment: str | None,
    log_file: Path | None,
    load: Callable[[Path, str | None], Rollout] | None = None,
) -> Iterator[tuple[Rollout, WallClock, Teller]]:
    """Load and listen, to signals too; give the rollout, a clock that hears them, and a teller."""
    from runner.clock import WallClock

    clock = WallClock()
    told: set[str] = set()
    with contextlib.ExitStack() as stack:
        tell = stack.enter_context(_events(clock, log_file, told))
        try:
            rollout = (load or load_rollout)(config, environment)
            stack.enter_context(signals(clock.stop))
            yield rollout, clock, tell
        except RunnerError as failure:
            if told.isdisjoint({"run.failed", "run.interrupted", "run.stuck", "run.completed"}):
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
                number = os.open(log_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, 0o600)
                os.set_blocking(number, True)  # only a pipe that nobody reads is not waited for
            except OSError as error:
                raise click.UsageError(f"cannot write the log file {log_file}: {error.strerror}") from error
            log = os.fdopen(number, "a", encoding="utf-8", errors="backslashreplace")
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
def signals(stop: Stop) -> Iterator[None]:
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
    return " and ".join(said) or DECLARED


def _rows(keys: list[str]) -> str:
    count = "is 1 row" if len(keys) == 1 else f"are {len(keys)} rows"
    return f"there {count} ({', '.join(keys[:MANY])}{', …' if len(keys) > MANY else ''})"


def load_rollout(config: Path, environment: str | None) -> Rollout:
    """Read and check everything that is declared."""
    from runner.config.load import load

    return load(config, environment, allow_outside=click.get_current_context().meta[OUTSIDE])


@contextlib.contextmanager
def reading(rollout: Rollout) -> Iterator[Backend | None]:
    """Open the database for reading, as it is at one moment; None where there is none yet."""
    backend = connect(rollout)
    if backend is None:
        yield None
        return
    with contextlib.closing(backend), backend.one_moment():
        yield backend


def connect(rollout: Rollout) -> Backend | None:
    """Return a connection to the database that only reads; None where there is no database yet."""
    from runner.store.connect import exists, open_backend

    place = rollout.environment
    if not exists(place.database, place.engine):
        return None
    return open_backend(place.database, place.engine, read_only=True)


@contextlib.contextmanager
def looking(rollout: Rollout) -> Iterator[Backend]:
    """Open the database for reading; the empty one that would be made, where there is none yet."""
    from runner.store.connect import imagine

    place = rollout.environment
    with contextlib.ExitStack() as stack:
        backend = stack.enter_context(reading(rollout))
        yield backend or stack.enter_context(contextlib.closing(imagine(place.database, place.engine)))


def check_target(rollout: Rollout, target: str | None) -> None:
    """Refuse a *target* that is no stage of *rollout*."""
    from runner.config.model import DISABLED

    stages = [DISABLED, *(stage.name for stage in rollout.stages)]
    if target is not None and target not in stages:
        raise click.BadParameter(
            f"{target} is no stage; the stages are {', '.join(stages)}", param_hint="--target-stage"
        )


def where(rollout: Rollout) -> str:
    """Name the environment of *rollout* and its database, without a password."""
    from runner.config.secret import masked

    return f"{rollout.environment.name} ({masked(rollout.environment.database)})"


def surroundings(failure: OSError) -> RunnerError:
    """Return as an error of ours what the system says of a file, a socket or a process: no bug, and no traceback."""
    where = Where(os.fsdecode(failure.filename)) if isinstance(failure.filename, str | bytes) else None
    if isinstance(failure, FileNotFoundError) and where is None:
        gone = "the folder that this process works in is gone"
        return StepFailed(Problem(gone, None, "go to a folder that is there, and run the same command again"))
    fix = "look at the disk, the rights and the limits of this process, and run the same command again"
    return StepFailed(Problem(f"the system says: {failure.strerror or failure}", where, fix))


def say(text: str) -> None:
    """
    Print a result, and of names and values in it nothing that a terminal would obey.

    Where nobody takes it (a closed pipe, a full disk), the exit code still tells.
    """
    from runner.config.wording import visible

    try:
        click.echo(visible(text))
    except OSError:
        silence()


def silence() -> None:
    """Let nothing more be said on stdout, where nobody takes it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def print_problems(failure: RunnerError, *, as_json: bool) -> None:
    """Tell what went wrong, as text or as JSON, on stdout."""
    if as_json:
        problems = [problem.plain() for problem in failure.problems]
        say(json.dumps({"version": 1, "exit_code": failure.exit_code, "problems": problems}))
    else:
        say(str(failure))
