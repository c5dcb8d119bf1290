"""Decide which zone a name means.

Pure, except that zoneinfo reads the tz database the first time a zone is named.
"""

from __future__ import annotations

import re
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from tickglass.sched.errors import ConfigError
from tickglass.sched.triggers.source_span import one_slip

__all__ = ["zone_named"]

# Letters that stand for several clocks, and the zones people mean by them.
_SHARED: Final[dict[str, tuple[str, ...]]] = {
    "ADT": ("America/Halifax",),
    "AEST": ("Australia/Sydney", "Australia/Brisbane"),
    "AST": ("America/Halifax", "Asia/Riyadh"),
    "BST": ("Europe/London", "Asia/Dhaka"),
    "CDT": ("America/Chicago", "America/Havana"),
    "CEST": ("Europe/Berlin",),
    "CST": ("America/Chicago", "Asia/Shanghai"),
    "EDT": ("America/New_York",),
    "IST": ("Asia/Kolkata", "Europe/Dublin", "Asia/Jerusalem"),
    "JST": ("Asia/Tokyo",),
    "MDT": ("America/Denver",),
    "MSK": ("Europe/Moscow",),
    "PDT": ("America/Los_Angeles",),
    "PST": ("America/Los_Angeles", "Asia/Manila"),
    "SGT": ("Asia/Singapore",),
}
# In the folder of the tz database, but different on each machine, or wrong by the leap seconds.
_NOT_ZONES: Final = ("localtime", "posixrules", "Factory")
_EXAMPLES: Final = ("UTC", "Europe/Berlin")
_OFFSET: Final = re.compile(r"(UTC|GMT)?([+-])(\d{1,2})(?::?(\d\d))?", re.ASCII | re.IGNORECASE)
_CITY: Final = re.compile(
    r"(?:Africa|America|Asia|Atlantic|Europe|Indian|Pacific|Australia(?!/(?:ACT|LHI|NSW|North|Queensland|South|Victoria|West)$))"
    r"/[^/]+"
)
_LETTERS_MIN: Final = 5


def zone_named(name: object, *, given: str | None = None, span: tuple[int, int] | None = None) -> ZoneInfo:
    """Return the zone of that name.

    Args:
        name: a name of the tz database, or a ZoneInfo that was made from one.
        given: the text that the name stands in, for the error.
        span: where in that text.

    Raises:
        ConfigError: no such zone.
    """
    if isinstance(name, ZoneInfo) and name.key is not None:
        return name
    if not isinstance(name, str):
        raise ConfigError(
            f"a zone is given by its name, not by a {type(name).__name__}",
            given=repr(name),
            examples=('tz="UTC"', 'tz="Europe/Berlin"'),
        )
    if name not in _NOT_ZONES and not name.startswith(("right/", "posix/")):
        try:
            return ZoneInfo(name)
        except (KeyError, ValueError, OSError):  # not found, not a name, a folder
            pass
    if given is None:
        given, span = name or '""', (0, max(1, len(name)))
    meant = _meant(name)
    raise ConfigError(_problem(name), given=given, span=span, instead=meant, examples=() if meant else _EXAMPLES)


def _problem(name: str) -> str:
    if name.upper() in _SHARED:
        return f"{name} is an abbreviation, not a zone: it names an offset, and more than one place has used it"
    if name in _NOT_ZONES:
        return f"the zone {name} is different on every machine"
    if name.startswith("right/"):
        return f"the zone {name} counts leap seconds, which no other clock here does"
    if match := _OFFSET.fullmatch(name):
        if not match[1]:
            return f"{name} is an offset, not a zone"
        hours = int(match[3])
        return (
            f"{name} is an offset, not a zone, and its sign is read both ways: "
            f"Etc/GMT-{hours} is ahead of UTC, Etc/GMT+{hours} behind"
        )
    return f"the tz database has no zone {name}" if name else "the zone's name is empty"


def _meant(name: str) -> tuple[str, ...]:
    """Return the zones that a name means; none where it could mean another clock as well."""
    if name.upper() in _SHARED:
        return _SHARED[name.upper()]
    if match := _OFFSET.fullmatch(name):
        return _of_offset(*match.groups())
    zones = {zone.lower(): zone for zone in available_timezones().difference(_NOT_ZONES)}
    # The last part of a name is a place of that name only in the areas of the world, not in "US/Central".
    cities = {zone.partition("/")[2].lower(): zone for zone in zones.values() if _CITY.fullmatch(zone)}
    asked = name.removeprefix("right/").removeprefix("posix/").replace(" ", "_").lower()
    for known in (zones, cities):
        if found := known.get(asked) or known.get(re.sub("^usa?/", "america/", asked)):
            return (found,)
    if any(written.endswith(f"/{asked}") for written in zones):
        return ()  # "Eastern" is a word of its own, and no slip of "Easter"
    near = {zone for written, zone in (zones if "/" in asked else cities).items() if _slipped(asked, written)}
    return tuple(near) if len(near) == 1 else ()


def _of_offset(prefix: str | None, sign: str, hours: str, minutes: str | None) -> tuple[str, ...]:
    if int(minutes or 0) != 0:
        return ()
    if int(hours) == 0:
        return ("UTC",)
    zone = f"Etc/GMT{'-' if sign == '+' else '+'}{int(hours)}"  # the sign of POSIX
    return (zone,) if not prefix and zone in available_timezones() else ()


def _slipped(asked: str, written: str) -> bool:
    """Whether a letter is missing, too many or in the wrong place; a different letter may be a different town."""
    return (
        len(asked) >= _LETTERS_MIN
        and (len(asked) != len(written) or sorted(asked) == sorted(written))
        and one_slip(asked, written)
    )
