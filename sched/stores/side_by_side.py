"""Answer a batch with single requests, where the technology has none for several items.

The requests go over a few threads, because each mostly waits: in a region far away, for 20 ms. Items that could be in
each other's way go one after the other, so that they are answered in the order of the batch. The threads are no
executor's, because an executor takes no work once the main thread has ended, while other threads may go on.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from tickglass.sched.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from tickglass.sched.ports import ClaimAsk, Settlement

__all__ = ["LANES_MAX", "side_by_side", "touched_by_claim", "touched_by_settlement"]

Item = TypeVar("Item")
Answer = TypeVar("Answer")

_log: Final = logging.getLogger(__name__)
LANES_MAX: Final = 8  # requests at once; the caller's thread sends some of them


def touched_by_claim(ask: ClaimAsk) -> tuple[Hashable, ...]:
    """Return what a claim changes: its resource and its occurrence."""
    return ask.lease.resource, (ask.job_id, ask.due_ns)


def touched_by_settlement(settlement: Settlement) -> tuple[Hashable, ...]:
    """Return what a settlement changes: its resource and its occurrence."""
    return settlement.lease.resource, (settlement.job_id, settlement.due_ns)


def side_by_side(
    ask: Callable[[Item], Answer], items: Sequence[Item], touched: Callable[[Item], tuple[Hashable, ...]]
) -> list[Answer | StoreUnavailable]:
    """Ask for each item by itself; return its answer, or the error it met.

    When the store cannot be reached, what was not asked for yet is given up with the same error, because each item
    would cost a time-out.

    Args:
        touched: what an item changes; items that have some of it in common are asked for in order.

    Raises:
        StoreUnavailable: no item was answered.
    """
    lanes = _Lanes(ask, items, _in_order(items, touched))
    lanes.work_all()
    answers = [lanes.answers[place] for place in range(len(items))]
    failed = [it for it in answers if isinstance(it, StoreUnavailable)]
    if failed and len(failed) == len(items):
        raise failed[0]
    return answers


def _in_order(items: Sequence[Item], touched: Callable[[Item], tuple[Hashable, ...]]) -> list[list[int]]:
    """Return the places of the items, those together that have something in common."""
    group_of: dict[Hashable, list[int]] = {}
    for place, item in enumerate(items):
        things = touched(item)
        group, *others = [group_of[thing] for thing in things if thing in group_of] or [[]]
        for other in others:
            if other is not group:  # this item brings them together
                group += other
                group_of.update([(thing, group) for thing, its in group_of.items() if its is other])
        group.append(place)
        group_of.update(dict.fromkeys(things, group))
    return [sorted(group) for group in {id(group): group for group in group_of.values()}.values()]


class _Lanes(Generic[Item, Answer]):
    """A batch under way."""

    def __init__(self, ask: Callable[[Item], Answer], items: Sequence[Item], groups: Sequence[Sequence[int]]) -> None:
        self.answers: dict[int, Answer | StoreUnavailable] = {}
        self.waiting = deque(groups)
        self._ask = ask
        self._items = items
        self._absent: StoreUnavailable | None = None
        self._failed: BaseException | None = None
        self._mutex = threading.Lock()

    def work_all(self) -> None:
        """Ask for all groups, on the caller's thread and on others; return when all threads have ended."""
        others = self._started(min(len(self.waiting), LANES_MAX) - 1)
        try:
            self._work()
        finally:
            for thread in others:
                thread.join()
        if self._failed is not None:
            raise self._failed  # no failure of the store

    def _started(self, count: int) -> list[threading.Thread]:
        """Start so many threads, or as many as the process may have: the caller's thread asks for the rest."""
        threads: list[threading.Thread] = []
        for number in range(count):
            thread = threading.Thread(target=self._work_aside, name=f"tickglass-batch-{number}", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # no more threads are to be had, or the interpreter is about to exit
                _log.warning("a batch is asked for on %d threads instead of %d: %s", 1 + number, 1 + count, error)
                break
            threads.append(thread)
        return threads

    def _work_aside(self) -> None:
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001 - raised on the caller's thread
            self._failed = error

    def _work(self) -> None:
        """Ask for one group after the other until there is none left."""
        while True:
            with self._mutex:
                if not self.waiting:
                    return
                group = self.waiting.popleft()
            for place in group:
                self.answers[place] = self._absent or self._answer(self._items[place])

    def _answer(self, item: Item) -> Answer | StoreUnavailable:
        try:
            return self._ask(item)
        except StoreUnavailable as error:
            if error.kind == "unavailable":
                self._absent = error
            return error
