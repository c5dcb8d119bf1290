"""Record long histories of all stores, print what they say, and write it down: `python -m chaos.long` (`make chaos`).

Needs redis-server and etcd; a store whose server is not installed is left out, and said so.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from chaos.cluster import PROCESSES, record
from chaos.environments import GROUNDS
from chaos.faults import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chaos.cluster import Summary

_COLUMNS: Final = (
    "Store",
    "Processes",
    "Seconds",
    "Faults",
    "Grants",
    "Take-overs",
    "Leases lost",
    "Guarded writes",
    "Stale writes refused",
    "Claims",
    "Run again",
    "Went on",
    "Unready",
    "Violations",
)
_SERVERS: Final = {"redis": "redis-server", "redlock": "redis-server", "etcd": "etcd"}
_PAGE: Final = Path(__file__).parents[2] / "docs" / "chaos.md"
_BEGIN: Final = "<!-- measured: written by `make chaos` -->\n"
_END: Final = "<!-- end of what was measured -->\n"


def _row(summary: Summary) -> tuple[object, ...]:
    return (
        summary.store,
        summary.processes,
        round(summary.seconds),
        summary.faults.total(),
        f"{summary.grants:,}",
        summary.takeovers,
        summary.losses,
        f"{summary.writes:,}",
        summary.stale_writes_refused,
        f"{summary.claims:,}",
        summary.run_again,
        summary.went_on,
        f"{summary.unready:,}",
        len(summary.violations),
    )


def tables(summaries: Sequence[Summary], seed: int) -> str:
    """Return the two tables: what was done, and what came of it."""
    total = sum(summary.faults.total() for summary in summaries)
    seconds = sum(summary.seconds for summary in summaries)
    what = f"{PROCESSES} worker processes at a time, {seconds:.0f} s of faults, **{total:,} faults**"
    lines = [f"Seed {seed}, {os.cpu_count()} cores, {what}.", ""]
    lines += [f"| {' | '.join(_COLUMNS)} |", f"|{'---|' * len(_COLUMNS)}"]
    lines += [f"| {' | '.join(str(cell) for cell in _row(summary))} |" for summary in summaries]
    stores = [summary.store for summary in summaries]
    lines += ["", f"| Fault | {' | '.join(stores)} |", f"|---|{'---|' * len(stores)}"]
    lines += [
        f"| {kind} | {' | '.join(str(summary.faults[kind] or '') for summary in summaries)} |"
        for kind in Kind
        if any(summary.faults[kind] for summary in summaries)
    ]
    return "\n".join(lines) + "\n"


def say(*lines: str) -> None:
    """Print lines, at once."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def write_down(text: str) -> None:
    """Put what was measured into its place in the page."""
    page = _PAGE.read_text()
    before, _, rest = page.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    _PAGE.write_text(f"{before}{_BEGIN}\n{text}\n{_END}{after}")


def main() -> int:
    """Record, print, write; return how many stores broke a promise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=110.0, help="of faults, per store")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--store", action="append", choices=list(GROUNDS), help="only these; may be given again")
    parser.add_argument("--no-page", action="store_true", help="leave docs/chaos.md as it is")
    given = parser.parse_args()
    summaries, failed = [], 0
    for name in given.store or GROUNDS:
        if name in _SERVERS and shutil.which(_SERVERS[name]) is None:
            say(f"{name}: left out, {_SERVERS[name]} is not installed")
            continue
        home = Path(tempfile.mkdtemp(prefix=f"chaos-{name}-"))
        with GROUNDS[name](home, PROCESSES) as ground:
            summary = record(ground, home, seed=given.seed, seconds=given.seconds, patient=True)
        summaries.append(summary)
        wrong = [str(it) for it in (*summary.violations, *summary.complaints)]
        if wrong:
            failed += 1
            say(f"{name}: the history is in {home}", *wrong)
        else:
            shutil.rmtree(home)
            say(f"{name}: {summary.faults.total()} faults, {summary.grants} grants, no promise broken")
    text = tables(summaries, given.seed)
    say(text)
    if not (failed or given.no_page):
        write_down(text)
    return failed


if __name__ == "__main__":
    sys.exit(main())
