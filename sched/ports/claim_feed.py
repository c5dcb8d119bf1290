"""Say how a ledger tells which occurrences were claimed elsewhere, so that a later instance need not ask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ClaimFeed", "ClaimWatch"]


@dataclass(frozen=True, slots=True)
class ClaimWatch:
    """A watch on the claims of other instances, see `ClaimFeed`.

    Args:
        end: ends it; a second call does nothing.
        look: has a store that does not notice claims by itself report those of occurrences that are due from
            `first_due_ns` to `last_due_ns`; returns whether it called `on_claim`. It does not wait for other processes,
            does not raise, and is called after `end` without effect. It may report other occurrences, too.
    """

    end: Callable[[], None] = lambda: None
    look: Callable[[int, int], bool] = lambda _first_due_ns, _last_due_ns: False


@runtime_checkable
class ClaimFeed(Protocol):
    """A ledger that can report which occurrences were claimed elsewhere; one that cannot has no such method."""

    def watch_claims(self, service: str, owner: str, on_claim: Callable[[str, int, str], None]) -> ClaimWatch:
        """Call `on_claim(job, due_ns, owner)` for claims that other owners of a service have won.

        Claims of `owner` itself are never reported. Of the others, some may be left out; each one that is reported was
        won. As with `LockStore.watch`, this call does not wait for the store, and `on_claim` may be called from any
        thread but not from within this call. `on_claim` returns at once and does not raise.
        """
        ...
