"""Decide how instants, durations, records and foreign text are shown to people and to programs.

Pure, except for the machine's time zone.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from tickglass.sched.clock import instant_of
from tickglass.sched.durations import span_text
from tickglass.sched.escaping import lines_shown, shown

if TYPE_CHECKING:
    from tickglass.sched.ports import InstanceRecord, JobRecord, LeaseRecord, RunRecord

__all__ = ["distance_text", "instant_text", "lines_shown", "one_line", "record_json", "shown", "span_text"]

ONE_LINE_MAX: Final = 120
_DUE_FIELDS: Final = ("due_ns", "next_due_ns", "last_due_ns")


def distance_text(at_ns: int, now_ns: int) -> str:
    """Return the distance of an instant: "in 3.20 s", "4m05s ago"."""
    return f"in {span_text(at_ns - now_ns)}" if at_ns >= now_ns else f"{span_text(now_ns - at_ns)} ago"


def instant_text(wall_ns: int) -> str:
    """Return an instant in this machine's time zone, to the millisecond."""
    return instant_of(wall_ns).astimezone().replace(tzinfo=None).isoformat(sep=" ", timespec="milliseconds")


def one_line(text: str) -> str:
    """Return the first line of a text, escaped for a terminal and cut to a maximum length."""
    first = shown(text.strip().partition("\n")[0])
    return first if len(first) <= ONE_LINE_MAX else f"{first[: ONE_LINE_MAX - 1]}…"


def record_json(record: InstanceRecord | JobRecord | LeaseRecord | RunRecord) -> dict[str, Any]:
    """Return a record's fields under their Python names, each instant also as ISO 8601.

    `due_ns` gets a `due_at` beside it, `ended_wall_ns` an `ended_at`: in UTC, to the microsecond.
    """
    shown: dict[str, Any] = {}
    for name, value in asdict(record).items():
        shown[name] = value
        if name in _DUE_FIELDS or name.endswith("_wall_ns"):
            at = name.removesuffix("_ns").removesuffix("_wall") + "_at"
            shown[at] = None if value is None else instant_of(value).isoformat(timespec="microseconds")
    return shown
