"""Guards for what jobs write to: they refuse the write of a holder whose lease has passed to another instance.

For SQL (SQLite and PostgreSQL), Redis and etcd, and the two functions for a guard of your own. Public: docs/api.md;
how to use them: docs/locks.md.
"""

from tickglass.sched.fencing import (
    REDIS_GUARD,
    Cursor,
    EtcdClient,
    EtcdGuard,
    Fenced,
    RedisClient,
    RedisGuard,
    SqlGuard,
    demand_fence,
    refuse,
    wrote,
)

__all__ = [
    "REDIS_GUARD",
    "Cursor",
    "EtcdClient",
    "EtcdGuard",
    "Fenced",
    "RedisClient",
    "RedisGuard",
    "SqlGuard",
    "demand_fence",
    "refuse",
    "wrote",
]
