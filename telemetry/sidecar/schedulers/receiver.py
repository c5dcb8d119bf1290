"""Listen for schedulers and receive their events: one thread for each connection, isolated from the others.

Forbidden: to start anything before `start`, to answer, to leave anything behind after `stop` except the lock file,
which names the sidecar that listens.
"""

from __future__ import annotations

import fcntl
import logging
import os
import socket
import stat
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tickglass.sched.clock import Wake
from tickglass.sched.durations import SECOND
from tickglass.sched.errors import ConfigError
from tickglass.sched.files.private import open_private
from tickglass.telemetry.label_values import RefusedBecause
from tickglass.telemetry.sidecar.transport.frames import (
    LIVE_EVENTS_MAX,
    EventFrame,
    FrameReader,
    FrameRefused,
    Introduction,
)
from tickglass.telemetry.sidecar.transport.socket_path import checked_path, peer_uid

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickglass.sched.clock import Clock
    from tickglass.sched.events import Event
    from tickglass.telemetry.sidecar.schedulers.sources import Source, Sources
    from tickglass.telemetry.sidecar.transport.frames import Frame

__all__ = ["CONNECTIONS_MAX", "INTRODUCE_S", "Receiver"]

CONNECTIONS_MAX: Final = 128
INTRODUCE_S: Final = 5.0  # a connection must introduce itself within this time
_READ: Final = 65_536  # bytes at a time
_BACKLOG: Final = 64

_log: Final = logging.getLogger(__name__)


class Receiver:
    """The socket that schedulers connect to.

    Args:
        path: where; a file of mode 0600, and one beside it that ends in `.lock`.
        uid: the user whose processes may connect; default: this process's user.

    Raises:
        ConfigError: no socket can have this path.
    """

    def __init__(
        self, path: str, sources: Sources, *, clock: Clock, uid: int | None = None, introduce_s: float = INTRODUCE_S
    ) -> None:
        self._path = checked_path(path)
        self._sources = sources
        self._clock = clock
        self._uid = os.geteuid() if uid is None else uid
        self._introduce_s = introduce_s
        self._mutex = threading.Lock()
        self._connections: set[_Connection] = set()
        self._stopping = False
        self._undo = ExitStack()
        self._listener: socket.socket | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start listening.

        Raises:
            ConfigError: another sidecar listens there, or the path cannot be used.
        """
        with ExitStack() as undo:
            try:
                undo.callback(os.close, _locked(f"{self._path}.lock"))
                _check_free(self._path)
                listener = undo.enter_context(_listening(self._path))
            except OSError as error:
                raise ConfigError(f"cannot listen there: {error}", given=self._path) from error
            undo.callback(_remove, self._path, os.lstat(self._path).st_ino)
            self._listener = listener
            self._undo = undo.pop_all()
        self._thread = threading.Thread(target=self._accept, args=(listener,), name="tickglass-intake", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End all connections and stop listening; a second call does nothing."""
        if self._thread is None or self._listener is None:
            return
        self._stopping = True
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the accept
        self._thread.join()
        with self._mutex:
            connections = list(self._connections)
        for connection in connections:
            connection.end()
        for connection in connections:
            connection.thread.join()
        self._undo.close()
        self._thread = None

    def _accept(self, listener: socket.socket) -> None:
        while not self._stopping:
            try:
                link, _ = listener.accept()
            except OSError as error:
                if not self._stopping:  # out of descriptors, say: connections that end free some
                    _log.error("cannot take a connection: %s", error)
                    self._clock.wait(self._clock.monotonic_ns() + SECOND // 10, Wake())
                continue
            self._admit(link)

    def _admit(self, link: socket.socket) -> None:
        uid = peer_uid(link)
        if uid not in (None, self._uid):
            self._refuse(link, RefusedBecause.PEER, f"a process of user {uid} connected; this is user {self._uid}'s")
            return
        connection = _Connection(link, self._sources, self._clock, self._introduce_s, self._ended)
        with self._mutex:
            full = len(self._connections) >= CONNECTIONS_MAX
            if not full:
                self._connections.add(connection)
        if full:
            self._refuse(link, RefusedBecause.FULL, f"there are {CONNECTIONS_MAX} connections")
        else:
            connection.thread.start()

    def _refuse(self, link: socket.socket, reason: RefusedBecause, detail: str) -> None:
        link.close()
        self._sources.refused(reason)
        _log.warning("refused a connection, %s: %s", reason, detail)

    def _ended(self, connection: _Connection, refusal: FrameRefused | None) -> None:
        with self._mutex:
            self._connections.discard(connection)
        if refusal is not None:
            self._refuse(connection.link, refusal.reason, refusal.detail)


class _Connection:
    """One connection, read by a thread of its own until it ends."""

    def __init__(
        self,
        link: socket.socket,
        sources: Sources,
        clock: Clock,
        introduce_s: float,
        ended: Callable[[_Connection, FrameRefused | None], None],
    ) -> None:
        self.link = link
        self.thread = threading.Thread(target=self._listen, name="tickglass-told", daemon=True)
        self._sources = sources
        self._clock = clock
        self._introduce_s = introduce_s
        self._ended = ended
        self._source: Source | None = None
        self._introduction: Introduction | None = None  # while it goes on
        self._live_events: list[Event] = []

    def end(self) -> None:
        """Make the thread end; called from another thread."""
        with suppress(OSError):
            self.link.shutdown(socket.SHUT_RDWR)

    def _listen(self) -> None:
        refusal: FrameRefused | None = None
        try:
            self._read()
        except FrameRefused as error:
            refusal = error
        except TimeoutError:
            refusal = FrameRefused(RefusedBecause.SILENT, f"no introduction within {self._introduce_s} s")
        except OSError as error:
            _log.debug("a connection broke: %s", error)
        except Exception as error:  # noqa: BLE001 - events that no scheduler of ours would tell
            _log.warning("cannot process what a scheduler sent", exc_info=error)
            refusal = FrameRefused(RefusedBecause.MALFORMED, f"{type(error).__name__}: {error}")
        finally:
            if self._source is not None:
                self._source.on_disconnect(self)
                _log.info("%s of %s is gone", self._source.owner, self._source.service)
            self.link.close()
            self._ended(self, refusal)

    def _read(self) -> None:
        reader = FrameReader()
        until_ns = self._clock.monotonic_ns() + int(self._introduce_s * SECOND)
        while True:
            if self._source is None:
                left_s = (until_ns - self._clock.monotonic_ns()) / SECOND
                if left_s <= 0:
                    raise TimeoutError
                self.link.settimeout(left_s)
            data = self.link.recv(_READ)
            if not data:
                return
            for frame in reader.feed(data):
                self._take(frame)

    def _take(self, frame: Frame) -> None:
        if isinstance(frame, EventFrame):
            if self._source is None or self._introduction is not None:
                raise FrameRefused(RefusedBecause.MALFORMED, "an event before the introduction")
            self._source.on_event(frame.number, frame.event, self)
            return
        if isinstance(frame, Introduction) == (self._introduction is not None):
            raise FrameRefused(RefusedBecause.MALFORMED, "an introduction that does not go on")
        if isinstance(frame, Introduction):
            self._introduction, self._live_events = frame, []
        self._live_events += frame.live_events
        if len(self._live_events) > LIVE_EVENTS_MAX:
            raise FrameRefused(RefusedBecause.OVERSIZED, f"an introduction of {len(self._live_events)} events")
        if not frame.more:
            self._introduced()

    def _introduced(self) -> None:
        introduction, self._introduction = self._introduction, None
        if introduction is None:
            return
        live_events, self._live_events = self._live_events, []
        if self._source is None:
            self._source = self._sources.named(introduction.service, introduction.owner)
            self.link.settimeout(None)
            _log.info("%s of %s is connected", introduction.owner, introduction.service)
        self._source.on_introduction(introduction, live_events, self)


def _locked(path: str) -> int:
    """Take the lock file of this socket; it is released when the process ends."""
    descriptor = open_private(Path(path), os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise ConfigError(
            "another sidecar listens there; one is enough for any number of schedulers",
            given=path.removesuffix(".lock"),
            instead=("--socket /run/another.sock",),
        ) from None
    return descriptor


def _check_free(path: str) -> None:
    """Remove the socket of a dead sidecar; refuse any other file.

    Raises:
        ConfigError: another process listens there, or the file is not a socket.
    """
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ConfigError("the file at this path is not a socket", given=path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)  # noqa: PTH108 - as the rest of this
            return
        except BlockingIOError:
            pass  # another process listens, and is busy
    raise ConfigError("another process listens there already", given=path, instead=("--socket /run/another.sock",))


def _listening(path: str) -> socket.socket:
    """Return a listening socket whose file no other user could open at any time."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)  # bind makes the file; chmod afterwards would come too late
    try:
        listener.bind(path)
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    finally:
        os.umask(before)
    return listener


def _remove(path: str, inode: int) -> None:
    """Remove our socket, unless another process has replaced it."""
    with suppress(FileNotFoundError):
        if os.lstat(path).st_ino == inode:
            os.unlink(path)  # noqa: PTH108 - as the rest of this
