"""Show when a trigger is due: `tickglass next`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tickglass.cli.lazy_group import EXIT_NO_ANSWER
from tickglass.cli.numbers import IntRange
from tickglass.sched.clock import SystemClock
from tickglass.sched.errors import ConfigError, nearest
from tickglass.sched.triggers import cron, every
from tickglass.sched.triggers.base import from_ns, to_ns
from tickglass.sched.triggers.iso import read_iso
from tickglass.sched.triggers.zones import zone_named

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime, tzinfo

    from tickglass.sched.triggers import Trigger
    from tickglass.sched.triggers.dst import Dst

__all__ = ["next_instants"]


@click.command("next", short_help="Show when a trigger is due next.")
@click.argument("words", metavar="EXPR", nargs=-1, required=True)
@click.option("--tz", metavar="ZONE", help="Time zone, e.g. Europe/Berlin. Default: the expression's own, or UTC.")
@click.option(
    "--dst",
    type=click.Choice(["once", "skip", "both"]),
    default="once",
    show_default=True,
    help="For a time that the clock jumps over, or shows twice.",
)
@click.option("--after", metavar="ISO", help="Only instants after this one; without an offset, in ZONE. Default: now.")
@click.option("--count", metavar="N", type=IntRange(min=1), default=5, show_default=True, help="How many.")
def next_instants(words: tuple[str, ...], tz: str | None, dst: Dst, after: str | None, count: int) -> None:
    """Print when EXPR is due next: one ISO 8601 instant per line.

    EXPR is a cron expression, in quotes, of five fields, six with seconds or
    seven with milliseconds; or "every" and a duration.

    \b
    tickglass next "30 2 * * MON-FRI" --tz Europe/Berlin
    tickglass next "0/100ms * * * * * ?" --count 3
    tickglass next every 1h30m --after 2026-03-29T00:00+01:00
    """  # noqa: D301 - \b is for click: the lines after it stay as they are
    trigger = _trigger(words, tz, dst)
    zone = trigger.zone if tz is None else zone_named(tz)
    start_ns = SystemClock().wall_ns() if after is None else _instant_ns(after, zone)
    found = False
    for instant in _following(trigger, start_ns, zone, count):
        found = True
        click.echo(instant.isoformat(timespec="microseconds" if instant.microsecond % 1000 else "milliseconds"))
    if not found:
        start = from_ns(start_ns, zone)
        click.echo(f"{trigger} is never due after {after if start is None else start.isoformat()}", err=True)
        click.get_current_context().exit(EXIT_NO_ANSWER)


def _trigger(words: tuple[str, ...], tz: str | None, dst: Dst) -> Trigger:
    first, *rest = " ".join(words).split() or [""]
    if first == "every":
        return every(" ".join(rest))
    if rest and nearest(first, ["every"]):
        right = f"tickglass next every {' '.join(rest)}"
        raise ConfigError('a period follows the word "every"', given=" ".join(words), instead=(right,))
    if len(words) > 1:
        whole = " ".join(words)
        raise ConfigError(
            "a cron expression needs quotes, or the shell puts file names in place of its asterisks",
            given=whole,
            instead=(f'tickglass next "{whole}"',) if _works(whole, tz, dst) else (),
            examples=() if _works(whole, tz, dst) else ('tickglass next "0 2 * * *"',),
        )
    return cron(words[0], tz=tz, dst=dst)


def _works(expression: str, tz: str | None, dst: Dst) -> bool:
    try:
        cron(expression, tz=tz, dst=dst)
    except ConfigError:
        return False
    return True


def _instant_ns(text: str, zone: tzinfo) -> int:
    try:
        instant, finer_ns = read_iso(text)
    except ValueError as error:
        raise ConfigError(
            "--after is not an ISO 8601 instant", given=text, examples=("2026-03-29T02:30", "2026-03-29T02:30+01:00")
        ) from error
    return to_ns(instant if instant.tzinfo else instant.replace(tzinfo=zone), what="--after") + finer_ns


def _following(trigger: Trigger, after_ns: int, zone: tzinfo, count: int) -> Iterator[datetime]:
    instant_ns = trigger.next_after_ns(after_ns)
    while instant_ns is not None and count > 0:
        instant = from_ns(instant_ns, zone)
        if instant is None:  # past the last day of the year 9999
            return
        yield instant
        count -= 1
        instant_ns = trigger.next_after_ns(instant_ns)
