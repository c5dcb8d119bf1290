"""A direct connection answers as redis-py's own does, without its polls; what cannot be direct stays as it is."""

from __future__ import annotations

import signal
import socket
import ssl
import sys
from typing import TYPE_CHECKING

import pytest
import redis

from tickglass.sched.durations import MS, SECOND
from tickglass.sched.stores.redis.direct import DirectConnection, direct
from tickglass.sched.stores.redis.topology import Credentials, Server, call, connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from kit.servers import RedisServer

    from tickglass.sched.stores.redis.store import RedisStore
    from tickglass.sched.stores.redis.topology import Connection


def connection_to(server: RedisServer, timeout_ns: int = 2 * SECOND) -> Connection:
    made = connect(Server("127.0.0.1", server.port), Credentials())
    return direct(made, "the place", timeout_ns)


def test_a_store_talks_directly_and_waits_in_the_kernel_alone(store: RedisStore) -> None:
    store.leases()
    (idle,) = store._connections._idle
    assert isinstance(idle, DirectConnection)
    assert idle._sock is not None
    assert idle._sock.gettimeout() is None, "a time-out of Python's costs a poll for each call"
    assert idle._sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, 16) != bytes(16)
    assert idle._sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, 16) != bytes(16)


@pytest.mark.parametrize("length", [0, 1, 16_000, 16_384, 200_000])
def test_an_answer_that_comes_in_pieces_is_whole(server: RedisServer, length: int) -> None:
    connection = connection_to(server)
    assert call(connection, "ECHO", "ä" * length) == "ä" * length
    assert call(connection, "GET", "nothing") is None
    connection.disconnect()


def test_an_error_of_the_server_is_redis_pys_and_the_connection_goes_on(server: RedisServer) -> None:
    connection = connection_to(server)
    with pytest.raises(redis.exceptions.NoScriptError):
        call(connection, "EVALSHA", "f" * 40, 0)
    with pytest.raises(redis.ResponseError, match="unknown command"):
        call(connection, "NONSENSE")
    assert call(connection, "PING") == "PONG"
    connection.disconnect()


def test_a_silent_server_is_a_time_out_of_redis_pys(own_redis: Callable[..., RedisServer]) -> None:
    server = own_redis()
    connection = connection_to(server, timeout_ns=50 * MS)
    server.kill(signal.SIGSTOP)
    with pytest.raises(redis.TimeoutError, match="no answer from the place in time"):
        call(connection, "PING")
    server.kill(signal.SIGCONT)
    connection.disconnect()


def test_the_end_of_a_connection_can_be_read_and_is_an_error_that_names_the_place(server: RedisServer) -> None:
    connection = connection_to(server)
    assert not connection.can_read(0)
    server.say("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    assert connection.can_read(0)
    with pytest.raises(redis.ConnectionError, match="the place"):
        call(connection, "PING")
    connection.disconnect()


def test_a_closed_connection_is_not_opened_again(server: RedisServer) -> None:
    connection = connection_to(server)
    connection.disconnect()
    with pytest.raises(redis.ConnectionError):
        call(connection, "PING")


def test_an_encrypted_connection_stays_redis_pys(server: RedisServer) -> None:
    made = connect(Server("127.0.0.1", server.port), Credentials())
    encrypted = ssl.create_default_context().wrap_socket(socket.socket(), server_hostname="x")
    plain, made._sock = made._sock, encrypted
    assert direct(made, "the place", SECOND) is made
    made._sock = plain
    encrypted.close()
    made.disconnect()


def test_without_hiredis_a_connection_stays_redis_pys(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    made = connect(Server("127.0.0.1", server.port), Credentials())
    monkeypatch.setitem(sys.modules, "hiredis", None)
    assert direct(made, "the place", SECOND) is made
    assert call(made, "PING") == "PONG"
    made.disconnect()
