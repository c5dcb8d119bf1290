"""An etcd store forgets leases that ended long ago: since when they have ended it must note by itself."""

from __future__ import annotations

import base64
import uuid
from contextlib import closing
from typing import TYPE_CHECKING

from tickglass.sched.durations import SECOND
from tickglass.sched.lease import Lease
from tickglass.sched.ports import Granted, LeaseAsk, Renewed
from tickglass.sched.stores.etcd.settings import Endpoint
from tickglass.sched.stores.etcd.store import EtcdStore
from tickglass.sched.stores.retention import KEEP_NS, PRUNE_EVERY_NS
from tickglass.testing import FakeClock

if TYPE_CHECKING:
    import pytest
    from kit.servers import EtcdServer

TTL = 100 * KEEP_NS


def hold(store: EtcdStore, resource: str) -> Lease:
    ask = LeaseAsk(resource, "n1", "billing", str(uuid.uuid4()), TTL)
    answer = store.acquire(ask)
    assert isinstance(answer, Granted)
    return Lease(resource, ask.owner, ask.token, answer.fence, TTL, trusted_until_ns=0)


def test_that_a_lease_ended_is_noted_and_a_day_later_it_is_forgotten(
    etcd: EtcdServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tickglass.sched.stores.etcd.prune._BATCH", 2)
    monkeypatch.setattr(
        "tickglass.sched.stores.etcd.prune._LEASES_AT_MAX_NS", KEEP_NS
    )  # not the time of a busy machine
    clock, prefix, here = FakeClock(), f"/unit/{uuid.uuid4()}", [Endpoint("127.0.0.1", etcd.port)]
    with (
        closing(EtcdStore(here, clock, prefix=prefix, keep_ns=9 * KEEP_NS)) as store,
        closing(EtcdStore(here, clock, prefix=prefix)) as another,
    ):
        held = {name: hold(store, name) for name in "abcde"}
        for name in "acde":
            key = base64.b64encode(store._keys.lease(name)).decode()
            etcd.say("kv/deleterange", key=key)  # as etcd does when it ends
        clock.advance(PRUNE_EVERY_NS)
        store.orphans([])
        clock.advance(KEEP_NS)
        another.orphans([])
        shown = {lease.resource: lease for lease in another.leases()}
        assert {name: lease.fence for name, lease in shown.items()} == {name: held[name].fence for name in "abcde"}
        assert [shown[name].remaining_ns for name in "acde"] == [-KEEP_NS] * 4
        assert 0 < shown["b"].remaining_ns <= TTL + SECOND
        heirs = hold(another, "c")
        clock.advance(PRUNE_EVERY_NS)
        store.orphans([])
        assert [lease.resource for lease in store.leases()] == ["b", "c"]
        assert [store.renew(held["b"]), store.renew(heirs)] == [Renewed(), Renewed()]
        assert hold(store, "a").fence > max(lease.fence for lease in held.values())
