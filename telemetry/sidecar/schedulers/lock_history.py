"""Keep the locks of one scheduler: holders, waiters and incidents.

No I/O, no clock reads. Not thread-safe: the caller holds a mutex.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final

import msgspec

from tickglass.sched.lease import LockEvent, LockState
from tickglass.telemetry.sidecar.view import LockMark

if TYPE_CHECKING:
    from tickglass.sched.events import FencingRejected, JobRegistered, LockMoved

__all__ = ["ENDS_MAX", "HOLDS_MAX", "MARKS_MAX", "WAITED_MAX", "Hold", "LockHistory"]

MARKS_MAX: Final = 500
ENDS_MAX: Final = 2_000  # holds that a probe of the store may still show
HOLDS_MAX: Final = 10_000  # locks by hand have any number of names, but few are held at a time
WAITED_MAX: Final = 1_000  # as many as a view shows; waiters of further resources are not counted


class Hold(msgspec.Struct, frozen=True, gc=False):
    """A lock that is held; `since_ns` and `renewed_ns` are monotonic, by the scheduler's own clock."""

    resource: str
    owner: str
    service: str
    job: str
    run_id: str
    fence: int
    ttl_ns: int
    since_ns: int
    since_wall_ns: int
    renewed_ns: int


class LockHistory:
    """The locks of one scheduler."""

    def __init__(self) -> None:
        self.marks: deque[LockMark] = deque(maxlen=MARKS_MAX)
        self.waiters: dict[str, int] = {}
        self.ends: OrderedDict[tuple[str, int], int] = OrderedDict()  # of (resource, fence), monotonic
        self._holds: dict[str, Hold] = {}
        self._limits: dict[str, tuple[str, int | None]] = {}  # by job: its resource, and its timeout

    def forget(self) -> None:
        """Forget holds and waiters; marks and limits stay."""
        self.waiters.clear()
        self._holds.clear()

    def undeclare(self) -> None:
        """Forget the limits, because the jobs are about to be registered again."""
        self._limits.clear()

    def declared(self, event: JobRegistered) -> None:
        """Take a job's limit; the caller bounds the number of jobs."""
        self._limits[event.job] = event.resource, event.timeout_ns

    def moved(self, event: LockMoved) -> None:
        """Take one move."""
        if event.event == LockEvent.REQUESTED:
            if event.resource in self.waiters or len(self.waiters) < WAITED_MAX:
                self.waiters[event.resource] = self.waiters.get(event.resource, 0) + 1
        elif event.before == LockState.WAITING:
            self._waited(event.resource)
        if event.event == LockEvent.GRANTED:
            self._granted(event)
        elif event.event == LockEvent.RENEWED:
            self._renewed(event)
        elif event.before == LockState.HELD and event.after != LockState.HELD:
            hold = self._holds.get(event.resource)
            if hold is not None and hold.fence == event.fence:
                del self._holds[event.resource]
            self.ends[event.resource, event.fence] = event.at_ns
            while len(self.ends) > ENDS_MAX:
                self.ends.popitem(last=False)
            if event.after == LockState.LOST:
                self._mark(event, event.event)

    def rejected(self, event: FencingRejected) -> None:
        """Mark a write that was refused because of its stale fence."""
        self.marks.append(
            LockMark(
                resource=event.resource,
                job=event.job,
                at_wall_ns=event.wall_ns,
                what="rejected",
                service=event.service,
                owner=event.owner,
            )
        )

    def holder_of(self, resource: str) -> Hold | None:
        """Return its hold on this scheduler, if there is one."""
        return self._holds.get(resource)

    def present(self) -> list[Hold]:
        """Return the locks that are held."""
        return list(self._holds.values())

    def limits(self) -> dict[str, int | None]:
        """Return how long each resource may be held: the longest timeout; None if a job on it has none."""
        longest: dict[str, int | None] = {}
        for resource, timeout_ns in self._limits.values():
            known_ns = longest.get(resource, 0)
            longest[resource] = None if known_ns is None or timeout_ns is None else max(known_ns, timeout_ns)
        return longest

    def _waited(self, resource: str) -> None:
        left = self.waiters.get(resource, 0) - 1
        if left > 0:
            self.waiters[resource] = left
        else:
            self.waiters.pop(resource, None)

    def _granted(self, event: LockMoved) -> None:
        if event.other_owner:
            self._mark(event, "taken over")
        who = (event.resource, event.owner, event.service, event.job, event.run_id)
        self._holds[event.resource] = Hold(*who, event.fence, event.ttl_ns, event.at_ns, event.wall_ns, event.at_ns)
        while len(self._holds) > HOLDS_MAX:
            del self._holds[next(iter(self._holds))]

    def _renewed(self, event: LockMoved) -> None:
        hold = self._holds.get(event.resource)
        if hold is not None and hold.fence == event.fence:
            self._holds[event.resource] = msgspec.structs.replace(hold, ttl_ns=event.ttl_ns, renewed_ns=event.at_ns)

    def _mark(self, event: LockMoved, what: str) -> None:
        self.marks.append(
            LockMark(
                resource=event.resource,
                job=event.job,
                at_wall_ns=event.wall_ns,
                what=what,
                service=event.service,
                owner=event.owner,
                other=event.other_owner,
            )
        )
