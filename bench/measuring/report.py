"""What one run of the benchmark found, and its tables as rows of text. Pure."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from workloads.cell import Result

from measuring.figures import median_of
from measuring.targets import Finding, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from measuring.figures import Round
    from measuring.machine import Machine, Unrest
    from measuring.plan import Group

__all__ = [
    "COST",
    "LATENESS",
    "ROUNDS_TO_JUDGE",
    "Report",
    "figure_rows",
    "number",
    "other_rows",
    "target_rows",
    "verdicts",
]

LATENESS: Final = "bench-lateness.svg"
COST: Final = "bench-cost.svg"
ROUNDS_TO_JUDGE: Final = 5  # fewer say too little on a machine that is shared
FIGURES: Final = ("cpu_us_per_run", "switches_per_run", "runs_per_s", "p50_us", "p90_us", "p99_us")

STARTING: Final = ("fire", "fleet")  # workloads whose starts have a lateness


@dataclass(frozen=True)
class Report:
    """One run of the benchmark.

    Args:
        date: when it began, in UTC.
        commit: what was measured; `before`: what it was compared with, or why with nothing.
        window_s: for how long most cells were measured.
        groups: what was measured, in that order.
    """

    date: str
    commit: str
    before: str
    window_s: float
    machine: Machine
    unrest: Unrest
    groups: tuple[Group, ...]
    rounds: Sequence[Round]
    findings: tuple[Finding, ...]


def number(value: float | None) -> str:
    """Return three significant digits, and no exponent; a dash for nothing, "never" for infinity."""
    if value is None or math.isinf(value):
        return "-" if value is None else "never"
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 1 else f"{value:.3g}"


def _limit(finding: Finding, limit: float | None) -> str:
    if limit is None:
        return ""
    unit = f" {finding.target.unit}".rstrip()
    return f"{'<=' if finding.target.at_most else '>='} {number(limit)}{unit}"


def target_rows(findings: Sequence[Finding], rounds: int) -> list[tuple[str, ...]]:
    """Return, for each target: name, what, value, range over the rounds, must, stretch, verdict.

    A verdict of too few rounds is in brackets.
    """
    rows: list[tuple[str, ...]] = []
    for finding in findings:
        unit = f" {finding.target.unit}".rstrip()
        values = finding.values
        seen = f"{number(min(values))} - {number(max(values))}" if len(values) > 1 else ""
        verdict = f"{finding.verdict}, stretch" if finding.beyond else str(finding.verdict)
        judged = verdict if rounds >= ROUNDS_TO_JUDGE else f"({verdict})"
        value = number(finding.value) + ("" if finding.value is None or math.isinf(finding.value) else unit)
        limits = (_limit(finding, finding.target.must), _limit(finding, finding.target.stretch))
        rows.append((finding.target.id, finding.target.what, value, seen, *limits, judged))
    return rows


def verdicts(findings: Sequence[Finding]) -> str:
    """Return how many targets were reached, in one line."""
    counts = Counter(finding.verdict for finding in findings)
    return ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict])


def figure_rows(rounds: Sequence[Round], groups: Sequence[Group]) -> list[tuple[str, ...]]:
    """Return, for each cell that starts runs, its figures: medians over the rounds."""
    rows: list[tuple[str, ...]] = []
    for cell in (cell for group in groups for cell in group.cells if cell.workload in STARTING):
        medians = [median_of(rounds, cell.name, name) for name in FIGURES]
        rows.append((cell.name, *(number(value) for value in medians)))
    return rows


def other_rows(rounds: Sequence[Round], groups: Sequence[Group]) -> list[tuple[str, ...]]:
    """Return, for each cell of another workload, its own figures in one text: medians over the rounds."""
    rows: list[tuple[str, ...]] = []
    for cell in (cell for group in groups for cell in group.cells if cell.workload != "fire"):
        measured = [result for results in rounds if isinstance(result := results.get(cell.name), Result)]
        names = measured[0].figures if measured else ()
        rows.append((cell.name, ", ".join(f"{name} {number(median_of(rounds, cell.name, name))}" for name in names)))
    return rows
