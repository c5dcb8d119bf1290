from __future__ import annotations

import random
import struct
import zoneinfo
from datetime import UTC, datetime, timedelta
from importlib import resources
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

import pytest

from tickglass.sched.triggers import cron
from tickglass.sched.triggers.dst import Dst, stretch_at

HOUR = 3600
ZONES = sorted(available_timezones() - {"localtime", "posixrules", "Factory"})


def tzif(zone: str) -> bytes:
    for folder in zoneinfo.TZPATH:
        path = Path(folder, zone)
        if path.is_file():
            return path.read_bytes()
    return resources.files("tzdata").joinpath("zoneinfo", zone).read_bytes()


def changes_on_file(zone: str) -> list[tuple[int, int, int]]:
    """Return each change as the database's file (RFC 8536) has it: the second, the offset before, the offset after."""
    data = tzif(zone)

    def counts(at: int) -> tuple[int, ...]:
        return struct.unpack(">6l", data[at + 20 : at + 44])

    isut, isstd, leap, times, types, letters = counts(0)
    second = 44 + times * 5 + types * 6 + letters + leap * 8 + isstd + isut  # where 64-bit data begin
    _, _, _, times, types, _ = counts(second)
    at = second + 44
    seconds = struct.unpack(f">{times}q", data[at : at + 8 * times])
    kinds = data[at + 8 * times : at + 9 * times]
    at += 9 * times
    offsets = [struct.unpack(">l", data[at + 6 * kind : at + 6 * kind + 4])[0] for kind in range(types)]
    line = [(when, offsets[kind]) for when, kind in zip(seconds, kinds, strict=True)]
    return [(when, before, after) for (_, before), (when, after) in pairwise(line) if before != after]


def test_changes_of_any_zone_lie_so_far_apart_that_none_is_missed() -> None:
    closest = min(later[0] - sooner[0] for zone in ZONES for sooner, later in pairwise(changes_on_file(zone)))
    assert closest > 3 * 24 * HOUR  # we look every two days


def test_stretches_begin_where_the_database_says() -> None:
    rng, seen = random.Random(3), 0
    for zone in ZONES:
        on_file = [change for change in changes_on_file(zone) if -2_000_000_000 < change[0] < 2_100_000_000]
        for second, before, after in rng.sample(on_file, min(4, len(on_file))):
            stretch = stretch_at(ZoneInfo(zone), second * 1000)
            previous = stretch_at(ZoneInfo(zone), second * 1000 - 1)
            assert (stretch.start, stretch.offset, previous.offset) == (second * 1000, after * 1000, before * 1000), (
                zone
            )
            assert previous.end == stretch.start
            assert stretch.floor == (second + before) * 1000
            seen += 1
    assert seen > 1000


def next_two(expression: str, zone: str, dst: Dst, after: str) -> list[str]:
    at, found = datetime.fromisoformat(after), []
    for _ in range(2):
        following = cron(expression, zone, dst=dst).next_after(at)
        assert following is not None
        found.append(following.isoformat())
        at = following
    return found


@pytest.mark.parametrize(
    ("expression", "zone", "dst", "after", "expected"),
    [
        # Berlin, 29 March 2026: 02:00 becomes 03:00.
        (
            "30 2 * * *",
            "Europe/Berlin",
            "once",
            "2026-03-28T12:00+00:00",
            ["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"],
        ),
        (
            "30 2 * * *",
            "Europe/Berlin",
            "both",
            "2026-03-28T12:00+00:00",
            ["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"],
        ),
        (
            "30 2 * * *",
            "Europe/Berlin",
            "skip",
            "2026-03-28T12:00+00:00",
            ["2026-03-30T02:30:00+02:00", "2026-03-31T02:30:00+02:00"],
        ),
        # Four instants in the gap and one behind it are one.
        (
            "*/15 2,3 * * *",
            "Europe/Berlin",
            "once",
            "2026-03-28T12:00+00:00",
            ["2026-03-29T03:00:00+02:00", "2026-03-29T03:15:00+02:00"],
        ),
        # 25 October 2026: 02:00 to 03:00 comes twice.
        (
            "30 2 * * *",
            "Europe/Berlin",
            "once",
            "2026-10-24T12:00+00:00",
            ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"],
        ),
        (
            "30 2 * * *",
            "Europe/Berlin",
            "skip",
            "2026-10-24T12:00+00:00",
            ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"],
        ),
        (
            "30 2 * * *",
            "Europe/Berlin",
            "both",
            "2026-10-24T12:00+00:00",
            ["2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00"],
        ),
        # Between the two passes.
        (
            "30 2 * * *",
            "Europe/Berlin",
            "once",
            "2026-10-25T00:45+00:00",
            ["2026-10-26T02:30:00+01:00", "2026-10-27T02:30:00+01:00"],
        ),
        # Every hour of the day: real time, whatever the clock shows.
        (
            "30 * * * *",
            "Europe/Berlin",
            "once",
            "2026-10-25T00:00+00:00",
            ["2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00"],
        ),
        (
            "30 0-23 * * *",
            "Europe/Berlin",
            "skip",
            "2026-10-25T00:00+00:00",
            ["2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00"],
        ),
        (
            "30 */1 * * *",
            "Europe/Berlin",
            "once",
            "2026-03-29T00:00+00:00",
            ["2026-03-29T01:30:00+01:00", "2026-03-29T03:30:00+02:00"],
        ),
        # Half an hour, in both directions.
        (
            "15 2 * * *",
            "Australia/Lord_Howe",
            "once",
            "2026-10-03T00:00+00:00",
            ["2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00"],
        ),
        (
            "45 1 * * *",
            "Australia/Lord_Howe",
            "both",
            "2026-04-04T12:00+00:00",
            ["2026-04-05T01:45:00+11:00", "2026-04-05T01:45:00+10:30"],
        ),
        # A day that never was.
        (
            "0 12 * * *",
            "Pacific/Apia",
            "once",
            "2011-12-29T23:00+00:00",
            ["2011-12-31T00:00:00+14:00", "2011-12-31T12:00:00+14:00"],
        ),
        (
            "0 12 * * *",
            "Pacific/Apia",
            "skip",
            "2011-12-29T23:00+00:00",
            ["2011-12-31T12:00:00+14:00", "2012-01-01T12:00:00+14:00"],
        ),
        # The day begins at 01:00.
        (
            "@daily",
            "Africa/Cairo",
            "once",
            "2026-04-23T12:00+00:00",
            ["2026-04-24T01:00:00+03:00", "2026-04-25T00:00:00+03:00"],
        ),
        # An offset of -00:44:30 ends; the clock jumps over that much.
        (
            "30 0 * * *",
            "Africa/Monrovia",
            "once",
            "1972-01-06T12:00+00:00",
            ["1972-01-07T00:44:30+00:00", "1972-01-08T00:30:00+00:00"],
        ),
    ],
)
def test_what_becomes_of_a_wall_clock_time_when_the_clock_changes(
    expression: str, zone: str, dst: Dst, after: str, expected: list[str]
) -> None:
    assert next_two(expression, zone, dst, after) == expected


def zone_that_goes_back(at: datetime, hours: int) -> ZoneInfo:
    """Return an invented zone whose clock goes back once."""
    header = b"TZif" + bytes(16) + struct.pack(">6l", 0, 0, 0, 1, 2, 4)
    kinds = struct.pack(">lBB", hours * HOUR, 0, 0) + struct.pack(">lBB", 0, 0, 0)
    # The first kind holds before the first change.
    return ZoneInfo.from_file(
        BytesIO(header + struct.pack(">l", int(at.timestamp())) + b"\1" + kinds + b"INV\0"), "Test/Back"
    )


@pytest.mark.parametrize("hours", [1, 3, 12])
@pytest.mark.parametrize("minutes_before", range(0, 12 * 60, 59))
def test_an_hour_shown_twice_across_the_turn_of_the_year_is_due_once(hours: int, minutes_before: int) -> None:
    at = datetime(2021, 1, 1, tzinfo=UTC) - timedelta(minutes=minutes_before)
    zone = zone_that_goes_back(at, hours)
    shown: list[datetime] = []
    trigger, instant = cron("20 0,1,3-23 * * *", zone), at - timedelta(days=2)
    while instant < at + timedelta(days=2):
        following = trigger.next_after(instant)
        assert following is not None
        shown.append(following.replace(tzinfo=None))
        instant = following
    assert shown == sorted(set(shown))
