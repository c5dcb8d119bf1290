"""Draw a view for a terminal: what a sidecar's page shows, as text, with the problems first.

Pure. Foreign text is escaped: it is never markup, and never a control sequence of the terminal.
"""

from __future__ import annotations

from itertools import compress
from typing import TYPE_CHECKING, Final, NamedTuple

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from tickglass.cli.demo_table import OUTCOME_STYLES
from tickglass.cli.text import distance_text, one_line, shown, span_text
from tickglass.sched.occurrence import Outcome
from tickglass.telemetry.sidecar.explain.problems import (
    headline,
    job_names,
    job_tone,
    problems,
    scheduler_words,
    store_tone,
)
from tickglass.telemetry.sidecar.explain.tones import Tone

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import RenderableType

    from tickglass.telemetry.sidecar.explain.problems import Problem
    from tickglass.telemetry.sidecar.view import JobView, LockView, OccurrenceView, SchedulerView, StoreView, View

__all__ = ["outcome_text", "screen_of"]

STRIP: Final = 20  # outcomes in a row
_BAD: Final = "red"
_WORSE: Final = "bold red"
# One letter each, readable without colours.
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
_TONES: Final[Mapping[Tone, str]] = {Tone.BAD: _WORSE, Tone.WARN: "yellow"}  # of problems
# The least width of a terminal that shows a column; the last column takes the remaining width.
_JOB_COLUMNS: Final[Mapping[str, int]] = {
    "job": 0,
    "next due": 0,
    "now": 0,
    "last outcomes": 100,
    "late p50": 130,
    "late p99": 120,
    "why": 0,
}
_LOCK_COLUMNS: Final[Mapping[str, int]] = {
    "lock": 0,
    "state": 0,
    "held for": 0,
    "allowed": 100,
    "lease left": 100,
    "fence": 120,
    "waiters": 0,
    "holder": 0,
}
_HEADING: Final = 2  # lines of a table above its rows
_OF_WIDTH: Final = 4  # a column takes a quarter of the width at most, so that long names leave room for the reason
_BAD_STATES: Final = frozenset({"left", "abandoned", "overdue"})
LEGEND: Final = (
    ". success  F failure  T timeout  C cancelled  L lost  O orphaned  M missed  S skipped  e elsewhere  "
    "> not ended  A abandoned  ! overdue  ? unknown"
)


class _Part(NamedTuple):
    """Rows of one kind; a small terminal shows the first ones.

    Args:
        noun: for the line that counts the rows left out.
        columns: their headings, and how wide a terminal must be to show each; empty if a row is a line by itself.
        rows: the cells of each.
    """

    noun: str
    columns: Mapping[str, int]
    rows: list[list[Text]]

    def drawn(self, most: int, width: int | None) -> list[RenderableType]:
        """Return at most this many lines; the last one counts the rows left out."""
        if not most:
            return []
        rows = self.rows if len(self.rows) <= most else self.rows[: most - 1]
        lines: list[RenderableType] = [_table(self.columns, rows, width)] if self.columns else [row[0] for row in rows]
        left = len(self.rows) - len(rows)
        return [*lines, Text(f"and {left:,} more {self.noun}", style="dim")] if left else lines


def screen_of(
    view: View, *, of: str, problem: str = "", width: int | None = None, height: int | None = None
) -> RenderableType:
    """Return the headline, the problems, and all the rest, with problems first.

    Args:
        of: the source of the view.
        problem: why there is no newer view.
        width: columns of the terminal; a narrow one shows the most important. None: everything.
        height: lines of the terminal; rows that do not fit are counted. None: everything.
    """
    found, now_ns = problems(view), view.at_wall_ns
    lines: list[RenderableType] = [Text(shown(f"! {problem}"), style=_WORSE)] if problem else []
    lines += [_headline(found), Text(shown(of), style="dim")]
    machines = [(scheduler_words(it, view)[0], _scheduler_line(it)) for it in view.schedulers]
    machines += [(store_tone(it), _store_line(it)) for it in view.stores]
    locks = sorted(view.locks, key=lambda lock: not lock.stuck)
    label = job_names(view.jobs)
    jobs = sorted(view.jobs, key=lambda job: -job_tone(job, now_ns).weight)
    parts = [
        _Part("problems", {}, [[_problem_line(it)] for it in found]),
        _Part("schedulers and stores", {}, [[line] for _, line in sorted(machines, key=lambda it: -it[0].weight)]),
        _Part("locks", _LOCK_COLUMNS, [_lock(lock, label(lock.job, lock.service)) for lock in locks]),
        _Part("jobs", _JOB_COLUMNS, [_job(job, label(job.name, job.service), now_ns) for job in jobs]),
    ]
    parts = [part for part in parts if part.rows]
    wants = [len(part.rows) for part in parts]
    room = None if height is None else height - len(lines) - sum(_HEADING for part in parts if part.columns)
    for part, most in zip(parts, wants if room is None else _shares(room, wants), strict=True):
        lines += part.drawn(most, width)
    if jobs and (room is None or room > sum(wants)):
        lines.append(Text(LEGEND, style="dim"))
    if height is not None:
        for line in lines:
            if isinstance(line, Text):
                line.no_wrap, line.overflow = True, "ellipsis"
    return Group(*lines)


def _shares(room: int, wants: Sequence[int]) -> list[int]:
    """Divide the lines fairly: no part gets more than it wants, and small parts get all they want."""
    given = [0] * len(wants)
    while room > 0 and given != list(wants):
        for index, want in enumerate(wants):
            if room > 0 and given[index] < want:
                given[index] += 1
                room -= 1
    return given


def _headline(found: Sequence[Problem]) -> Text:
    return Text(shown(headline(found)), style=_TONES[found[0].tone] if found else "bold green")


def _problem_line(it: Problem) -> Text:
    return Text(shown(f"! {it.what} {it.name} {it.words}" if it.name else f"! {it.words}"), style=_TONES[it.tone])


def outcome_text(run: OccurrenceView) -> Text:
    """Return an occurrence's outcome or state, in one word."""
    word = run.outcome or run.state
    return Text(shown(word), style=_style(run))


def _style(run: OccurrenceView) -> str:
    if run.outcome:
        return OUTCOME_STYLES.get(run.outcome, _BAD)
    return _WORSE if run.state in _BAD_STATES else "cyan"


def _scheduler_line(it: SchedulerView) -> Text:
    state = "stalled" if it.stalled else "not ready" if it.unready else it.state or "not heard yet"
    line = Text(shown(f"scheduler {it.owner} ({it.service}) "))
    line.append(shown(state), style="green" if it.connected and not (it.stalled or it.unready) else _WORSE)
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


def _job(job: JobView, label: str, now_ns: int) -> list[Text]:
    return [
        Text(shown(label)),
        _next_due(job, now_ns),
        _now(job, now_ns),
        _strip(job.recent),
        _percentile(job.lateness_ns, 50),
        _percentile(job.lateness_ns, 99),
        Text(one_line(job.why or next((run.why for run in reversed(job.recent) if run.why), ""))),
    ]


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


def _lock(lock: LockView, label: str) -> list[Text]:
    return [
        Text(shown(lock.resource)),
        Text(shown(f"{lock.state}, stuck" if lock.stuck else lock.state), style=_WORSE if lock.stuck else ""),
        _span(lock.held_ns),
        _span(lock.allowed_ns),
        _span(lock.remaining_ns),
        Text("-" if lock.fence is None else str(lock.fence)),
        Text(str(lock.waiters), style="yellow" if lock.waiters else ""),
        Text(shown(f"{lock.owner} ({label})" if lock.job else lock.owner)),
    ]


def _span(span_ns: int | None) -> Text:
    return Text("-" if span_ns is None else span_text(span_ns))


def _table(columns: Mapping[str, int], rows: Sequence[Sequence[Text]], width: int | None) -> Table:
    """Draw the columns that fit; the last one takes the remaining width."""
    fits = [width is None or width >= least for least in columns.values()]
    last = list(columns)[-1]
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False, expand=width is not None)
    for heading in compress(columns, fits):
        most = None if width is None or heading == last else width // _OF_WIDTH
        ratio = 1 if width is not None and heading == last else None
        table.add_column(heading, no_wrap=True, overflow="ellipsis", max_width=most, ratio=ratio)
    for row in rows:
        table.add_row(*compress(row, fits))
    return table
