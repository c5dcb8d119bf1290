"""Show events to people: as a live table, or as one line each."""

from __future__ import annotations

import threading
from collections import Counter, deque
from typing import TYPE_CHECKING, Final

from rich.box import HEAVY_HEAD, SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from tickglass.cli.text import distance_text, instant_text, shown, span_text
from tickglass.sched.events import (
    InstantsElsewhere,
    InstantsMissed,
    InstantsSkipped,
    JobRegistered,
    LockMoved,
    OccurrenceMoved,
    SchedulerMoved,
)
from tickglass.sched.lease import LockEvent, LockState
from tickglass.sched.lifecycle import SchedulerState
from tickglass.sched.occurrence import DID_NOT_RUN, FAILURES, OccurrenceEvent, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rich.console import Console

    from tickglass.sched.clock import Clock
    from tickglass.sched.events import Event

__all__ = ["OUTCOME_STYLES", "DemoTable", "EventLines"]

OUTCOME_STYLES: Final[Mapping[str, str]] = {
    Outcome.SUCCESS: "green",
    Outcome.ELSEWHERE: "dim",
    Outcome.CANCELLED: "red",
    **dict.fromkeys(FAILURES, "red"),
    **dict.fromkeys(DID_NOT_RUN, "yellow"),
}
_REMEMBERED: Final = 500  # starts of a job that its percentiles cover
_WIDE: Final = 140  # the width of all columns together
_ALWAYS: Final = ("job", "next due", "outcome", "late p50", "late p99", "holder", "held for")
_ALL: Final = (
    *("job", "trigger", "next due", "last outcome", "runs"),
    *("late p50", "late p99", "lock", "holder", "held for"),
)
_NUMBERS: Final = {"runs", "late p50", "late p99"}


class _Row:
    """What the table knows of one job."""

    def __init__(self, event: JobRegistered) -> None:
        self.trigger = event.trigger
        self.resource = event.resource
        self.next_due_ns = event.next_due_ns
        self.last = ""
        self.why = ""
        self.last_style = ""
        self.counts: Counter[str] = Counter()
        self.lateness_ns: deque[int] = deque(maxlen=_REMEMBERED)

    def lateness_text(self, percent: int) -> str:
        if not self.lateness_ns:
            return ""
        return span_text(sorted(self.lateness_ns)[(len(self.lateness_ns) - 1) * percent // 100])


class DemoTable:
    """A sink that keeps the state of the table, and draws it."""

    def __init__(self, clock: Clock) -> None:
        self.title: Callable[[], str] = str
        self._clock = clock
        self._mutex = threading.Lock()
        self._rows: dict[str, _Row] = {}
        self._held: dict[str, tuple[str, int]] = {}  # resource -> job, since (monotonic)

    def record(self, event: Event) -> None:
        """See `EventSink`."""
        with self._mutex:
            if isinstance(event, OccurrenceMoved):
                self._occurrence_moved(event)
            elif isinstance(event, LockMoved):
                self._lock_moved(event)
            elif isinstance(event, JobRegistered):
                self._rows[event.job] = _Row(event)
            elif isinstance(event, InstantsMissed):
                self._rows[event.job].counts[Outcome.MISSED] += event.count
            elif isinstance(event, InstantsSkipped):
                self._instants_skipped(event)
            elif isinstance(event, InstantsElsewhere):
                self._rows[event.job].counts[Outcome.ELSEWHERE] += event.count

    def table(self, width: int) -> Table:
        """Draw the present state for a terminal of this width."""
        wide = width >= _WIDE
        headings = _ALL if wide else _ALWAYS
        table = Table(title=self.title(), title_justify="left", expand=False, box=HEAVY_HEAD if wide else SIMPLE_HEAD)
        for heading in headings:
            table.add_column(heading, justify="right" if heading in _NUMBERS else "left", no_wrap=True)
        now, at_ns = self._clock.wall_ns(), self._clock.monotonic_ns()
        with self._mutex:
            for name, row in self._rows.items():
                cells = self._cells(name, row, now, at_ns)
                table.add_row(*(cells[heading] for heading in headings))
        return table

    def _cells(self, name: str, row: _Row, now: int, at_ns: int) -> dict[str, Text]:
        holder, since_ns = self._held.get(row.resource, ("", at_ns))
        return {
            "job": Text(shown(name)),
            "trigger": Text(shown(row.trigger), style="dim"),
            "next due": Text("" if row.next_due_ns is None else distance_text(row.next_due_ns, now)),
            "outcome": Text(row.last, style=row.last_style),
            "last outcome": Text(row.last + row.why, style=row.last_style),
            "runs": Text(str(row.counts.total())),
            "late p50": Text(row.lateness_text(50)),
            "late p99": Text(row.lateness_text(99)),
            "lock": Text(shown(row.resource)),
            "holder": Text(shown(holder), style="bold cyan" if holder == name else "dim"),
            "held for": Text(span_text(at_ns - since_ns) if holder else ""),
        }

    def _occurrence_moved(self, event: OccurrenceMoved) -> None:
        row = self._rows[event.job]
        if event.event == OccurrenceEvent.FELL_DUE:
            row.next_due_ns = event.next_due_ns or row.next_due_ns
        if event.outcome is None:
            return
        row.counts[event.outcome] += 1
        row.last = event.outcome
        row.why = f" ({event.reason})" if event.outcome == Outcome.SKIPPED else ""
        row.last_style = OUTCOME_STYLES[event.outcome]
        if event.lateness is not None:
            row.lateness_ns.append(event.lateness.total_ns)

    def _instants_skipped(self, event: InstantsSkipped) -> None:
        row = self._rows[event.job]
        row.counts[Outcome.SKIPPED] += event.count
        row.next_due_ns = event.next_due_ns or row.next_due_ns
        row.last, row.why = Outcome.SKIPPED, f" ({event.reason})"
        row.last_style = OUTCOME_STYLES[Outcome.SKIPPED]

    def _lock_moved(self, event: LockMoved) -> None:
        if event.after == LockState.HELD:
            if event.event == LockEvent.GRANTED:
                self._held[event.resource] = (event.job, event.at_ns)
        elif event.before == LockState.HELD:
            self._held.pop(event.resource, None)


class EventLines:
    """A sink that prints a line for each important event, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self.title: Callable[[], str] = str
        self._console = console

    def record(self, event: Event) -> None:
        """See `EventSink`."""
        if isinstance(event, OccurrenceMoved) and event.event in (OccurrenceEvent.STARTED, OccurrenceEvent.ENDED):
            late = "" if event.lateness is None else f" late {span_text(event.lateness.total_ns)}"
            words = (event.event, event.outcome or "", f"({event.reason})" if event.reason else "", event.error)
            self._print(event.wall_ns, f"run  {event.job:<10} {' '.join(word for word in words if word)}{late}")
        elif isinstance(event, LockMoved):
            fence = f" fence {event.fence}" if event.fence else ""
            self._print(event.wall_ns, f"lock {event.resource:<10} {event.event} for {event.job}{fence}")
        elif isinstance(event, SchedulerMoved) and event.after == SchedulerState.RUNNING:
            self._console.print(self.title(), highlight=False, markup=False, soft_wrap=True)
        elif isinstance(event, InstantsMissed):
            self._print(event.wall_ns, f"run  {event.job:<10} missed {event.count}")
        elif isinstance(event, InstantsSkipped):
            self._print(event.wall_ns, f"run  {event.job:<10} skipped {event.count} ({event.reason})")

    def _print(self, wall_ns: int, words: str) -> None:
        self._console.print(f"{instant_text(wall_ns)} {shown(words)}", highlight=False, markup=False, soft_wrap=True)
