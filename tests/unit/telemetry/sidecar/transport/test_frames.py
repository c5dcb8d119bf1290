"""Frames: what is cut anywhere comes out whole, and what is no frame is refused with a reason."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from kit.sidecar_events import Life, introduction, stream_of

from tickglass.sched import events
from tickglass.sched.events import Event, TriggerFailed
from tickglass.telemetry.label_values import RefusedBecause
from tickglass.telemetry.sidecar.transport.frames import (
    FRAME_MAX,
    PROTOCOL,
    EventFrame,
    FrameReader,
    FrameRefused,
    Introduction,
    SnapshotPart,
    encoded,
    introduction_frames,
)
from tickglass.testing import ListSink

if TYPE_CHECKING:
    from tickglass.telemetry.sidecar.transport.frames import Frame


def life_of(seed: int) -> list[Event]:
    life, told = Life(seed), ListSink()
    life.begin(told)
    life.go_on(600)
    return told.events


LIFE = life_of(4)
STREAM = stream_of(LIFE[:450], LIFE)


def read(*pieces: bytes) -> list[Frame]:
    reader = FrameReader()
    return [frame for piece in pieces for frame in reader.feed(piece)]


def refusal(*pieces: bytes) -> FrameRefused:
    with pytest.raises(FrameRefused) as refused:
        read(*pieces)
    return refused.value


WHOLE = read(STREAM)


def test_every_kind_of_event_goes_over_as_it_was() -> None:
    kinds = {kind for kind in Event.__subclasses__() if kind.__module__ == events.__name__}
    told = [frame.event for frame in WHOLE if isinstance(frame, EventFrame)]
    assert told == LIFE
    assert kinds - {type(event) for event in LIFE} <= {
        events.ClaimCacheHit,
        events.FencingRejected,
        events.InterpreterPaused,
    }


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, len(STREAM)), max_size=40))
def test_a_stream_cut_anywhere_reads_the_same(cuts: list[int]) -> None:
    places = pairwise([0, *sorted(cuts), len(STREAM)])
    assert read(*(STREAM[begin:end] for begin, end in places)) == WHOLE


def test_a_stream_that_comes_byte_by_byte_reads_the_same() -> None:
    small = stream_of(LIFE[:5], LIFE[:5])
    assert read(*(small[at : at + 1] for at in range(len(small)))) == read(small)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
@example(b"GET / HTTP/1.1\r\n\r\n")
@example(b"\0\0\0\0")
def test_bytes_of_anybody_are_refused_or_waited_for(data: bytes) -> None:
    found: list[Frame] = []
    with suppress(FrameRefused):
        found = read(data)
    assert found == []


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(STREAM) - 1), st.binary(min_size=1, max_size=8))
def test_a_stream_with_bytes_changed_ends_in_a_refusal_or_in_frames(at: int, patch: bytes) -> None:
    reader = FrameReader()
    found: list[Frame] = []
    try:
        for frame in reader.feed(STREAM[:at] + patch + STREAM[at + len(patch) :]):
            found.append(frame)  # noqa: PERF402 - those before the refusal count
    except FrameRefused:
        assert len(found) <= len(WHOLE)
    assert all(isinstance(frame, Introduction | SnapshotPart | EventFrame) for frame in found)


def test_a_length_beyond_all_bounds_is_refused_before_it_is_read() -> None:
    assert refusal((FRAME_MAX + 1).to_bytes(4, "big")).reason is RefusedBecause.OVERSIZED


def test_another_version_says_who_it_is_and_is_refused() -> None:
    spoken = introduction()
    for other in (
        msgspec.structs.replace(spoken, protocol=PROTOCOL + 1, version="9.9"),
        msgspec.structs.replace(spoken, vocabulary="0badcafe", version="9.9"),
    ):
        found = refusal(encoded(other))
        assert found.reason is RefusedBecause.VERSION
        assert "tickglass 9.9" in found.detail
    later = msgspec.msgpack.encode(["Introduction", 3, "words", "9.9", {"all": "else"}, "is", ["different"]])
    assert refusal(len(later).to_bytes(4, "big") + later).reason is RefusedBecause.VERSION


def test_an_event_before_the_introduction_is_malformed() -> None:
    assert refusal(encoded(EventFrame(1, LIFE[0]))).reason is RefusedBecause.MALFORMED


def test_a_long_introduction_goes_over_in_parts() -> None:
    told = (LIFE * 60)[:9_000]
    (first, *rest) = read(*introduction_frames(introduction(told)))
    assert isinstance(first, Introduction)
    parts: list[Introduction | SnapshotPart] = [first, *(frame for frame in rest if isinstance(frame, SnapshotPart))]
    assert [event for part in parts for event in part.live_events] == told
    assert [part.more for part in parts] == [True] * (len(parts) - 1) + [False]
    assert all(len(frame) < FRAME_MAX for frame in introduction_frames(introduction(told)))


def test_the_text_of_a_huge_exception_is_cut_and_what_is_still_too_long_is_not_told() -> None:
    frame = encoded(EventFrame(1, TriggerFailed(job="a", error="x" * 5_000_000, wall_ns=1)))
    assert len(frame) < 5_000
    with pytest.raises(ValueError, match="bytes"):
        encoded(EventFrame(1, TriggerFailed(job="a" * 5_000_000, error="", wall_ns=1)))
