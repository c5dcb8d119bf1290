"""Name the environment variable in the error, if it holds the wrong value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from click.core import ParameterSource

from tickglass.sched.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    import click

__all__ = ["variable_checker"]


def variable_checker(check: Callable[[Any], object]) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """Return a callback for a parameter that checks a value from its variable; the error names the variable.

    A value from the command line is checked by the command, whose errors show it as typed.
    """

    def callback(context: click.Context, parameter: click.Parameter, value: Any) -> Any:  # noqa: ANN401 - click's
        given_by = context.get_parameter_source(parameter.name or "")
        if given_by is ParameterSource.ENVIRONMENT and isinstance(parameter.envvar, str):
            try:
                check(value)
            except ConfigError as error:
                raise error.for_variable(parameter.envvar) from error
        return value

    return callback
