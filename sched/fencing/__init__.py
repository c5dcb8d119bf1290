"""Refuse the writes of a holder whose lease has passed to another owner.

A lock can promise only that two do not *hold* it at once. A process that was
frozen in the middle of a statement may wake up minutes later and finish it, and
no lock can stop it. The database that it writes to can: it remembers the newest
fence that it has seen and refuses older ones. It always refuses 0, the fence of a
run without a claim. These guards do that for SQL (SQLite and PostgreSQL), for
Redis and for etcd.

A guard reports every refusal to the writer that it was given, a run or a lease
taken by hand, and raises `StaleFence`:

    >>> import sqlite3
    >>> from types import SimpleNamespace
    >>> from tickglass.sched.fencing import SqlGuard
    >>> cursor = sqlite3.connect(":memory:").cursor()
    >>> guard = SqlGuard()
    >>> _ = cursor.execute(guard.create)
    >>> paused = SimpleNamespace(resource="stock", fence=6, report_stale_fence=id)  # stands in for a run
    >>> present = SimpleNamespace(resource="stock", fence=7, report_stale_fence=id)
    >>> guard.advance(cursor, present)
    >>> guard.advance(cursor, paused)
    Traceback (most recent call last):
    tickglass.sched.errors.StaleFence: stock: fence 6 is stale, 7 has been seen; nothing was written

No I/O of its own: cursors and clients are the caller's, and no driver is imported.
"""

from tickglass.sched.fencing.etcd import EtcdClient, EtcdGuard
from tickglass.sched.fencing.redis import REDIS_GUARD, RedisClient, RedisGuard
from tickglass.sched.fencing.sql import Cursor, SqlGuard, wrote
from tickglass.sched.fencing.writer import Fenced, demand_fence, refuse

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
