"""Advertise this instance's labels, and track which of the preferred labels are present.

For each of its labels an instance asks for the lease on `presence_resource`. One instance per label has it, kept by
the renewer; the others take it over when it ends. An instance that prefers a label checks whether its presence lease
is held: when the store notifies that it was released or has ended, and twice a second, because no store notifies of a
grant and not every store of an end.

These leases move through `LockMachine` as all do, but their moves go to the log and not to the sinks. They are held
as long as a process lives, and refused to all but one instance of a region; among the locks that users wait for and
hold, both would look like trouble. Their cost is counted with the calls to the store.

Without labels and preferences there is no thread and no call.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from tickglass.sched.durations import MS
from tickglass.sched.engine.leasing.holders import holder_of
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.events import LockMoved
from tickglass.sched.lease import Lease, LockEvent, LockMachine, LockReason, LockState, trusted_until_ns
from tickglass.sched.policies import backoff
from tickglass.sched.policies.preference import PRESENCE_TTL_NS, better_labels, head_start_ns, presence_resource
from tickglass.sched.ports import Granted, LeaseAsk
from tickglass.sched.threads.loop import Loop

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickglass.sched.engine.context import EngineContext
    from tickglass.sched.engine.leasing.renewer import KeptLease, LeaseRenewer
    from tickglass.sched.events import Event
    from tickglass.sched.policies.preference import Preference

__all__ = ["CHECK_EVERY_NS", "Presence"]

_log: Final = logging.getLogger(__name__)
CHECK_EVERY_NS: Final = 500 * MS


class Presence:
    """One thread that advertises our labels and checks those of other instances.

    Args:
        ours: the labels of this instance, as `checked_labels` returns them.
    """

    def __init__(self, context: EngineContext, renewer: LeaseRenewer, ours: frozenset[str]) -> None:
        self._context = context
        self._ours = ours
        self._loop = Loop("presence", context.clock, self._step, last=self._give_back, lazy=True)
        self._own = [_PresenceLease(presence_resource(label), context, renewer, self._loop) for label in sorted(ours)]
        self._mutex = threading.Lock()
        self._better: frozenset[str] = frozenset()  # labels to check
        self._absent: frozenset[str] = frozenset()  # a label counts as present until it was checked
        self._watches: dict[str, Callable[[], None]] = {}  # the function that ends each
        self._changed: list[Callable[[], None]] = []
        if self._own:
            self._loop.wake()

    @property
    def idle(self) -> bool:
        """Whether there is no label to advertise or to check; then there is no thread."""
        return not self._own and not self._better

    def start(self) -> None:
        """Start the thread, if there is a label to advertise or to check; else with the first preference."""
        self._loop.start()

    def stop(self) -> None:
        """Release the leases of our labels, and check no more: what is known stays as it is."""
        self._loop.stop()

    def watch_labels(self, preferred: Preference | None) -> None:
        """Check, from now on, the labels that go before ours in this preference."""
        better = frozenset(better_labels(preferred, self._ours))
        if better <= self._better:
            return
        with self._mutex:
            self._better |= better
        self._loop.wake()

    def head_start_ns(self, preferred: Preference | None) -> int:
        """Return how long to hold back, as far as is known now."""
        present = frozenset() if preferred is None else frozenset(preferred.labels) - self._absent
        return head_start_ns(preferred, self._ours, present)

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Call on the loop's thread when a label appears or disappears; return the function that ends it."""
        with self._mutex:
            self._changed.append(changed)

        def end() -> None:
            with self._mutex:
                if changed in self._changed:
                    self._changed.remove(changed)

        return end

    # --- on the thread

    def _step(self) -> int | None:
        """Ask for our leases, and check the better labels once; return when to do so again, None: when woken."""
        instants = [again_ns for lease in self._own if (again_ns := lease.ask()) is not None]
        better = self._better
        for label in better - self._watches.keys():
            self._watches[label] = self._context.store.watch(presence_resource(label), self._loop.wake)
        if better:
            self._note(self._absent_of(better))
            instants.append(self._context.clock.monotonic_ns() + CHECK_EVERY_NS)
        return min(instants, default=None)

    def _give_back(self) -> None:
        for unwatch in self._watches.values():
            unwatch()
        for lease in self._own:
            lease.give_back()

    def _absent_of(self, labels: frozenset[str]) -> frozenset[str]:
        """Return the labels whose lease no instance has; none as long as the store does not answer."""
        try:
            return frozenset(label for label in labels if not self._is_present(label))
        except StoreUnavailable:  # the call is reported
            return frozenset()

    def _is_present(self, label: str) -> bool:
        return holder_of(presence_resource(label), self._context) != ""

    def _note(self, absent: frozenset[str]) -> None:
        if absent == self._absent:
            return
        with self._mutex:
            self._absent = absent
            calls = list(self._changed)
        for call in calls:
            call()


class _PresenceLease:
    """The lease that advertises one label: all on the thread of its `Presence`."""

    def __init__(self, resource: str, context: EngineContext, renewer: LeaseRenewer, loop: Loop) -> None:
        self._resource = resource
        self._context = context
        self._renewer = renewer
        self._loop = loop
        self._lock = LockMachine(
            resource,
            owner=context.owner,
            service=context.service,
            job="",
            run_id="",
            ttl_ns=PRESENCE_TTL_NS,
            blocking=False,
            clock=context.clock,
            sink=_Log(),
        )
        self._token = str(uuid4())
        self._hold: KeptLease | None = None
        self._again_ns = 0
        self._failures = 0
        self._unwatch: Callable[[], None] | None = None

    def ask(self) -> int | None:
        """Ask for the lease, if it is time to; return when to do so again, None: when the loop is woken."""
        if self._lock.state is LockState.LOST:
            self._hold = None  # with the same token, because a renewal without an answer may have prolonged the lease
            self._lock.fire(LockEvent.RELEASED)
        if self._hold is not None:
            return None
        asked_ns = self._context.clock.monotonic_ns()
        if asked_ns < self._again_ns:
            return self._again_ns
        self._lock.fire(LockEvent.REQUESTED)
        try:
            answer = self._context.store.acquire(
                LeaseAsk(self._resource, self._context.owner, self._context.service, self._token, PRESENCE_TTL_NS)
            )
        except StoreUnavailable as error:
            return self._unanswered(error)
        self._failures = 0
        if isinstance(answer, Granted):
            self._take_up(answer, asked_ns)
            return None
        self._again_ns = asked_ns + answer.retry_after_ns
        self._lock.fire(LockEvent.REFUSED, other_owner=answer.holder.owner)
        if self._unwatch is None:
            self._unwatch = self._context.store.watch(self._resource, self._freed)
            self._again_ns = asked_ns  # a release before the watch began was not notified
        return self._again_ns

    def give_back(self) -> None:
        """Release the lease; without an answer from the store it runs out."""
        if self._unwatch is not None:
            self._unwatch()
        if self._hold is None:
            return
        self._renewer.drop(self._hold)
        try:
            self._context.store.release(self._hold.lease)
        except StoreUnavailable as error:
            _log.info("%s was not released, it runs out by itself: %s", self._resource, error)
        self._lock.fire(LockEvent.RELEASED)

    def _take_up(self, granted: Granted, asked_ns: int) -> None:
        """Have the lease kept; if an earlier request without an answer was granted, it ends a little too early."""
        trusted_ns = trusted_until_ns(asked_ns, PRESENCE_TTL_NS, self._context.store.allowance_ns(PRESENCE_TTL_NS))
        lease = Lease(self._resource, self._context.owner, self._token, granted.fence, PRESENCE_TTL_NS, trusted_ns)
        self._lock.fire(LockEvent.GRANTED, fence=granted.fence, trusted_until_ns=trusted_ns)
        self._hold = self._renewer.keep(self._lock, lease, asked_ns, self._loop.wake, renew=True)

    def _unanswered(self, error: StoreUnavailable) -> int:
        down = error.kind == "unavailable"
        self._lock.fire(LockEvent.FAILED, reason=LockReason.STORE_UNAVAILABLE if down else LockReason.STORE_ERROR)
        self._failures += 1
        self._again_ns = self._context.clock.monotonic_ns() + backoff.STORE.after(self._failures)
        return self._again_ns

    def _freed(self) -> None:
        """On any thread."""
        self._again_ns = 0
        self._loop.wake()


class _Log:
    """An `EventSink` that logs the moves of these leases."""

    def record(self, event: Event) -> None:
        """See `EventSink`."""
        if not isinstance(event, LockMoved):
            return
        level = logging.INFO if event.event == LockEvent.GRANTED.value else logging.DEBUG
        _log.log(
            logging.WARNING if event.after == LockState.LOST.value else level, "%s %s", event.resource, event.event
        )
