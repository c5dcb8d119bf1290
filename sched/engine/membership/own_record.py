"""Keep this instance's record in the store, and find out by it that the store has lost what it held, or a part of it.

The record is also the write that shows whether the store takes writes: an instance whose jobs are due once a day, or
are claimed by others, would notice a full, a read-only or a locked store only when it has a claim to make.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from tickglass.sched.durations import SECOND
from tickglass.sched.engine.membership.job_set import fingerprint_of
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.events import StoreForgot, StoreRecordMissing
from tickglass.sched.ports import Beat, InstanceRecord, InstanceState
from tickglass.sched.ports.missing import MissingKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tickglass.sched.engine.context import EngineContext
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
        jobs: returns the jobs of this instance, by name.
        register_again: writes the records of these jobs once more and returns the names of those that it wrote; may
            raise `StoreUnavailable`.
    """

    def __init__(
        self,
        context: EngineContext,
        write_health: WriteHealth,
        *,
        jobs: Callable[[], Mapping[str, Job]],
        register_again: Callable[[Mapping[str, Job]], Sequence[str]],
    ) -> None:
        self._context = context
        self._write_health = write_health
        self._jobs = jobs
        self._register_again = register_again
        self._incarnation = str(uuid4())
        self._described: tuple[Mapping[str, Job], str] = ({}, fingerprint_of(context.service, ()))
        self._written: InstanceRecord | None = None  # as it was joined or beaten last
        self._written_ns = 0
        self._turn = 0  # the number of the job to go on with

    def beat(self, state: InstanceState, period_ns: int) -> None:
        """Write the record if that is due, if it has changed, or if a write failed and has not worked since.

        Raises:
            StoreUnavailable: the store does not take the write.
        """
        jobs, record = self._present(state)
        now_ns = self._context.clock.monotonic_ns()
        due = now_ns - self._written_ns >= max(_MIN_NS, period_ns) or self._write_health.fails
        if record == self._written and not due:
            return
        answer = None if self._written is None else self._context.store.beat(record)
        if answer is not Beat.KNOWN:
            if answer is not None:
                self._register_again(jobs)
            self._context.store.join(record, sorted(jobs))
        self._written, self._written_ns = record, now_ns
        if answer is Beat.FORGOTTEN:
            self._tell_forgotten(len(jobs))
        elif answer is Beat.KNOWN and state is InstanceState.RUNNING:
            self._check_some(jobs)

    def leave(self, state: InstanceState) -> None:
        """Write that this instance claims nothing more, or is gone; not if the store does not take writes anyway."""
        if self._written is None or self._write_health.fails:
            return
        try:
            self._context.store.beat(replace(self._written, state=state))
        except StoreUnavailable as error:
            _log.warning("the store does not know that this instance is %s: %s", state, error)

    def _present(self, state: InstanceState) -> tuple[Mapping[str, Job], InstanceRecord]:
        jobs = self._jobs()
        if self._described[0] is not jobs:
            self._described = jobs, fingerprint_of(self._context.service, jobs.values())
        context = self._context
        who = (context.service, context.owner, self._incarnation, context.version)
        return jobs, InstanceRecord(*who, self._described[1], state)

    def _check_some(self, jobs: Mapping[str, Job]) -> None:
        """Register the jobs again whose records alone were deleted; look at some of the jobs, in turn.

        Raises:
            StoreUnavailable: the store does not answer; the same jobs are looked at next.
        """
        names = list(islice(jobs, self._turn, self._turn + _CHECKED_AT_ONCE))
        if names:
            context = self._context
            missing = context.store.unregistered([context.job_id(name) for name in names])
            for name in self._register_again({job.name: jobs[job.name] for job in missing}) if missing else ():
                job = str(context.job_id(name))
                wall_ns = context.clock.wall_ns()
                context.sink.record(
                    StoreRecordMissing(store=context.store.name, kind=MissingKind.JOB, name=job, wall_ns=wall_ns)
                )
        self._turn = self._turn + len(names) if self._turn + len(names) < len(jobs) else 0

    def _tell_forgotten(self, jobs: int) -> None:
        context = self._context
        context.sink.record(StoreForgot(store=context.store.name, jobs=jobs, wall_ns=context.clock.wall_ns()))
