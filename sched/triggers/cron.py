"""Decide the instants of a cron expression in a zone, through every change of its clock.

Pure. wall.py matches wall-clock times, dst.py finds the zone's changes; this module
combines the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, get_args
from zoneinfo import ZoneInfo

from tickglass.sched.durations import MS, Duration
from tickglass.sched.errors import ConfigError
from tickglass.sched.triggers.base import Trigger
from tickglass.sched.triggers.dst import DAY_MS, FIRST_MS, LAST_MS, Dst, Stretch, stretch_at
from tickglass.sched.triggers.expression import Parsed, parse
from tickglass.sched.triggers.jitter import with_jitter
from tickglass.sched.triggers.source_span import one_slip
from tickglass.sched.triggers.zones import zone_named

if TYPE_CHECKING:
    from tickglass.sched.triggers.wall import Wall

__all__ = ["Cron", "cron"]

_CLOCKS_APART_MAX_MS: Final = 2 * DAY_MS  # no two clocks on earth differ by so much


class Cron(Trigger):
    """The instants at which a zone's wall clock matches.

    Args:
        text: the expression, for people.
        wall: the wall-clock times that match.
        zone: whose wall clock.
        dst: what becomes of times that the clock jumps over or shows twice.
    """

    __slots__ = ("_dst", "_fills_gaps", "_near", "_once", "_text", "_wall", "_zone")

    def __init__(self, text: str, wall: Wall, zone: ZoneInfo, dst: Dst) -> None:
        self._text = text
        self._wall = wall
        self._zone = zone
        self._dst = dst
        self._fills_gaps = dst != "skip" and not wall.every_hour
        self._once = dst != "both" and not wall.every_hour
        # The stretch of the latest answer: asked in sequence, the next one is
        # nearly always in it. Replaced whole, so any thread sees a true one.
        self._near: Stretch | None = None

    @property
    def zone(self) -> ZoneInfo:
        """The zone whose wall clock is meant."""
        return self._zone

    def next_after_ns(self, after_ns: int) -> int | None:
        """Return the first instant after `after_ns`; about 3 us in sequence. None after the year 9997."""
        found = self._first_from(max(after_ns // MS + 1, FIRST_MS))
        return None if found is None else found * MS

    def _first_from(self, instant: int) -> int | None:
        """Return the first instant >= `instant`, both in milliseconds."""
        while instant < LAST_MS:
            stretch = self._stretch(instant)
            start, end, offset, floor = stretch
            local = instant + offset
            if instant == start and floor < local and self._fills_gaps:
                jumped = self._wall.first_from(floor)
                if jumped is not None and jumped < local:
                    return start
            found = self._wall.first_from(max(local, floor) if self._once else local)
            if found is None:
                return None
            if found < end + offset:
                return found - offset
            # No wall-clock time in [local, found) matches. If `found` is far, the
            # stretches between are skipped, because their clocks show no match.
            far = found - _CLOCKS_APART_MAX_MS > end and end - instant >= _CLOCKS_APART_MAX_MS
            instant = found - _CLOCKS_APART_MAX_MS if far else end
        return None

    def _stretch(self, instant: int) -> Stretch:
        near = self._near
        if near is None or not near.start <= instant < near.end:
            self._near = near = stretch_at(self._zone, instant)
        return near

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cron) and self._meaning() == other._meaning()

    def __hash__(self) -> int:
        return hash(self._meaning())

    def _meaning(self) -> object:
        return self._wall.meaning, self._zone.key, self._dst

    def __str__(self) -> str:
        zone = "" if self._zone.key == "UTC" else f', tz="{self._zone.key}"'
        dst = "" if self._dst == "once" else f', dst="{self._dst}"'
        return f'cron("{self._text}"{zone}{dst})'


def cron(
    expression: str, tz: str | ZoneInfo | None = None, *, dst: Dst = "once", jitter: Duration | None = None
) -> Trigger:
    """Return a trigger that follows a wall clock.

    Args:
        expression: "30 2 * * *", with seconds in front "0 30 2 * * ?", with
            milliseconds before those "0/100ms * * * * * ?"; or "@daily" and its like.
        tz: a name of the tz database; by default the expression's own
            `TZ=Europe/Berlin` prefix, or else UTC.
        dst: what becomes of a time that the clock jumps over, and of a time that it
            shows twice. "once": the first instant after the gap, the first of
            two. "skip": nothing, the first of two. "both": the first instant
            after the gap, both. Expressions for every hour of the day follow real
            time in any case.
        jitter: each instant moves later by less than this, differently for each job.

    Raises:
        ConfigError: the expression is wrong, or would silently mean something else.
    """
    parsed = parse(expression)
    if dst not in get_args(Dst):
        near = [mode for mode in get_args(Dst) if one_slip(str(dst).lower(), mode)]
        raise ConfigError(
            "dst says what happens when the clock changes",
            given=f"dst={dst!r}",
            span=(4, 4 + len(repr(dst))),
            instead=tuple(f'dst="{mode}"' for mode in near),
            examples=() if near else tuple(f'dst="{mode}"' for mode in get_args(Dst)),
        )
    return with_jitter(Cron(parsed.text, parsed.wall, _zone(parsed, tz), dst), jitter)


def _zone(parsed: Parsed, tz: object) -> ZoneInfo:
    explicit = None if tz is None else zone_named(tz)
    prefix = parsed.zone
    if prefix is None:
        return explicit or ZoneInfo("UTC")
    zone = zone_named(prefix.text, given=prefix.given, span=(prefix.start, prefix.end))
    if explicit is not None and explicit.key != zone.key:
        raise prefix.wrong(
            f"the expression is in {zone.key} and tz= says {explicit.key}",
            f'cron("{parsed.text}", tz="{zone.key}")',
            f'cron("{parsed.text}", tz="{explicit.key}")',
        )
    return zone
