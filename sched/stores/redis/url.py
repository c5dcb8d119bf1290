"""Read the URLs of Redis: one server, Sentinel, Cluster.

The store itself is imported when one is opened.
"""

from __future__ import annotations

import re
import ssl
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from tickglass.sched.durations import MS, SECOND
from tickglass.sched.stores.redis.topology import Cluster, Credentials, Direct, Sentinel, Server
from tickglass.sched.stores.retention import KEEP_MIN_NS, KEEP_NS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickglass.sched.clock import Clock
    from tickglass.sched.ports import Store
    from tickglass.sched.stores.redis.topology import ServerLocator
    from tickglass.sched.stores.url import StoreUrl

    Opener = Callable[[Clock], Store]

__all__ = [
    "REDIS_PORT",
    "read_cluster",
    "read_credentials",
    "read_db",
    "read_keep_ns",
    "read_prefix",
    "read_redis",
    "read_sentinel",
    "read_servers",
    "read_unix",
    "split_user",
]

PREFIX: Final = "tickglass"
TIMEOUT_NS: Final = 2 * SECOND
REDIS_PORT: Final = 6379
SENTINEL_PORT: Final = 26379
_HOST: Final = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s:/@\[\]]+)(?::([0-9]{1,5}))?")


def read_redis(url: StoreUrl) -> Opener:
    """Read `redis://[user:password@]host:port[/db]`, or `rediss://` for TLS."""
    user, rest = split_user(url.body)
    address, _, db = rest.partition("/")
    right = f"{url.scheme}://localhost:6379/0"
    if not address or "," in address:
        raise url.refusal(f"{url.scheme}:// names one server", address, right, "redis+cluster://h1:6379,h2:6379")
    server = read_server(url, address, REDIS_PORT)
    credentials = read_credentials(url, user, read_db(url, db), tls=url.scheme == "rediss")
    return _opener(url, Direct(server), credentials)


def read_unix(url: StoreUrl) -> Opener:
    """Read `unix://[user:password@]/path/of.sock?db=0`."""
    user, path = split_user(url.body)
    if not path.startswith("/") or path.endswith("/") or "\0" in unquote(path):
        right = f"unix:///{path}" if path.strip("/") and not path.endswith("/") else "unix:///run/redis/redis.sock"
        raise url.refusal("unix:// needs the absolute path of a socket", path, right)
    credentials = read_credentials(url, user, read_db(url, url.options.get("db", "0")))
    return _opener(url, Direct(Server(path=unquote(path))), credentials)


def read_sentinel(url: StoreUrl) -> Opener:
    """Read `redis+sentinel://[user:password@]h1:26379,h2:26379/mymaster[/db]`."""
    user, rest = split_user(url.body)
    addresses, *more = rest.split("/")
    sentinels = read_servers(url, addresses, SENTINEL_PORT)
    if len(more) not in (1, 2) or not more[0] or (len(more) == 1 and more[0].isdecimal()):  # a database, no master
        right = "redis+sentinel://h1:26379,h2:26379/mymaster"
        raise url.refusal("the name of a master follows the sentinels, then the number of a database", rest, right)
    credentials = read_credentials(url, user, read_db(url, more[1] if len(more) == 2 else ""))
    return _opener(url, Sentinel(sentinels, unquote(more[0]), credentials), credentials)


def read_cluster(url: StoreUrl) -> Opener:
    """Read `redis+cluster://[user:password@]h1:6379,h2:6379`."""
    user, rest = split_user(url.body)
    addresses, _, db = rest.partition("/")
    if db not in ("", "0"):
        raise url.refusal("a cluster has no database but 0", f"/{db}", f"redis+cluster://{addresses}")
    nodes = read_servers(url, addresses, REDIS_PORT)
    credentials = read_credentials(url, user, 0)
    return _opener(url, Cluster(nodes, f"{{{read_prefix(url)}}}", credentials), credentials)


# --- parts, for redlock/url.py too


def split_user(body: str) -> tuple[str, str]:
    """Return what stands before the last @, "" if there is none, and the rest."""
    user, at, rest = body.rpartition("@")
    return (user, rest) if at else ("", body)


def read_servers(url: StoreUrl, addresses: str, port: int) -> list[Server]:
    """Return the servers of a list with commas."""
    servers = [read_server(url, address, port) for address in addresses.split(",")]
    for number, server in enumerate(servers):
        if server in servers[:number]:
            raise url.refusal(f"{server} is named twice", addresses.split(",")[number])
    return servers


def read_server(url: StoreUrl, address: str, port: int) -> Server:
    """Return one server."""
    found = _HOST.fullmatch(address)
    if found is None or not 0 < int(found[2] or port) < 65_536:
        raise url.refusal("a server is a host and a port", address, f"localhost:{port}", f"[::1]:{port}")
    return Server(found[1].strip("[]"), int(found[2] or port))


def read_db(url: StoreUrl, text: str) -> int:
    """Return the number of a database; 0 where none is given, as all clients of Redis have it."""
    if not text:
        return 0
    if not text.isdecimal() or not text.isascii() or len(text) > 4:
        raise url.refusal("a database of Redis is a number", text, "0")
    return int(text)


def read_prefix(url: StoreUrl) -> str:
    """Return the prefix of all keys."""
    prefix = unquote(url.options.get("prefix", PREFIX))
    if set(prefix) & set("{}") or not prefix.isprintable():
        # In braces it becomes the hash tag that keeps all keys in one slot of a cluster.
        raise url.refusal("a prefix is printable and has no braces", f"prefix={url.options['prefix']}", "?prefix=jobs")
    return prefix


def read_keep_ns(url: StoreUrl) -> int:
    """Return how long the ledger remembers."""
    return url.duration_ns("keep", KEEP_NS, min_ns=KEEP_MIN_NS)


def read_credentials(
    url: StoreUrl, user: str, db: int, *, tls: bool = False, timeout_ns: int | None = None
) -> Credentials:
    """Return how to log in."""
    name, _, password = user.partition(":")
    return Credentials(
        db=db,
        username=unquote(name),
        password=unquote(password),
        tls=tls,
        ca=unquote(url.options.get("ca", "")),
        timeout_ns=timeout_ns or url.duration_ns("timeout", TIMEOUT_NS, min_ns=MS),
    )


def _check_certificates(url: StoreUrl, path: str) -> None:
    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:  # not there, not ours to read, or no certificates
        problem = f"the certificates in {path} cannot be read: {error.strerror or error}"
        raise url.refusal(problem, f"ca={url.options['ca']}") from error


def _opener(url: StoreUrl, locator: ServerLocator, credentials: Credentials) -> Opener:
    prefix, keep_ns = read_prefix(url), read_keep_ns(url)

    def opener(_: Clock) -> Store:
        from tickglass.sched.stores.redis.store import RedisStore  # noqa: PLC0415 - reads the scripts

        if credentials.ca:
            _check_certificates(url, credentials.ca)
        return RedisStore(locator, credentials, prefix=prefix, keep_ns=keep_ns)

    return opener
