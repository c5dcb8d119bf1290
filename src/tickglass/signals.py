"""Wait for SIGTERM or SIGINT in the main thread, without doing anything inside a handler."""

from __future__ import annotations

import os
import select
import signal
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from types import FrameType, TracebackType

__all__ = ["StopSignals"]

_STOPPING: Final = (signal.SIGTERM, signal.SIGINT)


class StopSignals:
    """Between `with` and its end, those signals are only counted.

    A handler that rang a condition could find its lock held by the very thread
    that it interrupts; a byte in a pipe cannot.
    """

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        for number in _STOPPING:
            self._before[number] = signal.signal(number, self._came)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type] # what signal.signal returned
        os.close(self._reader)
        os.close(self._writer)

    def wait(self, longest_s: float | None = None) -> bool:
        """Block until the next signal (True), or until `finish` or the longest wait (False)."""
        ready, _, _ = select.select([self._reader], [], [], longest_s)
        return bool(ready) and os.read(self._reader, 1) == b"s"

    def finish(self) -> None:
        """Make `wait` return False; from any thread."""
        os.write(self._writer, b"f")

    def _came(self, _number: int, _frame: FrameType | None) -> None:
        os.write(self._writer, b"s")
