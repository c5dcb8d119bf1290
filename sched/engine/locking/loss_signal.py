"""Notify the holder of a lock, once, that its lease is lost.

The engine has the `LossSignal` and reports the loss; the holder has the `HeldLease` and subscribes to it.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Final

from tickglass.sched.engine.foreign_errors import is_program_exit

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LossSignal"]

_log: Final = logging.getLogger(__name__)


class LossSignal:
    """One loss, or none, and the calls that follow it.

    Args:
        resource: what the lease protects; for the log.
    """

    def __init__(self, resource: str) -> None:
        self._resource = resource
        self._mutex = threading.Lock()
        self._lost = False
        self._calls: list[Callable[[], object]] = []

    def subscribe(self, call: Callable[[], object]) -> None:
        """Call once when the lease is lost: on a thread of its own, or here and now if it is lost already."""
        with self._mutex:
            if not self._lost:
                self._calls.append(call)
                return
        self._make([call])

    def report(self) -> None:
        """Make the calls on a new thread: the caller's thread looks after other leases, and must not wait for them."""
        with self._mutex:
            self._lost = True
            calls, self._calls = self._calls, []
        if calls:
            threading.Thread(target=self._make, args=(calls,), name="tickglass-lost", daemon=True).start()

    def _make(self, calls: list[Callable[[], object]]) -> None:
        for call in calls:
            try:
                call()
            except BaseException as error:  # foreign code; reported, and the other calls are still made
                if is_program_exit(error):
                    raise
                _log.exception("a callback for the loss of %s raised", self._resource)
