"""Keep this instance's record in the store, and find out by it that the store has lost what it held, or a part of it.

The record is also the write that shows whether the store takes writes: an instance whose jobs are due once a day, or
are claimed by others, would notice a full, a read-only or a locked store only when it has a claim to make.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from tickglass.sched.durations import SECOND
from tickglass.sched.engine.membership.job_set import fingerprint_of
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.events import StoreForgot, StoreRecordMissing
from tickglass.sched.ports import Beat, InstanceRecord, InstanceState
from tickglass.sched.ports.missing import MissingKind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tickglass.sched.engine.context import EngineContext
    from tickglass.sched.engine.job_table import JobTable
    from tickglass.sched.engine.leasing.write_health import WriteHealth
    from tickglass.sched.job import Job

__all__ = ["OwnRecord"]

_log: Final = logging.getLogger(__name__)
_MIN_NS: Final = SECOND  # with short leases, sweeps come more often than this
_CHECKED_AT_ONCE: Final = 100  # jobs, of which others take their turn at the next beat


class OwnRecord:
    """Writes what the store knows of this instance; one thread at a time.

    Args:
        write_health: knows whether a write has failed since.
        jobs: those of this instance.
        register_again: writes the records of these jobs once more and returns the names of those that it wrote; may
            raise `StoreUnavailable`.
    """

    def __init__(
        self,
        context: EngineContext,
        write_health: WriteHealth,
        *,
        jobs: JobTable,
        register_again: Callable[[Sequence[Job]], Sequence[str]],
    ) -> None:
        self._context = context
        self._write_health = write_health
        self._jobs = jobs
        self._register_again = register_again
        self._incarnation = str(uuid4())
        self._described: tuple[int, str] = (0, fingerprint_of(context.service, ()))  # how many jobs, which only grows
        self._written: InstanceRecord | None = None  # as it was joined or beaten last
        self._written_ns = 0
        self._turn = 0  # the number of the job to go on with

    def beat(self, state: InstanceState, period_ns: int) -> None:
        """Write the record if that is due, if it has changed, or if a write failed and has not worked since.

        Raises:
            StoreUnavailable: the store does not take the write.
        """
        record = self._present(state)
        now_ns = self._context.clock.monotonic_ns()
        due = now_ns - self._written_ns >= max(_MIN_NS, period_ns) or self._write_health.fails
        if record == self._written and not due:
            return
        answer = None if self._written is None else self._context.store.beat(record)
        if answer is not Beat.KNOWN:
            if answer is not None:
                self._register_again(self._described_jobs())
            self._context.store.join(record, sorted(job.name for job in self._described_jobs()))
        self._written, self._written_ns = record, now_ns
        if answer is Beat.FORGOTTEN:
            self._tell_forgotten(self._described[0])
        elif answer is Beat.KNOWN and state is InstanceState.RUNNING:
            self._check_some(self._described[0])

    def leave(self, state: InstanceState) -> None:
        """Write that this instance claims nothing more, or is gone; not if the store does not take writes anyway."""
        if self._written is None or self._write_health.fails:
            return
        try:
            self._context.store.beat(replace(self._written, state=state))
        except StoreUnavailable as error:
            _log.warning("the store does not know that this instance is %s: %s", state, error)

    def _present(self, state: InstanceState) -> InstanceRecord:
        count = len(self._jobs)
        if self._described[0] != count:
            self._described = count, fingerprint_of(self._context.service, self._jobs.first(count))
        context = self._context
        who = (context.service, context.owner, self._incarnation, context.version)
        return InstanceRecord(*who, self._described[1], state)

    def _described_jobs(self) -> Sequence[Job]:
        """Return the jobs of the present fingerprint: one that was added since is in the next record."""
        return self._jobs.first(self._described[0])

    def _check_some(self, count: int) -> None:
        """Register the jobs again whose records alone were deleted; look at some of the first `count` jobs, in turn.

        Raises:
            StoreUnavailable: the store does not answer; the same jobs are looked at next.
        """
        looked_at = self._jobs.first(min(_CHECKED_AT_ONCE, count - self._turn), after=self._turn)
        if looked_at:
            context = self._context
            missing = context.store.unregistered([context.job_id(job.name) for job in looked_at])
            for name in self._register_again([self._jobs[job.name] for job in missing]) if missing else ():
                job = str(context.job_id(name))
                wall_ns = context.clock.wall_ns()
                context.sink.record(
                    StoreRecordMissing(store=context.store.name, kind=MissingKind.JOB, name=job, wall_ns=wall_ns)
                )
        self._turn = self._turn + len(looked_at) if self._turn + len(looked_at) < count else 0

    def _tell_forgotten(self, jobs: int) -> None:
        context = self._context
        context.sink.record(StoreForgot(store=context.store.name, jobs=jobs, wall_ns=context.clock.wall_ns()))
