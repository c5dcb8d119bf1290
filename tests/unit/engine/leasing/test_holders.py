"""The holder of a lease is seen without a change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tickglass.sched.durations import SECOND
from tickglass.sched.engine.leasing.holders import holder_of
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.ports import Granted, LeaseAsk

if TYPE_CHECKING:
    from kit.rig import Rig


def test_the_owner_of_a_live_lease_is_named_and_keeps_it_as_it_was(rig: Rig) -> None:
    assert holder_of("r", rig.context) == ""
    assert isinstance(rig.store.acquire(LeaseAsk("r", "b", "svc", "token", SECOND)), Granted)
    before = rig.store.leases()
    assert holder_of("r", rig.context) == "b"
    assert rig.store.leases() == before


def test_a_lease_that_has_ended_has_no_holder(rig: Rig) -> None:
    rig.store.acquire(LeaseAsk("r", "b", "svc", "token", SECOND))
    rig.clock.advance(SECOND)
    assert holder_of("r", rig.context) == ""


def test_a_store_that_does_not_answer_is_no_answer(rig: Rig) -> None:
    rig.store.broken = {"renew": StoreUnavailable("memory", "renew", "gone fishing")}
    with pytest.raises(StoreUnavailable):
        holder_of("r", rig.context)
