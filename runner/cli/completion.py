"""`runner completion`: what makes a shell complete the commands of this program."""

from __future__ import annotations

import click

from runner.cli.door import say
from runner.errors import ExitCode

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def command(context: click.Context, shell: str) -> int:
    """Print the script that lets SHELL complete commands, options, environments, stages and snapshots.

    \b
    bash:  echo 'eval "$(runner completion bash)"' >> ~/.bashrc
    zsh:   echo 'eval "$(runner completion zsh)"' >> ~/.zshrc
    fish:  runner completion fish > ~/.config/fish/completions/runner.fish
    """  # noqa: D301  click wants the backslash
    from click.shell_completion import ShellComplete, get_completion_class

    from runner.cli import COMPLETING

    made = get_completion_class(shell)
    if made is None:  # pragma: no cover  click knows all that SHELLS names
        raise click.UsageError(f"there is no completion for {shell}")
    script = made(context.find_root().command, {}, "runner", COMPLETING)
    say(ShellComplete.source(script))  # bash's own asks the shell that runs for its version first
    return ExitCode.DONE
