"""Hold all that stands in one store, and answer what it means for a job, a run, an instance.

Pure: no I/O, no clock reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from tickglass.sched.control.orders import Cancel, Drain, Order, OrderBase, Pause, Skip
from tickglass.sched.durations import SECOND
from tickglass.sched.ports import ControlRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tickglass.sched.identity import JobId

__all__ = ["ORDERS_MAX", "OrderBook"]

ORDERS_MAX: Final = 1_000  # that stand at once: every instance reads all of them after each act
_ENDED_KEPT_NS: Final = 32 * 86_400 * SECOND  # longer than the interval of a monthly job
_ENDED_KEPT: Final = 100
_AGAINST: Final = (Pause, Skip, Drain)

AnyOrder = TypeVar("AnyOrder", bound=OrderBase)
_one: Final = msgspec.json.Decoder(Order)
_raw: Final = msgspec.json.Decoder(tuple[msgspec.Raw, ...])


@dataclass(frozen=True, slots=True)
class OrderBook:
    """What stands, as of one version of the record.

    Args:
        unread: orders of kinds that only a later version of Tickglass knows; they are kept, and not obeyed here.
    """

    version: int = 0
    orders: tuple[Order, ...] = ()
    unread: tuple[bytes, ...] = ()

    @classmethod
    def read(cls, record: ControlRecord) -> OrderBook:
        """Read a record.

        Raises:
            msgspec.DecodeError: its text is no list of JSON objects.
        """
        orders: list[Order] = []
        unread: list[bytes] = []
        for raw in _raw.decode(record.text) if record.text else ():
            try:
                orders.append(_one.decode(raw))
            except msgspec.ValidationError:
                unread.append(bytes(raw))
        return cls(record.version, tuple(orders), tuple(unread))

    def written(self) -> ControlRecord:
        """Return the record that `read` turns into this."""
        raw = [*(msgspec.json.encode(order) for order in self.orders), *self.unread]
        return ControlRecord(self.version, f"[{b','.join(raw).decode()}]")

    def standing(self, now_ns: int) -> tuple[Order, ...]:
        """Return the orders that have not ended by themselves."""
        return tuple(order for order in self.orders if order.stands_at(now_ns))

    def revised(self, now_ns: int, *, add: Sequence[Order] = (), end: Sequence[Order] = ()) -> OrderBook:
        """Return the next version of the book.

        An order against due instants stays for a month after its end: an instance that comes up then decides on those
        of before. Only the latest are kept, because every instance reads all of them after each act.
        """
        ended = tuple(msgspec.structs.replace(order, until_ns=now_ns) for order in end)
        rest = [order for order in self.orders if order not in end]
        past = [order for order in (*rest, *ended) if not order.stands_at(now_ns) and isinstance(order, _AGAINST)]
        past = [order for order in past if order.stands_at(now_ns - _ENDED_KEPT_NS)][-_ENDED_KEPT:]
        standing = [order for order in rest if order.stands_at(now_ns)]
        return OrderBook(self.version + 1, (*past, *standing, *add), self.unread)

    def pause_of(self, job: JobId, due_ns: int) -> Pause | None:
        """Return the pause that a due instant falls under: the oldest, if there are several.

        One that was due before the pause began, and has not run, falls under it as well.
        """
        return self._first(Pause, lambda it: it.stands_at(due_ns) and it.covers(job))

    def paused_spans(self, job: JobId, begin_ns: int, end_ns: int) -> list[tuple[int, int]]:
        """Return when in [begin_ns, end_ns) pauses of a job stood, from their beginning on: ascending, and apart."""
        spans: list[tuple[int, int]] = []
        for pause in sorted(self.of_kind(Pause), key=lambda it: it.since_ns):
            since_ns = max(begin_ns, pause.since_ns)
            until_ns = end_ns if pause.until_ns is None else min(end_ns, pause.until_ns)
            if since_ns >= until_ns or not pause.covers(job):
                continue
            if spans and since_ns <= spans[-1][1]:
                since_ns, earlier_ns = spans.pop()
                until_ns = max(until_ns, earlier_ns)
            spans.append((since_ns, until_ns))
        return spans

    def skip_of(self, job: JobId, due_ns: int) -> Skip | None:
        """Return the order to skip one due instant."""
        return self._first(Skip, lambda it: (it.service, it.job, it.due_ns) == (*job, due_ns))

    def drain_of(self, service: str, owner: str, now_ns: int) -> Drain | None:
        """Return the order that has an instance start nothing more."""
        return self._first(Drain, lambda it: (it.service, it.owner) == (service, owner) and it.stands_at(now_ns))

    def cancel_of(self, run_id: str) -> Cancel | None:
        """Return the order to stop a run."""
        return self._first(Cancel, lambda it: it.run_id == run_id)

    def of_kind(self, kind: type[AnyOrder]) -> list[AnyOrder]:
        """Return the orders of one kind, oldest first."""
        found: list[AnyOrder] = []
        for order in self.orders:
            if isinstance(order, kind):
                found.append(order)  # noqa: PERF401 - a comprehension is not narrowed to the kind
        return found

    def _first(self, kind: type[AnyOrder], is_it: Callable[[AnyOrder], bool]) -> AnyOrder | None:
        return next((order for order in self.of_kind(kind) if is_it(order)), None) if self.orders else None
