"""An occurrence changes from a claim to an execution, and what is asked for meanwhile is not lost."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from tickglass.sched.durations import SECOND
from tickglass.sched.identity import JobId
from tickglass.sched.triggers import every

if TYPE_CHECKING:
    from kit.rig import Rig

    from tickglass.sched.ports import ClaimAsk


def test_a_stop_that_is_asked_for_while_the_claim_is_made_keeps_the_code_from_starting(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim, started = rig.store.claim, threading.Event()

    def stopped_meanwhile(ask: ClaimAsk) -> object:
        answer = claim(ask)
        rig.dispatcher.ask_all_to_stop("shutdown")
        return answer

    monkeypatch.setattr(rig.store, "claim", stopped_meanwhile)
    rig.add(started.set, every("10s"), name="job")
    rig.advance(10 * SECOND)
    (end,) = rig.ended("job")
    assert (end.outcome, end.reason, started.is_set()) == ("cancelled", "shutdown", False)
    rig.free("job")
    assert [(run.outcome, run.started_wall_ns) for run in rig.store.runs(JobId("svc", "job"))] == [("cancelled", None)]
    assert rig.store.leases() == []


@pytest.mark.parametrize("coroutine", [False, True])
def test_a_stop_that_is_asked_for_while_it_waits_for_its_due_instant_keeps_the_code_from_starting(
    rig: Rig, *, coroutine: bool
) -> None:
    started = threading.Event()

    async def asynchronous() -> None:
        started.set()

    rig.add(asynchronous if coroutine else started.set, every("10s"), name="job")
    rig.advance(10 * SECOND - rig.dispatcher.lead_time.now_ns)
    rig.lock_event("granted")
    rig.dispatcher.ask_all_to_stop("shutdown")
    (end,) = rig.ended("job")
    assert (end.outcome, started.is_set()) == ("cancelled", False)
    rig.free("job")
    assert rig.store.leases() == []
