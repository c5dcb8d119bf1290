"""Run a Redis server of the benchmark's own: empty, without a disk, at a port that nobody else uses."""

from __future__ import annotations

import shutil
import socket
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["RedisServer", "redis_server"]

START_TRIES: Final = 100
START_PAUSE_S: Final = 0.1


class RedisServer(NamedTuple):
    """A running server: a client of it, and where it listens."""

    client: redis.Redis
    port: int


def _free_port() -> int:
    """Return a port of this machine that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def redis_server(home: Path) -> Iterator[RedisServer | None]:
    """Yield a server that runs meanwhile; None where redis-server is not installed."""
    server = shutil.which("redis-server")
    if server is None:
        yield None
        return
    port = _free_port()
    options = {"port": str(port), "bind": "127.0.0.1", "save": "", "appendonly": "no", "dir": str(home)}
    command = [server, *(word for name, value in options.items() for word in (f"--{name}", value))]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        retry = Retry(ConstantBackoff(START_PAUSE_S), START_TRIES)
        try:
            with redis.Redis(port=port, retry=retry, retry_on_error=[redis.ConnectionError]) as client:
                client.ping()
                yield RedisServer(client, port)
        finally:
            process.terminate()
