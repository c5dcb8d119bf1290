"""Owners are told of each other's claims over one stream, which outlives the server; their own claims are not sent."""

from __future__ import annotations

import base64
import contextlib
import itertools
import queue
import uuid
from typing import TYPE_CHECKING, Final

import pytest

from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import SECOND
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.lease import Lease
from tickglass.sched.ports import ClaimAsk, Claimed, LeaseAsk, Settlement
from tickglass.sched.stores.etcd.keys import Keys
from tickglass.sched.stores.etcd.settings import Endpoint
from tickglass.sched.stores.etcd.store import EtcdStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kit.servers import EtcdServer

PATIENCE_S: Final = 15.0


class Fleet:
    """Two stores of one prefix; "ours" listens, and the other claims."""

    def __init__(self, server: EtcdServer) -> None:
        self.server, self.prefix = server, f"/unit/{uuid.uuid4()}"
        self.ours, self.theirs = self.open(), self.open()
        self.told: queue.SimpleQueue[tuple[str, int, str]] = queue.SimpleQueue()
        self.watch = self.ours.watch_claims("svc", "ours", lambda *claim: self.told.put(claim))
        self._due_ns = itertools.count(1)

    def open(self) -> EtcdStore:
        return EtcdStore([Endpoint("127.0.0.1", self.server.port)], SystemClock(), prefix=self.prefix)

    def claim(self, owner: str = "theirs") -> tuple[ClaimAsk, Lease]:
        due_ns = next(self._due_ns)
        wish = LeaseAsk(f"j-{due_ns}", owner, "svc", str(uuid.uuid4()), 30 * SECOND, "j", uuid.uuid4().hex)
        ask = ClaimAsk(wish, due_ns)
        answer = self.theirs.claim(ask)
        assert isinstance(answer, Claimed)
        return ask, Lease(wish.resource, owner, wish.token, answer.fence, wish.ttl_ns, 0)

    def hears(self, owner: str = "theirs") -> None:
        """Have this owner claim until that is told, because a watch may begin late."""
        until_ns = SystemClock().monotonic_ns() + int(PATIENCE_S * SECOND)
        while SystemClock().monotonic_ns() < until_ns:
            with contextlib.suppress(StoreUnavailable):  # the server may be starting
                self.claim(owner)
            with contextlib.suppress(queue.Empty):
                while self.told.get(timeout=0.1)[2] != owner:
                    pass
                return
        pytest.fail(f"nothing was told of {owner}")

    def claim_keys(self) -> int:
        first = f"{self.prefix}/claims/"
        words = {"key": first, "range_end": first[:-1] + "0"}
        encoded = {word: base64.b64encode(it.encode()).decode() for word, it in words.items()}
        found = self.server.say("kv/range", **encoded)
        return len(found.get("kvs", ()))

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()


@pytest.fixture
def fleet(etcd: EtcdServer) -> Iterator[Fleet]:
    fleet = Fleet(etcd)
    yield fleet
    fleet.close()


@pytest.fixture
def own_fleet(own_etcd: EtcdServer) -> Iterator[Fleet]:
    fleet = Fleet(own_etcd)
    yield fleet
    fleet.close()


def test_the_ranges_of_an_owner_leave_out_its_own_key_and_no_other() -> None:
    keys = Keys("/tickglass")
    owners = ["n1", "n10", "n1-a", "n/1", "N", "ń", "zz", "n", "0", "~"]
    for own, service in itertools.product(owners, ["svc", "s/v"]):
        ranges = keys.claims_of_others(service, own)

        def told(service: str, owner: str, ranges: tuple[tuple[bytes, bytes], ...] = ranges) -> bool:
            return any(first <= keys.claim_by(service, owner) < end for first, end in ranges)

        assert [owner for owner in owners if not told(service, owner)] == [own]
        assert not any(told(other, owner) for other in ("svc2", "sv", "svc/") for owner in owners)


def test_owners_before_and_after_by_name_are_told_also_after_a_restart_of_the_server(own_fleet: Fleet) -> None:
    for owner in ("a", "z"):
        own_fleet.hears(owner)
    own_fleet.server.stop()
    own_fleet.server.start()
    for owner in ("z", "a"):
        own_fleet.hears(owner)


def test_one_stream_serves_releases_and_claims(fleet: Fleet) -> None:
    fleet.hears()
    thread, stream = fleet.ours._watch._thread, fleet.ours._watch._stream
    fleet.ours.watch("ledger", lambda: None)()
    fleet.hears()
    assert fleet.ours._watch._thread is thread
    assert fleet.ours._watch._stream is stream


def test_an_owner_of_long_ago_leaves_no_key(fleet: Fleet) -> None:
    ask, lease = fleet.claim()
    assert fleet.claim_keys() == 1
    assert fleet.theirs.settle(Settlement(lease, "svc", "j", ask.due_ns, ask.lease.run_id, "success")).recorded
    (spare,) = fleet.theirs._locks.lease_pool._spare[30]
    fleet.server.say("lease/revoke", ID=spare.lease_id)  # as its end would
    assert fleet.claim_keys() == 0


def test_a_key_that_is_not_ours_is_passed_over(fleet: Fleet) -> None:
    fleet.hears()
    key = base64.b64encode(f"{fleet.prefix}/claims/svc/somebody".encode()).decode()
    fleet.server.say("kv/put", key=key, value=base64.b64encode(b"theirs").decode())
    stream = fleet.ours._watch._stream
    fleet.hears()
    assert fleet.ours._watch._stream is stream
