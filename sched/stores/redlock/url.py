"""Read the URL of several independent Redis servers.

The store itself is imported when one is opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tickglass.sched.durations import MS
from tickglass.sched.stores.redis.url import (
    REDIS_PORT,
    read_credentials,
    read_db,
    read_keep_ns,
    read_prefix,
    read_servers,
    split_user,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickglass.sched.clock import Clock
    from tickglass.sched.ports import Store
    from tickglass.sched.stores.url import StoreUrl

    Opener = Callable[[Clock], Store]

__all__ = ["read_redlock"]

TIMEOUT_NS: Final = 50 * MS


def read_redlock(url: StoreUrl) -> Opener:
    """Read `redlock://[user:password@]h1:6379,h2:6379,h3:6379[/db]`."""
    user, rest = split_user(url.body)
    addresses, _, db = rest.partition("/")
    servers = read_servers(url, addresses, REDIS_PORT)
    if len(servers) < 3 or len(servers) % 2 == 0:
        raise url.refusal(
            f"redlock needs an odd number of independent servers, three or more, not {len(servers)}: "
            "an even one more can fail no more of them, and of two none",
            addresses,
            "redlock://h1:6379,h2:6379,h3:6379/0",
        )
    drift_ns = url.duration_ns("drift", 0, min_ns=MS)
    timeout_ns = url.duration_ns("timeout", TIMEOUT_NS, min_ns=MS)
    credentials = read_credentials(url, user, read_db(url, db), timeout_ns=timeout_ns)
    prefix, keep_ns, given = read_prefix(url), read_keep_ns(url), "timeout" in url.options

    def opener(_: Clock) -> Store:
        from tickglass.sched.stores.redlock.store import RedlockStore  # noqa: PLC0415 - reads the scripts

        return RedlockStore(
            servers, credentials, prefix=prefix, keep_ns=keep_ns, drift_ns=drift_ns, timeout_given=given
        )

    return opener
