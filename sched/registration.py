"""Decide from when on a job that is registered owes its due instants.

Pure: no I/O, no clock reads, no logging.
"""

from __future__ import annotations

from dataclasses import dataclass

from tickglass.sched.identity import JobId

__all__ = ["JobRecord", "Registered"]


@dataclass(frozen=True, slots=True)
class JobRecord:
    """What the store knows of a job, for observers and for restarts.

    Args:
        next_due_ns: the next due instant, as last written; None when there is none.
        last_due_ns: the latest occurrence that any instance has claimed; None if none was.
        seen_wall_ns: the store's wall clock when this was last written, by a registration or a claim.
    """

    name: str
    trigger: str
    resource: str
    owner: str
    service: str
    ttl_ns: int
    grace_ns: int
    timeout_ns: int | None
    next_due_ns: int | None
    last_due_ns: int | None = None
    seen_wall_ns: int = 0

    @property
    def job_id(self) -> JobId:
        """The job that it is the record of."""
        return JobId(self.service, self.name)


@dataclass(frozen=True, slots=True)
class Registered:
    """What a registration did.

    Args:
        job: the record as stored now, with `last_due_ns`.
        before: the record that it replaced, as it was; None if the job was not known.
    """

    job: JobRecord
    before: JobRecord | None = None

    def owes_after_ns(self, now_ns: int) -> int:
        """Return the instant after which the job owes its due instants; those up to it are not owed.

        If the previous registration or claim announced an instant under the same trigger, it lies just before that
        instant, but not after the present. With another trigger it is the present: see `superseded_due_ns` for what
        the old one announced. If nothing was announced, it is the latest claimed instant, or the present if there is
        none. It never lies before the latest claimed instant. An announcement beyond the next due instant came from
        a fast clock, and does not count.

        An announced instant that has passed is announced again while it may still run (`Planner.add`). So several
        instances may find it, but only one instance finds it once it is past its grace.

        Args:
            now_ns: the wall clock, nanoseconds since the Unix epoch; so is the answer.
        """
        claimed_ns, before = self.job.last_due_ns, self.before
        if before is not None and before.trigger != self.job.trigger:
            since_ns = now_ns
        elif before is not None and before.next_due_ns is not None and not self._is_ahead(before.next_due_ns):
            since_ns = min(now_ns, before.next_due_ns - 1)
        else:
            since_ns = now_ns if claimed_ns is None else claimed_ns
        return since_ns if claimed_ns is None else max(since_ns, claimed_ns)

    def superseded_due_ns(self, now_ns: int) -> int | None:
        """Return the instant that was announced under another trigger than now, has passed and was never claimed."""
        before = self.before
        if before is None or before.trigger == self.job.trigger or before.next_due_ns is None:
            return None
        claimed = self.job.last_due_ns is not None and self.job.last_due_ns >= before.next_due_ns
        return None if claimed or before.next_due_ns > now_ns else before.next_due_ns

    def _is_ahead(self, announced_ns: int) -> bool:
        """Whether an announcement lies beyond the next due instant: then it came from a fast clock."""
        return self.job.next_due_ns is not None and announced_ns > self.job.next_due_ns
