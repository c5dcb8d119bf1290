"""Send a scheduler's events to a sidecar without ever making the scheduler wait.

`record` puts the event into a ring and returns. A thread empties the ring into a unix socket, in batches of
some milliseconds. A sidecar that is absent, slow, frozen or killed can only make the ring fill; events that do not
fit are counted. Design: docs/sidecar.md.
"""

from __future__ import annotations

import logging
import os
import select
import socket
from contextlib import suppress
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from tickglass.sched.clock import Wake
from tickglass.sched.durations import MS, SECOND
from tickglass.sched.threads.loop import Loop
from tickglass.telemetry.label_values import DropReason, Signal
from tickglass.telemetry.metric import Detail
from tickglass.telemetry.sidecar.transport.frames import (
    PROTOCOL,
    VOCABULARY,
    EventFrame,
    Introduction,
    encoded,
    introduction_frames,
)
from tickglass.telemetry.sidecar.transport.ring import RING_MAX, Ring
from tickglass.telemetry.sidecar.transport.socket_path import peer_uid

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tickglass.sched.clock import Clock
    from tickglass.sched.events import Event
    from tickglass.telemetry.sidecar.transport.ring import Batch

__all__ = ["StreamSink"]

RETRY_NS: Final = SECOND // 2  # between two attempts to connect
GATHER_NS: Final = 20 * MS  # how long an event may wait for others, so that one wake-up sends them together
REINTRODUCE_NS: Final = SECOND  # after a loss the live state is sent again, at most this often
BATCH: Final = 64  # events: the most that a kill in the middle of a frame can lose while the ring is full

_log: Final = logging.getLogger(__name__)


class StreamSink:
    """An event sink, and the thread that streams to a sidecar.

    Args:
        path: of the sidecar's socket; the sidecar need not run yet.
        stores, sinks: names whose series the sidecar starts at zero.
        detail: how much the sidecar shows of each job and each lock.
        on_drop: called with the number of events that did not fit; see `MetricSink.dropped`.
        ring_capacity: how many events may wait.
    """

    def __init__(
        self,
        path: str,
        *,
        owner: str,
        service: str,
        clock: Clock,
        stores: Sequence[str] = (),
        sinks: Sequence[str] = (),
        detail: Detail = Detail.FULL,
        on_drop: Callable[[str, str, int], None],
        ring_capacity: int = RING_MAX,
    ) -> None:
        self._path = path
        self._owner, self._service = owner, service
        self._stores, self._sinks = list(stores), list(sinks)
        self._detail = detail
        self._clock = clock
        self._on_drop = on_drop
        self._ring = Ring(ring_capacity)
        self._poll_wake = _PollWake()
        self._idle = False
        self._wake = Wake()
        self._until_ns: int | None = None  # set by the stop: the deadline
        self._began_ns = 0
        self._dropped_reported = self._dropped_at_introduction = self._unsendable = 0
        self._absence_logged = False
        self._link: socket.socket | None = None  # the latest connection
        self._loop = Loop("stream", clock, self._stream_once, last=self._send_the_rest)

    def record(self, event: Event) -> None:
        """See `tickglass.sched.ports.EventSink`; never waits."""
        self._ring.put(event)
        if self._idle:
            self._idle = False
            self._poll_wake.ring()

    def start(self) -> None:
        """Start the thread, which connects to the sidecar and sends all events."""
        self._began_ns = self._clock.monotonic_ns()
        self._poll_wake.open()
        self._loop.start()

    def stop(self, deadline_s: float) -> bool:
        """Send the waiting events within that time; a second call does nothing.

        Returns:
            Whether all were sent.
        """
        if self._until_ns is not None or not self._began_ns:
            return not len(self._ring)
        self._until_ns = self._clock.monotonic_ns() + int(deadline_s * SECOND)
        self._wake.ring()
        self._poll_wake.ring()
        self._loop.stop()
        self._idle = False
        self._poll_wake.close()
        left = len(self._ring)
        if left:
            self._on_drop(Signal.EVENTS, DropReason.EXPORT_FAILED, left)
        return not left

    def abandon(self) -> None:
        """Close the connection in a process that was forked: the sidecar must see it end with the scheduler."""
        if self._link is not None:
            self._link.close()

    @property
    def dropped(self) -> int:
        """Events that were never sent, because they did not fit into the ring or into a frame."""
        return self._ring.dropped + self._unsendable

    # --- the thread

    def _stream_once(self) -> int:
        """Send events while there is a sidecar, until the stop; return when to look for one again."""
        link = self._connected()
        if link is not None:
            with link:
                try:
                    self._stream(link)
                except OSError as error:
                    _log.warning("the sidecar at %s went away (%s); events wait for it", self._path, error)
        self._report()
        return self._clock.monotonic_ns() + RETRY_NS

    def _send_the_rest(self) -> None:
        """After the stop: try once more to send what came while there was no sidecar."""
        if len(self._ring) and not self._is_past_deadline():
            self._stream_once()

    def _connected(self) -> socket.socket | None:
        """Return a connection to a sidecar of our own user, if there is one."""
        link = self._link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        link.setblocking(False)
        try:
            link.connect(self._path)
            uid = peer_uid(link)
            if uid not in (None, 0, os.geteuid()):
                raise PermissionError(f"it belongs to user {uid}")
        except OSError as error:
            link.close()
            if not self._absence_logged:
                _log.warning("no sidecar at %s yet (%s); events wait for it", self._path, error)
            self._absence_logged = True
            return None
        self._absence_logged = False
        _log.info("connected to the sidecar at %s", self._path)
        return link

    def _stream(self, link: socket.socket) -> None:
        """Send events until the stop; raises OSError when the connection has ended."""
        introduced_ns = self._introduce(link)
        while introduced_ns:
            if (
                self.dropped != self._dropped_at_introduction
                and self._clock.monotonic_ns() - introduced_ns >= REINTRODUCE_NS
            ):
                introduced_ns = self._introduce(link)
            batch = self._ring.take(BATCH)
            if batch.events:
                if not self._send(link, batch) or self._is_past_deadline():
                    return
                continue
            self._ring.settle(0)
            self._report()
            if self._until_ns is not None:
                return
            self._wait_for_events(link)

    def _introduce(self, link: socket.socket) -> int:
        """Send identity and live state; return when, or 0 if the deadline passed before all was sent."""
        live = self._ring.snapshot()
        now = self._clock.reading()
        self._dropped_at_introduction = self.dropped
        introduction = Introduction(
            protocol=PROTOCOL,
            vocabulary=VOCABULARY,
            version=version("tickglass"),
            owner=self._owner,
            service=self._service,
            pid=os.getpid(),
            began_ns=self._began_ns,
            wall_ns=now.wall_ns,
            boottime_ns=now.monotonic_ns,
            next_number=live.next_number,
            dropped=self._dropped_at_introduction,
            stores=self._stores,
            sinks=self._sinks,
            detail=self._detail,
            live_events=live.live_events,
        )
        for frame in introduction_frames(introduction):
            sent, error = self._push(link, frame)
            if error is not None:
                raise error
            if sent < len(frame):
                return 0
        return now.monotonic_ns

    def _send(self, link: socket.socket, batch: Batch) -> bool:
        """Send a batch; frames that were not sent whole stay in the ring. Return False if the deadline passed."""
        frames = [self._frame(EventFrame(number, event)) for number, event in enumerate(batch.events, batch.number)]
        sent, error = self._push(link, b"".join(frames))
        whole = 0
        while whole < len(frames) and len(frames[whole]) <= sent:
            sent -= len(frames[whole])
            whole += 1
        self._ring.settle(whole)
        if error is not None:
            raise error
        return whole == len(frames)

    def _frame(self, frame: EventFrame) -> bytes:
        """Return a frame, empty if the event cannot be encoded: the sidecar then counts its number as missing."""
        try:
            return encoded(frame)
        except (TypeError, ValueError, OverflowError) as error:
            self._unsendable += 1
            _log.error("cannot send %s to the sidecar: %s", type(frame.event).__name__, error)
            return b""

    def _push(self, link: socket.socket, data: bytes) -> tuple[int, OSError | None]:
        """Send until the stop's deadline; return how many bytes were sent, and the error if not all were."""
        view, at = memoryview(data), 0
        while at < len(view):
            try:
                at += link.send(view[at:])
            except BlockingIOError:
                if not self._writable(link):
                    break
            except OSError as error:
                return at, error
        return at, None

    def _writable(self, link: socket.socket) -> bool:
        """Wait until the socket is writable; return False if the deadline passed."""
        poll = select.poll()
        poll.register(link, select.POLLOUT)
        poll.register(self._poll_wake, select.POLLIN)  # rung by the stop
        while True:
            left_ms = None
            if self._until_ns is not None:
                left_ms = max(0, self._until_ns - self._clock.monotonic_ns()) / MS
            ready = dict(poll.poll(left_ms))
            if link.fileno() in ready:
                return True
            if left_ms is not None and not left_ms:
                return False
            self._poll_wake.clear()

    def _wait_for_events(self, link: socket.socket) -> None:
        """Wait for an event, and then a little for more; raises if the connection ends meanwhile."""
        self._idle = True
        if len(self._ring) or self._until_ns is not None:
            self._idle = False
            return
        poll = select.poll()
        poll.register(link, select.POLLIN)  # the sidecar sends nothing: readable means closed
        poll.register(self._poll_wake, select.POLLIN)
        ready = dict(poll.poll())
        self._idle = False
        if link.fileno() in ready:
            raise ConnectionResetError("it ended the connection")
        self._poll_wake.clear()
        if self._until_ns is None:
            self._clock.wait(self._clock.monotonic_ns() + GATHER_NS, self._wake)

    def _is_past_deadline(self) -> bool:
        """Return whether the stop's deadline has passed."""
        return self._until_ns is not None and self._clock.monotonic_ns() >= self._until_ns

    def _report(self) -> None:
        """Report the events that were dropped since the last call."""
        dropped = self.dropped
        if dropped > self._dropped_reported:
            self._on_drop(Signal.EVENTS, DropReason.QUEUE_FULL, dropped - self._dropped_reported)
            self._dropped_reported = dropped


class _PollWake:
    """Wakes the thread out of its poll by a byte in a socket; `ring` never waits, and may come after `close`."""

    def __init__(self) -> None:
        self._ends: tuple[socket.socket, ...] = ()

    def open(self) -> None:
        """Open the socket pair."""
        self._ends = socket.socketpair()
        for end in self._ends:
            end.setblocking(False)

    def fileno(self) -> int:
        """Return the descriptor to poll."""
        return self._ends[0].fileno()

    def ring(self) -> None:
        """Make the current or the next poll return."""
        with suppress(OSError):  # full: it will wake anyway; closed: the thread has ended
            self._ends[1].send(b"!")

    def clear(self) -> None:
        """Read the bytes, so that the next poll waits."""
        with suppress(BlockingIOError):
            self._ends[0].recv(4_096)

    def close(self) -> None:
        """Close the socket pair."""
        for end in self._ends:
            end.close()
