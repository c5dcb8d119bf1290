"""A store whose claims and settlements go in batches, beside items that leave nothing."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Final, cast

from tickglass.sched.durations import SECOND
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.lease import Lease
from tickglass.sched.ports import Ahead, ClaimAsk, LeaseAsk, Settled, Settlement
from tickglass.sched.triggers import LATEST_NS

if TYPE_CHECKING:
    from tickglass.sched.ports import ClaimAnswer, Store

__all__ = ["in_batches"]

_count: Final = itertools.count()


def in_batches(store: Store) -> Store:
    """Return the same store; `claim` and `settle` send each item in the middle of a batch."""
    return cast("Store", _InBatches(store))


class _InBatches:
    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the store has there
        return getattr(self._store, name)

    def claim(self, ask: ClaimAsk) -> ClaimAnswer:
        before, answer, after = self._store.claim_many([_too_early(), ask, _too_early()])
        assert isinstance(before, Ahead)
        assert isinstance(after, Ahead)
        if isinstance(answer, StoreUnavailable):
            raise answer  # as the store does when it is asked for one item
        return answer

    def settle(self, settlement: Settlement) -> Settled:
        before, answer, after = self._store.settle_many([_unclaimed(), settlement, _unclaimed()])
        assert before == after == Settled(recorded=False, released=False)
        if isinstance(answer, StoreUnavailable):
            raise answer  # as the store does when it is asked for one item
        return answer


def _too_early() -> ClaimAsk:
    token = f"too early {next(_count)}"
    lease = LeaseAsk(token, "early bird", "batches", token, SECOND, "too early", token)
    return ClaimAsk(lease, LATEST_NS, max_ahead_ns=0)


def _unclaimed() -> Settlement:
    name = f"unclaimed {next(_count)}"
    return Settlement(Lease(name, "nobody", name, 1, 1, 0), "batches", "unclaimed", 1, name, "success")
