"""Accept a write only if nobody has written there under a greater fence: `python -m chaos.observer SOCKET LOG`.

The sink that fencing tokens are for, in a process of its own that no fault
reaches. It knows no leases and no clocks. Ends when its standard input does.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections import defaultdict
from pathlib import Path
from typing import Final, Self

import msgspec
from chaos.history import Pen, Written

from tickglass.sched.clock import SystemClock

__all__ = ["Verdict", "Witness"]


class Verdict(msgspec.Struct, frozen=True):
    """What the witness answers."""

    accepted: bool
    newest: int


_VERDICT: Final = msgspec.json.Decoder(Verdict)
_WISH: Final = msgspec.json.Decoder(tuple[str, str, int])


class Witness:
    """A worker's line to the witness; any thread may use it."""

    def __init__(self, path: Path, writer: str) -> None:
        self._writer = writer
        self._mutex = threading.Lock()
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._answers = self._socket.makefile("rb")

    def write(self, resource: str, fence: int) -> Verdict:
        """Write to a resource under a fence."""
        with self._mutex:
            self._socket.sendall(msgspec.json.encode((self._writer, resource, fence)) + b"\n")
            return _VERDICT.decode(self._answers.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._answers.close()
        self._socket.close()


class _Book:
    """The newest fence of each resource, and the list of all writes."""

    def __init__(self, log: Path) -> None:
        self._clock = SystemClock()
        self._pen = Pen(log)
        self._mutex = threading.Lock()
        self._newest: defaultdict[str, int] = defaultdict(int)

    def write(self, writer: str, resource: str, fence: int) -> Verdict:
        with self._mutex:
            newest = self._newest[resource]
            accepted = fence >= newest
            self._newest[resource] = max(newest, fence)
            at_ns = self._clock.monotonic_ns()
            self._pen.note(
                Written(at_ns=at_ns, writer=writer, resource=resource, fence=fence, newest=newest, accepted=accepted)
            )
            return Verdict(accepted, newest)


def _serve(connection: socket.socket, book: _Book) -> None:
    with connection, connection.makefile("rb") as wishes:
        try:
            for wish in wishes:
                connection.sendall(msgspec.json.encode(book.write(*_WISH.decode(wish))) + b"\n")
        except (OSError, msgspec.DecodeError):
            return  # its writer was killed, perhaps in the middle of a line


def _accept(listening: socket.socket, book: _Book) -> None:
    while True:
        connection, _ = listening.accept()
        threading.Thread(target=_serve, args=(connection, book), daemon=True).start()


def main(path: str, log: str) -> None:
    """Serve until standard input ends."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen(64)
    threading.Thread(target=_accept, args=(listening, _Book(Path(log))), daemon=True).start()
    os.write(sys.stdout.fileno(), b"ready\n")
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
