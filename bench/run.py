"""Measure what Tickglass claims, beside its peers, in one run: `make bench`.

Machines are shared and noisy: read ratios between rows, not the numbers.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Final

from measuring.checkout import BEFORE, Checkout, CheckoutFailed, check_out
from measuring.machine import git_commit, read_cpu_times, this_machine, unrest_between
from measuring.page import page
from measuring.plan import Group, plan
from measuring.plots import draw
from measuring.redis_server import redis_server
from measuring.report import Report
from measuring.rounds import Runner, run_rounds
from measuring.table import print_report
from measuring.targets import all_targets, judge
from rich.console import Console
from workloads.cell import Absent, Cell

from tickglass.sched.clock import SystemClock, instant_of

ROOT: Final = Path(__file__).resolve().parents[1]
WINDOW_S: Final = 1.0
QUICK_WINDOW_S: Final = 0.8


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, prog="make bench")
    parser.add_argument("--rounds", type=int, default=5, help="how often every cell is measured; %(default)s")
    parser.add_argument("--window", type=float, default=WINDOW_S, help="seconds of each cell; %(default)s")
    parser.add_argument(
        "--only", default="", help="groups, with commas between them; a list is printed for an unknown one"
    )
    parser.add_argument("--against", default=BEFORE, help='the older commit; "" for none; %(default)s')
    parser.add_argument("--quick", action="store_true", help="one short round of the first targets, written nowhere")
    parser.add_argument(
        "--into", type=Path, help="where the page goes; default: docs/ if all was measured, else build/bench/"
    )
    return parser.parse_args()


def chosen(asked: argparse.Namespace) -> tuple[Group, ...]:
    """Return the groups that were asked for, with the cells that were asked for."""
    groups = plan(asked.window)
    if asked.quick:
        return tuple(group.quickly() for group in groups if group.quick)
    names = {group.name for group in groups}
    wanted = set(asked.only.split(",")) if asked.only else names
    if not wanted <= names:
        raise SystemExit(f"no group {', '.join(sorted(wanted - names))}; there are {', '.join(sorted(names))}")
    return tuple(group for group in groups if group.name in wanted)


def older_checkout(ref: str) -> Checkout | Absent:
    if not ref:
        return Absent("no older commit was asked for")
    try:
        return check_out(ROOT, ref)
    except CheckoutFailed as why:
        return Absent(f"no older checkout: {why}")


def measured(asked: argparse.Namespace, groups: tuple[Group, ...], console: Console) -> tuple[Report, list[str]]:
    """Return what was found, and the errors of cells that failed."""
    before = older_checkout("" if asked.quick else asked.against)
    clock = SystemClock()
    date, cpu, load = f"{instant_of(clock.wall_ns()):%Y-%m-%d %H:%M} UTC", read_cpu_times(), os.getloadavg()[0]
    begun_ns = clock.monotonic_ns()

    def tell(number: int, cell: Cell) -> None:
        since_s = (clock.monotonic_ns() - begun_ns) / 1e9
        console.print(f"{since_s:6.0f} s  round {number + 1}  {cell.name}", highlight=False)

    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tickglass-bench-redis-")))
        runner = Runner(
            stack.enter_context(redis_server(home)), before.folder if isinstance(before, Checkout) else before
        )
        rounds = run_rounds(runner, groups, asked.rounds, tell)
    findings = (judge(target, rounds) for target in all_targets())
    report = Report(
        date=date,
        commit=git_commit(ROOT),
        before=f"commit {before.commit}" if isinstance(before, Checkout) else f"nothing: {before.reason}",
        window_s=asked.window,
        machine=this_machine(),
        unrest=unrest_between(cpu, read_cpu_times(), load),
        groups=groups,
        rounds=rounds,
        findings=tuple(finding for finding in findings if finding.planned),
    )
    return report, runner.errors


def write(report: Report, folder: Path) -> None:
    """Write the page and its pictures."""
    draw(report.rounds, folder / "images")
    (folder / "benchmarks.md").write_text(page(report), encoding="utf-8")


def keep_results(report: Report) -> None:
    """Write what page and pictures are made from."""
    rounds = [{name: asdict(result) for name, result in results.items()} for results in report.rounds]
    target = ROOT / "build" / "bench" / "results.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(rounds), encoding="utf-8")


def main() -> None:
    asked = arguments()
    if asked.quick:
        asked.rounds, asked.window = 1, QUICK_WINDOW_S
    groups = chosen(asked)
    console = Console(width=None if os.isatty(1) else 160)
    report, errors = measured(asked, groups, console)
    keep_results(report)
    print_report(report, console)
    if not asked.quick:
        folder = asked.into or (ROOT / "build" / "bench" if asked.only else ROOT / "docs")
        write(report, folder)
        console.print(f"written: {folder / 'benchmarks.md'}")
    if errors:
        raise SystemExit("\n".join(errors))


if __name__ == "__main__":
    main()
