"""Find commands by name, and turn expected errors into a message and an exit code."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import click

from tickglass.cli.text import lines_shown
from tickglass.sched.errors import ConfigError, ControlRefused, StoreUnavailable, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["EXIT_LEFT", "EXIT_NO_ANSWER", "EXIT_UNAVAILABLE", "EXIT_WRONG", "LazyGroup"]

EXIT_NO_ANSWER: Final = 1  # or refused
EXIT_WRONG: Final = 2  # also click's own, for a wrong option
EXIT_UNAVAILABLE: Final = 3
EXIT_LEFT: Final = 4  # a scheduler stopped, but some runs did not end


class LazyGroup(click.Group):
    """A group that imports a command when it is first needed.

    Args:
        commands_at: "module:attribute" of each command, by name, in the order of the help.
    """

    def __init__(self, *args: Any, commands_at: Mapping[str, str], **kwargs: Any) -> None:  # noqa: ANN401 - click's
        super().__init__(*args, **kwargs)
        self._commands_at = commands_at

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names, in the order of the mapping."""
        return list(self._commands_at)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Import the command of that name, if there is one."""
        if cmd_name not in self._commands_at:
            return None
        module, _, attribute = self._commands_at[cmd_name].partition(":")
        command = getattr(import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{module}:{attribute} is not a command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or refuse the name with those that are near; nothing is refused while a shell completes."""
        name = args[0]
        if name in self._commands_at or name.startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        near = nearest(name, self._commands_at)
        problem = f"there is no command of this name; {ctx.command_path} --help lists them"
        raise ConfigError(problem, given=name, instead=tuple(f"{ctx.command_path} {command}" for command in near))

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; an expected error becomes a message, any other keeps its traceback."""
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            click.echo(f"Error: {lines_shown(str(error))}", err=True)
            ctx.exit(EXIT_WRONG)
        except ControlRefused as error:
            click.echo(f"Error: {lines_shown(str(error))}", err=True)
            ctx.exit(EXIT_NO_ANSWER)
        except StoreUnavailable as error:
            click.echo(f"Error: {lines_shown(str(error))}", err=True)
            ctx.exit(EXIT_UNAVAILABLE)
