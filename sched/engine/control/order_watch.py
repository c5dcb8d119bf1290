"""Read what stands from the store twice a second, report each act, and have this instance obey.

While the store does not answer, what stood last goes on standing.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import msgspec

from tickglass.sched.control.audit import read_act
from tickglass.sched.control.order_book import OrderBook
from tickglass.sched.control.orders import fits_any
from tickglass.sched.durations import MS
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.events import ActSeen, OrdersStand
from tickglass.sched.threads.loop import Loop

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from tickglass.sched.engine.context import EngineContext
    from tickglass.sched.engine.standing_orders import StandingOrders
    from tickglass.sched.ports import ControlRecord

__all__ = ["LOOK_EVERY_NS", "OrderWatch"]

_log: Final = logging.getLogger(__name__)
LOOK_EVERY_NS: Final = 500 * MS  # an order is obeyed within a second
_ACTS_TOLD_MAX: Final = 100  # at once


class OrderWatch:
    """One thread that looks, and calls those who obey.

    Args:
        standing: is given each new book.
        job_names: those of this instance.
        obey: called after each look, whether or not anything has changed: what is asked for may have to wait.
    """

    def __init__(
        self,
        context: EngineContext,
        standing: StandingOrders,
        job_names: Collection[str],
        obey: Sequence[Callable[[OrderBook], None]],
    ) -> None:
        self._context = context
        self._standing = standing
        self._job_names = job_names
        self._obey = obey
        self._seen: int | None = None  # the version of the book
        self._counted: tuple[tuple[str, ...], int] = (), 0  # pauses, jobs
        self._jobs_paused = 0
        self._told: OrdersStand | None = None
        self._loop = Loop("orders", context.clock, self._step)

    def start(self) -> None:
        """Start the thread."""
        self._loop.start()

    def stop(self) -> None:
        """End the thread."""
        self._loop.stop()

    def _step(self) -> int:
        self.look()
        for obey in self._obey:
            obey(self._standing.book)
        # Not less often while the store is away: else what failed would be few among the calls of before the outage.
        return self._context.clock.monotonic_ns() + LOOK_EVERY_NS

    def look(self) -> None:
        """Read what stands, if it has changed."""
        try:
            record = self._context.store.control(-1 if self._seen is None else self._seen)
            if record is not None:
                self._take(record)
        except StoreUnavailable:  # the call is reported
            return
        except msgspec.DecodeError as error:
            _log.error("what stands in the store cannot be read, and is not obeyed: %s", error)
        self._tell()

    def _take(self, record: ControlRecord) -> None:
        book = OrderBook.read(record)
        self._standing.book = book  # first: it is obeyed also if the acts that led to it cannot be read
        if self._seen is not None:
            self._tell_acts(record.version - self._seen)
        self._seen = record.version
        if book.unread:
            _log.warning("%d orders are of a later version of Tickglass, and are not obeyed here", len(book.unread))

    def _tell_acts(self, count: int) -> None:
        """Report the latest acts, oldest first; a store that lost its log has none to report."""
        if count <= 0:
            return
        rows = self._context.store.audit(min(count, _ACTS_TOLD_MAX))
        for row in reversed(rows):
            try:
                act = read_act(row)
            except msgspec.DecodeError as error:
                _log.error("act %d of the audit log cannot be read: %s", row.version, error)
                continue
            entry = msgspec.structs.asdict(act.entry)
            del entry["key"]
            self._context.sink.record(ActSeen(**entry, number=act.version, wall_ns=act.at_ns))

    def _tell(self) -> None:
        """Report what stands for this instance, if that has changed."""
        paused = self._standing.paused()
        present = OrdersStand(
            version=self._standing.book.version,
            paused=paused,
            jobs_paused=self._count_paused(paused),
            draining=self._standing.drain is not None,
            wall_ns=0,
        )
        if present == self._told:
            return
        self._told = present
        self._context.sink.record(msgspec.structs.replace(present, wall_ns=self._context.clock.wall_ns()))

    def _count_paused(self, paused: tuple[str, ...]) -> int:
        """Count the jobs that these mean, again only if there are others: there may be many jobs."""
        counted = paused, len(self._job_names)
        if counted != self._counted:
            self._counted = counted
            self._jobs_paused = sum(fits_any(name, paused) for name in tuple(self._job_names))
        return self._jobs_paused
