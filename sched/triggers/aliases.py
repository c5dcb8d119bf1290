"""Decide what a word means that stands for a whole expression: our aliases, and those of other schedulers.

Pure. Only ours are accepted; for the others the error says how it is written here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from tickglass.sched.durations import duration_text, plainly_meant_ns
from tickglass.sched.triggers.shape import is_command
from tickglass.sched.triggers.source_span import one_slip

if TYPE_CHECKING:
    from tickglass.sched.errors import ConfigError
    from tickglass.sched.triggers.source_span import SourceSpan

__all__ = ["alias_fields", "borrowed"]

_ALIASES: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
# From FreeBSD, systemd and Airflow, and what people try. No word that means different things in different tools.
_ELSEWHERE: Final = {
    "@secondly": "* * * * * *",
    "@everysecond": "* * * * * *",
    "@minutely": "* * * * *",
    "@everyminute": "* * * * *",
    "@everyhour": "@hourly",
    "@everyday": "@daily",
    "@noon": "0 12 * * *",
    "@midday": "0 12 * * *",
    "@weekday": "0 0 * * MON-FRI",
    "@weekdays": "0 0 * * MON-FRI",
    "@weekend": "0 0 * * SAT,SUN",
    "@weekends": "0 0 * * SAT,SUN",
    "@quarterly": "0 0 1 1,4,7,10 *",
    "@semiannually": "0 0 1 1,7 *",
}
_SHOWN: Final = ("@daily", "@hourly")
_EVERY: Final = re.compile(r"(@?every)(?![a-z_-])(.*)", re.ASCII | re.IGNORECASE)
_RATE: Final = re.compile(r"rate\((.*)\)", re.ASCII | re.IGNORECASE)


def alias_fields(name: SourceSpan, rest: list[SourceSpan]) -> str:
    """Return the five fields that an alias stands for.

    Raises:
        ConfigError: there is no such alias, or something follows it.
    """
    if name.lower == "@reboot":
        raise name.wrong("@reboot names no instant: it means when the machine starts")
    fields = _ALIASES.get(name.lower)
    if fields is None:
        raise _no_alias(name)
    if rest:
        tail = rest[0].until(rest[-1])
        offers = [tail.replaced("")] if is_command(rest) else []
        raise tail.wrong(f"{name.text} stands for all fields; nothing may follow it", *offers)
    return fields


def _no_alias(name: SourceSpan) -> ConfigError:
    problem = f"there is no alias {name.text}"
    meant = _ELSEWHERE.get(re.sub("[_-]", "", name.lower))
    near = [meant] if meant else [alias for alias in _ALIASES if one_slip(name.lower, alias)]
    return name.wrong(problem, *(name.replaced(each) for each in near), examples=() if near else _SHOWN)


def borrowed(whole: SourceSpan) -> ConfigError | None:
    """Return the error for the syntax of another scheduler; None if it is not such syntax."""
    if match := _EVERY.fullmatch(whole.text):
        rate, problem = _rate(match[2]), f"{match[1]} is not a cron expression but a fixed rate"
        return whole.wrong(problem, *rate, examples=() if rate else ('every("5m")',))
    if match := _RATE.fullmatch(whole.text):
        return whole.wrong("this is a fixed rate of Amazon EventBridge, and no cron expression", *_rate(match[1]))
    if rate := _rate(whole.text):
        return whole.wrong("a duration is no cron expression; it makes a fixed rate", *rate)
    if f"@{whole.lower}" in _ALIASES and whole.lower != "weekly":  # systemd's week begins on Monday
        return whole.wrong(f"an alias begins with @, and {whole.text} does not", whole.replaced(f"@{whole.lower}"))
    return None


def _rate(text: str) -> list[str]:
    meant_ns = plainly_meant_ns(text)
    return [] if meant_ns is None else [f'every("{duration_text(meant_ns)}")']
