"""An instant is printed as it can be typed again, and read with the machine's own zone where it names none."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import click
import pytest

from tickglass.cli.instants import iso_text, read_duration, read_instant, second_text
from tickglass.sched.clock import ns_of
from tickglass.sched.durations import MS, SECOND
from tickglass.sched.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

OPTION = click.Option(["--at"])
CONTEXT = click.Context(click.Command("skip"))
NOON_NS = 1_780_315_200 * SECOND  # 2026-06-01T12:00:00Z


@pytest.fixture(autouse=True)
def in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    import time  # noqa: PLC0415 - the zone of this process is set, no time is read

    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("wall_ns", "text", "to_the_second"),
    [
        (NOON_NS, "2026-06-01T14:00+02:00", "2026-06-01T14:00+02:00"),
        (NOON_NS + 5 * SECOND, "2026-06-01T14:00:05+02:00", "2026-06-01T14:00:05+02:00"),
        (NOON_NS + 100 * MS, "2026-06-01T14:00:00.100000+02:00", "2026-06-01T14:00+02:00"),
    ],
)
def test_what_is_printed_is_read_as_the_same_instant(wall_ns: int, text: str, to_the_second: str) -> None:
    assert iso_text(wall_ns) == text
    assert second_text(wall_ns) == to_the_second
    read = read_instant(CONTEXT, OPTION, text)
    assert read is not None
    assert ns_of(read) == wall_ns


def test_without_an_offset_it_is_in_the_zone_of_this_machine() -> None:
    assert read_instant(CONTEXT, OPTION, "2026-06-01T14:00") == datetime.fromisoformat("2026-06-01T12:00Z")
    assert read_instant(CONTEXT, OPTION, None) is None


@pytest.mark.parametrize("text", ["", "soon", "2026-13-01", "0001-01-01T00:00", "2026-06-01T14:00:00.0000001"])
def test_what_is_no_instant_is_refused_by_the_name_of_the_option(text: str) -> None:
    with pytest.raises(ConfigError, match="--at is"):
        read_instant(CONTEXT, OPTION, text)


def test_a_duration_needs_its_unit() -> None:
    assert read_duration(CONTEXT, OPTION, "1h30m") == "1h30m"
    assert read_duration(CONTEXT, OPTION, None) is None
    with pytest.raises(ConfigError, match="--at is not a duration"):
        read_duration(CONTEXT, OPTION, "90")
