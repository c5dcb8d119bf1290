"""An end that only a minority of the Redlock servers could be told is not taken for written, nor for overtaken."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import SECOND
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.identity import JobId
from tickglass.sched.lease import Lease
from tickglass.sched.ports import ClaimAsk, Claimed, LeaseAsk, Settled, Settlement
from tickglass.sched.stores import open_store

if TYPE_CHECKING:
    from collections.abc import Callable

    from kit.servers import RedisServer


def ask_of(owner: str) -> ClaimAsk:
    return ClaimAsk(LeaseAsk("nightly", owner, "billing", f"token of {owner}", 30 * SECOND, "nightly", owner), due_ns=1)


def test_an_end_that_a_silent_server_has_to_confirm_is_told_again(own_redis: Callable[..., RedisServer]) -> None:
    servers = [own_redis() for _ in range(3)]
    places = ",".join(f"127.0.0.1:{server.port}" for server in servers)
    store = open_store(f"redlock://{places}/0?timeout=200ms", SystemClock())
    alone = open_store(f"redis://127.0.0.1:{servers[0].port}/0", SystemClock())
    assert isinstance(alone.claim(ask_of("minority")), Claimed)  # it died before it could take this vote back
    ask = ask_of("majority")
    claimed = store.claim(ask)
    assert isinstance(claimed, Claimed)
    lease = Lease("nightly", "majority", ask.lease.token, claimed.fence, 30 * SECOND, 0)
    settlement = Settlement(lease, "billing", "nightly", 1, "majority", "success")
    servers[2].kill(signal.SIGSTOP)
    with pytest.raises(StoreUnavailable, match="1 servers have the outcome, and 1 that may have its claim are silent"):
        store.settle(settlement)
    servers[2].kill(signal.SIGCONT)
    store.close()
    again = open_store(f"redlock://{places}/0?timeout=200ms", SystemClock())
    assert again.settle(settlement) == Settled(recorded=True, released=False)
    assert [(run.run_id, run.outcome) for run in again.runs(JobId("billing", "nightly"))] == [("majority", "success")]
    again.close()
    alone.close()
