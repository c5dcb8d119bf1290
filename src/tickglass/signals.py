"""Wait for SIGTERM or SIGINT in the main thread, without doing anything inside a handler."""

from __future__ import annotations

import os
import select
import signal
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

from tickglass.sched.errors import ConfigError

if TYPE_CHECKING:
    from types import FrameType, TracebackType

__all__ = ["StopSignals"]

_STOPPING: Final = (signal.SIGTERM, signal.SIGINT)
_FINISH: Final = 255  # no signal has this number


class StopSignals:
    """Inside the `with`, these signals are only counted.

    The interpreter itself writes their numbers into a pipe: whichever thread the
    kernel gives them to, and whatever the main thread waits for. A handler in
    Python would run only when the main thread wakes.
    """

    def __init__(self) -> None:
        self._before: dict[int, object] = {}
        self._before_fd = -1

    def __enter__(self) -> Self:
        """Begin to listen.

        Raises:
            ConfigError: this is not the main thread, and signals come to no other; nothing was opened.
        """
        if threading.current_thread() is not threading.main_thread():
            raise ConfigError(
                "only the main thread hears signals, and this is another one",
                given=f"in thread {threading.current_thread().name}",
                instead=("scheduler.start()", "with scheduler:"),
            )
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self._before_fd = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for number in _STOPPING:
            self._before[number] = signal.signal(number, _nothing)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type] # what signal.signal returned
        signal.set_wakeup_fd(self._before_fd)
        os.close(self._reader)
        os.close(self._writer)

    def wait(self, longest_s: float | None = None) -> signal.Signals | None:
        """Block until the next signal, and return it; None after `finish` or the longest wait."""
        while True:
            ready, _, _ = select.select([self._reader], [], [], longest_s)
            came = os.read(self._reader, 1)[0] if ready else _FINISH
            if came in (*_STOPPING, _FINISH):  # other signals may have handlers of the user
                return None if came == _FINISH else signal.Signals(came)

    def finish(self) -> None:
        """Make `wait` return None; from any thread."""
        with suppress(BlockingIOError):  # the pipe is full of signals: the wait returns anyway
            os.write(self._writer, bytes([_FINISH]))


def _nothing(_number: int, _frame: FrameType | None) -> None:
    """Do nothing; replaces the default action of the signal."""
