"""Print a report for people at a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.console import Console, Group
from rich.table import Table

from measuring.report import ROUNDS_TO_JUDGE, Report, figure_rows, other_rows, target_rows, verdicts

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["print_report"]

FIRED: Final = ("cell", "CPU us/run", "switches/run", "runs/s", "p50 us", "p90 us", "p99 us")
JUDGED: Final = ("", "target", "measured", "rounds", "must", "stretch", "verdict")
COLOURS: Final = {"PASS": "green", "FAIL": "red", "not measured": "yellow"}


def _table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]], right: int) -> Table:
    table = Table(title=title, title_justify="left")
    for column, head in enumerate(heads):
        table.add_column(head, justify="right" if column >= right else "left", overflow="fold")
    for row in rows:
        colour = next((COLOURS[word] for word in COLOURS if row[-1].startswith((word, f"({word}"))), "")
        table.add_row(*row, style=colour)
    return table


def print_report(report: Report, console: Console) -> None:
    """Print figures first and verdicts last, where the eye is when it ends."""
    rounds, unrest = len(report.rounds), report.unrest
    few = "" if rounds >= ROUNDS_TO_JUDGE else f" ({ROUNDS_TO_JUDGE} rounds are needed to judge)"
    console.print(
        Group(
            _table("Starts (medians)", FIRED, figure_rows(report.rounds, report.groups), right=1),
            _table("Others (medians)", ("cell", "figures"), other_rows(report.rounds, report.groups), right=2),
            _table("Targets", JUDGED, target_rows(report.findings, len(report.rounds)), right=2),
            f"{verdicts(report.findings)}; {rounds} rounds{few}, steal {unrest.steal:.1%}, "
            f"load {unrest.load:.2f} before, processors busy {unrest.busy:.0%}",
        )
    )
