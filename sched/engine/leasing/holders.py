"""See which instance holds a lease, without taking it.

The question is a renewal with a token that no lease has: the answer names the holder and changes nothing,
in one round trip on every store, however many leases there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tickglass.sched.durations import SECOND
from tickglass.sched.lease import Lease
from tickglass.sched.ports import Gone

if TYPE_CHECKING:
    from tickglass.sched.engine.context import EngineContext

__all__ = ["holder_of"]

_NO_TOKEN: Final = "looking on"  # noqa: S105 - no lease has it


def holder_of(resource: str, context: EngineContext) -> str:
    """Return the owner of the live lease on a resource, "" if there is none.

    Raises:
        StoreUnavailable: the store does not answer.
    """
    answer = context.store.renew(Lease(resource, context.owner, _NO_TOKEN, 0, SECOND, 0))
    return answer.owner if isinstance(answer, Gone) else ""
