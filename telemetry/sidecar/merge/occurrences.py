"""Decide what became of each due instant of a job, from the reports of several schedulers and stores.

A run of a due instant wins; that it was elsewhere, skipped or missed for other instances is a remark on the run.
A scheduler's report has more fields than the ledger; the ledger may know the end of a run that a scheduler left. Pure.
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

    from tickglass.sched.identity import JobId
    from tickglass.sched.ports import RunRecord
    from tickglass.telemetry.sidecar.stores.probe import StoreSnapshot

__all__ = ["LEFT", "Row", "merged", "rows_of", "run_view"]

LEFT: Final = "left"
_HAS_NO_CLAIM: Final = (*DID_NOT_RUN, Outcome.ELSEWHERE)  # of the instance that ended it so


class Row(msgspec.Struct, frozen=True, gc=False):
    """An attempt as the ledger has it."""

    run: OccurrenceView
    claimed_wall_ns: int  # by our clock
    within_ns: int


def rows_of(snapshot: StoreSnapshot, job: JobId) -> list[Row]:
    """Return a job's latest attempts in the ledger, oldest first, and all abandoned ones."""
    abandoned = {(run.due_ns, run.attempt): run for run in snapshot.abandoned if run.job_id == job}
    runs = {(run.due_ns, run.attempt): run for run in snapshot.runs.get(job, ())}
    runs.update(abandoned)
    skew_ns, within_ns = snapshot.skew_ns or 0, snapshot.skew_bound_ns or 0
    latest = dict(sorted(runs))  # by due instant, the number of its latest attempt
    rows = []
    for key in sorted(runs):
        view = run_view(runs[key], abandoned=key in abandoned, repeated=latest[key[0]] > key[1])
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
    """Leave out instances that have not claimed, if another has; if none has, keep one for all."""
    certain = {key: view for key, view in ran.items() if view.fence is not None or view.outcome or view.started_wall_ns}
    if certain or not ran:
        return certain
    key = min(ran, key=lambda key: ran[key].owner)
    return {key: ran[key]}


def _rank(view: OccurrenceView) -> tuple[bool, int]:
    return view.outcome == Outcome.ELSEWHERE, view.ended_wall_ns or 0


def _remark(view: OccurrenceView, rows: Sequence[Row]) -> str:
    """Return another scheduler's sentence; the ledger knows the claimant, the time and the outcome."""
    text = view.why
    if view.outcome == Outcome.ELSEWHERE and rows:
        row = rows[0]
        earlier_ns = None if view.ended_wall_ns is None else view.ended_wall_ns - row.claimed_wall_ns
        if earlier_ns is not None and earlier_ns <= row.within_ns:
            earlier_ns = None  # less than the clocks' difference may be
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
    """Return an occurrence that a scheduler left, with its end from the ledger."""
    return msgspec.structs.replace(
        row, sampled=left.sampled, started_wall_ns=left.started_wall_ns or row.started_wall_ns
    )


def run_view(run: RunRecord, *, abandoned: bool, repeated: bool) -> OccurrenceView:
    """Return an attempt as the ledger has it.

    Args:
        abandoned: its lease has ended, and it has no outcome.
        repeated: there is a later attempt at its due instant.
    """
    outcome = run.outcome or ""
    state = "" if outcome else "abandoned" if abandoned else OccurrenceState.CLAIMED.value
    started, ended = run.started_wall_ns, run.ended_wall_ns
    ran_ns = run.ran_ns
    if ran_ns is None and started is not None and ended is not None and ended >= started:
        ran_ns = ended - started
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
        repeated=repeated,
    )
    return OccurrenceView(
        job=run.job,
        service=run.service,
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
