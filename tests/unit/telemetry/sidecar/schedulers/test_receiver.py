"""The sidecar's socket: for this user alone, one sidecar at a time, and nothing that comes over it does harm."""

from __future__ import annotations

import gc
import os
import random
import resource
import signal
import socket
import stat
import subprocess
import sys
import tracemalloc
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import pytest
from kit.metrics_stage import Stage
from kit.processes import wait_until
from kit.sidecar_events import CLOCK, OWNER, SERVICE, Life, connected, introduction, listening, stream_of, streaming

from tickglass.sched.errors import ConfigError
from tickglass.sched.events import (
    InstantsMissed,
    JobRegistered,
    LockMoved,
    PoolMoved,
    SinkFailed,
    StoreCalled,
    TelemetryDropped,
    TimelineTicked,
)
from tickglass.sched.lease import LockEvent
from tickglass.sched.occurrence import OccurrenceEvent, Outcome
from tickglass.telemetry import MetricSink
from tickglass.telemetry.sidecar.collector import SidecarCollector
from tickglass.telemetry.sidecar.schedulers.receiver import CONNECTIONS_MAX, Receiver
from tickglass.telemetry.sidecar.schedulers.sources import Sources
from tickglass.telemetry.sidecar.transport.frames import FRAME_MAX, EventFrame, encoded, introduction_frames
from tickglass.testing import ListSink

if TYPE_CHECKING:
    from pathlib import Path

    from tickglass.sched.events import Event

HOSTILE = int(os.environ.get("TICKGLASS_HOSTILE_FRAMES", "20000"))
HOLDER = """
import sys
from tickglass.sched.clock import SystemClock
from tickglass.telemetry.sidecar.schedulers.receiver import Receiver
from tickglass.telemetry.sidecar.schedulers.sources import Sources
clock = SystemClock()
receiver = Receiver(sys.argv[1], Sources(clock), clock=clock)
receiver.start()
print("listening", flush=True)
sys.stdin.read()
"""
TURNED = TimelineTicked(lag_ns=1, duration_ns=1, handed=0)


def sent(path: str, data: bytes) -> socket.socket:
    link = connected(path)
    link.sendall(data)
    return link


def said(*events: Event) -> bytes:
    return stream_of([], events)


def registered(job: str, resource: str = "", trigger: str = 'every("1s")') -> JobRegistered:
    named = {"job": job, "resource": resource or job, "owner": OWNER, "service": SERVICE, "trigger": trigger}
    return msgspec.convert(
        {"type": "JobRegistered", **named, "ttl_ns": 1, "grace_ns": 1, "wall_ns": 1}
        | dict.fromkeys(("interval_ns", "timeout_ns", "next_due_ns")),
        JobRegistered,
    )


def test_the_socket_is_for_its_user_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with listening(tmp_path / "s.sock") as sidecar:
            assert stat.S_IMODE(os.lstat(sidecar.path).st_mode) == 0o600
            assert stat.S_IMODE(os.lstat(f"{sidecar.path}.lock").st_mode) == 0o600
            assert os.umask(0) == 0
    finally:
        os.umask(before)
    assert not os.path.lexists(sidecar.path)


def test_a_living_sidecar_is_not_replaced_and_a_dead_ones_socket_is(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"listening\n"
        with pytest.raises(ConfigError, match="another sidecar listens there"), listening(path):
            pass
        other.send_signal(signal.SIGKILL)
    assert stat.S_ISSOCK(os.lstat(path).st_mode)
    with listening(path) as sidecar, streaming(path) as sink:
        sink.record(TURNED)
        sidecar.heard(1)


def test_what_is_no_stale_socket_stays_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(ConfigError, match="not a socket"), listening(tmp_path / "notes"):
        pass
    assert (tmp_path / "notes").read_text() == "mine"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "other"))
        other.listen()
        with pytest.raises(ConfigError, match="listens there already"), listening(tmp_path / "other"):
            pass
    with pytest.raises(ConfigError, match="cannot listen there"), listening(tmp_path / "no" / "folder"):
        pass
    with listening(tmp_path / "s.sock"):  # the failures let go of everything
        pass


def test_somebody_elses_process_is_refused(tmp_path: Path) -> None:
    with listening(tmp_path / "s.sock", uid=os.geteuid() + 1) as sidecar:
        with connected(sidecar.path) as link:
            assert link.recv(1) == b""
        sidecar.refused("peer")
        assert sidecar.sources.all() == []


def test_who_does_not_say_who_he_is_is_let_go(tmp_path: Path) -> None:
    with listening(tmp_path / "s.sock", introduce_s=0.2) as sidecar:
        with connected(sidecar.path) as silent:
            assert silent.recv(1) == b""
        with sent(sidecar.path, b"".join(introduction_frames(introduction()))[:20]) as slow:
            assert slow.recv(1) == b""
        sidecar.refused("silent", 2)


def test_a_scheduler_that_has_nothing_to_say_for_long_stays(tmp_path: Path) -> None:
    with listening(tmp_path / "s.sock", introduce_s=0.3) as sidecar, sent(sidecar.path, said()) as link:
        sidecar.connected()
        link.settimeout(1.0)
        with pytest.raises(TimeoutError):
            link.recv(1)
        link.sendall(encoded(EventFrame(1, TURNED)))
        sidecar.heard(1)


def test_more_connections_than_there_is_room_for_are_refused(tmp_path: Path) -> None:
    with listening(tmp_path / "s.sock", introduce_s=60.0) as sidecar:
        links = [connected(sidecar.path) for _ in range(CONNECTIONS_MAX + 1)]
        sidecar.refused("full")
        for link in links:
            link.close()
        wait_until(lambda: not sidecar.receiver._connections, "they end")
        with sent(sidecar.path, said(TURNED)):
            sidecar.heard(1)


@pytest.mark.parametrize(
    ("reason", "data"),
    [
        ("oversized", (FRAME_MAX + 1).to_bytes(4, "big")),
        ("oversized", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ("malformed", b"\0\0\0\1\xc1"),
        ("malformed", encoded(EventFrame(1, TURNED))),
        ("malformed", said(TURNED) + encoded(EventFrame(1, TURNED))),
        ("malformed", said(TelemetryDropped(signal="?", reason="?", count=1))),
        ("malformed", b"".join(introduction_frames(introduction(owner="")))),
        ("malformed", b"".join(introduction_frames(introduction(owner="x" * 1_251)))),
        ("malformed", b"".join(introduction_frames(introduction([registered("nightly", "x" * 1_251)])))),
        ("malformed", said(registered("x" * 400_000))),
        ("malformed", said(registered("nightly", "\N{SNOWMAN}" * 1_251))),
        ("malformed", said(TURNED) + b"".join(introduction_frames(introduction(owner="host-2")))),
        ("version", encoded(introduction()).replace(b"0.1.0", b"9.9.9").replace(b"\x02\xa8", b"\x07\xa8", 1)),
    ],
    ids=lambda value: "bytes" if isinstance(value, bytes) else None,  # they tell the time, and tests are known by name
)
def test_what_cannot_be_followed_ends_that_connection_and_no_other(tmp_path: Path, reason: str, data: bytes) -> None:
    path = tmp_path / "s.sock"
    with listening(path) as sidecar, streaming(path) as sink:
        sink.record(TURNED)
        sidecar.heard(1)
        own = sidecar.source
        with sent(sidecar.path, data.replace(b"host-1", b"host-7")) as bad:
            assert bad.recv(1) == b""
        sidecar.refused(reason)
        sink.record(TURNED)
        wait_until(lambda: own.events == 2, "the good one goes on")
        assert own.connected
        assert not any(source.connected for source in sidecar.sources.all() if source is not own)


def test_a_kill_in_the_middle_of_a_frame_leaves_what_came_before(tmp_path: Path) -> None:
    whole = said(*[TURNED] * 50)
    with listening(tmp_path / "s.sock") as sidecar:
        with sent(sidecar.path, whole[:-7]):
            sidecar.heard(49)
        wait_until(lambda: not sidecar.source.connected, "it is gone")
        assert sidecar.source.events == 49
        assert not any(sidecar.sources.refusals().values())


def test_hostile_frames_end_their_connections_and_take_no_room(tmp_path: Path) -> None:
    """TICKGLASS_HOSTILE_FRAMES=1000000 makes it long."""
    rng, told = random.Random(11), ListSink()
    life = Life(11)
    life.begin(told)
    life.go_on(300)
    frames = [encoded(EventFrame(number, event)) for number, event in enumerate(told.events, 1)]
    opened = b"".join(introduction_frames(introduction()))
    with listening(tmp_path / "s.sock") as sidecar:
        collector = SidecarCollector(sidecar.sources, clock=CLOCK)
        frames_sent, links, grown = 0, 0, []
        while frames_sent < HOSTILE:
            data, count = hostile(rng, opened, frames)
            frames_sent += count
            links += 1
            with connected(sidecar.path) as link:
                try:
                    link.sendall(data)
                    link.shutdown(socket.SHUT_WR)
                    while link.recv(65_536):
                        pass
                except (BrokenPipeError, ConnectionResetError):
                    pass
            if links % 200 == 0:
                grown.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        wait_until(lambda: not sidecar.receiver._connections, "all have ended")
        assert sum(sidecar.sources.refusals().values()) > links / 4
        list(collector.collect())
        assert len(sidecar.sources.all()) <= 256
        assert grown[-1] - grown[len(grown) // 2] < 100_000, grown  # kB, in the second half
        with sent(sidecar.path, stream_of([], told.events)):
            mine = sidecar.sources.named("billing", "host-1")
            wait_until(lambda: mine.connected, "a good one is heard as before")


def requested() -> LockMoved:
    stage, told = Stage(), ListSink()
    stage.sink = told
    stage.lock("ledger").fire(LockEvent.REQUESTED)
    (moved,) = told.events
    assert isinstance(moved, LockMoved)
    return moved


def fresh_names(number: int, moved: LockMoved) -> list[Event]:
    """Return events that are well formed and hold names that nobody has heard."""
    name = f"{number:050}"
    return [
        msgspec.structs.replace(moved, resource=name),
        registered(name),
        registered("nightly", resource=f"of-nightly-{name}"),
        InstantsMissed(job=f"missed-{name}", count=1, exact=True, first_due_ns=1, before_ns=2, wall_ns=1),
        PoolMoved(pool=name, slots=1, in_use=0, waiting=0, waited_ns=1),
        SinkFailed(sink=name, error="x", wall_ns=1),
        StoreCalled(store=name, operation=name, duration_ns=1, error=name, wall_ns=1),
    ]


def test_names_without_end_over_one_connection_take_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many of each kind are kept, and no more. TICKGLASS_HOSTILE_FRAMES=1000000 makes it long."""
    capacity = 100  # instead of a thousand: it is quicker, and nothing else
    for bound in ("history.JOBS_MAX", "history.POOLS_MAX", "lock_history.WAITED_MAX"):
        monkeypatch.setattr(f"tickglass.telemetry.sidecar.schedulers.{bound}", capacity)
    monkeypatch.setattr("tickglass.telemetry.locks._LIMITS_MAX", capacity)
    monkeypatch.setattr(
        "tickglass.telemetry.sidecar.schedulers.sources.MetricSink", partial(MetricSink, names_most=capacity)
    )
    moved, enough = requested(), capacity + 20
    rounds = max(HOSTILE // len(fresh_names(0, moved)), 2 * enough)
    with listening(tmp_path / "s.sock") as sidecar, sent(sidecar.path, said(registered("nightly"))) as link:
        heard = 1

        def tell(numbers: range) -> None:
            nonlocal heard
            for number in numbers:
                events = fresh_names(number, moved)
                told = [encoded(EventFrame(at, event)) for at, event in enumerate(events, heard + 1)]
                link.sendall(b"".join(told))
                heard += len(events)
            sidecar.heard(heard)

        tell(range(enough))
        gc.collect()
        tracemalloc.start()
        try:
            tell(range(enough, rounds))
            gc.collect()
            grown, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert not any(sidecar.sources.refusals().values())
        snapshot = sidecar.source.history.snapshot()
        assert (len(snapshot.jobs), len(snapshot.waiters), len(snapshot.pools)) == (capacity, capacity, capacity)
        assert len(snapshot.limits) < capacity
        assert snapshot.left_out > 0
        assert grown < 200 * (rounds - enough), "bytes; kept, a pool alone would have more"


def test_a_text_of_any_length_is_heard_and_cut(tmp_path: Path) -> None:
    stage, told = Stage(), ListSink()
    stage.sink = told
    occurrence = stage.occurrence("nightly")
    for event in (
        OccurrenceEvent.FELL_DUE,
        OccurrenceEvent.ADMITTED,
        OccurrenceEvent.TAKEN,
        OccurrenceEvent.CLAIMED,
        OccurrenceEvent.STARTED,
    ):
        occurrence.fire(event)
    occurrence.fire(OccurrenceEvent.ENDED, outcome=Outcome.FAILURE, error="x" * 3_000)
    data = said(registered("nightly", trigger="y" * 9_000), *told.events)
    with listening(tmp_path / "s.sock") as sidecar, sent(sidecar.path, data):
        sidecar.heard(1 + len(told.events))
        (job,) = sidecar.source.history.snapshot().jobs
        assert job.declared is not None
        assert (len(job.recent[0].error), len(job.declared.trigger)) == (2_000, 4_000)


def hostile(rng: random.Random, opened: bytes, frames: list[bytes]) -> tuple[bytes, int]:
    """Return what a broken or a malicious scheduler may send, and how many frames that is."""
    some = rng.choices(frames, k=rng.randrange(1, 60))
    owner = b"host-%d" % rng.randrange(10) if rng.random() < 0.9 else rng.randbytes(6).replace(b"\0", b"x")
    data = bytearray(b"".join([opened, *some]).replace(b"host-1", owner))
    kind = rng.randrange(4)
    if kind == 0:  # bytes changed
        for _ in range(rng.randrange(1, 20)):
            data[rng.randrange(len(data))] = rng.randrange(256)
    elif kind == 1:  # cut
        del data[rng.randrange(len(data)) :]
    elif kind == 2:  # something in between
        at = rng.randrange(len(data))
        data[at:at] = rng.randbytes(rng.randrange(1, 5_000))
    return bytes(data), len(some) + 1


def test_an_intake_that_is_not_started_stops_and_one_that_is_stops_twice(tmp_path: Path) -> None:
    receiver = Receiver(str(tmp_path / "s.sock"), Sources(CLOCK), clock=CLOCK)
    receiver.stop()
    receiver.start()
    receiver.stop()
    receiver.stop()


def test_the_stop_ends_connections(tmp_path: Path) -> None:
    with listening(tmp_path / "s.sock") as sidecar:
        link = sent(sidecar.path, said(TURNED))
        sidecar.heard(1)
    assert link.recv(1) == b""
    link.close()
    assert not sidecar.source.connected


def test_a_lock_that_moved_in_no_way_we_know_is_malformed(tmp_path: Path) -> None:
    life, told = Life(2), ListSink()
    life.begin(told)
    life.go_on(50)
    moved = next(event for event in told.events if isinstance(event, LockMoved))
    data = said(moved).replace(b"requested", b"requesteq")
    with listening(tmp_path / "s.sock") as sidecar, sent(sidecar.path, data) as link:
        assert link.recv(1) == b""
        sidecar.refused("malformed")
