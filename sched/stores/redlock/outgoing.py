"""Follow one request as it goes out to several servers: the time-out begins when a majority has been asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tickglass.sched.clock import Clock
    from tickglass.sched.stores.redis.scripts import Argument
    from tickglass.sched.stores.redis.topology import Connection

__all__ = ["Outgoing"]


class Outgoing:
    """One request as it goes out: to which servers it was sent, in this order, and until when to wait for answers.

    Args:
        needed: how many servers have to be asked before the time-out begins.
    """

    def __init__(self, command: tuple[Argument, ...], needed: int, timeout_ns: int, clock: Clock) -> None:
        self.numbers: list[int] = []
        self._command = command
        self._packed: list[bytes] | None = None
        self._needed = needed
        self._timeout_ns = timeout_ns
        self._clock = clock
        self._until_ns: int | None = None

    def send(self, number: int, connection: Connection) -> None:
        """Send it to one more server; errors of the driver are not wrapped."""
        self._packed = self._packed or connection.pack_command(*self._command)
        connection.send_packed_command(self._packed, check_health=False)
        self.numbers.append(number)
        if len(self.numbers) == self._needed:
            self._until_ns = self._clock.monotonic_ns() + self._timeout_ns

    @property
    def rest_ns(self) -> int | None:
        """What is left of the time-out; None before it has begun."""
        return None if self._until_ns is None else self._until_ns - self._clock.monotonic_ns()

    @property
    def until_ns(self) -> int:
        """When it ends; if it has not begun, it begins now."""
        return self._clock.monotonic_ns() + self._timeout_ns if self._until_ns is None else self._until_ns
