"""Answer a batch with single requests, where the technology has none for several items.

The requests go over a few threads, because each mostly waits: in a region far away, for 20 ms. Items that could be in
each other's way go one after the other, so that they are answered in the order of the batch.
"""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from tickglass.sched.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from tickglass.sched.ports import ClaimAsk, Settlement

__all__ = ["LANES_MAX", "side_by_side", "touched_by_claim", "touched_by_settlement"]

Item = TypeVar("Item")
Answer = TypeVar("Answer")

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
    if len(lanes.waiting) <= 1:
        lanes.work()
    else:
        others = min(len(lanes.waiting), LANES_MAX) - 1
        with ThreadPoolExecutor(others, thread_name_prefix="tickglass-batch") as pool:
            started = [pool.submit(lanes.work) for _ in range(others)]
            lanes.work()
        for one in started:
            one.result()  # raises what is no failure of the store
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
        self._mutex = threading.Lock()

    def work(self) -> None:
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
