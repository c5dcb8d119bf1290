"""Draw a view for a terminal: what a sidecar's page shows, in letters.

Pure. What comes from outside is text, never markup and never an order to the terminal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from tickglass.cli.board import OUTCOME_STYLES
from tickglass.cli.show import distance_text, one_line, shown, span_text
from tickglass.sched.occurrence import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import RenderableType

    from tickglass.telemetry.sidecar.view import JobView, LockView, OccurrenceView, SchedulerView, StoreView, View

__all__ = ["outcome_text", "picture_of"]

STRIP: Final = 20  # outcomes in a row
_BAD: Final = "red"
_WORSE: Final = "bold red"
# A letter each, so that it can be read without colours.
_LETTERS: Final[Mapping[str, str]] = {
    Outcome.SUCCESS: ".",
    Outcome.FAILURE: "F",
    Outcome.TIMEOUT: "T",
    Outcome.CANCELLED: "C",
    Outcome.LOST: "L",
    Outcome.ORPHANED: "O",
    Outcome.ELSEWHERE: "e",
    Outcome.MISSED: "M",
    Outcome.SKIPPED: "S",
    "left": "?",
    "abandoned": "A",
    "overdue": "!",
}
_BAD_STATES: Final = frozenset({"left", "abandoned", "overdue"})
LEGEND: Final = (
    ". success  F failure  T timeout  C cancelled  L lost  O orphaned  M missed  S skipped  e elsewhere  "
    "> in hand  A abandoned  ! overdue  ? unknown"
)


def picture_of(view: View, *, of: str, trouble: str = "") -> RenderableType:
    """Return all of it.

    Args:
        of: where the view is from.
        trouble: why there is no newer one.
    """
    parts: list[RenderableType] = [Text(of, style="bold")]
    parts += [Text(shown(f"! {line}"), style=_WORSE) for line in ([trouble] if trouble else []) + view.unready]
    parts += [_scheduler_line(it) for it in view.schedulers]
    parts += [_store_line(it) for it in view.stores]
    parts += [Text(), _jobs(view.jobs, view.at_wall_ns)]
    if view.locks:
        parts += [Text(), _locks(view.locks)]
    if view.jobs:
        parts += [Text(), Text(LEGEND, style="dim")]
    return Group(*parts)


def outcome_text(run: OccurrenceView) -> Text:
    """Return how an occurrence ended, or how far it is, in one word."""
    word = run.outcome or run.state
    return Text(shown(word), style=_style(run))


def _style(run: OccurrenceView) -> str:
    if run.outcome:
        return OUTCOME_STYLES.get(Outcome(run.outcome), _BAD) if run.outcome in list(Outcome) else _BAD
    return _WORSE if run.state in _BAD_STATES else "cyan"


def _scheduler_line(it: SchedulerView) -> Text:
    state = "stalled" if it.stalled else it.state or "not heard yet"
    line = Text(shown(f"scheduler {it.owner} ({it.service}) "))
    line.append(shown(state), style="green" if it.connected and not it.stalled else _WORSE)
    if it.pool_slots is not None:
        line.append(f"  workers {it.pool_in_use}/{it.pool_slots}")
    line.append(f"  running {it.running}  pending {it.pending}")
    if not it.connected and it.silent_ns is not None:
        line.append(f"  heard last {span_text(it.silent_ns)} ago")
    if it.missed:
        line.append(f"  {it.missed} events missed", style=_BAD)
    return line


def _store_line(it: StoreView) -> Text:
    line = Text(shown(f"store {it.source} "))
    line.append("ok" if it.ok else "no answer" if it.error else "old", style="green" if it.ok else _WORSE)
    if it.age_ns is not None:
        line.append(f"  looked {span_text(it.age_ns)} ago")
    if it.leases is not None:
        line.append(f"  {it.leases} leases  {it.jobs} jobs")
    if it.skew_ns is not None and it.skew_bound_ns is not None:
        line.append(f"  clock {span_text(it.skew_ns)} ± {span_text(it.skew_bound_ns)}")
    if it.error:
        line.append(f"  {one_line(it.error)}", style=_BAD)
    return line


def _jobs(jobs: Sequence[JobView], now_ns: int) -> Table:
    table = _table("job", "next due", "now", "last outcomes", "late p50", "late p99", "why")
    for job in jobs:
        table.add_row(
            Text(shown(job.name)),
            _next_due(job, now_ns),
            _now(job, now_ns),
            _strip(job.recent),
            _percentile(job.lateness_ns, 50),
            _percentile(job.lateness_ns, 99),
            Text(one_line(job.why or next((run.why for run in reversed(job.recent) if run.why), ""))),
        )
    return table


def _next_due(job: JobView, now_ns: int) -> Text:
    if job.overdue_ns:
        return Text(f"overdue {span_text(job.overdue_ns)}", style=_WORSE)
    return Text("-" if job.next_due_ns is None else distance_text(job.next_due_ns, now_ns))


def _now(job: JobView, now_ns: int) -> Text:
    if job.running:
        since_ns = job.running_since_wall_ns
        ran_ns = None if since_ns is None else max(0, now_ns - since_ns)
        over = ran_ns is not None and job.timeout_ns is not None and ran_ns > job.timeout_ns
        span = "" if ran_ns is None else f" {span_text(ran_ns)}"
        more = f" x{job.running}" if job.running > 1 else ""
        return Text(f"running{more}{span}", style=_WORSE if over else "cyan")
    if job.failures:
        return Text(f"failed {job.failures} times" if job.failures > 1 else "failed once", style=_BAD)
    return Text("pending" if job.pending else "")


def _strip(recent: Sequence[OccurrenceView]) -> Text:
    strip = Text()
    for run in recent[-STRIP:]:
        strip.append(_LETTERS.get(run.outcome or run.state, ">" if not run.outcome else "x"), style=_style(run))
    return strip


def _percentile(values: Sequence[int], percent: int) -> Text:
    return Text(span_text(sorted(values)[(len(values) - 1) * percent // 100]) if values else "")


def _locks(locks: Sequence[LockView]) -> Table:
    table = _table("lock", "state", "holder", "held for", "allowed", "lease left", "fence", "waiters")
    for lock in locks:
        table.add_row(
            Text(shown(lock.resource)),
            Text(shown(f"{lock.state}, stuck" if lock.stuck else lock.state), style=_WORSE if lock.stuck else ""),
            Text(shown(f"{lock.owner} ({lock.job})" if lock.job else lock.owner)),
            _span(lock.held_ns),
            _span(lock.allowed_ns),
            _span(lock.remaining_ns),
            Text("-" if lock.fence is None else str(lock.fence)),
            Text(str(lock.waiters), style="yellow" if lock.waiters else ""),
        )
    return table


def _span(span_ns: int | None) -> Text:
    return Text("-" if span_ns is None else span_text(span_ns))


def _table(*headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for heading in headings:
        table.add_column(heading, no_wrap=heading != "why", overflow="ellipsis" if heading != "why" else "fold")
    return table
