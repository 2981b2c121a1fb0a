"""
The command line: parse, wire, print, exit.

Results go to stdout, events to stderr: JSON lines, or a live view on a terminal. A command is imported only when it is
asked for, and imports what it uses and nothing else.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import os
import sys

import click

from runner import __version__
from runner.cli.door import silence
from runner.errors import ExitCode

COMMANDS = (
    "init",
    "validate",
    "lint",
    "plan",
    "diff",
    "apply",
    "status",
    "check",
    "verify",
    "history",
    "snapshot",
    "restore",
    "abort",
    "rollback",
    "rehearse",
    "unlock",
    "schema",
    "completion",
)
"""Each is a module of this room, whose `command` it is; in the order in which people meet them."""


COMPLETING = "_RUNNER_COMPLETE"
"""The variable by which a shell asks what may stand next; click answers."""


class Commands(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, _: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"runner.cli.{name}").command
        return command


def main() -> None:
    """Run the command line and exit with one of `ExitCode`."""
    _take_streams()
    if COMPLETING in os.environ:
        _complete()
    gc.set_threshold(100_000, 20, 20)  # nearly all that is made while starting lives to the end: do not look so often
    try:
        code = cli.main(prog_name="runner", standalone_mode=False)
    except click.UsageError as wrong:
        with contextlib.suppress(OSError):
            wrong.show()
        code = ExitCode.USAGE
    except SystemExit:  # what click makes of help whose reader has gone away
        code = ExitCode.DONE
        silence()
    except OSError as failure:  # help that cannot be written, say to a disk that is full
        with contextlib.suppress(OSError):
            click.echo(f"error: {failure.strerror}", err=True)
        code = ExitCode.FAILED
        silence()
    except click.Abort:  # what click makes of a KeyboardInterrupt
        click.echo("stopped at once; the same command goes on from the last commit", err=True)
        code = ExitCode.INTERRUPTED
    sys.exit(code or 0)


def _complete() -> None:
    """Answer a shell, and end; where that goes wrong, in any way, nothing is offered and nothing said."""
    with contextlib.suppress(Exception):
        cli.main(prog_name="runner", complete_var=COMPLETING, standalone_mode=False)
    sys.exit(ExitCode.DONE)


def _take_streams() -> None:
    """See to it that no file gets the number of a stream that is closed, and that an old locale stops no table."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="runner")
def cli() -> None:
    """Carry a schema, its data and its caches into a database, stage by stage, and roll back by itself.

    \b
    Exit codes:
      0         done, or nothing to do
      1         a step failed and was taken back
      2         changes are pending (plan --detailed-exitcode only)
      3         the config or a migration is not valid
      4         exit criteria failed, or the tables are not as declared
      5         a review found what --fail-on names
      6         another runner works on this database
      7         history, config, plan or snapshot do not match
      8         breached, and rolled back
      9         a rollback is not exact: a person is needed
      64        wrong usage
      130, 143  interrupted; the same command goes on
    """  # noqa: D301  click wants the backslash
