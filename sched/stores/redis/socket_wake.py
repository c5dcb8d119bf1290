"""Let a thread wait for a socket and for other threads at once."""

from __future__ import annotations

import contextlib
import select
import socket
import threading

from tickglass.sched.durations import MS

__all__ = ["SocketWake"]


class SocketWake:
    """A wake-up that one thread waits for beside a socket; any thread rings it.

    A ring is remembered until a wait consumes it. It has no files before the first wait.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ends: tuple[socket.socket, socket.socket] | None = None
        self._rung = False

    def ring(self) -> None:
        """Make the present or the next wait return at once."""
        with self._lock:
            if not self._rung and self._ends is not None:
                with contextlib.suppress(BlockingIOError):
                    self._ends[1].send(b"!")
            self._rung = True

    def wait(self, timeout_ns: int | None, beside: socket.socket | None = None) -> None:
        """Wait for a ring, until the socket can be read, or until this time has passed."""
        poll = select.poll()
        if beside is not None:
            poll.register(beside, select.POLLIN)
        with self._lock:
            if self._ends is None:
                self._ends = socket.socketpair()
                for end in self._ends:
                    end.setblocking(False)
            here = self._ends[0]
            rung = self._rung
        poll.register(here, select.POLLIN)
        timeout_ms = None if timeout_ns is None else -(-timeout_ns // MS)
        ready = poll.poll(0 if rung else timeout_ms)
        with self._lock:
            self._rung = False
            if any(file == here.fileno() for file, _ in ready):
                with contextlib.suppress(BlockingIOError):
                    here.recv(64)  # also what a forked child has sent, which shares these files

    def close(self) -> None:
        """Close its files; later rings are forgotten."""
        with self._lock:
            ends, self._ends = self._ends, None
        for end in ends or ():
            end.close()
