"""Find the server that has a store's keys: the one in the URL, or through Sentinel or a Cluster.

All keys of a store share one slot, so also in a Cluster they are on one server.
"""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from tickglass.sched.durations import SECOND
from tickglass.sched.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "Cluster",
    "Connection",
    "Credentials",
    "Direct",
    "Sentinel",
    "Server",
    "ServerLocator",
    "call",
    "connect",
    "driver",
]

# TCP keepalive, after which a dead idle connection is closed: seconds until the first probe, between probes, how many.
_KEEPALIVE: Final = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
_MOVED: Final = re.compile(r"\b\d+ (\S*):(\d+)$")


def driver() -> Any:  # noqa: ANN401 - a module
    """Return redis-py.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import redis  # noqa: PLC0415 - an extra: imported by those who use it
        import redis.connection  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(
            f"this store needs the package redis, which cannot be imported: {error}",
            instead=("pip install 'tickglass[redis]'",),
        ) from error
    return redis


@dataclass(frozen=True, slots=True)
class Server:
    """Where a server listens: a host and a port, or the path of a socket."""

    host: str = ""
    port: int = 6379
    path: str = ""

    def __str__(self) -> str:
        return self.path or f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Credentials:
    """How to log in to a server.

    Args:
        ca: path of the certificates to trust, "" for the system's; with tls.
    """

    db: int = 0
    username: str = ""
    password: str = field(default="", repr=False)
    tls: bool = False
    ca: str = ""
    timeout_ns: int = 2 * SECOND


class Connection(Protocol):
    """The part of redis-py's connections that is used here; its methods have no types."""

    _sock: socket.socket | None

    def pack_command(self, *words: str | int) -> list[bytes]:
        """Return a command as the server reads it."""
        ...

    def send_packed_command(self, command: list[bytes], check_health: bool = ...) -> None:  # noqa: FBT001 - theirs
        """Send a packed command; connects again if the connection is closed."""
        ...

    def read_response(self) -> Any:  # noqa: ANN401 - whatever the server answers
        """Return the next answer; raises it if it is an error."""
        ...

    def can_read(self, timeout: float) -> bool:
        """Wait at most this many seconds for something to read."""
        ...

    def disconnect(self) -> None:
        """Close it; a second call does nothing."""
        ...


def connect(server: Server, credentials: Credentials, *, timeout_ns: int | None = None) -> Connection:
    """Return a new connection, logged in; redis-py's errors are not wrapped."""
    redis = driver()
    kinds = redis.connection
    timeout_s = (timeout_ns or credentials.timeout_ns) / SECOND
    options: dict[str, Any] = {
        "db": credentials.db,
        "username": credentials.username or None,
        "password": credentials.password or None,
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "decode_responses": True,
        "protocol": 2,
        "client_name": "tickglass",
    }
    if server.path:
        kind = kinds.UnixDomainSocketConnection
        options |= {"path": server.path}
    else:
        kind = kinds.SSLConnection if credentials.tls else kinds.Connection
        known = {getattr(socket, name): value for name, value in _KEEPALIVE.items() if hasattr(socket, name)}
        options |= {"host": server.host, "port": server.port}
        options |= {"socket_keepalive": True, "socket_keepalive_options": known}
    if credentials.tls:
        options |= {"ssl_ca_certs": credentials.ca or None, "ssl_check_hostname": True}
    connection = kind(**options)
    try:
        connection.connect()
    except redis.TimeoutError as error:
        if "handshake" in str(error.__context__):
            raise redis.TimeoutError(
                f"no answer from {server} to the TLS handshake; does it speak TLS there?"
            ) from error
        raise
    return cast("Connection", connection)


def call(connection: Connection, *words: str | int) -> Any:  # noqa: ANN401 - whatever the server answers
    """Send one command and return the answer; redis-py's errors are not wrapped."""
    connection.send_packed_command(connection.pack_command(*words), check_health=False)
    return connection.read_response()


class ServerLocator(Protocol):
    """Knows, or finds out, which server has the keys."""

    can_change: bool  # whether asking again may find another one
    rights: str  # the rights that a user needs to find it, beside those for the store

    def find(self) -> Server:
        """Return the server as last known, or look it up; redis-py's errors are not wrapped."""
        ...

    def check(self, connection: Connection) -> None:
        """Raise redis-py's ConnectionError if this new connection leads to the wrong server."""
        ...

    def forget(self, moved: str = "") -> None:
        """Forget the server: look it up next time, or take the one that a MOVED answer names."""
        ...


class Direct:
    """The server that the URL names."""

    can_change = False
    rights = ""

    def __init__(self, server: Server) -> None:
        self._server = server

    def find(self) -> Server:
        """See `ServerLocator`."""
        return self._server

    def check(self, connection: Connection) -> None:
        """See `ServerLocator`; any server at that address is right."""

    def forget(self, moved: str = "") -> None:
        """See `ServerLocator`; there is no other server."""


class Sentinel:
    """The master of a name, as the first sentinel that answers knows it."""

    can_change = True
    rights = "+role"

    def __init__(self, sentinels: Sequence[Server], name: str, credentials: Credentials) -> None:
        self._sentinels = list(sentinels)
        self._name = name
        self._credentials = Credentials(tls=credentials.tls, ca=credentials.ca, timeout_ns=credentials.timeout_ns)
        self._known: Server | None = None

    def find(self) -> Server:
        """See `ServerLocator`."""
        if self._known is None:
            words = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._name)
            sentinel, answer = _first_answer(self._sentinels, self._credentials, words)
            self._sentinels.sort(key=lambda it: it != sentinel)  # the one that answered is asked first
            self._known = Server(answer[0], int(answer[1]))
        return self._known

    def check(self, connection: Connection) -> None:
        """See `ServerLocator`: a sentinel may name a server that is no longer master, or not yet."""
        role = call(connection, "ROLE")[0]
        if role != "master":
            raise driver().ConnectionError(f"the server named as master is a {role}")

    def forget(self, moved: str = "") -> None:  # noqa: ARG002 - servers behind Sentinel do not say
        """See `ServerLocator`."""
        self._known = None


class Cluster:
    """The master of the slot of a store's keys."""

    can_change = True
    rights = "+cluster"

    def __init__(self, nodes: Sequence[Server], base: str, credentials: Credentials) -> None:
        self._nodes = list(nodes)
        self._base = base
        self._credentials = credentials
        self._known: Server | None = None

    def find(self) -> Server:
        """See `ServerLocator`."""
        if self._known is None:
            node, slot = _first_answer(self._nodes, self._credentials, ("CLUSTER", "KEYSLOT", self._base))
            _, spans = _first_answer([node], self._credentials, ("CLUSTER", "SLOTS"))
            masters = [master for first, last, master, *_ in spans if first <= slot <= last]
            if not masters:
                raise driver().ConnectionError(f"no server of the cluster has slot {slot}")
            self._known = Server(masters[0][0] or node.host, int(masters[0][1]))
        return self._known

    def check(self, connection: Connection) -> None:
        """See `ServerLocator`: the wrong server answers MOVED."""

    def forget(self, moved: str = "") -> None:
        """See `ServerLocator`; what follows MOVED is slot, host and port."""
        found = _MOVED.search(moved)
        self._known = Server(found[1], int(found[2])) if found is not None and found[1] else None


def _first_answer(servers: Sequence[Server], credentials: Credentials, words: tuple[str, ...]) -> tuple[Server, Any]:
    redis = driver()
    failures = []
    for server in list(servers):
        try:
            connection = connect(server, credentials)
            try:
                answer = call(connection, *words)
            finally:
                connection.disconnect()
        except redis.RedisError as error:
            failures.append(f"{server}: {error}")
            continue
        if answer is not None:
            return server, answer
        failures.append(f"{server}: does not know {words[-1]}")
    raise redis.ConnectionError("; ".join(failures))
