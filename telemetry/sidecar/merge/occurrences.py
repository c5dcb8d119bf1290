"""Decide what became of each due instant of a job, from what several schedulers and stores have of it.

Of one due instant, what ran is the truth; that it was elsewhere, skipped or missed for others is a remark on it.
What a scheduler told is richer than the ledger; what a scheduler left open, the ledger may know the end of. Pure.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

import msgspec

from tickglass.sched.occurrence import DID_NOT_RUN, OccurrenceState, Outcome
from tickglass.telemetry.sidecar.explain.why import Facts, why
from tickglass.telemetry.sidecar.view import OccurrenceView

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tickglass.sched.ports import RunRecord
    from tickglass.telemetry.sidecar.stores.probe import StoreSnapshot

__all__ = ["LEFT", "Row", "merged", "rows_of"]

LEFT: Final = "left"
_HAS_NO_CLAIM: Final = (*DID_NOT_RUN, Outcome.ELSEWHERE)  # of the instance that ended it so


class Row(msgspec.Struct, frozen=True, gc=False):
    """An attempt as a ledger has it, and whether it was found abandoned."""

    run: OccurrenceView
    claimed_wall_ns: int  # by our clock
    within_ns: int


def rows_of(snapshot: StoreSnapshot, service: str, job: str) -> list[Row]:
    """Return what a ledger has of a job's latest attempts, oldest first, abandoned ones included however old.

    A ledger has one job of a name; whoever registered it last says of which service it is.
    """
    abandoned = {(run.due_ns, run.attempt): run for run in snapshot.abandoned if run.job == job}
    runs = {(run.due_ns, run.attempt): run for run in snapshot.runs.get(job, ())}
    runs.update(abandoned)
    skew_ns, within_ns = snapshot.skew_ns or 0, snapshot.skew_bound_ns or 0
    rows = []
    for key in sorted(runs):
        view = _view_of(runs[key], service, abandoned=key in abandoned)
        rows.append(Row(view, runs[key].claimed_wall_ns + skew_ns, within_ns))
    return rows


def merged(reported: Iterable[OccurrenceView], rows: Iterable[Row]) -> list[OccurrenceView]:
    """Return the occurrences of one job, by due instant and attempt: each once."""
    reported_at: dict[int, list[OccurrenceView]] = defaultdict(list)
    rows_at: dict[int, list[Row]] = defaultdict(list)
    for view in reported:
        reported_at[view.due_ns].append(view)
    for row in rows:
        rows_at[row.run.due_ns].append(row)
    found = []
    for due_ns in sorted(reported_at.keys() | rows_at.keys()):
        found += _one_instant(reported_at.get(due_ns, []), rows_at.get(due_ns, []))
    return found


def _one_instant(reported: list[OccurrenceView], rows: Sequence[Row]) -> list[OccurrenceView]:
    if len(reported) == 1 and not rows:
        return reported
    ran = {view.run_id: view for view in reported if view.outcome not in _HAS_NO_CLAIM}
    for row in rows:
        before = ran.get(row.run.run_id)
        if before is None:
            ran[row.run.run_id] = row.run
        elif before.state == LEFT and (row.run.outcome or row.run.state == "abandoned"):
            ran[row.run.run_id] = _ended(before, row.run)
    ran = _certain(ran)
    idle = sorted((view for view in reported if view.outcome in _HAS_NO_CLAIM), key=_rank)
    if not ran:
        ran, idle = {idle[0].run_id: idle[0]}, idle[1:]
    shown = sorted(ran.values(), key=lambda view: view.attempt)
    if idle:
        remarks = tuple(_remark(view, rows) for view in sorted(idle, key=lambda view: view.owner))
        shown[-1] = msgspec.structs.replace(shown[-1], others=remarks)
    return shown


def _certain(ran: dict[str, OccurrenceView]) -> dict[str, OccurrenceView]:
    """Leave out who only is about to ask for what somebody has; where all only are, one stands for them."""
    certain = {key: view for key, view in ran.items() if view.fence is not None or view.outcome or view.started_wall_ns}
    if certain or not ran:
        return certain
    key = min(ran, key=lambda key: ran[key].owner)
    return {key: ran[key]}


def _rank(view: OccurrenceView) -> tuple[bool, int]:
    return view.outcome == Outcome.ELSEWHERE, view.ended_wall_ns or 0


def _remark(view: OccurrenceView, rows: Sequence[Row]) -> str:
    """Return another scheduler's sentence; the ledger knows who claimed it, when, and how it ended."""
    text = view.why
    if view.outcome == Outcome.ELSEWHERE and rows:
        row = rows[0]
        earlier_ns = None if view.ended_wall_ns is None else view.ended_wall_ns - row.claimed_wall_ns
        if earlier_ns is not None and earlier_ns <= row.within_ns:
            earlier_ns = None  # the clocks cannot tell
        facts = Facts(
            due_ns=view.due_ns,
            outcome=view.outcome,
            by=row.run.owner,
            earlier_ns=earlier_ns,
            there=rows[-1].run.outcome,
        )
        text = why(facts)
    return f"{view.owner}: {text}" if view.owner else text


def _ended(left: OccurrenceView, row: OccurrenceView) -> OccurrenceView:
    """Return what a scheduler left in hand, as the ledger has its end."""
    return msgspec.structs.replace(
        row, sampled=left.sampled, started_wall_ns=left.started_wall_ns or row.started_wall_ns
    )


def _view_of(run: RunRecord, service: str, *, abandoned: bool) -> OccurrenceView:
    outcome = run.outcome or ""
    state = "" if outcome else "abandoned" if abandoned else OccurrenceState.CLAIMED.value
    started, ended = run.started_wall_ns, run.ended_wall_ns
    ran_ns = ended - started if started is not None and ended is not None and ended >= started else None
    facts = Facts(
        due_ns=run.due_ns,
        outcome=outcome,
        state=state,
        resource=run.resource,
        owner=run.owner,
        by=run.owner if outcome == Outcome.ORPHANED else "",
        claimed_wall_ns=run.claimed_wall_ns,
        lateness_ns=run.lateness_ns,
        ran_ns=ran_ns,
        error=run.detail,
        attempt=run.attempt,
    )
    return OccurrenceView(
        job=run.job,
        service=service,
        due_ns=run.due_ns,
        attempt=run.attempt,
        outcome=outcome,
        state=state,
        why=why(facts),
        owner=run.owner,
        by=facts.by,
        run_id=run.run_id,
        fence=run.fence,
        started_wall_ns=started,
        ended_wall_ns=ended,
        lateness_ns=run.lateness_ns,
        ran_ns=ran_ns,
        error=run.detail if outcome == Outcome.FAILURE else "",
    )
