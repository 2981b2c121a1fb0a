"""`runner diff`: what a change to a config really changes, and how dangerous it is."""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING, Any

import click

from runner.cli.door import DEFAULT, OUTSIDE, fail_on_option, foreseen, say
from runner.errors import ExitCode

if TYPE_CHECKING:
    from runner.config.load import Declaration


@click.command()
@click.argument("old")
@click.argument("new", required=False)
@foreseen
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "markdown", "sarif"]),
    default="text",
    help="How to print the review; markdown is for a pull request. [text]",
)
@fail_on_option
@click.option(
    "--replay", "database", metavar="DATABASE", help="Judge past runs of its ledger again, by the new config."
)
@click.option("--runs", type=click.IntRange(1, 10_000), default=20, help="How many past runs, the newest first. [20]")
def command(
    old: str,
    new: str | None,
    environment: str | None,
    form: str,
    fail_on: str | None,
    database: str | None,
    runs: int,
    *,
    as_json: bool,
) -> int:
    """Say what changed between two configs, and how dangerous it is.

    OLD and NEW are each a path, or REV:path of the git repository: `runner diff origin/main:config/rollout.yaml`.
    Without NEW that is the same file in the work tree; for a path as OLD, config/rollout.yaml. All
    that a config names is taken from the same revision. Addresses and headers need not be known: a variable that is not
    set is compared by its name. No database is opened, except by --replay, which only reads.
    """
    from runner.engine.reviewing import exceeds, review

    with contextlib.ExitStack() as stack:
        new = new or _opposite(old)
        sides = [_declaration(stack, name, environment, is_old=name is old) for name in (old, new)]
        found = review(sides[0], sides[1], (old, new))
        if database:
            from runner.engine.replay import replayed

            found["replay"] = replayed(sides[0].rollout, sides[1].rollout, database, runs)
    say(_printed(found, "json" if as_json else form))
    return ExitCode.RISKY if fail_on and exceeds(found, fail_on) else ExitCode.DONE


def _opposite(old: str) -> str:
    """Return what *old* is compared with where nothing is named."""
    from runner.config.revision import in_work_tree

    new = in_work_tree(old) or DEFAULT
    with contextlib.suppress(OSError):
        if os.path.samefile(old, new):  # noqa: PTH121  texts as they were typed
            raise click.UsageError(f"{old} is compared with itself; for what you changed: runner diff HEAD:{old}")
    return new


def _declaration(stack: contextlib.ExitStack, name: str, environment: str | None, *, is_old: bool) -> Declaration:
    """Read one side; the old one may lack the environment, which the change may have brought or renamed."""
    from runner.config.load import declaration
    from runner.config.revision import side

    found = stack.enter_context(side(name, os.environ))
    outside = click.get_current_context().meta[OUTSIDE]
    return declaration(
        found.path,
        environment,
        allow_outside=outside,
        called=found.called,
        secrets_known=False,
        environment_known=not is_old,
    )


def _printed(found: dict[str, Any], form: str) -> str:
    """Return the review in the form that is asked for; only what writes it is imported."""
    if form == "json":
        return json.dumps(found)
    if form == "sarif":
        from runner import __version__
        from runner.report.sarif import sarif

        return json.dumps(sarif(found, __version__))
    if form == "markdown":
        from runner.report.markdown import markdown

        return markdown(found).rstrip("\n")
    from runner.report.review import text

    return text(found)
