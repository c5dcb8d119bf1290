"""Keep this instance's record in the store, and find out by it that the store has lost what it held.

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
from tickglass.sched.events import StoreForgot
from tickglass.sched.ports import Beat, InstanceRecord, InstanceState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tickglass.sched.engine.context import EngineContext
    from tickglass.sched.engine.job_table import JobTable
    from tickglass.sched.engine.leasing.write_health import WriteHealth
    from tickglass.sched.job import Job

__all__ = ["OwnRecord"]

_log: Final = logging.getLogger(__name__)
_MIN_NS: Final = SECOND  # with short leases, sweeps come more often than this


class OwnRecord:
    """Writes what the store knows of this instance; one thread at a time.

    Args:
        write_health: knows whether a write has failed since.
        jobs: those of this instance.
        register_again: writes the records of these jobs once more; may raise `StoreUnavailable`.
    """

    def __init__(
        self,
        context: EngineContext,
        write_health: WriteHealth,
        *,
        jobs: JobTable,
        register_again: Callable[[Sequence[Job]], None],
    ) -> None:
        self._context = context
        self._write_health = write_health
        self._jobs = jobs
        self._register_again = register_again
        self._incarnation = str(uuid4())
        self._described: tuple[int, str] = (0, fingerprint_of(context.service, ()))  # how many jobs, which only grows
        self._written: InstanceRecord | None = None  # as it was joined or beaten last
        self._written_ns = 0

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

    def _tell_forgotten(self, jobs: int) -> None:
        context = self._context
        context.sink.record(StoreForgot(store=context.store.name, jobs=jobs, wall_ns=context.clock.wall_ns()))
