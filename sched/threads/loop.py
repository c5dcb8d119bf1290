"""Call a step again and again, on a thread of its own, until it is stopped.

All threads of the engine and of the sidecar that wait for an instant or for work are loops of this kind, so that
starting, waking and stopping are written once. `start` and `stop` may be called from any thread, in any order and
more than once.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Final

from tickglass.sched.clock import Wake
from tickglass.sched.durations import MS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickglass.sched.clock import Clock

__all__ = ["RETRY_NS", "Loop"]

_log: Final = logging.getLogger(__name__)
RETRY_NS: Final = 500 * MS  # after a step that raised


class Loop:
    """One thread, started at most once.

    Args:
        name: of the loop, in its thread's name and in the log.
        step: returns the monotonic instant of its next call; None: call it when woken. It is called sooner
            whenever the loop is woken.
        last: called once on the thread, after the last step.
        lazy: start the thread with the first `wake`, so that a loop without work has no thread.
    """

    def __init__(
        self,
        name: str,
        clock: Clock,
        step: Callable[[], int | None],
        *,
        last: Callable[[], object] = lambda: None,
        lazy: bool = False,
    ) -> None:
        self._name = name
        self._clock = clock
        self._step = step
        self._last = last
        self._mutex = threading.Lock()
        self._wake = Wake()
        self._wanted = not lazy
        self._started = False
        self._stopping = False
        self._thread: threading.Thread | None = None

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called: a long step ends early."""
        return self._stopping

    def start(self) -> None:
        """Start the thread; after `stop` nothing starts."""
        with self._mutex:
            self._started = True
            self._begin()

    def wake(self) -> None:
        """Have the step called as soon as possible; a call before the start is remembered."""
        if not self._wanted:
            with self._mutex:
                self._wanted = True
                self._begin()
        self._wake.ring()

    def stop(self, timeout_s: float | None = None) -> None:
        """End the thread, and wait for a step in progress; a step that calls this is not waited for.

        Args:
            timeout_s: how long to wait at most; a step that takes longer ends the thread when it returns.
        """
        with self._mutex:
            self._stopping = True
            thread = self._thread
        self._wake.ring()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout_s)

    def _begin(self) -> None:
        if self._started and self._wanted and not self._stopping and self._thread is None:
            self._thread = threading.Thread(target=self._run, name=f"tickglass-{self._name}", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while not self._stopping:
            self._clock.wait(self._guarded(), self._wake)
        try:
            self._last()
        except Exception:  # noqa: BLE001 - reported; the thread ends here
            _log.exception("the end of the %s loop raised", self._name)

    def _guarded(self) -> int | None:
        try:
            return self._step()
        except Exception:  # noqa: BLE001 - reported; a loop goes on
            _log.exception("a step of the %s loop raised", self._name)
            return self._clock.monotonic_ns() + RETRY_NS
