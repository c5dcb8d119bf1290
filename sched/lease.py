"""Decide how long a lease may be trusted, and which moves a lock can make.

Pure: no I/O, no logging. Time comes from the injected clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from tickglass.sched.durations import MS, duration_text
from tickglass.sched.errors import ConfigError
from tickglass.sched.events import FencingRejected, LockMoved
from tickglass.sched.state_machine import StateMachine, Word, moves_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tickglass.sched.clock import Clock
    from tickglass.sched.ports.events import EventSink
    from tickglass.sched.state_machine import Move

__all__ = [
    "LOCK_TRANSITIONS",
    "RENEWALS_PER_TTL",
    "Lease",
    "LockEvent",
    "LockMachine",
    "LockReason",
    "LockState",
    "check_ttl",
    "drift_allowance_ns",
    "trusted_until_ns",
]

RENEWALS_PER_TTL: Final = 3  # renewed at a third of the TTL: two more tries fit before the lease ends


class Lease(msgspec.Struct, frozen=True):
    """A lock held for a bounded time.

    Args:
        fence: fencing token; only grows per resource, over expiry and restart.
        trusted_until_ns: monotonic nanoseconds; after it, the holder must not act on it. 0: not trusted at all.
    """

    resource: str
    owner: str
    token: str
    fence: int
    ttl_ns: int
    trusted_until_ns: int


class LockState(Word):
    """Where one party stands with one lock."""

    IDLE = "idle"
    WAITING = "waiting"
    HELD = "held"
    LOST = "lost"


class LockEvent(Word):
    """What can happen to it."""

    REQUESTED = "requested"
    GRANTED = "granted"
    REFUSED = "refused"  # another holder has it, or had it: the race is lost
    FAILED = "failed"  # the attempt came to nothing: see LockReason
    RENEWED = "renewed"
    RENEWAL_FAILED = "renewal_failed"
    EXPIRED = "expired"  # trust ran out before a renewal was confirmed
    LOST = "lost"  # the store says that it is no longer ours
    RELEASED = "released"


class LockReason(Word):
    """Why an attempt failed."""

    TIMEOUT = "timeout"
    STORE_UNAVAILABLE = "store_unavailable"
    STORE_ERROR = "store_error"
    FENCED = "fenced"
    CANCELLED = "cancelled"


LOCK_TRANSITIONS: Final[Mapping[tuple[LockState, LockEvent], LockState]] = {
    (LockState.IDLE, LockEvent.REQUESTED): LockState.WAITING,
    (LockState.WAITING, LockEvent.GRANTED): LockState.HELD,
    (LockState.WAITING, LockEvent.REFUSED): LockState.IDLE,
    (LockState.WAITING, LockEvent.FAILED): LockState.IDLE,
    (LockState.HELD, LockEvent.RENEWED): LockState.HELD,
    (LockState.HELD, LockEvent.RENEWAL_FAILED): LockState.HELD,
    (LockState.HELD, LockEvent.EXPIRED): LockState.LOST,
    (LockState.HELD, LockEvent.LOST): LockState.LOST,
    (LockState.HELD, LockEvent.RELEASED): LockState.IDLE,
    (LockState.LOST, LockEvent.RELEASED): LockState.IDLE,
}
_MOVES: Final = moves_of(LOCK_TRANSITIONS)


class LockMachine(StateMachine[LockState, LockEvent]):
    """One party's view of one lock, from the request to the release.

    Args:
        run_id: the run that asks for it, "" for a lock by hand.
        blocking: whether it waits after a refusal.
        renewing: whether the lease is renewed while it is held.
    """

    __slots__ = (
        "_told",
        "blocking",
        "fence",
        "job",
        "margin_ns",
        "other_owner",
        "owner",
        "reason",
        "renewing",
        "resource",
        "run_id",
        "sampled",
        "service",
        "trusted_until_ns",
        "ttl_ns",
    )

    # Of the latest move:
    reason: str | None
    margin_ns: int | None
    other_owner: str
    _told: LockMoved | None

    def __init__(
        self,
        resource: str,
        *,
        owner: str,
        service: str,
        job: str,
        run_id: str,
        ttl_ns: int,
        blocking: bool,
        renewing: bool = True,
        clock: Clock,
        sink: EventSink,
    ) -> None:
        super().__init__(("lock", resource), _MOVES, LockState.IDLE, clock, sink)
        self.resource = resource
        self.owner = owner
        self.service = service
        self.job = job
        self.run_id = run_id
        self.ttl_ns = ttl_ns
        self.blocking = blocking
        self.renewing = renewing
        self.fence = 0
        self.trusted_until_ns = 0
        self.sampled = False

    def fire(
        self,
        event: LockEvent,
        *,
        reason: LockReason | None = None,
        fence: int | None = None,
        trusted_until_ns: int | None = None,
        margin_ns: int | None = None,
        other_owner: str = "",
    ) -> Move[LockState, LockEvent]:
        """Make one move and report it.

        Args:
            reason: with FAILED and EXPIRED, why.
            fence: with GRANTED, the fencing token.
            trusted_until_ns: with GRANTED and RENEWED, the new end of trust.
            margin_ns: with RENEWED, what was left of the lease when it was confirmed.
            other_owner: with REFUSED and LOST, its present owner; with GRANTED, the owner
                whose lease on it had ended without a release.

        Raises:
            IllegalTransition: the table has no such move; nothing changed.
        """
        with self._mutex:
            move = self._make(event)
            if fence is not None:
                self.fence = fence
            if trusted_until_ns is not None:
                self.trusted_until_ns = trusted_until_ns
            self.reason, self.margin_ns, self.other_owner = reason, margin_ns, other_owner
            self._told = None
            self._sink.lock_moved(self)  # never raises: see EventSink
            return move

    def report(self) -> LockMoved:
        """Return the latest move as an event; called by sinks that are told of it. See `LockMove`."""
        if self._told is None:
            self._told = LockMoved(
                resource=self.resource,
                owner=self.owner,
                service=self.service,
                job=self.job,
                run_id=self.run_id,
                sampled=self.sampled,
                blocking=self.blocking,
                renewing=self.renewing,
                before=self.before,
                event=self.event,
                after=self.after,
                at_ns=self.at_ns,
                wall_ns=self.wall_ns,
                stayed_ns=self.stayed_ns,
                ttl_ns=self.ttl_ns,
                fence=self.fence,
                reason=self.reason,
                margin_ns=self.margin_ns,
                other_owner=self.other_owner,
            )
        return self._told

    def report_stale_fence(self, newest: int) -> None:
        """Report that a write under this lock's fence was refused; no move, because a guard cannot end a lease."""
        self._sink.record(
            FencingRejected(
                resource=self.resource,
                owner=self.owner,
                service=self.service,
                job=self.job,
                run_id=self.run_id,
                fence=self.fence,
                newest=newest,
                wall_ns=self._clock.wall_ns(),
            )
        )


def drift_allowance_ns(ttl_ns: int) -> int:
    """Return what to subtract from a TTL because two clocks run at different rates.

    Source: the Redlock algorithm, redis.io/docs: 1 % of the TTL plus 2 ms.
    """
    return ttl_ns // 100 + 2 * MS


def check_ttl(what: str, ttl_ns: int, allowance_ns: int) -> None:
    """Refuse a lease that would be trusted for less than half of its TTL: its renewals would come too late.

    Args:
        what: the job or lock that asks for it, for the error: "job nightly".
        allowance_ns: how long before its end the store's leases are not trusted any more.

    Raises:
        ConfigError: it would.
    """
    if 2 * allowance_ns > ttl_ns:
        ttl, allowance = duration_text(ttl_ns), duration_text(allowance_ns)
        raise ConfigError(
            f"{what} asks for leases of {ttl}, and this store allows {allowance} for drift: too little of them is left",
            instead=(f'ttl="{duration_text(2 * allowance_ns)}"',),
        )


def trusted_until_ns(asked_at_ns: int, ttl_ns: int, margin_ns: int) -> int:
    """Return the last instant at which the holder may still act.

    Counted from when the request left, not from when the answer came: the
    store began its own countdown somewhere between the two.

    Args:
        asked_at_ns: monotonic nanoseconds, read before the request.
        ttl_ns: what the store was asked for.
        margin_ns: allowance for two clocks that run at different rates.

    Returns:
        Monotonic nanoseconds, earlier than asked_at_ns + ttl_ns.

    Raises:
        ConfigError: margin_ns is not between 0 and ttl_ns.

    Source: Gray and Cheriton, "Leases", SOSP 1989.
    """
    if not 0 <= margin_ns < ttl_ns:
        raise ConfigError(
            f"the drift allowance {duration_text(margin_ns)} must be shorter than the TTL {duration_text(ttl_ns)}"
        )
    return asked_at_ns + ttl_ns - margin_ns
