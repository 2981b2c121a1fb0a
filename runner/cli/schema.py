"""`runner schema`: the JSON Schemas of the config, for editors."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from runner.cli.door import print_problems, say, silence, surroundings
from runner.errors import ExitCode


@click.command()
@click.argument("name", type=click.Choice(["rollout", "providers", "caches"]), default="rollout")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write all three into this folder instead, over those that are there.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON; a schema always is.")
def command(name: str, out: Path | None, *, as_json: bool) -> int:
    """Print the JSON Schema of one file of the config.

    Every key is described in it. Editors that know the YAML language server find it by the first line of a file, a path
    from that file or a URL: `# yaml-language-server: $schema=schema/rollout.schema.json`.
    """
    from runner.config.editor import schemas

    found = schemas()
    if out is None:
        _print(found[f"{name}.schema.json"])
        return ExitCode.DONE
    try:
        out.mkdir(parents=True, exist_ok=True)
        for file, content in found.items():
            (out / file).write_text(content, "utf-8")
    except OSError as failure:
        known = surroundings(failure)
        print_problems(known, as_json=as_json)
        return known.exit_code
    files = [str(out / file) for file in found]
    say(json.dumps({"version": 1, "written": files}) if as_json else "\n".join(f"written: {file}" for file in files))
    return ExitCode.DONE


def _print(text: str) -> None:
    """Print a schema as it is written into a file, to the byte."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError:
        silence()
