"""Check the sinks that a user passes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tickglass.sched.errors import ConfigError
from tickglass.sched.job import checked_name

if TYPE_CHECKING:
    from collections.abc import Collection

    from tickglass.sched.ports import EventSink

__all__ = ["checked_sinks"]


def checked_sinks(sinks: Mapping[str, EventSink] | None, *, ours: Collection[str] = ()) -> dict[str, EventSink]:
    """Return the sinks by name; None means none.

    Args:
        ours: names that cannot be used.

    Raises:
        ConfigError: they are not a mapping of names to sinks, or a name cannot be used.
    """
    if sinks is None:
        return {}
    if not isinstance(sinks, Mapping):
        problem = f"sinks are names and their EventSinks, not {type(sinks).__name__}"
        raise ConfigError(problem, given=repr(sinks), instead=('sinks={"mine": sink}',))
    for name, sink in sinks.items():
        if checked_name(name, "sink name") in ours:
            raise ConfigError(f"the sinks {', '.join(ours)} are there already", given=name)
        if not callable(getattr(sink, "record", None)):
            raise ConfigError(f"the sink {name} has no method record(event)", given=repr(sink))
    return dict(sinks)
