"""Declare the options that the exports of rules and of boards share: which labels, and what is on time."""

from __future__ import annotations

from typing import Final

import click

from tickglass.cli.numbers import FloatRange
from tickglass.telemetry import thresholds
from tickglass.telemetry.queries.selector import KEPT

__all__ = ["keep_option", "on_time_option", "selector_option"]

selector_option: Final = click.option(
    "--selector", metavar="MATCHERS", default="", help="Read only series with these labels."
)
keep_option: Final = click.option(
    "--keep",
    metavar="LABELS",
    default=",".join(KEPT),
    show_default=True,
    help="Labels of targets that tell apart jobs and locks of one name.",
)
on_time_option: Final = click.option(
    "--on-time",
    metavar="SECONDS",
    type=FloatRange(min=0),
    default=thresholds.ON_TIME_S,
    show_default=True,
    help="How late a start may be to count as on time.",
)
