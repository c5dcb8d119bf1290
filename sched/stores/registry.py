"""Say which stores there are, and what each of them is.

A new store adds a row to `_STORES` and a folder with the function that the row names; nothing outside that folder and
this table knows its URL.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tickglass.sched.stores.etcd.url import read_etcd
from tickglass.sched.stores.memory.url import check_memory_exists, read_memory
from tickglass.sched.stores.redis.url import read_cluster, read_redis, read_sentinel, read_unix
from tickglass.sched.stores.redlock.url import read_redlock
from tickglass.sched.stores.sqlite.url import check_file_exists, read_sqlite
from tickglass.sched.stores.url import UrlForm, parse_url

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tickglass.sched.clock import Clock
    from tickglass.sched.ports import Store
    from tickglass.sched.stores.url import StoreUrl

    Opener = Callable[[Clock], Store]

__all__ = [
    "DEFAULT_STORE",
    "check_exists",
    "check_url",
    "is_shared",
    "open_store",
    "redacted_url",
    "scheme_of",
    "store_opener",
]

DEFAULT_STORE: Final = "sqlite:///jobs.db"  # of a scheduler that names none, and of commands that read


@dataclass(frozen=True, slots=True)
class _StoreKind:
    """What the stores of one scheme are.

    Args:
        form: how their URLs look.
        read: reads all of a URL, and returns what opens the store.
        shared: whether other processes can open the same store.
        check_exists: raises ConfigError if `open_store` would create the store; None: it never does.
    """

    form: UrlForm
    read: Callable[[StoreUrl], Opener]
    shared: bool = True
    check_exists: Callable[[StoreUrl], None] | None = None


def check_url(url: str) -> None:
    """Refuse a wrong URL; nothing is opened or created, and whether the store exists is not checked.

    Raises:
        ConfigError: the URL is wrong.
    """
    store_opener(url)


def open_store(url: str, clock: Clock) -> Store:
    """Open the store that a URL names.

    Args:
        url: `memory://`, `sqlite:///relative.db` or `sqlite:////absolute/path.db`,
            with options after a `?`: see docs/stores.md.
        clock: what leases expire by, where the store has no clock of its own.

    Raises:
        ConfigError: the URL, or the place that it names, is wrong.
        StoreUnavailable: the store is there, but does not answer.
    """
    return store_opener(url)(clock)


def store_opener(url: str) -> Opener:
    """Return what opens the store that a URL names, as often as it is called: after a `close`, with all that it held.

    Raises:
        ConfigError: the URL is wrong.
    """
    parsed = _parsed(url)
    kind = _STORES[parsed.scheme]
    parsed.refuse_other_options(*kind.form.options)
    return kind.read(parsed)


def check_exists(url: str) -> None:
    """Refuse a store that `open_store` would create: for commands that only read.

    Raises:
        ConfigError: the URL is wrong, or there is no store at that place.
    """
    parsed = _parsed(url)
    check = _STORES[parsed.scheme].check_exists
    if check is not None:
        check(parsed)


def is_shared(url: str) -> bool:
    """Whether other processes can open the store that a URL names.

    Raises:
        ConfigError: the URL is wrong.
    """
    return _STORES[_parsed(url).scheme].shared


def redacted_url(url: str) -> str:
    """Return the URL as it may be shown: three stars stand for any password in it.

    Raises:
        ConfigError: the URL is wrong.
    """
    return _parsed(url).text


def scheme_of(url: str) -> str:
    """Return what the URL begins with, the name of its store.

    Raises:
        ConfigError: the URL is wrong.
    """
    return _parsed(url).scheme


def _parsed(url: str) -> StoreUrl:
    return parse_url(url, _FORMS)


_REDIS_OPTIONS: Final = ("prefix", "keep", "timeout")
_STORES: Final[Mapping[str, _StoreKind]] = {
    "memory": _StoreKind(UrlForm("memory://", ("keep",)), read_memory, shared=False, check_exists=check_memory_exists),
    "sqlite": _StoreKind(
        UrlForm("sqlite:///jobs.db", ("synchronous", "keep"), before_path="sqlite:///"),
        read_sqlite,
        check_exists=check_file_exists,
    ),
    "etcd": _StoreKind(UrlForm("etcd://localhost:2379", ("prefix", "keep", "timeout")), read_etcd),
    "redis": _StoreKind(UrlForm("redis://localhost:6379/0", _REDIS_OPTIONS), read_redis),
    "rediss": _StoreKind(UrlForm("rediss://localhost:6379/0", (*_REDIS_OPTIONS, "ca")), read_redis),
    "unix": _StoreKind(UrlForm("unix:///run/redis/redis.sock", (*_REDIS_OPTIONS, "db")), read_unix),
    "redis+sentinel": _StoreKind(
        UrlForm("redis+sentinel://h1:26379,h2:26379/mymaster/0", _REDIS_OPTIONS), read_sentinel
    ),
    "redis+cluster": _StoreKind(UrlForm("redis+cluster://h1:6379,h2:6379", _REDIS_OPTIONS), read_cluster),
    "redlock": _StoreKind(UrlForm("redlock://h1:6379,h2:6379,h3:6379/0", (*_REDIS_OPTIONS, "drift")), read_redlock),
}
_FORMS: Final = {scheme: kind.form for scheme, kind in _STORES.items()}
