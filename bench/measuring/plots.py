"""Draw what the rounds found: how late starts are beside the peers, and what a run costs by the number of jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import matplotlib as mpl
from matplotlib.figure import Figure

from measuring.figures import median_of, pooled, started_part
from measuring.plan import CURVE_JOBS
from measuring.report import COST, LATENESS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from measuring.figures import Round

__all__ = ["draw"]

# Okabe and Ito's colours, which everybody can tell apart; peers are dashed as well.
STYLES: Final = {
    "asyncio": ("#000000", "--"),
    "APScheduler": ("#D55E00", "--"),
    "schedule": ("#CC79A7", "--"),
    "memory": ("#009E73", "-"),
    "sqlite": ("#0072B2", "-"),
    "redis": ("#E69F00", "-"),
}
POINTS: Final = 200  # of a distribution; the eye sees no more
SETTINGS: Final = {
    "svg.fonttype": "none",
    "svg.hashsalt": "tickglass",  # else every drawing differs from the last
    "font.family": "sans-serif",
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def draw(rounds: Sequence[Round], folder: Path) -> None:
    """Write both pictures into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(SETTINGS):
        lateness = Figure(figsize=(8, 4.2), layout="constrained")
        draw_lateness(lateness.add_subplot(), rounds)
        cost = Figure(figsize=(8, 4.2), layout="constrained")
        draw_cost(cost.add_subplot(), rounds)
        for figure, name in ((lateness, LATENESS), (cost, COST)):
            figure.savefig(folder / name, metadata={"Date": None})


def draw_lateness(axes: Axes, rounds: Sequence[Round]) -> None:
    """Draw the distribution of lateness of 50 jobs at one instant, of all rounds together.

    A line ends below 100 % if instants were skipped.
    """
    for subject, (colour, line) in STYLES.items():
        late = pooled(rounds, f"burst/{subject}")
        if late:
            steps = [number / (POINTS - 1) for number in range(POINTS)]
            at = [max(1.0, late[round(step * (len(late) - 1))]) / 1e3 for step in steps]
            part = min(1.0, started_part(rounds, f"burst/{subject}"))
            axes.plot(at, [100 * part * step for step in steps], line, color=colour, label=_label(subject))
    axes.set_xscale("log")
    axes.set_xlabel("start after due, milliseconds (logarithmic)")
    axes.set_ylabel("of the due instants, %")
    axes.set_title("50 jobs at one instant, each 100 ms")
    if axes.lines:
        axes.legend(frameon=False)


def draw_cost(axes: Axes, rounds: Sequence[Round]) -> None:
    """Draw the processor time of one run by the number of jobs that are due together."""
    for subject, (colour, line) in STYLES.items():
        costs = [(jobs, median_of(rounds, f"curve {jobs}/{subject}", "cpu_us_per_run")) for jobs in CURVE_JOBS]
        known = [(jobs, cost) for jobs, cost in costs if cost is not None]
        if known:
            axes.plot(*zip(*known, strict=True), line, marker="o", color=colour, label=_label(subject))
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(CURVE_JOBS, [str(jobs) for jobs in CURVE_JOBS])
    axes.set_xlabel("jobs at one instant, each 100 ms")
    axes.set_ylabel("processor time of one run, microseconds")
    axes.set_title("Cost of a run")
    if axes.lines:
        axes.legend(frameon=False)


def _label(subject: str) -> str:
    return f"Tickglass, {subject}" if subject in {"memory", "sqlite", "redis"} else subject
