"""Lay the ground for a recorded history: a store on real servers, a way to it for each worker, what can go wrong."""

from __future__ import annotations

import random
import signal
import sqlite3
import threading
from abc import ABC, abstractmethod
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, ClassVar, Final

from chaos.faults import SERVERS, Fault, Kind
from chaos.proxy import BOTH_WAYS, ONLY_ANSWERS, Link, Proxy
from kit.servers import EtcdServer, RedisServer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Self

__all__ = ["GROUNDS", "Ground"]

_OF_PROCESSES: Final = (
    Kind.KILL,
    Kind.KILL,
    Kind.FREEZE,
    Kind.FREEZE,
    Kind.FAST,
    Kind.SLOW,
    Kind.FORWARD,
    Kind.BACK,
    Kind.CROWD,
    Kind.BLOCK,
)
_OF_NETWORKS: Final = (Kind.RESET, Kind.PARTITION, Kind.DEAF, Kind.DELAY)
_HOG_PATIENCE_S: Final = 5.0


class Ground(ABC):
    """A store, ready to be used and to be harmed; enter it before use.

    Args:
        home: an empty folder.
        workers: how many shall use it.

    Attributes:
        ttl_ms: of all leases on it.
        of_patience: what can go wrong with the servers for some seconds: only in long histories.
        votes: whether an attempt is what a majority says it is, see `History`.
        keeps_time: whether the store has a clock of its own, see `Setting`.
        how: for people: what runs, with which settings.
    """

    name: ClassVar[str]
    ttl_ms: ClassVar[int]
    of_workers: ClassVar[Sequence[Kind]]
    of_servers: ClassVar[Sequence[Kind]]
    how: ClassVar[str]
    of_patience: ClassVar[Sequence[Kind]] = (Kind.FULL,)
    votes: ClassVar[bool] = False
    keeps_time: ClassVar[bool] = True

    def __init__(self, home: Path, workers: int) -> None:
        self._home = home
        self._workers = workers

    @abstractmethod
    def url(self, worker: int) -> str:
        """Return the store's URL for a worker."""

    @property
    @abstractmethod
    def direct_url(self) -> str:
        """Return the store's URL past everything that can go wrong."""

    @abstractmethod
    def begin(self, fault: Fault) -> None:
        """Let a fault of the network or of the servers begin."""

    @abstractmethod
    def end(self, fault: Fault) -> None:
        """Let it end."""

    @abstractmethod
    def __enter__(self) -> Self:
        """Start the servers."""

    @abstractmethod
    def __exit__(self, *_: object) -> None:
        """End them."""


class SqliteGround(Ground):
    """A database file."""

    name = "sqlite"
    ttl_ms = 700
    of_workers = _OF_PROCESSES
    of_servers = (Kind.HOG,)
    keeps_time = False
    how = "one database file in WAL mode, `synchronous=normal`"

    def __init__(self, home: Path, workers: int) -> None:
        super().__init__(home, workers)
        self._path = home / "jobs.db"
        self._let_go = threading.Event()
        self._hog = threading.Thread()

    def url(self, worker: int) -> str:
        """See `Ground`."""
        return self.direct_url

    @property
    def direct_url(self) -> str:
        """See `Ground`."""
        return f"sqlite:///{self._path}"

    def begin(self, fault: Fault) -> None:
        """See `Ground`; on a thread, for a frozen worker may have the lock."""
        self._let_go.clear()
        self._hog = threading.Thread(target=self._keep_the_lock)
        self._hog.start()

    def end(self, fault: Fault) -> None:
        """See `Ground`."""
        self._let_go.set()

    def _keep_the_lock(self) -> None:
        with closing(sqlite3.connect(self._path, timeout=_HOG_PATIENCE_S, isolation_level=None)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return  # all the time in other manual_locks
            self._let_go.wait()
            connection.execute("ROLLBACK")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._let_go.set()
        if self._hog.ident is not None:
            self._hog.join()


class _Networked(Ground):
    """Servers, and for each worker a link of its own to each of them."""

    of_workers = (*_OF_PROCESSES, *_OF_NETWORKS)
    of_servers: ClassVar[Sequence[Kind]] = (Kind.RESTART, Kind.RESTART, Kind.STALL, Kind.RESET_ALL)

    def __init__(self, home: Path, workers: int) -> None:
        super().__init__(home, workers)
        self._running = ExitStack()
        self._links: list[list[Link]] = []
        self._ports: list[int] = []

    @abstractmethod
    def _start_servers(self, running: ExitStack) -> list[int]:
        """Start all servers; return their ports."""

    @abstractmethod
    def _kill(self, server: int) -> None: ...

    @abstractmethod
    def _revive(self, server: int) -> None: ...

    @abstractmethod
    def _freeze(self, server: int) -> None: ...

    @abstractmethod
    def _thaw(self, server: int) -> None: ...

    @abstractmethod
    def _fill(self, server: int, *, full: bool) -> None:
        """Let it refuse whatever writes, or take it again."""

    @abstractmethod
    def _url(self, ports: Sequence[int]) -> str: ...

    def url(self, worker: int) -> str:
        """See `Ground`."""
        return self._url([link.port for link in self._links[worker]])

    @property
    def direct_url(self) -> str:
        """See `Ground`."""
        return self._url(self._ports)

    def begin(self, fault: Fault) -> None:
        """See `Ground`."""
        for link in self._hit(fault):
            match fault.kind:
                case Kind.PARTITION:
                    link.hold(BOTH_WAYS)
                case Kind.DEAF:
                    link.hold(ONLY_ANSWERS)
                case Kind.DELAY:
                    link.delay(0.02 + 0.25 * fault.luck)
                case Kind.RESET | Kind.RESET_ALL:
                    link.reset()
                case _:
                    pass
        for server in self._struck(fault):
            match fault.kind:
                case Kind.STALL:
                    self._freeze(server)
                case Kind.FULL:
                    self._fill(server, full=True)
                case _:
                    self._kill(server)

    def end(self, fault: Fault) -> None:
        """See `Ground`."""
        for link in self._hit(fault):
            link.hold(frozenset())
            link.delay(0)
        for server in self._struck(fault):
            match fault.kind:
                case Kind.STALL:
                    self._thaw(server)
                case Kind.FULL:
                    self._fill(server, full=False)
                case _:
                    self._revive(server)

    def _hit(self, fault: Fault) -> list[Link]:
        """Return the links that a fault concerns: of a worker, all, or now and then only one."""
        if fault.kind is Kind.RESET_ALL:
            return [link for links in self._links for link in links]
        if fault.target == SERVERS:
            return []
        links = self._links[fault.target]
        return [links[int(fault.luck * 1000) % len(links)]] if fault.luck < 0.3 else links

    def _struck(self, fault: Fault) -> list[int]:
        """Return the servers that a fault concerns: one, or a majority."""
        count = len(self._ports)
        if fault.kind not in (Kind.RESTART, Kind.STALL, Kind.MAJORITY, Kind.FULL):
            return []
        most = fault.kind in (Kind.MAJORITY, Kind.FULL)
        return random.Random(fault.luck).sample(range(count), count // 2 + 1 if most else 1)

    def __enter__(self) -> Self:
        with ExitStack() as running:
            self._ports = self._start_servers(running)
            proxy = running.enter_context(Proxy())
            self._links = [[proxy.link(port) for port in self._ports] for _ in range(self._workers)]
            self._running = running.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()


class RedisGround(_Networked):
    """One Redis server that forgets nothing."""

    name = "redis"
    ttl_ms = 700
    how = "one server, `appendonly yes`, `appendfsync always`; `timeout=300ms`"
    _count = 1

    def _start_servers(self, running: ExitStack) -> list[int]:
        self._servers = []
        for number in range(self._count):
            home = self._home / f"server-{number}"
            home.mkdir()
            server = RedisServer(home, "--appendonly", "yes", "--appendfsync", "always")
            running.callback(server.end)
            server.start()
            self._servers.append(server)
        return [server.port for server in self._servers]

    def _kill(self, server: int) -> None:
        self._servers[server].kill()

    def _revive(self, server: int) -> None:
        self._servers[server].start()

    def _freeze(self, server: int) -> None:
        self._servers[server].kill(signal.SIGSTOP)

    def _thaw(self, server: int) -> None:
        self._servers[server].kill(signal.SIGCONT)

    def _fill(self, server: int, *, full: bool) -> None:
        self._servers[server].say("CONFIG", "SET", "maxmemory", 1 if full else 0)

    def _url(self, ports: Sequence[int]) -> str:
        return f"redis://127.0.0.1:{ports[0]}/0?timeout=300ms"


class RedlockGround(RedisGround):
    """Three Redis servers that know nothing of each other."""

    name = "redlock"
    votes = True
    ttl_ms = 1_000
    of_servers = (Kind.RESTART, Kind.RESTART, Kind.STALL, Kind.MAJORITY, Kind.RESET_ALL)
    how = "three independent servers, each `appendonly yes`, `appendfsync always`; `timeout=200ms`"
    _count = 3

    def _url(self, ports: Sequence[int]) -> str:
        return f"redlock://{','.join(f'127.0.0.1:{port}' for port in ports)}/0?timeout=200ms"


class EtcdGround(_Networked):
    """A cluster of one."""

    name = "etcd"
    ttl_ms = 1_000
    how = "a cluster of one member, election timeout 500 ms; `timeout=300ms`"

    def _start_servers(self, running: ExitStack) -> list[int]:
        self._server = EtcdServer(self._home)
        running.callback(self._stop)
        self._server.start()
        return [self._server.port]

    def _stop(self) -> None:
        self._thaw(0)
        self._server.stop()

    def _kill(self, server: int) -> None:
        self._server._signal(signal.SIGKILL)
        self._server.stop()

    def _revive(self, server: int) -> None:
        self._server.start()

    def _freeze(self, server: int) -> None:
        self._server.freeze()

    def _thaw(self, server: int) -> None:
        self._server.thaw()

    def _fill(self, server: int, *, full: bool) -> None:
        self._server.say("maintenance/alarm", action="ACTIVATE" if full else "DEACTIVATE", alarm="NOSPACE")

    def _url(self, ports: Sequence[int]) -> str:
        return f"etcd://127.0.0.1:{ports[0]}?timeout=300ms"


GROUNDS: Final[Mapping[str, type[Ground]]] = {
    ground.name: ground for ground in (SqliteGround, RedisGround, RedlockGround, EtcdGround)
}
