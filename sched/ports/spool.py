"""Say where outcomes wait for a store that cannot be reached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from tickglass.sched.ports.ledger import (
    ClaimAsk,  # noqa: TC001 - read at run time by the encoders of these values
    Settlement,  # noqa: TC001 - read at run time by the encoders of these values
)

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "Spool",
    "SpooledOutcome",
]


@dataclass(frozen=True, slots=True)
class SpooledOutcome:
    """An outcome that could not be written when it was known.

    Args:
        unclaimed: the claim that a run would have asked for, if it ran without a claim.
    """

    settlement: Settlement
    unclaimed: ClaimAsk | None = None


class Spool(Protocol):
    """Where outcomes wait for a store that cannot be reached, in the order in which they were known.

    Methods raise `StoreUnavailable` when the spool itself fails.
    """

    def put(self, outcome: SpooledOutcome) -> bool:
        """Keep an outcome, durably; False when the spool is full."""
        ...

    def oldest(self, limit: int, *, after: int = 0) -> Sequence[tuple[int, SpooledOutcome | None]]:
        """Return the first outcomes after a number, each with its own number; numbers grow from 1.

        An outcome that cannot be read any more is None.
        """
        ...

    def drop(self, number: int) -> None:
        """Delete an outcome that the store has now."""
        ...

    def depth(self) -> int:
        """Return how many outcomes wait."""
        ...

    def close(self) -> None:
        """Close the file; what it holds stays."""
        ...
