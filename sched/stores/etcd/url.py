"""Read the URL of an etcd cluster.

The store itself, and with it the client, is imported when one is opened.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from tickglass.sched.durations import MS
from tickglass.sched.errors import ConfigError
from tickglass.sched.stores.etcd.settings import PORT, PREFIX, TIMEOUT_NS, Endpoint
from tickglass.sched.stores.retention import KEEP_MIN_NS, KEEP_NS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickglass.sched.clock import Clock
    from tickglass.sched.ports import Store
    from tickglass.sched.stores.url import StoreUrl

    Opener = Callable[[Clock], Store]

__all__ = ["read_etcd"]

_HOST: Final = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s:/@\[\]]+)(?::([0-9]{1,5}))?")


def read_etcd(url: StoreUrl) -> Opener:
    """Read `etcd://[user:password@]h1:2379,h2:2379?prefix=/tickglass&keep=24h&timeout=2s`."""
    login, _, addresses = url.body.rpartition("@")
    user, colon, password = login.partition(":")
    if login and not (user and colon and password):
        raise url.refusal("a user comes with a password", login, "etcd://user:password@localhost:2379")
    endpoints = _endpoints(url, addresses)
    prefix = _prefix(url)
    keep_ns = url.duration_ns("keep", KEEP_NS, min_ns=KEEP_MIN_NS)
    timeout_ns = url.duration_ns("timeout", TIMEOUT_NS, min_ns=MS)

    def opener(clock: Clock) -> Store:
        try:
            from tickglass.sched.stores.etcd.store import EtcdStore  # noqa: PLC0415 - it imports the client
        except ImportError as error:
            problem = f"etcd:// needs a client that is not installed ({error.name})"
            raise ConfigError(problem, given=url.text, instead=('pip install "tickglass[etcd]"',)) from error
        return EtcdStore(
            endpoints,
            clock,
            user=unquote(user),
            password=unquote(password),
            prefix=prefix,
            keep_ns=keep_ns,
            timeout_ns=timeout_ns,
        )

    return opener


def _endpoints(url: StoreUrl, addresses: str) -> list[Endpoint]:
    if "/" in addresses:
        path = addresses[addresses.index("/") :]
        raise url.refusal("etcd:// has no path; what keys begin with is an option", path, f"?prefix={path}")
    endpoints: list[Endpoint] = []
    for address in addresses.split(","):
        found = _HOST.fullmatch(address)
        if found is None or not 0 < int(found[2] or PORT) < 65_536:
            raise url.refusal("an endpoint is a host and a port", address, "etcd://localhost:2379", "etcd://[::1]:2379")
        endpoint = Endpoint(found[1], int(found[2] or PORT))
        if endpoint in endpoints:
            raise url.refusal(f"{endpoint} is named twice", address)
        endpoints.append(endpoint)
    return endpoints


def _prefix(url: StoreUrl) -> str:
    prefix = unquote(url.options.get("prefix", PREFIX))
    if not prefix.isprintable() or prefix.endswith("/"):
        raise url.refusal(
            "a prefix is printable and does not end in /", f"prefix={url.options['prefix']}", "?prefix=/jobs"
        )
    return prefix
