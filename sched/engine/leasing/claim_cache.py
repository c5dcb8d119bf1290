"""Remember which occurrences others have claimed, and do not ask the store for those.

A store that can (`ClaimFeed`) tells of each claim as it is won. An instance
that comes later, because its clock is behind or its processor busy, then knows the
answer and saves the round trip. Measured: docs/stores.md.

What is remembered is true for as long as it matters: a claim is undone by nobody but
the sweepers, and what they find abandoned is forgotten here.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from tickglass.sched.durations import SECOND
from tickglass.sched.engine.leasing.instrumented_store import InstrumentedStore
from tickglass.sched.events import ClaimCacheHit
from tickglass.sched.ports import AlreadyClaimed, ClaimFeed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tickglass.sched.ahead import Ahead
    from tickglass.sched.clock import Clock
    from tickglass.sched.ports import ClaimAsk, Claimed, EventSink, Orphan, Refused, Store

__all__ = ["REMEMBERED_MAX", "REMEMBERED_NS", "ClaimCachingStore"]

REMEMBERED_NS: Final = 15 * SECOND  # a clock that is further behind asks, and is told the same by the store
REMEMBERED_MAX: Final = 10_000

_Occurrence = tuple[str, int]


class ClaimCachingStore(InstrumentedStore):
    """A watched store that answers what it has heard already.

    Args:
        owner: of this instance, whose own claims are asked for again when an answer was lost.
    """

    def __init__(self, store: Store, *, owner: str, service: str, clock: Clock, sink: EventSink) -> None:
        super().__init__(store, clock=clock, sink=sink)
        self._owner = owner
        self._service = service
        self._mutex = threading.Lock()
        self._claims: OrderedDict[_Occurrence, tuple[str, int]] = OrderedDict()  # -> by whom, heard when
        self._unwatch: Callable[[], None] = lambda: None
        self.before_claim: Callable[[], None] = lambda: None  # which may raise `StoreUnavailable` instead of the claim

    def start(self) -> None:
        """Begin to listen."""
        if isinstance(self._store, ClaimFeed):
            self._unwatch = self._store.watch_claims(self._service, self._heard)

    def stop(self) -> None:
        """Stop listening."""
        self._unwatch()

    def claim(self, ask: ClaimAsk) -> Claimed | AlreadyClaimed | Refused | Ahead:
        """See `Ledger`."""
        by = self._taken_by((ask.lease.job, ask.due_ns))
        if by is None:
            self.before_claim()
            return super().claim(ask)
        wall_ns = self._clock.wall_ns()
        self._sink.record(ClaimCacheHit(job=ask.lease.job, due_ns=ask.due_ns, claimant=by, wall_ns=wall_ns))
        return AlreadyClaimed(by, None)

    def orphans(self, jobs: Sequence[str], limit: int = 100) -> Sequence[Orphan]:
        """See `Ledger`."""
        found = super().orphans(jobs, limit)
        with self._mutex:
            for orphan in found:
                self._claims.pop((orphan.job, orphan.due_ns), None)
        return found

    def _heard(self, job: str, due_ns: int, owner: str) -> None:
        if owner == self._owner:
            return
        now_ns = self._clock.monotonic_ns()
        with self._mutex:
            self._claims[job, due_ns] = (owner, now_ns)
            self._claims.move_to_end((job, due_ns))
            while len(self._claims) > REMEMBERED_MAX or next(iter(self._claims.values()))[1] + REMEMBERED_NS <= now_ns:
                self._claims.popitem(last=False)

    def _taken_by(self, occurrence: _Occurrence) -> str | None:
        with self._mutex:
            by, heard_ns = self._claims.get(occurrence, ("", 0))
        return by if by and self._clock.monotonic_ns() < heard_ns + REMEMBERED_NS else None
