"""The scheduler's side: it waits for nobody, says who it is whenever somebody listens, and counts what it drops."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from kit.processes import wait_until
from kit.sidecar_events import CLOCK, Life, connected, listening, streaming

from tickglass.sched.durations import MS, SECOND
from tickglass.sched.events import TelemetryDropped
from tickglass.telemetry.sidecar.transport.frames import EventFrame, FrameReader, Introduction
from tickglass.telemetry.sidecar.transport.stream import StreamSink
from tickglass.testing import ListSink

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tickglass.sched.events import Event
    from tickglass.telemetry.sidecar.transport.frames import Frame

LISTENER = """
import socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
print("listening", flush=True)
link, _ = listener.accept()
read = 0
while read < int(sys.argv[2]):
    read += len(link.recv(1024))
print("read", flush=True)
sys.stdin.read()
"""


def numbered(number: int) -> Event:
    return TelemetryDropped(signal="spans", reason="queue_full", count=number)


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    """A sidecar that takes connections and leaves the rest to the test."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s.sock"))
        server.listen()
        server.settimeout(30.0)
        yield server


def accepted(listener: socket.socket) -> socket.socket:
    link, _ = listener.accept()
    link.settimeout(30.0)
    return link


def read_until(link: socket.socket, reader: FrameReader, count: int) -> list[Frame]:
    """Read until an introduction and so many events have come."""
    frames: list[Frame] = []
    while sum(isinstance(frame, EventFrame) for frame in frames) < count or not frames:
        data = link.recv(65_536)
        assert data, frames
        frames += reader.feed(data)
    return frames


def test_nothing_is_sent_or_started_before_the_start(tmp_path: Path) -> None:
    sink = StreamSink(str(tmp_path / "s"), owner="o", service="s", clock=CLOCK, on_drop=lambda *_: None)
    sink.record(numbered(1))
    assert sink.stop(1.0) is False


def test_events_wait_for_a_sidecar_that_is_absent_and_come_in_order(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    with streaming(path) as sink:
        for number in range(500):
            sink.record(numbered(number))
        with listening(path) as sidecar:
            sidecar.heard(500)
            assert (sidecar.source.missed, sidecar.source.gaps, sidecar.source.dropped) == (0, 0, 0)


def test_what_did_not_fit_is_counted_here_and_there(tmp_path: Path) -> None:
    path, dropped = tmp_path / "s.sock", list[int]()
    with streaming(path, capacity=100, dropped=dropped) as sink:
        for number in range(1_000):
            sink.record(numbered(number))
        with listening(path) as sidecar:
            sidecar.heard(100)
            wait_until(lambda: sum(dropped) == 900, "900 are dropped")
            assert (sidecar.source.events, sidecar.source.dropped) == (100, 900)


def test_a_frozen_sidecar_costs_events_but_no_time_and_is_told_what_is_live_when_it_wakes(
    tmp_path: Path,
) -> None:
    path, life, told = tmp_path / "s.sock", Life(5), ListSink()
    command = [sys.executable, "-c", LISTENER, str(path), "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE) as frozen:
        assert frozen.stdout is not None
        assert frozen.stdout.readline() == b"listening\n"
        with streaming(path, capacity=50) as sink:
            life.begin(sink, told)
            assert frozen.stdout.readline() == b"read\n"
            frozen.send_signal(signal.SIGSTOP)
            began_ns = CLOCK.monotonic_ns()
            life.go_on(20_000)
            took_ns = CLOCK.monotonic_ns() - began_ns
            assert sink.dropped > 0
            assert took_ns < 60 * SECOND  # 20,000 events; a send that blocked would never return
            frozen.kill()
            path.unlink()
            with listening(path) as sidecar:
                sidecar.connected()
                life.go_on(30)
                wait_until(lambda: sidecar.source.events >= 30, "the last events")
                missing = len(told.events) - sidecar.source.events
                assert missing > 0
                wait_until(lambda: sidecar.source.dropped == sink.dropped, "it says how many were dropped")


def test_a_frame_that_was_cut_by_the_readers_end_comes_again_whole(tmp_path: Path, listener: socket.socket) -> None:
    count = 20_000
    with streaming(tmp_path / "s.sock") as sink:
        first = accepted(listener)
        for number in range(count):
            sink.record(numbered(number))
        taken = b""
        while len(taken) < 10_001:  # somewhere within a frame
            taken += first.recv(10_001 - len(taken))
        heard = [frame.number for frame in FrameReader().feed(taken) if isinstance(frame, EventFrame)]
        first.close()
        second, reader = accepted(listener), FrameReader()
        frames: list[Frame] = []
        while not frames or getattr(frames[-1], "number", 0) < count:
            frames += reader.feed(second.recv(65_536))
        second.close()
    opened, *told = frames
    assert isinstance(opened, Introduction)
    # What the kernel had taken went with its reader. All of the rest comes, under its own number.
    assert heard[-1] < opened.next_number < count
    assert opened.dropped == 0
    expected = [EventFrame(number, numbered(number - 1)) for number in range(opened.next_number, count + 1)]
    assert told == expected


def test_the_stop_sends_what_waits_and_waits_no_longer_than_it_may(tmp_path: Path, listener: socket.socket) -> None:
    with streaming(tmp_path / "s.sock") as sink:
        link = accepted(listener)
        for number in range(200):
            sink.record(numbered(number))
        assert sink.stop(30.0)
        assert len(read_until(link, FrameReader(), 200)) == 201
        assert link.recv(1) == b""
        link.close()
    dropped: list[int] = []
    with streaming(tmp_path / "s.sock", dropped=dropped) as sink:
        link = accepted(listener)  # and nobody reads
        for number in range(20_000):
            sink.record(numbered(number))
        began_ns = CLOCK.monotonic_ns()
        assert not sink.stop(0.2)
        assert CLOCK.monotonic_ns() - began_ns >= 200 * MS
        assert 0 < sum(dropped) < 20_000
        link.close()


def test_a_sidecar_of_somebody_else_is_told_nothing(
    tmp_path: Path, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tickglass.telemetry.sidecar.transport.stream.peer_uid", lambda _: 4_711)
    with streaming(tmp_path / "s.sock") as sink:
        sink.record(numbered(1))
        link = accepted(listener)
        assert link.recv(1) == b""
        link.close()


def test_something_unspeakable_is_left_out_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    with listening(path) as sidecar, streaming(path) as sink:
        sink.record(TelemetryDropped(signal="spans", reason="queue_full", count=2**80))
        sink.record(numbered(1))
        sidecar.heard(2)
        assert (sidecar.source.events, sidecar.source.missed, sink.dropped) == (1, 1, 1)


def test_two_connections_at_once_are_not_made(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    with listening(path) as sidecar, streaming(path) as sink:
        sink.record(numbered(1))
        sidecar.heard(1)
        with connected(str(path)):
            sink.record(numbered(2))
            sidecar.heard(2)
        assert len(sidecar.sources.all()) == 1
