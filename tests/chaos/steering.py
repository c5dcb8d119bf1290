"""Tell a worker what shall go wrong inside it: one JSON object a line, on its standard input."""

from __future__ import annotations

from typing import Final

import msgspec

from tickglass.sched.clock import Reading, SystemClock

__all__ = ["BlockLoop", "Crowd", "Order", "SetClock", "SteeredClock", "order_of"]


class Order(msgspec.Struct, frozen=True, tag=True):
    """The root of what a worker can be told."""

    def __str__(self) -> str:
        return msgspec.json.encode(self).decode()


class SetClock(Order, frozen=True):
    """Let the wall clock be wrong by so much."""

    offset_ns: int


class Crowd(Order, frozen=True):
    """Let more jobs fall due than there are workers, each longer than the grace of the others, for about so long."""

    for_ns: int


class BlockLoop(Order, frozen=True):
    """Let a coroutine keep the event loop from turning, for so long."""

    for_ns: int


_ORDER: Final[msgspec.json.Decoder[SetClock | Crowd | BlockLoop]] = msgspec.json.Decoder(SetClock | Crowd | BlockLoop)


def order_of(line: str) -> SetClock | Crowd | BlockLoop:
    """Return what a line says."""
    return _ORDER.decode(line)


class SteeredClock(SystemClock):
    """The machine's clock, with a wall clock that can be set for this process alone."""

    def __init__(self, offset_ns: int = 0) -> None:
        self.offset_ns = offset_ns

    def wall_ns(self) -> int:
        """See `Clock`."""
        return super().wall_ns() + self.offset_ns

    def reading(self) -> Reading:
        """See `Clock`."""
        offset_ns = self.offset_ns  # once: it may be set while the clocks are read
        monotonic_ns, wall_ns = SystemClock().reading()
        return Reading(monotonic_ns, wall_ns + offset_ns)
