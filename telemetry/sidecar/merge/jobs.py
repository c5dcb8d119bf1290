"""Decide the state of each job over all schedulers and stores: what is next, what is late, and why.

Jobs are told apart by service and name. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tickglass.sched.control.roster import JobPresence
from tickglass.sched.durations import SECOND, span_text
from tickglass.sched.identity import JobId
from tickglass.sched.occurrence import FAILURES, OccurrenceState, Outcome
from tickglass.sched.policies.rivalry import Claim, owners_of_rivals
from tickglass.sched.triggers.text import trigger_of
from tickglass.telemetry.sidecar.explain.why import Facts, why
from tickglass.telemetry.sidecar.merge.occurrences import LEFT, merged, rows_of
from tickglass.telemetry.sidecar.merge.scheduler_status import resting_services
from tickglass.telemetry.sidecar.schedulers.job_history import RECENT_MAX
from tickglass.telemetry.sidecar.schedulers.tally import summed
from tickglass.telemetry.sidecar.stores.overdue import DROPPED_AFTER_NS, interval_ns, waiting_due_ns
from tickglass.telemetry.sidecar.view import JobView, LockView, OccurrenceView

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tickglass.sched.clock import Reading
    from tickglass.sched.events import JobRegistered
    from tickglass.sched.ports import JobRecord
    from tickglass.telemetry.sidecar.merge.occurrences import Row
    from tickglass.telemetry.sidecar.merge.scheduler_status import SchedulerStatus
    from tickglass.telemetry.sidecar.schedulers.job_history import JobSnapshot
    from tickglass.telemetry.sidecar.stores.probe import StoreSnapshot

__all__ = ["jobs_of"]

_UNDER_WAY_NS: Final = 2 * SECOND  # how long a scheduler's event may take to arrive
_STARTED: Final = frozenset({OccurrenceState.RUNNING.value, OccurrenceState.STOPPING.value})
_CLAIMED: Final = OccurrenceState.CLAIMED.value


@dataclass(slots=True)
class _Known:
    """The reports of schedulers and the records of stores of one job."""

    reported: list[tuple[SchedulerStatus, JobSnapshot]] = field(default_factory=list)
    read: list[tuple[StoreSnapshot, JobRecord]] = field(default_factory=list)

    @property
    def declared(self) -> list[tuple[SchedulerStatus, JobRegistered]]:
        """The registrations, those of connected schedulers first."""
        found = [(one, job.declared) for one, job in self.reported if job.declared is not None]
        return sorted(found, key=lambda it: not it[0].connected)


@dataclass(frozen=True, slots=True)
class _Waiting:
    """The due instant that no instance has taken up.

    Args:
        seen_wall_ns: when it was last certain that none had; 0 if it cannot be overdue.
    """

    due_ns: int | None
    seen_wall_ns: int


def jobs_of(
    statuses: Sequence[SchedulerStatus], snapshots: Sequence[StoreSnapshot], locks: Sequence[LockView], now: Reading
) -> tuple[list[JobView], list[OccurrenceView]]:
    """Return all jobs by name, and all their known occurrences by due instant.

    Args:
        snapshots: fresh ones.
    """
    known: dict[JobId, _Known] = {}
    for one in statuses:
        for job in one.snapshot.jobs:
            known.setdefault(JobId(one.source.service, job.name), _Known()).reported.append((one, job))
    for snapshot in snapshots:
        for record in snapshot.jobs:
            known.setdefault(record.job_id, _Known()).read.append((snapshot, record))
    runs = _runs_of(statuses)
    held = {lock.resource: lock for lock in locks if lock.owner}
    claims = {lock.run_id: lock for lock in locks if lock.run_id}
    jobs, shown = [], []
    for key in sorted(known, key=lambda key: (key.name, key.service)):
        one_job = known[key]
        if one_job.declared or one_job.read:
            view, occurrences = _Merging(key, one_job, held, claims, statuses, now).view(runs.get(key, ()))
            jobs.append(view)
            shown += occurrences
    shown.sort(key=lambda view: view.due_ns)
    return jobs, shown


def _runs_of(statuses: Iterable[SchedulerStatus]) -> Mapping[JobId, list[OccurrenceView]]:
    runs: dict[JobId, list[OccurrenceView]] = {}
    for one in statuses:
        for run in one.snapshot.runs:
            runs.setdefault(JobId(one.source.service, run.job), []).append(run)
    return runs


class _Merging:
    """Builds the view of one job.

    Args:
        held: the locks by resource; `claims`: the locks of runs, by run id.
    """

    def __init__(
        self,
        job: JobId,
        known: _Known,
        held: Mapping[str, LockView],
        claims: Mapping[str, LockView],
        statuses: Sequence[SchedulerStatus],
        now: Reading,
    ) -> None:
        self._job = job
        self._service, self._name = job
        self._known = known
        self._declared = known.declared
        latest = max(known.read, key=lambda it: it[1].seen_wall_ns, default=None)
        self._record = None if latest is None else latest[1]
        self._skew_ns = 0 if latest is None else latest[0].skew_ns or 0  # the record's times are by its store's clock
        self._statuses = statuses
        self._now = now
        self._connected = {one.source.owner for one in statuses if one.connected}
        reported = self._declared[0] if self._declared else None
        if reported is not None and (reported[0].connected or self._record is None):
            how: JobRegistered | JobRecord | None = reported[1]
        else:
            how = self._record
        if how is None:
            raise ValueError(f"no scheduler and no store has {self._name}")
        self._how = how
        self._claims = claims
        self._lock = held.get(how.resource)

    def view(self, runs: Sequence[OccurrenceView]) -> tuple[JobView, list[OccurrenceView]]:
        """Return the job, and its occurrences by due instant."""
        how = self._how
        rows = [row for snapshot, _ in self._known.read for row in rows_of(snapshot, self._job)]
        all_of = merged(self._reported(runs), rows)
        waiting = self._waiting(rows, all_of)
        late = self._overdue(waiting)
        if late is not None:
            all_of.append(late)
        recent = all_of[-RECENT_MAX:]
        unfinished = [view for view in all_of if not view.outcome]
        running = [view for view in unfinished if view.state in _STARTED or self._is_claim(view)]
        since = [view.started_wall_ns for view in running if view.started_wall_ns is not None]
        claims = [self._claims[view.run_id] for view in running if view.started_wall_ns is None]
        since += [lock.since_wall_ns for lock in claims if lock.since_wall_ns is not None]
        dead = [view for view in unfinished if view.state == "abandoned"]
        matter = late or (dead[-1] if dead else None)
        return JobView(
            name=self._name,
            service=self._service,
            trigger=how.trigger,
            resource=how.resource,
            next_due_ns=waiting.due_ns,
            overdue_ns=0 if late is None else self._now.wall_ns - late.due_ns,
            why="" if matter is None else matter.why,
            running=len(running),
            running_since_wall_ns=min(since, default=None),
            timeout_ns=how.timeout_ns,
            interval_ns=self._interval_ns(),
            grace_ns=how.grace_ns,
            failures=self._failures(recent),
            pending=sum(len(job.open_occurrences) for one, job in self._known.reported if one.connected),
            recent=recent,
            lateness_ns=[view.lateness_ns for view in recent if view.lateness_ns is not None],
            owners=self._owners(),
            last_success_wall_ns=self._latest(all_of, "last_success_wall_ns", successes=True),
            last_end_wall_ns=self._latest(all_of, "last_end_wall_ns", successes=False),
            abandoned=len(dead) if self._known.read else None,
            shares=summed(job.shares for _, job in self._known.reported if job.shares),
            contested=self._contested(),
        ), all_of

    def _reported(self, runs: Sequence[OccurrenceView]) -> list[OccurrenceView]:
        """Return the occurrences that schedulers reported, each once: recent ones are also among the last minutes'."""
        reported = {id(view): view for view in runs}
        for one, job in self._known.reported:
            reported.update((id(view), view) for view in job.recent)
            if one.connected:
                reported.update((id(view), view) for view in job.open_occurrences)
        return list(reported.values())

    def _is_claim(self, view: OccurrenceView) -> bool:
        """Return whether it is a claim with a live lease that no connected scheduler reports."""
        lock = self._claims.get(view.run_id) if view.state == _CLAIMED else None
        return lock is not None and lock.state == "held" and view.owner not in self._connected

    # --- what is next

    def _waiting(self, rows: Sequence[Row], all_of: Sequence[OccurrenceView]) -> _Waiting:
        """Return the instant that no instance has taken up, from a scheduler at work or else from the ledger."""
        reported = [(one, job) for one, job in self._known.reported if job.declared is not None]
        working = [self._coming_ns(one, job) for one, job in reported if one.at_work]
        if working:
            return self._of_working(working)
        standing = [job.next_due_ns for one, job in reported if one.stalled]
        if standing:
            soonest_ns = min((due_ns for due_ns in standing if due_ns is not None), default=None)
            return _Waiting(soonest_ns, self._now.wall_ns)
        for snapshot, record in self._known.read:
            retired = snapshot.roster.presence(self._job) is JobPresence.RETIRED
            if record is self._record and snapshot.taken is not None and not (retired or self._was_dropped(record)):
                attempts = snapshot.runs.get(self._job, [])
                claims = {row.run.run_id for row in rows if row.run.state == _CLAIMED}
                due_ns = waiting_due_ns(record, attempts, running=bool(claims))
                return _Waiting(self._unreported_ns(due_ns, all_of), snapshot.taken.wall_ns)
        return _Waiting(None, self._now.wall_ns)

    def _of_working(self, coming: Sequence[int | None]) -> _Waiting:
        """Return what waits where schedulers are at work; the one that planned furthest counts."""
        since_ns = self._now.wall_ns - _UNDER_WAY_NS
        passed = [due_ns for due_ns in coming if due_ns is not None and due_ns <= since_ns]
        if len(passed) == len(coming):
            return _Waiting(max(passed), since_ns)
        return _Waiting(min((due_ns for due_ns in coming if due_ns is not None and due_ns > since_ns), default=None), 0)

    def _coming_ns(self, one: SchedulerStatus, job: JobSnapshot) -> int | None:
        """Return what is next for a scheduler at work.

        The reported instant may have passed while the job is in hand, or its events were lost: then it is computed
        from the trigger. Otherwise it waits, because the scheduler has not taken it up.
        """
        due_ns = job.next_due_ns
        if due_ns is None or due_ns > self._now.wall_ns - _UNDER_WAY_NS:
            return due_ns
        gap_ns = one.source.last_gap_ns
        lost = gap_ns is not None and self._now.monotonic_ns - gap_ns <= self._now.wall_ns - due_ns + _UNDER_WAY_NS
        if not (lost or job.open_occurrences):
            return due_ns
        trigger = trigger_of(self._how.trigger, self._name)
        return None if trigger is None else trigger.next_after_ns(self._now.wall_ns)

    def _is_paused(self, due_ns: int) -> bool:
        return any(snapshot.pause_of(self._job, due_ns) is not None for snapshot, _ in self._known.read)

    def _unreported_ns(self, due_ns: int | None, all_of: Sequence[OccurrenceView]) -> int | None:
        """Return the first instant from this one that no scheduler reported: a ledger does not record skips."""
        reported_ns = max(
            (view.until_ns or view.due_ns for view in all_of if view.outcome or view.state == LEFT), default=0
        )
        if due_ns is None or reported_ns < due_ns:
            return due_ns
        trigger = trigger_of(self._how.trigger, self._name)
        return None if trigger is None else trigger.next_after_ns(reported_ns)

    def _was_dropped(self, record: JobRecord) -> bool:
        """Return whether no scheduler is to run it: its service was stopped on request, or those at work dropped it.

        If the scheduler that registered it last left without a stop, it counts as dropped only after an hour.
        """
        own = [one for one in self._statuses if one.source.service == record.service]
        if record.service in resting_services(one.source for one in own):
            return True
        died = {one.source.owner for one in own if not one.connected and not one.source.history.drained}
        due_ns = self._now.wall_ns if record.next_due_ns is None else record.next_due_ns
        late = self._now.wall_ns - due_ns > DROPPED_AFTER_NS
        return any(one.at_work for one in own) and (late or record.owner not in died)

    def _overdue(self, waiting: _Waiting) -> OccurrenceView | None:
        how, due_ns = self._how, waiting.due_ns
        if due_ns is None or due_ns + how.grace_ns >= waiting.seen_wall_ns or self._is_paused(due_ns):
            return None
        lock = self._lock if self._lock is not None and self._lock.state == "held" else None
        if lock is not None and (lock.service, lock.job) == self._job:
            lock = None  # its own run does not delay it: that would be an overlap, and reported
        facts = Facts(
            due_ns=due_ns,
            state="overdue",
            resource=how.resource,
            by="" if lock is None else lock.owner,
            by_job="" if lock is None else _job_of(lock, self._service),
            since_wall_ns=None if lock is None else lock.since_wall_ns,
            grace_ns=how.grace_ns,
            absent=self._absent(),
            now_ns=self._now.wall_ns,
        )
        return OccurrenceView(
            job=self._name, service=self._service, due_ns=due_ns, state="overdue", why=why(facts), by=facts.by
        )

    def _absent(self) -> str:
        """Return why no instance took up the due instant."""
        for one, _ in self._declared:
            if one.stalled:
                quiet_ns = self._now.monotonic_ns - (one.snapshot.ticked_ns or self._now.monotonic_ns)
                since = f" for {span_text(quiet_ns)}" if quiet_ns else ""
                return f"the timeline of {one.source.owner} has not ticked{since}"
            if one.connected and not one.at_work:
                return f"{one.source.owner}, which has it, is {one.snapshot.state or 'not running'}"
        for one, _ in self._declared:
            if one.at_work and any(in_use >= slots for slots, in_use in one.snapshot.pools.values()):
                return f"all workers of {one.source.owner} are busy"
        gone = [(one.snapshot.gone_wall_ns, one.source.owner) for one, _ in self._declared if one.snapshot.gone_wall_ns]
        if gone:
            at_ns, owner = max(gone)
            return f"{owner}, which had it, went away {span_text(self._now.wall_ns - (at_ns or 0))} ago"
        if self._record is not None:
            ago = span_text(max(0, self._now.wall_ns - self._record.seen_wall_ns - self._skew_ns))
            return f"the last instance that registered it is {self._record.owner}, {ago} ago"
        return ""

    # --- the rest

    def _interval_ns(self) -> int | None:
        if self._declared:
            return self._declared[0][1].interval_ns
        return None if self._record is None else interval_ns(self._record, self._now.wall_ns)

    def _contested(self) -> str:
        """Return that two programs have the job, with another trigger or function; "" if none is known to."""
        told = "claims its due instants with another trigger or function"
        for one, job in self._known.reported:
            if one.connected and job.contested is not None:
                return f"is in two programs: {job.contested.claimant} {told} than {one.source.owner}"
        for snapshot, _ in self._known.read:
            runs = snapshot.runs.get(self._job, [])
            owners = owners_of_rivals([Claim(run.owner, run.claimed_wall_ns, run.declaration) for run in runs])
            if owners:
                return f"is in two programs: of {', '.join(owners)}, one {told} than another"
        return ""

    def _failures(self, recent: Sequence[OccurrenceView]) -> int:
        """Count back to the last success; a scheduler's own count reaches further than the recent occurrences."""
        count = 0
        for view in reversed(recent):
            if view.outcome == Outcome.SUCCESS:
                return count
            count += view.outcome in FAILURES
        return max([count, *(job.failures for _, job in self._known.reported)])

    def _owners(self) -> list[str]:
        owners = [one.source.owner for one, _ in self._declared]
        owners += [record.owner for _, record in self._known.read]
        return list(dict.fromkeys(owners))

    def _latest(self, all_of: Iterable[OccurrenceView], name: str, *, successes: bool) -> int | None:
        found = [getattr(job, name) for _, job in self._known.reported]
        found += [
            view.ended_wall_ns
            for view in all_of
            if view.ran_ns is not None and (view.outcome == Outcome.SUCCESS or not successes)
        ]
        return max((at_ns for at_ns in found if at_ns is not None), default=None)


def _job_of(lock: LockView, service: str) -> str:
    """Return the job that a lock is held for, with its service if that is another one; "" for a lock by hand."""
    return lock.job if not lock.job or lock.service == service else str(JobId(lock.service, lock.job))
