"""Remember which occurrences other instances have claimed, and answer for those without asking the store.

A store that is a `ClaimFeed` reports claims as they are won, or when it is looked at before the first question. An
instance that is later, because its clock is behind or its processor is busy, then knows the answer and saves the
question. Measured: docs/stores.md.

A remembered claim stays true: only the sweepers undo claims, and those that they find abandoned are forgotten here.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from tickglass.sched.durations import SECOND
from tickglass.sched.engine.leasing.instrumented_store import InstrumentedStore
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.events import ClaimCacheHit
from tickglass.sched.identity import JobId
from tickglass.sched.ports import AlreadyClaimed, ClaimFeed, ClaimWatch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tickglass.sched.clock import Clock
    from tickglass.sched.ports import ClaimAnswer, ClaimAsk, EventSink, Orphan, Store

__all__ = ["REMEMBERED_MAX", "REMEMBERED_NS", "ClaimCachingStore"]

REMEMBERED_NS: Final = 15 * SECOND  # an instance whose clock is further behind asks the store, and gets the same answer
REMEMBERED_MAX: Final = 10_000

_Occurrence = tuple[JobId, int]


class ClaimCachingStore(InstrumentedStore):
    """An `InstrumentedStore` that answers for claims of which it was notified.

    Args:
        owner: this instance; its own claims are not cached, because it asks for them again when an answer was lost.
    """

    def __init__(self, store: Store, *, owner: str, service: str, clock: Clock, sink: EventSink) -> None:
        super().__init__(store, clock=clock, sink=sink)
        self._owner = owner
        self._service = service
        self._mutex = threading.Lock()
        self._claims: OrderedDict[_Occurrence, tuple[str, int]] = OrderedDict()  # -> claimant, notified when
        self._watch = ClaimWatch()
        self.before_claim: Callable[[], None] = lambda: None  # which may raise `StoreUnavailable` instead of the claim

    def start(self) -> None:
        """Begin to listen."""
        if isinstance(self._store, ClaimFeed):
            self._watch = self._store.watch_claims(self._service, self._owner, self._on_claim)

    def stop(self) -> None:
        """Stop listening."""
        self._watch.end()

    def claim(self, ask: ClaimAsk) -> ClaimAnswer:
        """See `Ledger`."""
        (known,) = self._known_of([ask])
        if known is None:
            self.before_claim()
            return super().claim(ask)
        return known

    def claim_many(self, asks: Sequence[ClaimAsk]) -> Sequence[ClaimAnswer | StoreUnavailable]:
        """See `Ledger`; the store is asked for the rest. What is known here stands if the store does not answer."""
        known = self._known_of(asks)
        unknown = [ask for ask, answer in zip(asks, known, strict=True) if answer is None]
        rest = iter(self._ask_for(unknown, alone=len(unknown) == len(asks)) if unknown else ())
        return [next(rest) if answer is None else answer for answer in known]

    def orphans(self, jobs: Sequence[JobId], limit: int = 100) -> Sequence[Orphan]:
        """See `Ledger`."""
        found = super().orphans(jobs, limit)
        with self._mutex:
            for orphan in found:
                self._claims.pop((orphan.job_id, orphan.due_ns), None)
        return found

    def _on_claim(self, job: str, due_ns: int, owner: str) -> None:
        if owner == self._owner:
            return
        now_ns = self._clock.monotonic_ns()
        occurrence = (JobId(self._service, job), due_ns)
        with self._mutex:
            self._claims[occurrence] = (owner, now_ns)
            self._claims.move_to_end(occurrence)
            while len(self._claims) > REMEMBERED_MAX or next(iter(self._claims.values()))[1] + REMEMBERED_NS <= now_ns:
                self._claims.popitem(last=False)

    def _ask_for(self, asks: Sequence[ClaimAsk], *, alone: bool) -> Sequence[ClaimAnswer | StoreUnavailable]:
        try:
            self.before_claim()
            return super().claim_many(asks)
        except StoreUnavailable as error:
            if alone:
                raise
            return [error] * len(asks)

    def _known_of(self, asks: Sequence[ClaimAsk]) -> list[AlreadyClaimed | None]:
        """Return what is known of each; the store is looked at only if there is one of which nothing is known yet."""
        known = [self._known(ask) for ask in asks]
        due_ns = [ask.due_ns for ask, answer in zip(asks, known, strict=True) if answer is None]
        if due_ns and self._watch.look(min(due_ns), max(due_ns)):
            known = [self._known(ask) if answer is None else answer for ask, answer in zip(asks, known, strict=True)]
        return known

    def _known(self, ask: ClaimAsk) -> AlreadyClaimed | None:
        """Return the answer, and report that it saved a request; None if another claim is not known."""
        with self._mutex:
            by, notified_ns = self._claims.get((ask.job_id, ask.due_ns), ("", 0))
        if not by or self._clock.monotonic_ns() >= notified_ns + REMEMBERED_NS:
            return None
        wall_ns = self._clock.wall_ns()
        self._sink.record(ClaimCacheHit(job=ask.lease.job, due_ns=ask.due_ns, claimant=by, wall_ns=wall_ns))
        return AlreadyClaimed(by, None)
