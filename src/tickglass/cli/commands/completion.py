"""Print what makes a shell complete commands, options and names: `tickglass completion`."""

from __future__ import annotations

from typing import Final

import click
from click.shell_completion import get_completion_class

__all__ = ["completion"]

SHELLS: Final = ("bash", "zsh", "fish")


@click.command(short_help="Print the completion script of a shell.")
@click.argument("shell", type=click.Choice(SHELLS), metavar="bash|zsh|fish")
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that makes a shell complete commands, options and names.

    Names of jobs, services, instances and resources come from $TICKGLASS_STORE, or
    sqlite:///jobs.db in the current folder, if it answers within 0.3 s.

    \b
    bash:  eval "$(tickglass completion bash)"     in ~/.bashrc
    zsh:   eval "$(tickglass completion zsh)"      in ~/.zshrc
    fish:  tickglass completion fish | source      in ~/.config/fish/config.fish
    """  # noqa: D301 - \b is for click: the lines after it stay as they are
    kind = get_completion_class(shell)
    if kind is None:
        raise LookupError(f"click does not know {shell} any more")
    script = kind(context.find_root().command, {}, "tickglass", "_TICKGLASS_COMPLETE")
    click.echo(script.source())
