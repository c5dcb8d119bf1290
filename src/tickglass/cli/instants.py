"""Read instants and durations on the command line.

Pure, except for the machine's time zone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tickglass.sched.clock import instant_of
from tickglass.sched.durations import SECOND, duration_ns
from tickglass.sched.errors import ConfigError
from tickglass.sched.triggers.iso import read_iso

if TYPE_CHECKING:
    from datetime import datetime

    import click

__all__ = ["iso_text", "read_duration", "read_instant", "second_text"]

_RIGHT: Final = ("2026-01-31T02:30", "2026-01-31T02:30:00+01:00")


def read_instant(_context: click.Context, parameter: click.Parameter, text: str | None) -> datetime | None:
    """Read an option that names an instant as ISO 8601; without an offset it is in this machine's time zone.

    Raises:
        ConfigError: it is not one, or finer than a microsecond.
    """
    if text is None:
        return None
    try:
        instant, finer_ns = read_iso(text)
        aware = instant if instant.tzinfo else instant.astimezone()
    except (ValueError, OverflowError) as error:
        raise ConfigError(f"{parameter.opts[0]} is not an ISO 8601 instant", given=text, examples=_RIGHT) from error
    if finer_ns:
        raise ConfigError(f"{parameter.opts[0]} is finer than a microsecond", given=text, examples=_RIGHT)
    return aware


def read_duration(_context: click.Context, parameter: click.Parameter, text: str | None) -> str | None:
    """Check an option that names a duration, such as 2h or 1h30m.

    Raises:
        ConfigError: it is not one.
    """
    if text is not None:
        duration_ns(text, what=parameter.opts[0])
    return text


def iso_text(wall_ns: int) -> str:
    """Return an instant as it can be typed: in this machine's time zone with its offset, no finer than it is."""
    instant = instant_of(wall_ns).astimezone()
    return instant.isoformat(timespec="auto" if instant.second or instant.microsecond else "minutes")


def second_text(wall_ns: int) -> str:
    """Return an instant as `iso_text` does, to the second."""
    return iso_text(wall_ns // SECOND * SECOND)
