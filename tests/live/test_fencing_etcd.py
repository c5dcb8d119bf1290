"""The guard for etcd on a real server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aetcd
import pytest
from kit.metrics_stage import Stage

from tickglass.sched.errors import StaleFence
from tickglass.sched.fencing import EtcdGuard

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from kit.servers import EtcdServer

    from tickglass.sched.lease import LockMachine


class Shelf(Stage):
    """Runs that may write under one fence after the other, each test on a resource of its own."""

    def __init__(self, resource: str) -> None:
        super().__init__()
        self.resource = resource

    def granted(self) -> LockMachine:
        lock = self.lock(self.resource)
        self.hold(lock)
        return lock

    @property
    def refused(self) -> float | None:
        return self.value("distributed_lock_fencing_rejections_total", resource=self.resource)


@pytest.fixture
def shelf(request: pytest.FixtureRequest) -> Shelf:
    return Shelf(request.node.name)


def with_client(etcd: EtcdServer, work: Callable[[Any], Awaitable[None]]) -> None:
    async def main() -> None:
        async with aetcd.Client("127.0.0.1", etcd.port) as client:
            await work(client)

    asyncio.run(main())


def test_a_paused_holder_does_not_write_to_etcd(etcd: EtcdServer, shelf: Shelf) -> None:
    paused, present = shelf.granted(), shelf.granted()

    async def work(client: Any) -> None:  # noqa: ANN401 - it has no types
        guard, put = EtcdGuard(client), client.transactions.put
        await guard.execute(present, put(b"apple", b"5"))
        with pytest.raises(StaleFence) as caught:
            await guard.execute(paused, put(b"apple", b"99"))
        assert (caught.value.fence, caught.value.newest) == (paused.fence, present.fence)
        assert (await client.get(b"apple")).value == b"5"
        await guard.execute(present, put(b"apple", b"4"))
        assert (await client.get(b"apple")).value == b"4"

    with_client(etcd, work)
    assert shelf.refused == 1


def test_whoever_advances_shuts_older_ones_out_of_etcd(etcd: EtcdServer, shelf: Shelf) -> None:
    lock = shelf.granted()

    async def work(client: Any) -> None:  # noqa: ANN401 - it has no types
        guard = EtcdGuard(client)
        for lock.fence in (9, 10, 2**53):  # as numbers, though etcd compares text
            assert await guard.execute(lock) == []
        lock.fence = 11
        with pytest.raises(StaleFence):
            await guard.execute(lock)

    with_client(etcd, work)
    assert shelf.refused == 1


def test_many_who_write_at_once_never_undo_a_newer_fence(etcd: EtcdServer, shelf: Shelf) -> None:
    locks = [shelf.granted() for _ in range(8)]
    key = shelf.resource.encode()

    async def write(client: Any, lock: LockMachine) -> None:  # noqa: ANN401 - it has no types
        try:
            await EtcdGuard(client).execute(lock, client.transactions.put(key, str(lock.fence).encode()))
        except StaleFence as error:
            lock.fence = -error.newest

    async def work(client: Any) -> None:  # noqa: ANN401 - it has no types
        await asyncio.gather(*(write(client, lock) for lock in reversed(locks)))
        assert (await client.get(key)).value == b"8"

    with_client(etcd, work)
    assert locks[-1].fence == 8
