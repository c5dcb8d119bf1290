"""Note what a worker believes, as it comes to believe it: by its own code, and as sinks of its events."""

from __future__ import annotations

import random
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from chaos.history import (
    WRITING,
    Acknowledged,
    Claimed,
    Ended,
    FellDue,
    Finished,
    Granted,
    Kept,
    Measured,
    Reached,
    RenewalWaited,
    Stepped,
    Unanswered,
    Won,
)

from tickglass.sched.clock import SystemClock, Wake
from tickglass.sched.durations import MS
from tickglass.sched.events import InstantsSkipped, LockMoved, OccurrenceMoved, StoreCalled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from chaos.history import Entry, Pen
    from chaos.observer import Witness

    from tickglass.sched.events import Event
    from tickglass.sched.lease import LockMachine

__all__ = ["LOOK_NS", "STEP_NS", "Line", "Recorder", "pause"]

LOOK_NS: Final = 50 * MS  # between two samples of the readiness, and two notes that the store was reached
STEP_NS: Final = (2 * MS, 30 * MS)
_CLOCK: Final = SystemClock()
_ON_THE_WAY: Final = 0.5  # how many writes take time between the decision and the witness, as over a network


def pause(span_ns: int) -> None:
    """Do nothing for so long."""
    _CLOCK.wait(_CLOCK.monotonic_ns() + span_ns, Wake())


class Recorder:
    """What this process believes, on its way to the file; also a sink of events.

    Args:
        seed: of the paces of its holders.
        careless: whether they act without asking whether they may.
    """

    def __init__(self, pen: Pen, witness: Witness, *, seed: int, careless: bool) -> None:
        self._pen = pen
        self._witness = witness
        self.rng = random.Random(seed)
        self._careless = careless
        self._mutex = threading.Lock()
        self._locks: dict[tuple[str, int], LockMachine] = {}
        self._took_from: dict[tuple[str, int], str] = {}

    def note(self, entry: Entry) -> None:
        """Write it down."""
        self._pen.note(entry)

    def write(self, resource: str, fence: int, refused: Callable[[int], None]) -> bool:
        """Ask the witness to write; return whether it did, and tell the lock when not."""
        verdict = self._witness.write(resource, fence)
        if not verdict.accepted:
            refused(verdict.newest)
        return verdict.accepted

    @contextmanager
    def holding(self, lock: LockMachine) -> Iterator[None]:
        """Note that a lease is in hand, each new end of trust, and when it is not needed any more."""
        key = (lock.resource, lock.fence)
        with self._mutex:
            self._locks[key] = lock
            took_from = self._took_from.pop(key, "")
        at_ns = _CLOCK.monotonic_ns()
        self._pen.note(
            Granted(
                at_ns=at_ns,
                resource=lock.resource,
                fence=lock.fence,
                until_ns=lock.trusted_until_ns,
                job=lock.job,
                took_from=took_from,
            )
        )
        yield
        self._pen.note(Ended(at_ns=_CLOCK.monotonic_ns(), resource=key[0], fence=key[1], how="done"))
        with self._mutex:
            del self._locks[key]

    def work(self, lock: LockMachine, may_act: Callable[[], bool], refused: Callable[[int], None], steps: int) -> None:
        """Hold a lease for so many guarded steps, or until it may not be trusted any more."""
        key = (lock.resource, lock.fence)
        with self.holding(lock):
            for _ in range(steps):
                asked_ns = _CLOCK.monotonic_ns()
                if not (self._careless or may_act()):
                    break
                self._pen.note(Stepped(at_ns=asked_ns, resource=key[0], fence=key[1], until_ns=lock.trusted_until_ns))
                if self.rng.random() < _ON_THE_WAY:  # whatever comes now, it has been decided to write
                    pause(self.rng.randint(*STEP_NS))
                self.write(*key, refused)
                pause(self.rng.randint(*STEP_NS))

    def measured(self, counts: dict[str, int], differences: list[str]) -> None:
        """Note at the end what the metrics say of the faults."""
        self._pen.note(Measured(at_ns=_CLOCK.monotonic_ns(), counts=counts, differences=differences))

    def record(self, event: Event) -> None:
        """Note what concerns leases in hand and claims; see `EventSink`."""
        match event:
            case LockMoved(event="granted"):
                if event.other_owner:
                    with self._mutex:
                        self._took_from[event.resource, event.fence] = event.other_owner
            case LockMoved(event="renewed"):
                self._renewed(event)
            case LockMoved(event="expired" | "lost"):
                at_ns, how = event.at_ns, str(event.event)
                self._pen.note(Ended(at_ns=at_ns, resource=event.resource, fence=event.fence, how=how))
            case LockMoved(event="released", before="held") if event.job:
                self._pen.note(Acknowledged(at_ns=event.at_ns, run_id=event.run_id))
            case OccurrenceMoved(event="fell_due"):
                self._pen.note(FellDue(at_ns=event.at_ns, job=event.job, due_ns=event.due_ns))
            case InstantsSkipped():
                self._pen.note(FellDue(at_ns=_CLOCK.monotonic_ns(), job=event.job, due_ns=event.latest_due_ns))
            case OccurrenceMoved() if event.fence:
                self._occurred(event)
            case _:
                pass

    def _renewed(self, event: LockMoved) -> None:
        with self._mutex:
            lock = self._locks.get((event.resource, event.fence))
        if lock is not None:
            until_ns = lock.trusted_until_ns
            self._pen.note(Kept(at_ns=event.at_ns, resource=event.resource, fence=event.fence, until_ns=until_ns))

    def _occurred(self, move: OccurrenceMoved) -> None:
        if move.event == "claimed":
            self._pen.note(
                Claimed(
                    at_ns=move.at_ns,
                    job=move.job,
                    due_ns=move.due_ns,
                    attempt=move.attempt,
                    run_id=move.run_id,
                    fence=move.fence,
                )
            )
        elif move.event == "ended" and move.outcome is not None:
            self._pen.note(
                Finished(
                    at_ns=move.at_ns,
                    job=move.job,
                    due_ns=move.due_ns,
                    attempt=move.attempt,
                    run_id=move.run_id,
                    outcome=move.outcome,
                )
            )


class Line:
    """A sink that notes whether the scheduler reaches its store; locks of their own have lines of their own."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._noted_ns = 0

    def record(self, event: Event) -> None:
        """Note some of the answers, all grants, and all that failed; see `EventSink`."""
        at_ns = _CLOCK.monotonic_ns()
        if isinstance(event, StoreCalled) and event.operation == "renew" and event.duration_ns >= LOOK_NS:
            self._recorder.note(RenewalWaited(at_ns=at_ns, since_ns=at_ns - event.duration_ns))
        match event:
            case StoreCalled() if event.error:
                self._recorder.note(Unanswered(at_ns=at_ns, operation=event.operation))
            case StoreCalled() if event.operation in WRITING and at_ns - self._noted_ns >= LOOK_NS:
                self._noted_ns = at_ns
                self._recorder.note(Reached(at_ns=at_ns))
            case LockMoved(event="granted"):
                self._recorder.note(Won(at_ns=at_ns))
            case _:
                pass
