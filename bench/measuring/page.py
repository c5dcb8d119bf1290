"""Write docs/benchmarks.md from a report: the prose is in the template beside this module, the figures are put in."""

from __future__ import annotations

from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Final

from measuring.report import COST, LATENESS, ROUNDS_TO_JUDGE, Report, figure_rows, other_rows, target_rows, verdicts

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["page"]

TEMPLATE: Final = Path(__file__).with_name("benchmarks.md")
FIRED: Final = ("Cell", "CPU us per run", "switches per run", "runs/s", "p50 us", "p90 us", "p99 us")
JUDGED: Final = ("", "Target", "Measured", "Rounds", "Must", "Stretch", "Verdict")


def page(report: Report) -> str:
    """Return the page; its pictures are in the folder `images` beside it."""
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        ran=table(("", ""), ran_rows(report), right=2),
        verdicts=verdicts(report.findings),
        judged=_judged(len(report.rounds)),
        targets=table(JUDGED, target_rows(report.findings, len(report.rounds)), right=2),
        missing=_missing(report),
        lateness=LATENESS,
        cost=COST,
        figures=table(FIRED, figure_rows(report.rounds, report.groups), right=1),
        others=table(("Cell", "Figures"), other_rows(report.rounds, report.groups), right=2),
    )


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], right: int) -> str:
    """Return a table in Markdown; columns from `right` on are numbers."""
    rule = ["---:" if column >= right else "---" for column in range(len(heads))]
    return "\n".join(f"| {' | '.join(line)} |" for line in (heads, rule, *rows))


def ran_rows(report: Report) -> list[tuple[str, str]]:
    """Return what was measured, where and when."""
    machine, unrest = report.machine, report.unrest
    return [
        ("date", report.date),
        ("commit", report.commit),
        ("before", report.before),
        ("machine", f"{machine.processor}, {machine.cores} cores, {machine.kernel}"),
        ("software", ", ".join((machine.python, f"redis-server {machine.redis_server}", *machine.packages))),
        ("rounds", f"{len(report.rounds)}, windows of {report.window_s:g} s"),
        ("steal time", f"{unrest.steal:.1%} of all processor time went to other machines"),
        ("load", f"{unrest.load:.2f} before the run; during it the processors were busy for {unrest.busy:.0%}"),
    ]


def _judged(rounds: int) -> str:
    if rounds >= ROUNDS_TO_JUDGE:
        return ""
    return f"\n**A verdict needs {ROUNDS_TO_JUDGE} rounds. This run had {rounds}: it judges nothing.**\n"


def _missing(report: Report) -> str:
    reasons = sorted({f"- {finding.target.id}: {finding.reason}" for finding in report.findings if finding.reason})
    return "\n".join(["", "Not measured:", "", *reasons, ""]) if reasons else ""
