"""Decide what goes over a sidecar's socket: typed frames, each a length and a value in MessagePack.

Pure. Both ends must have the same protocol and the same vocabulary of events: a stream that is
understood only in part would give wrong data. Design: docs/sidecar.md.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, Final, Union

import msgspec

from tickglass.sched import events
from tickglass.sched.errors import TickglassError
from tickglass.telemetry.label_values import RefusedBecause
from tickglass.telemetry.metric import Detail  # noqa: TC001 - msgspec reads it when it decodes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TypeAlias

__all__ = [
    "FRAME_MAX",
    "LIVE_EVENTS_MAX",
    "NAME_MAX",
    "PROTOCOL",
    "VOCABULARY",
    "EventFrame",
    "Frame",
    "FrameReader",
    "FrameRefused",
    "Introduction",
    "SnapshotPart",
    "encoded",
    "introduction_frames",
]

PROTOCOL: Final = 2
FRAME_MAX: Final = 1 << 20  # bytes; an event has about 500, and an exception's text is cut
LIVE_EVENTS_MAX: Final = 500_000  # events of an introduction
NAME_MAX: Final = 1_250  # characters; a job, a service or an owner has 200 at the most, a job's own resource 1,201
_PART: Final = 200  # events of an introduction in one frame
_LENGTH: Final = 4  # bytes, big-endian
_TEXT_FROM: Final = 16_384  # bytes of a frame from which an exception's text is cut
_TEXT_MAX: Final = 4_000  # characters

_KINDS: Final[tuple[type[events.Event], ...]] = tuple(
    kind for kind in events.Event.__subclasses__() if kind.__module__ == events.__name__
)

if TYPE_CHECKING:
    AnyEvent: TypeAlias = events.Event
else:
    AnyEvent = Union[_KINDS]  # noqa: UP007 - made of a tuple


def _vocabulary() -> str:
    """Return a digest of all events and their fields."""
    kinds: tuple[type[msgspec.Struct], ...] = (*_KINDS, events.Lateness)
    words = [f"{kind.__name__}.{field.name}:{field.type}" for kind in kinds for field in msgspec.structs.fields(kind)]
    return f"{zlib.crc32(' '.join(sorted(words)).encode()):08x}"


VOCABULARY: Final = _vocabulary()
_PROSE: Final = frozenset({"error", "trigger"})  # texts that may be long; all others are names or enumerations


def _names_of(kind: type[msgspec.Struct]) -> tuple[str, ...]:
    return tuple(
        field.name for field in msgspec.structs.fields(kind) if "str" in str(field.type) and field.name not in _PROSE
    )


_NAMES: Final = {kind: _names_of(kind) for kind in _KINDS}


class Introduction(msgspec.Struct, frozen=True, kw_only=True, tag=True, array_like=True):
    """The sender's identity and its live state: the first frame, sent again after events were dropped.

    Args:
        protocol, vocabulary, version: first, and in this order in all versions, so that any version can read them.
        began_ns: when the sender's stream began, monotonic; identifies the process, with `pid`.
        wall_ns, boottime_ns: the sender's clocks now; on one machine, monotonic clocks are the same.
        next_number: of the first event that follows.
        dropped: events that did not fit into the ring so far.
        stores, sinks: names whose series start at zero.
        detail: how much the scheduler shows of each job and each lock; the sidecar shows as much.
        live_events: the events that lead to the live state; replaying them restores it.
        more: whether more of them follow in `SnapshotPart`.
    """

    protocol: int
    vocabulary: str
    version: str
    owner: str
    service: str
    pid: int
    began_ns: int
    wall_ns: int
    boottime_ns: int
    next_number: int
    dropped: int
    stores: list[str]
    sinks: list[str]
    detail: Detail
    live_events: list[AnyEvent]
    more: bool = False


class SnapshotPart(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """A further part of an introduction."""

    live_events: list[AnyEvent]
    more: bool


class EventFrame(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """One event; numbers rise by one, and dropped events have numbers too."""

    number: int
    event: AnyEvent


Frame = Introduction | SnapshotPart | EventFrame


class _VersionHeader(msgspec.Struct, frozen=True, tag="Introduction", array_like=True):
    """The part of an introduction that every version can read."""

    protocol: int
    vocabulary: str
    version: str


class FrameRefused(TickglassError):  # noqa: N818 - says what happened
    """The peer sent no valid frame, or sent it at a wrong time: the connection must end."""

    def __init__(self, reason: RefusedBecause, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}")


_encoder: Final = msgspec.msgpack.Encoder()
_frames: Final[msgspec.msgpack.Decoder[Any]] = msgspec.msgpack.Decoder(Frame)
_version_header: Final = msgspec.msgpack.Decoder(_VersionHeader)


def encoded(frame: Frame) -> bytes:
    """Return the bytes of a frame; a very long exception text is cut.

    Raises:
        ValueError: it is still too long.
    """
    payload = _encoder.encode(frame)
    if len(payload) > _TEXT_FROM and isinstance(frame, EventFrame) and hasattr(frame.event, "error"):
        event = msgspec.structs.replace(frame.event, error=frame.event.error[:_TEXT_MAX])
        payload = _encoder.encode(EventFrame(frame.number, event))
    if len(payload) > FRAME_MAX:
        raise ValueError(f"a frame of {len(payload)} bytes")
    return len(payload).to_bytes(_LENGTH, "big") + payload


def introduction_frames(introduction: Introduction) -> Iterable[bytes]:
    """Return the frames of an introduction; a long one is sent in parts."""
    live_events = introduction.live_events
    parts = [live_events[at : at + _PART] for at in range(0, len(live_events), _PART)] or [[]]
    yield encoded(msgspec.structs.replace(introduction, live_events=parts[0], more=len(parts) > 1))
    for number, part in enumerate(parts[1:], 2):
        yield encoded(SnapshotPart(part, number < len(parts)))


class FrameReader:
    """Cuts a stream of bytes into frames; buffers one frame at most."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._introduced = False

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yield the frames that are complete now; the caller must consume all of them.

        Raises:
            FrameRefused: the next bytes are no valid frame.
        """
        self._held += data
        at = 0
        try:
            while len(self._held) - at >= _LENGTH:
                length = int.from_bytes(self._held[at : at + _LENGTH], "big")
                if length > FRAME_MAX:
                    raise FrameRefused(RefusedBecause.OVERSIZED, f"a frame of {length} bytes; {FRAME_MAX} at most")
                if len(self._held) - at - _LENGTH < length:
                    break
                begin, at = at + _LENGTH, at + _LENGTH + length
                yield self._decoded(bytes(self._held[begin:at]))
        finally:
            del self._held[:at]

    def _decoded(self, payload: bytes) -> Frame:
        try:
            if not self._introduced:
                _check_version(_version_header.decode(payload))
                self._introduced = True
            frame: Frame = _frames.decode(payload)
            if len(payload) > NAME_MAX:  # most are shorter, and so are the names in them
                _check_names(frame)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise FrameRefused(RefusedBecause.MALFORMED, str(error)) from error
        return frame


def _check_names(frame: Frame) -> None:
    """Refuse a name that is longer than a scheduler allows, because it would be kept on every series of its group."""
    carried = [frame.event] if isinstance(frame, EventFrame) else frame.live_events
    names = [getattr(event, name) or "" for event in carried for name in _NAMES[type(event)]]
    if isinstance(frame, Introduction):
        names += [frame.owner, frame.service, frame.version, *frame.stores, *frame.sinks]
    longest = max(map(len, names), default=0)
    if longest > NAME_MAX:
        raise FrameRefused(RefusedBecause.MALFORMED, f"a name of {longest} characters; {NAME_MAX} at most")


def _check_version(header: _VersionHeader) -> None:
    if header.protocol != PROTOCOL or header.vocabulary != VOCABULARY:
        raise FrameRefused(
            RefusedBecause.VERSION,
            f"the scheduler runs tickglass {header.version[:40]} (protocol {header.protocol}, events "
            f"{header.vocabulary[:8]}), this is protocol {PROTOCOL}, events {VOCABULARY}: run one version on both",
        )
