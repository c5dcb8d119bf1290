"""Exchange calls and answers over a connection of redis-py with as few system calls as there can be: one each way.

redis-py opens the connection, logs in and closes it. A socket with a time-out of Python's polls before each call, and
each system call gives the interpreter lock away: with eight threads, that is most of what they wait for. So the kernel
keeps the time-out here, and the answers go straight from the socket to hiredis. Where that is not possible (TLS,
another platform, no hiredis) the connection stays as it is.
"""

from __future__ import annotations

import os
import select
import socket
import ssl
import struct
from typing import TYPE_CHECKING, Any, Final

from tickglass.sched.durations import SECOND, US
from tickglass.sched.stores.redis.topology import driver

if TYPE_CHECKING:
    from tickglass.sched.stores.redis.topology import Connection

__all__ = ["DirectConnection", "direct"]

_CHUNK: Final = 16_384  # bytes read at once: every answer to a claim or a lock, and a tenth of a page of rows
_TIMEVAL: Final = struct.Struct("ll")  # of 64-bit POSIX systems
_KERNEL_KEEPS_TIME: Final = os.name == "posix" and struct.calcsize("l") == 8


def direct(connection: Connection, place: str, timeout_ns: int) -> Connection:
    """Return a connection that is shorter to use, in place of this one; or this one, if it cannot be.

    Args:
        connection: open, without an answer under way; the caller does not use it any more.
        place: where it leads, for errors.
        timeout_ns: the longest wait for the server to take or to send something.
    """
    reader = _new_reader()
    sock = connection._sock  # noqa: SLF001 - there is no other way to it
    if reader is None or sock is None or isinstance(sock, ssl.SSLSocket) or not _KERNEL_KEEPS_TIME:
        return connection
    return DirectConnection(connection, sock, reader, place, timeout_ns)


def _new_reader() -> Any:  # noqa: ANN401 - hiredis has no types
    """Return a parser that makes what redis-py's makes; None without hiredis."""
    try:
        import hiredis  # noqa: PLC0415 - a part of the extra that not every platform has
    except ImportError:
        return None
    redis = driver()
    parsers = redis.connection.DefaultParser
    return hiredis.Reader(
        protocolError=redis.InvalidResponse, replyError=parsers.parse_error, encoding="utf-8", errors="strict"
    )


class DirectConnection:
    """A `Connection` for calls that are answered one after the other, by one thread at a time."""

    def __init__(self, connection: Connection, sock: socket.socket, reader: Any, place: str, timeout_ns: int) -> None:  # noqa: ANN401
        errors = driver()
        self._connection = connection
        self._sock: socket.socket | None = sock
        self._send = sock.sendall
        self._receive = sock.recv_into
        self._buffer = bytearray(_CHUNK)
        self._look = select.poll()
        self._look.register(sock, select.POLLIN)  # errors and the end are told in any case
        self._feed = reader.feed
        self._next = reader.gets
        self._place = place
        self._answered_badly = errors.RedisError
        self._broken = errors.ConnectionError
        self._timed_out = errors.TimeoutError
        sock.settimeout(None)
        time_out = _TIMEVAL.pack(timeout_ns // SECOND, timeout_ns % SECOND // US)
        for way in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            sock.setsockopt(socket.SOL_SOCKET, way, time_out)

    def pack_command(self, *words: str | int) -> list[bytes]:
        """See `Connection`."""
        return self._connection.pack_command(*words)

    def send_packed_command(self, command: list[bytes], check_health: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - theirs
        """See `Connection`; a closed connection is not opened again."""
        try:
            for part in command:
                self._send(part)
        except OSError as error:
            raise self._error(error) from error

    def read_response(self) -> Any:  # noqa: ANN401 - whatever the server answers
        """See `Connection`."""
        try:
            while True:
                length = self._receive(self._buffer)
                if not length:
                    raise self._broken(f"{self._place} closed the connection")
                self._feed(self._buffer, 0, length)
                answer = self._next()
                if answer is not False:  # it is complete
                    break
        except OSError as error:
            raise self._error(error) from error
        if isinstance(answer, self._answered_badly):
            raise answer
        return answer

    def can_read(self, timeout: float) -> bool:  # noqa: ARG002 - theirs
        """See `Connection`; it does not wait. The end of the connection can be read, too."""
        return bool(self._look.poll(0))

    def disconnect(self) -> None:
        """See `Connection`."""
        self._sock = None
        self._connection.disconnect()

    def _error(self, error: OSError) -> Exception:
        """Return an error of the system as redis-py would: the kernel tells a time-out as a call that would block."""
        if isinstance(error, BlockingIOError):
            timed_out: Exception = self._timed_out(f"no answer from {self._place} in time")
            return timed_out
        broken: Exception = self._broken(f"the connection to {self._place} broke: {error}")
        return broken
