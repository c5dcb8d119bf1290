"""What a run runs under, from before it starts until its end is written.

Normally a claim with its lease (`ClaimedRun`). A job that allows it also runs without
one while the store does not answer (`UnclaimedRun`).
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, Protocol

import msgspec
from msgspec.structs import replace

from tickglass.sched.events import ClaimOrphaned
from tickglass.sched.lease import LockEvent, LockState, trusted_until_ns
from tickglass.sched.occurrence import OccurrenceEvent, Outcome
from tickglass.sched.ports import Settlement, SpooledOutcome, TracedRun
from tickglass.sched.run import Run

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickglass.sched.engine.context import EngineContext
    from tickglass.sched.engine.leasing.in_doubt import InDoubt
    from tickglass.sched.engine.leasing.renewer import LeaseRenewer
    from tickglass.sched.engine.running.claim import ClaimWon
    from tickglass.sched.engine.running.settlement import SettlementGroup
    from tickglass.sched.job import Job
    from tickglass.sched.lease import Lease, LockMachine
    from tickglass.sched.occurrence import OccurrenceMachine
    from tickglass.sched.ports import ClaimAsk
    from tickglass.sched.stop_signal import StopSignal

__all__ = ["ClaimedRun", "Preparation", "RunLease", "RunResult", "UnclaimedRun"]

_NEVER_NS: Final = 2**63 - 1


class RunResult(msgspec.Struct, frozen=True):
    """How a run ended, as it is written to the ledger."""

    outcome: Outcome
    detail: str
    started_wall_ns: int | None
    lateness_ns: int | None
    started_after_ns: int | None = None  # how long after the claim
    ran_ns: int | None = None


class Preparation(msgspec.Struct, frozen=True):
    """What is known of an occurrence before it may run, and the ports that its run lease needs.

    Args:
        stop: that of the run; it may have been asked to stop already.
        began_wall_ns: when a worker took it.
    """

    job: Job
    occurrence: OccurrenceMachine
    lock: LockMachine
    ask: ClaimAsk
    stop: StopSignal
    began_wall_ns: int
    context: EngineContext
    renewer: LeaseRenewer
    in_doubt: InDoubt
    settlements: SettlementGroup

    def trace(self, *, fence: int, previous_run_id: str) -> None:
        """Open the root span; from here on, all of the run's events know whether it is sampled."""
        occurrence = self.occurrence
        traced = TracedRun(
            run_id=occurrence.run_id,
            job=self.job.name,
            trigger=str(self.job.trigger),
            resource=self.job.resource,
            due_ns=occurrence.due_ns,
            attempt=occurrence.attempt,
            fence=fence,
            owner=self.context.owner,
            service=self.context.service,
            began_wall_ns=self.began_wall_ns,
            previous_run_id=previous_run_id,
        )
        self.lock.sampled = occurrence.sampled = self.context.tracer.begin(traced)

    def run(self) -> Run:
        """Make what the job's code is given."""
        occurrence = self.occurrence
        return Run(self.lock, self.stop, due_ns=occurrence.due_ns, attempt=occurrence.attempt, clock=self.context.clock)

    def settlement(self, lease: Lease | None, result: RunResult) -> Settlement:
        """Say how it ended, in the ledger's terms.

        Args:
            lease: None: the claim got no answer; it may have been granted all the same.
        """
        return Settlement(
            lease=lease or self.ask.lease.untrusted(0),
            service=self.context.service,
            job=self.job.name,
            due_ns=self.occurrence.due_ns,
            run_id=self.occurrence.run_id,
            outcome=result.outcome,
            detail=result.detail,
            started_wall_ns=result.started_wall_ns,
            lateness_ns=result.lateness_ns,
            started_after_ns=result.started_after_ns,
            ran_ns=result.ran_ns,
        )


class RunLease(Protocol):
    """What a run runs under."""

    run: Run
    stop: StopSignal

    @property
    def claimed(self) -> bool:
        """Whether there is a lease, and the ledger knows of the run."""
        ...

    @property
    def ends_ns(self) -> int:
        """Until when (monotonic) it can be trusted without another renewal."""
        ...

    def check(self) -> None:
        """Find out now whether it is over: in a process that was frozen, no timer has said so."""
        ...

    def stop_renewing(self) -> None:
        """Let it run out, because the engine itself has failed."""
        ...

    def end(self, result: RunResult, guarded: Callable[[Callable[[], None]], None], ended: Callable[[], None]) -> None:
        """Have the result written, with others, and the lease released; unless `end_now` has done so.

        Args:
            guarded: takes a step; an error of the engine in it aborts this run alone.
            ended: called when the result is written, spooled or given up.
        """
        ...

    def end_now(self, result: RunResult) -> bool:
        """Write the result and release the lease; False: that has been done."""
        ...


class ClaimedRun:
    """A claim and its lease; reported when made, kept until its end.

    Args:
        on_lost: called once when the lease can no longer be trusted.
    """

    claimed: Final = True

    def __init__(self, preparation: Preparation, won: ClaimWon, on_lost: Callable[[], None]) -> None:
        job, lock, context, claimed = preparation.job, preparation.lock, preparation.context, won.claimed
        trusted_ns = trusted_until_ns(won.asked_ns, job.ttl_ns, context.store.allowance_ns(job.ttl_ns))
        lease = preparation.ask.lease.trusted(claimed.fence, trusted_ns)
        preparation.occurrence.attempt, preparation.occurrence.fence = claimed.attempt, claimed.fence
        preparation.trace(fence=claimed.fence, previous_run_id=claimed.previous_run_id)
        if claimed.previous_run_id:
            self._report_orphan(preparation, won)
        lock.fire(
            LockEvent.GRANTED, fence=claimed.fence, trusted_until_ns=trusted_ns, other_owner=claimed.expired_owner
        )
        preparation.occurrence.fire(OccurrenceEvent.CLAIMED)
        self.stop = preparation.stop
        self.run = preparation.run()
        self._preparation = preparation
        self._renewer = preparation.renewer
        self._kept = self._renewer.keep(lock, lease, won.asked_ns, on_lost, renew=job.renew)
        self._ending = threading.Lock()
        self._has_ended = False

    @property
    def ends_ns(self) -> int:
        """See `RunLease`."""
        return self._kept.lease.trusted_until_ns

    def check(self) -> None:
        """See `RunLease`; the timer's thread may have found it out, and not have said so yet."""
        self._renewer.check(self._kept)
        if self._preparation.lock.state is not LockState.HELD:
            self.stop.ask("lost")

    def stop_renewing(self) -> None:
        """See `RunLease`."""
        self._renewer.stop_renewing(self._kept)

    def end(self, result: RunResult, guarded: Callable[[Callable[[], None]], None], ended: Callable[[], None]) -> None:
        """See `RunLease`; the claim of a lost run stays open, so that an instance can run it again."""
        preparation = self._preparation
        with self._ending:  # `end_now` may be writing
            first, self._has_ended = not self._has_ended, True
        if not first or self._leaves_open(result):
            ended()
            return
        self._renewer.drop(self._kept)
        settlement = preparation.settlement(self._kept.lease, result)
        preparation.settlements.add(settlement, preparation.lock, guarded, ended)
        if preparation.job.shares_resource:  # another job may wait for it
            preparation.settlements.flush_aside()

    def end_now(self, result: RunResult) -> bool:
        """See `RunLease`; `end` waits for it meanwhile."""
        with self._ending:
            if self._has_ended:
                return False
            self._has_ended = True
            if not self._leaves_open(result):
                self._renewer.drop(self._kept)
                settlement = self._preparation.settlement(self._kept.lease, result)
                self._preparation.settlements.settle(settlement, self._preparation.lock)
            return True

    def _leaves_open(self, result: RunResult) -> bool:
        """Leave the claim open if the run was lost and is to be run again; return whether that is so."""
        preparation = self._preparation
        if result.outcome is not Outcome.LOST or not preparation.job.rerun:
            return False
        self._renewer.drop(self._kept)
        preparation.in_doubt.note_open(preparation.ask)  # an unanswered renewal may have prolonged its lease
        preparation.lock.fire(LockEvent.RELEASED)
        return True

    @staticmethod
    def _report_orphan(preparation: Preparation, won: ClaimWon) -> None:
        preparation.context.sink.record(
            ClaimOrphaned(
                job=preparation.job.name,
                due_ns=preparation.occurrence.due_ns,
                attempt=won.claimed.attempt - 1,
                run_id=won.claimed.previous_run_id,
                claimant=won.claimed.expired_owner,
                wall_ns=preparation.context.clock.wall_ns(),
            )
        )


class UnclaimedRun:
    """A run while the store does not answer: no lease, no fence; its outcome is written later."""

    claimed: Final = False
    ends_ns: Final = _NEVER_NS

    def __init__(self, preparation: Preparation) -> None:
        self._preparation = preparation
        preparation.trace(fence=0, previous_run_id="")
        preparation.occurrence.fire(OccurrenceEvent.STARTED_UNCLAIMED)
        self.stop = preparation.stop
        self.run = preparation.run()

    def check(self) -> None:
        """See `RunLease`; there is nothing to lose."""

    def stop_renewing(self) -> None:
        """See `RunLease`; there is nothing to renew."""

    def end(self, result: RunResult, guarded: Callable[[Callable[[], None]], None], ended: Callable[[], None]) -> None:
        """See `RunLease`; it is written when the store answers."""
        del guarded  # nothing here is done later
        self.end_now(result)
        ended()

    def end_now(self, result: RunResult) -> bool:
        """See `RunLease`; it is called once, because there is no lock to release early."""
        preparation = self._preparation
        settlement = preparation.settlement(None, replace(result, started_after_ns=None))
        preparation.settlements.spool(SpooledOutcome(settlement, unclaimed=preparation.ask))
        return True
