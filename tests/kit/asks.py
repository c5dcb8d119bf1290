"""A lease and a claim that tests of stores ask for, and what follows from the answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tickglass.sched.durations import SECOND
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.lease import Lease
from tickglass.sched.ports import ClaimAsk, Claimed, Granted, LeaseAsk, Settlement

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ASK", "CLAIM", "kind_of", "lease_of", "settlement_of"]

ASK: Final = LeaseAsk("ledger", "n1", "billing", "token", 30 * SECOND)
CLAIM: Final = ClaimAsk(LeaseAsk("nightly", "n1", "billing", "claim", 30 * SECOND, "nightly", "run"), due_ns=1)


def lease_of(ask: LeaseAsk, answer: object) -> Lease:
    """Return the lease that was granted, not trusted: enough to renew and to release it."""
    assert isinstance(answer, Granted | Claimed), answer
    return Lease(ask.resource, ask.owner, ask.token, answer.fence, ask.ttl_ns, trusted_until_ns=0)


def settlement_of(ask: ClaimAsk, answer: object) -> Settlement:
    """Return the success of a claim that was won."""
    lease = ask.lease
    return Settlement(lease_of(lease, answer), lease.service, lease.job, ask.due_ns, lease.run_id, "success")


def kind_of(call: Callable[[], object]) -> str:
    """Return the kind of the error that a call to a store raises; its cause is kept."""
    with pytest.raises(StoreUnavailable) as raised:
        call()
    assert raised.value.__cause__ is not None
    return raised.value.kind
