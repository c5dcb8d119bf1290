"""Read numbers on the command line: only the digits 0 to 9, not all that Python accepts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click import Context, Parameter

__all__ = ["FloatRange", "IntRange"]


class IntRange(click.IntRange):
    """An integer, without an underscore and without digits of other scripts."""

    def convert(self, value: Any, param: Parameter | None, ctx: Context | None) -> Any:  # noqa: ANN401 - click's
        """Return the number."""
        return super().convert(_plain(self, value, param, ctx), param, ctx)


class FloatRange(click.FloatRange):
    """A number, without an underscore and without digits of other scripts."""

    def convert(self, value: Any, param: Parameter | None, ctx: Context | None) -> Any:  # noqa: ANN401 - click's
        """Return the number."""
        return super().convert(_plain(self, value, param, ctx), param, ctx)


def _plain(kind: click.ParamType[Any], value: Any, param: Parameter | None, ctx: Context | None) -> Any:  # noqa: ANN401
    if isinstance(value, str) and (not value.isascii() or "_" in value):
        kind.fail(f"{value!r} is not a number in the digits 0 to 9.", param, ctx)
    return value
