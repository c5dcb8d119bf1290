"""Tell the time and wait for it: the only module that asks the operating system for either.

Two clocks, never mixed: the monotonic one for waiting and for trust in a lease,
the wall clock for due instants and for people. A `Reading` joins them at one
instant, and only the timeline converts between the two. The kernel says how the wall
clock is kept, and why a thread woke late.
"""

from __future__ import annotations

import os
import struct
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "TIMEX_BYTES",
    "Clock",
    "ClockDiscipline",
    "Reading",
    "SystemClock",
    "ThreadDelay",
    "Wake",
    "began_of",
    "discipline_of",
    "instant_of",
    "ns_of",
    "run_delay_of",
]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_CLOSE_ENOUGH_NS: Final = 20_000  # a pair of readings further apart than this was interrupted
_TRIES: Final = 8
# It counts suspend where the platform can, because a lease goes on expiring while the machine sleeps.
_MONOTONIC: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
# A condition's time-out does not count suspend, so a wait reads the clock this often.
_RECHECK_NS: Final = 1_000_000_000
# The answer of adjtimex(2), as 64-bit Linux lays it out: its include/uapi/linux/timex.h and kernel/time/ntp.c.
_LAYOUT_OF: Final = frozenset({"aarch64", "x86_64"})
TIMEX_BYTES: Final = 208  # struct timex, with the padding at its end
# modes, offset, freq, maxerror, esterror, status, constant, precision, tolerance, time (two fields), tick
_FIELDS: Final = struct.Struct("@I4li6l")
_TIME_ERROR: Final = 5  # the state of a clock that nothing keeps right
_STA_NANO: Final = 0x2000  # the offset is in nanoseconds, else in microseconds
_TICK_US: Final = 10_000  # microseconds that a tick adds if nothing corrects it, 100 ticks a second
_SCALED: Final = 1_000_000 * 65_536  # of freq: parts per million, with a 16-bit fraction
# The kernel keeps the offset within half a second. On some virtual machines a larger one is read, which is an overflow.
_OFFSET_MAX_NS: Final = 500_000_000
_DELAY_STATS: Final = Path("/proc/thread-self/schedstat")
_PROCESS_STATS: Final = Path("/proc/self/stat")
_PROBE_NS: Final = 1_000_000  # a sleep so long that other threads go on meanwhile


class Reading(NamedTuple):
    """Both clocks at one instant, in nanoseconds."""

    monotonic_ns: int
    wall_ns: int

    @property
    def offset_ns(self) -> int:
        """Wall minus monotonic: constant until the wall clock is set."""
        return self.wall_ns - self.monotonic_ns


class ClockDiscipline(NamedTuple):
    """How the operating system keeps its wall clock.

    Args:
        synchronised: whether a time service keeps it right. The kernel says no from the boot until a service says
            yes, and again when `max_error_ns` has grown to 16 s.
        offset_ns: what the kernel has still to correct, slowly. Positive: the clock is behind. 0 with services that
            correct the rate alone, such as chrony. None: what was read is impossible.
        frequency_ratio: by how much the clock is made faster than its oscillator: 1e-6 is a microsecond a second.
        max_error_ns: how far the clock may be off. It grows by 0.5 ms a second while no service corrects it.
        estimated_error_ns: how far the time service thinks that it is off.
    """

    synchronised: bool
    offset_ns: int | None
    frequency_ratio: float
    max_error_ns: int
    estimated_error_ns: int


class ThreadDelay(NamedTuple):
    """What kept a thread from going on when its sleep was over, in nanoseconds.

    Args:
        core_ns: how long it waited for a free core, as the kernel counts it.
        interpreter_ns: how long it then waited for the interpreter lock. It includes the error of the timer, about
            0.1 ms, and time that the host of a virtual machine took away.
    """

    core_ns: int
    interpreter_ns: int


class Wake:
    """A wake-up: one thread waits for it on a `Clock`, any thread rings it.

    A ring is remembered until a wait consumes it, so a ring just before the
    wait is never lost.
    """

    __slots__ = ("condition", "rung")

    def __init__(self) -> None:
        self.condition = threading.Condition(threading.Lock())
        self.rung = False

    def ring(self) -> None:
        """Make the present or the next wait return at once."""
        with self.condition:
            self.rung = True
            self.condition.notify_all()

    def wait(self) -> None:
        """Block until it rings, however long that takes; the ring is consumed."""
        with self.condition:
            while not self.rung:
                self.condition.wait()
            self.rung = False


class Clock(Protocol):
    """Where time comes from. Tests and simulations use `tickglass.testing.FakeClock`."""

    def monotonic_ns(self) -> int:
        """Return nanoseconds that never go back; only differences mean anything."""
        ...

    def wall_ns(self) -> int:
        """Return nanoseconds since the Unix epoch; may jump either way."""
        ...

    def reading(self) -> Reading:
        """Return both clocks, taken at one instant."""
        ...

    def wait(self, until_ns: int | None, wake: Wake) -> bool:
        """Block until a monotonic instant or a ring, whichever comes first.

        Returns:
            True when rung (the ring is consumed), False when the time came;
            then monotonic_ns() >= until_ns. If it came while the machine was
            suspended, the wait returns within a second of waking.
        """
        ...

    def discipline(self) -> ClockDiscipline | None:
        """Return how the operating system keeps the wall clock, at once; None where it does not say."""
        ...

    def thread_delay(self) -> ThreadDelay | None:
        """Sleep for a moment, and return what made the end of the sleep late; None, at once, where nothing says."""
        ...

    def process_began_ns(self) -> int | None:
        """Return when this process began, on the monotonic clock; None where nothing says."""
        ...


class SystemClock:
    """The machine's own clocks.

    The two that are read some twenty times in a run are the system's functions themselves: a method around them would
    cost more than the reading.
    """

    monotonic_ns = staticmethod(partial(time.clock_gettime_ns, _MONOTONIC))
    wall_ns = staticmethod(time.time_ns)  # noqa: TID251 - the one place

    def reading(self) -> Reading:
        """Read wall between two monotonic readings; retry if a thread switch fell in between."""
        best, closest = Reading(0, 0), -1
        for _ in range(_TRIES):
            before = self.monotonic_ns()
            wall = self.wall_ns()
            gap = self.monotonic_ns() - before
            if closest < 0 or gap < closest:
                best, closest = Reading(before + gap // 2, wall), gap
            if gap <= _CLOSE_ENOUGH_NS:
                break
        return best

    def wait(self, until_ns: int | None, wake: Wake) -> bool:
        """See `Clock`."""
        with wake.condition:
            while not wake.rung:
                if until_ns is None:
                    wake.condition.wait()
                    continue
                left_ns = until_ns - self.monotonic_ns()
                if left_ns <= 0:
                    return False
                wake.condition.wait(min(left_ns, _RECHECK_NS) / 1e9)
            wake.rung = False
            return True

    def discipline(self) -> ClockDiscipline | None:
        """See `Clock`. Only Linux on common 64-bit machines says; it needs no right, also in a container."""
        read = _kernel_clock()
        return None if read is None else discipline_of(*read())

    def thread_delay(self) -> ThreadDelay | None:
        """See `Clock`. Only Linux tells the two apart."""
        delay_before_ns = _run_delay_ns()
        if delay_before_ns is None:
            return None
        # Not _MONOTONIC: a suspend is no delay.
        began_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        self.wait(self.monotonic_ns() + _PROBE_NS, Wake())
        late_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC) - began_ns - _PROBE_NS
        core_ns = (_run_delay_ns() or delay_before_ns) - delay_before_ns
        return ThreadDelay(core_ns, max(0, late_ns - core_ns))

    def process_began_ns(self) -> int | None:
        """See `Clock`: exact to a hundredth of a second. Only Linux says."""
        try:
            return began_of(_PROCESS_STATS.read_text(encoding="utf-8", errors="replace"), os.sysconf("SC_CLK_TCK"))
        except OSError:  # not Linux, or /proc is not mounted
            return None


@cache
def _kernel_clock() -> Callable[[], tuple[int, bytes]] | None:
    """Return what reads the kernel's clock with adjtimex(2); None: this machine cannot, or its answer is not known."""
    if sys.platform != "linux" or os.uname().machine not in _LAYOUT_OF or struct.calcsize("l") != 8:
        return None
    try:
        from ctypes import PyDLL, create_string_buffer  # noqa: PLC0415 - some interpreters are built without it

        adjtimex = PyDLL(None).adjtimex  # it returns in a microsecond, so the interpreter lock is kept
    except (ImportError, OSError, AttributeError):
        return None

    def read() -> tuple[int, bytes]:
        timex = create_string_buffer(TIMEX_BYTES)  # modes = 0: nothing is set
        return adjtimex(timex), timex.raw

    return read


def _run_delay_ns() -> int | None:
    """Return for how long this thread has been ready and had no core, since it began; None: nothing says."""
    try:
        return run_delay_of(_DELAY_STATS.read_text(encoding="ascii"))
    except OSError:  # not Linux, or a kernel without it
        return None


def run_delay_of(stats: str) -> int | None:
    """Read /proc/PID/schedstat: time on a core and time of waiting for one, in nanoseconds, and how often it got one.

    Returns:
        None: this kernel does not count. Then all three are 0, although the thread runs.
    """
    _, delay_ns, turns = map(int, stats.split())
    return delay_ns if turns else None


def began_of(stats: str, ticks_per_s: int) -> int:
    """Read from /proc/PID/stat when the process began: nanoseconds since the boot, suspends included.

    The name of the program, in parentheses, may hold anything; the field is the twentieth after it.
    """
    ticks = int(stats.rpartition(")")[2].split()[19])
    return ticks * 1_000_000_000 // ticks_per_s


def discipline_of(state: int, timex: bytes | bytearray) -> ClockDiscipline | None:
    """Read the answer of adjtimex(2).

    Args:
        state: what the call returned.
        timex: the structure that it filled, at least `TIMEX_BYTES` long.

    Returns:
        None: the call failed.
    """
    if state < 0:
        return None
    _, offset, frequency, max_error_us, estimated_error_us, status, _, _, _, _, _, tick_us = _FIELDS.unpack_from(timex)
    offset_ns = offset if status & _STA_NANO else offset * 1_000
    return ClockDiscipline(
        synchronised=state != _TIME_ERROR,
        offset_ns=offset_ns if abs(offset_ns) <= _OFFSET_MAX_NS else None,
        frequency_ratio=frequency / _SCALED + (tick_us - _TICK_US) / _TICK_US,
        max_error_ns=max_error_us * 1_000,
        estimated_error_ns=estimated_error_us * 1_000,
    )


def instant_of(wall_ns: int) -> datetime:
    """Return an aware UTC datetime; nanoseconds below a microsecond are cut off."""
    return _EPOCH + timedelta(microseconds=wall_ns // 1_000)


def ns_of(instant: datetime) -> int:
    """Return nanoseconds since the Unix epoch of an aware datetime, exactly."""
    since = instant - _EPOCH
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000
