"""Decide which zone a name means.

Pure, except that zoneinfo reads the tz database the first time a zone is named.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from tickglass.sched.errors import ConfigError

__all__ = ["zone_named"]

# Letters that stand for several clocks, and the zones people mean by them.
_SHARED: Final[dict[str, tuple[str, ...]]] = {
    "ADT": ("America/Halifax",),
    "AEST": ("Australia/Sydney",),
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
# In the folder of the tz database, but each machine's own, or off by the leap seconds.
_NOT_ZONES: Final = ("localtime", "posixrules", "Factory")


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
            instead=('tz="UTC"', 'tz="Europe/Berlin"'),
        )
    if name not in _NOT_ZONES and not name.startswith(("right/", "posix/")):
        try:
            return ZoneInfo(name)
        except (KeyError, ValueError, OSError):  # not found, not a name, a folder
            pass
    if given is None:
        given, span = name or '""', (0, max(1, len(name)))
    raise ConfigError(_problem(name), given=given, span=span, instead=_near(name))


def _problem(name: str) -> str:
    if name.upper() in _SHARED:
        return f"{name} is an abbreviation, not a zone: it names an offset, and more than one place has used it"
    if name in _NOT_ZONES:
        return f"the zone {name} is different on every machine"
    if name.startswith("right/"):
        return f"the zone {name} counts leap seconds, which no other clock here does"
    return f"the tz database has no zone {name}" if name else "the zone's name is empty"


def _near(name: str) -> tuple[str, ...]:
    if name.upper() in _SHARED:
        return _SHARED[name.upper()]
    known = {each.lower(): each for each in sorted(available_timezones().difference(_NOT_ZONES))}
    known |= {each.rsplit("/", 1)[-1].lower(): each for each in sorted(known.values())}
    asked = name.removeprefix("right/").removeprefix("posix/").replace(" ", "_").lower()
    found = [known[each] for each in get_close_matches(asked, known, n=3, cutoff=0.75)]
    return tuple(dict.fromkeys(found)) or ("UTC", "Europe/Berlin")
