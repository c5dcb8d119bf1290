"""Notice in a forked process that a scheduler was started before the fork.

A fork copies the memory and the open files of a process, but only one of its threads. A scheduler that was started
before goes on in the parent; in the child it has no threads, and its locks may be held for ever by threads that are
not there. So the child takes none of them: every call there fails, with what to do instead.
"""

from __future__ import annotations

import logging
import os
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from tickglass.sched.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["ForkGuard"]

_log: Final = logging.getLogger("tickglass")
_INSTEAD: Final = (
    "scheduler.start()  # in each process, after the fork: gunicorn's post_worker_init, uWSGI's postfork",
    'multiprocessing.get_context("spawn")',
)


class ForkGuard:
    """Knows in which process a scheduler was started.

    Args:
        service: of the scheduler, for the messages.
    """

    def __init__(self, service: str) -> None:
        self._service = service
        self._pid: int | None = None  # of the process in which it was started and has not stopped
        self._abandon: Sequence[Callable[[], object]] = ()
        self._hooked = False

    @property
    def trouble(self) -> str | None:
        """Why this process has no use of the scheduler, as a sentence; None in the process in which it was started."""
        if self._pid is None or self._pid == os.getpid():
            return None
        return (
            f"the scheduler of service {self._service} was started before a fork: it runs in process {self._pid}, "
            "and none of its threads are in this one"
        )

    def check(self) -> None:
        """Refuse to go on in a process that was forked from that of the scheduler; takes no lock.

        Raises:
            ConfigError: it was started before the fork.
        """
        trouble = self.trouble
        if trouble is not None:
            raise ConfigError(trouble, instead=_INSTEAD)

    def started(self) -> None:
        """Take note that it is started in this process."""
        self._pid = os.getpid()
        if not self._hooked:
            self._hooked = True
            _tell_after_fork(weakref.ref(self))

    def holds(self, abandon: Sequence[Callable[[], object]]) -> None:
        """Take note of what has a child close the files that it must not keep: a port that nobody serves, a slot."""
        self._abandon = abandon

    def stopped(self) -> None:
        """Take note that it has stopped: a process that is forked from now on may start it."""
        self._pid, self._abandon = None, ()

    def in_child(self) -> None:
        """Say in a process that was just forked what it has not got, and close what the parent alone may keep."""
        trouble = self.trouble
        if trouble is None:
            return
        for close in self._abandon:
            with suppress(OSError):  # the parent was closing it
                close()
        _log.warning("%s; start it after the fork, in each process", trouble)


def _tell_after_fork(guard: weakref.ref[ForkGuard]) -> None:
    """Have the guard told of each fork; a hook cannot be removed, so it does not keep the scheduler alive."""

    def told() -> None:
        found = guard()
        if found is not None:
            found.in_child()

    os.register_at_fork(after_in_child=told)
