"""The guard for Redis on a real server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import redis
from kit.metrics_stage import Stage

from tickglass.sched.errors import StaleFence
from tickglass.sched.fencing import RedisGuard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kit.servers import RedisServer

    from tickglass.sched.lease import LockMachine


def granted(stage: Stage) -> LockMachine:
    """Return who may write under the next fence; a lock machine has what a guard needs of a run."""
    lock = stage.lock("stock")
    stage.hold(lock)
    return lock


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def client(redis_servers: Callable[[int], list[RedisServer]]) -> Iterator[redis.Redis]:
    (server,) = redis_servers(1)
    with redis.Redis(port=server.port, decode_responses=True, protocol=2) as made:
        yield made


def test_a_paused_holder_does_not_write_to_redis(client: redis.Redis, stage: Stage) -> None:
    guard = RedisGuard(client)
    paused, present = granted(stage), granted(stage)
    guard.execute(present, "SET", "apple", 5)
    with pytest.raises(StaleFence) as caught:
        guard.execute(paused, "SET", "apple", 99)
    assert (caught.value.fence, caught.value.newest) == (paused.fence, present.fence)
    assert client.get("apple") == "5"
    assert stage.value("distributed_lock_fencing_rejections_total", resource="stock") == 1


def test_whoever_advances_shuts_older_ones_out_of_redis(client: redis.Redis, stage: Stage) -> None:
    guard = RedisGuard(client)
    paused, present = granted(stage), granted(stage)
    guard.advance(present)
    with pytest.raises(StaleFence):
        guard.advance(paused)
    with pytest.raises(StaleFence):
        guard.execute(paused, "DEL", "apple")
    guard.advance(present)


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        (("HSET", "shelf", "apple", 5), 1),
        (("INCRBY", "count", 3), 3),
        (("GET", "nothing"), None),
        (("LPUSH", "list", "a", "b"), 2),
    ],
)
def test_any_command_on_one_key_can_be_guarded(
    client: redis.Redis, stage: Stage, command: tuple[Any, ...], reply: object
) -> None:
    assert RedisGuard(client).execute(granted(stage), *command) == reply


def test_large_fences_are_compared_as_numbers(client: redis.Redis, stage: Stage) -> None:
    guard = RedisGuard(client, prefix="fence:")
    lock = granted(stage)
    for fence in (9, 10, 2**53 - 1):
        lock.fence = fence
        guard.advance(lock)
    lock.fence = 2**53 - 2
    with pytest.raises(StaleFence):
        guard.advance(lock)
    assert client.get("fence:stock") == str(2**53 - 1)
