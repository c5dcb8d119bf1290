"""Locks of the peers, and the floor: two small scripts that set and delete a key if it is ours."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Final

import redis
import redis_lock

from workloads.lock_pairs import count_pairs

if TYPE_CHECKING:
    from collections.abc import Callable

    from workloads.cell import Cell, Place, Result

__all__ = ["measure"]

TTL_S: Final = 30
TAKE: Final = """\
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return redis.call('INCR', KEYS[2]) end
return 0
"""
GIVE: Final = """\
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


def measure(cell: Cell, place: Place) -> Result:
    """Count pairs on locks of their own, through one client, as the threads of a program share it."""
    client = redis.Redis(port=place.redis_port)
    make = {"redis-py": redis_py, "python-redis-lock": python_redis_lock, "two scripts": two_scripts}[cell.subject]
    return count_pairs(cell, place, [make(client, f"lock-{number}") for number in range(cell.threads)])


def redis_py(client: redis.Redis, name: str) -> Callable[[], None]:
    """Return a pair of redis-py's own lock."""

    def pair() -> None:
        lock = client.lock(name, timeout=TTL_S)
        if not lock.acquire(blocking=False):
            raise RuntimeError(f"{name} is held by nobody, and yet it was refused")
        lock.release()

    return pair


def python_redis_lock(client: redis.Redis, name: str) -> Callable[[], None]:
    """Return a pair of python-redis-lock's."""

    def pair() -> None:
        lock = redis_lock.Lock(client, name, expire=TTL_S)
        if not lock.acquire(blocking=False):
            raise RuntimeError(f"{name} is held by nobody, and yet it was refused")
        lock.release()

    return pair


def two_scripts(client: redis.Redis, name: str) -> Callable[[], None]:
    """Return a pair of the least that a fenced lock must do on the server."""
    take, give = client.script_load(TAKE), client.script_load(GIVE)

    def pair() -> None:
        token = uuid.uuid4().hex
        if not client.evalsha(take, 2, name, f"{name}:fence", token, TTL_S * 1_000):
            raise RuntimeError(f"{name} is held by nobody, and yet it was refused")
        client.evalsha(give, 1, name, token)

    return pair
