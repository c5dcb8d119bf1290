"""Have a fork of this process wait until no thread is inside SQLite, and until no database is open.

A fork copies what SQLite keeps in memory, for all files of the process, and two things of that are wrong in the child:

- A mutex of SQLite's that another thread held just then is never unlocked: the child hangs in its first call.
- SQLite notes there which locks of a file this process has. The child has none of them, because the kernel gives a
  child no locks. It opens the same file, takes a lock as held, and damages the file.

So our databases are closed before a fork. The parent opens them again with the next call, in about a millisecond.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Final, Protocol
from weakref import WeakSet

from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import SECOND

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from threading import Lock

__all__ = ["FORK_GATE", "ForkGate", "Gated"]

_PATIENCE_NS: Final = SECOND  # a transaction takes less than a millisecond; one that waits for other processes, seconds


class Gated(Protocol):
    """Holds databases open."""

    @property
    def mutexes(self) -> Sequence[Lock]:
        """Under one of these SQLite is called, and under all of them `disconnect`; in the order of their locking."""
        ...

    def disconnect(self) -> None:
        """Close the database; the next call opens it again."""
        ...

    def inherited(self) -> None:
        """Note, in a forked child, that the database could not be closed in time."""
        ...


class ForkGate:
    """All databases of a process.

    Args:
        patience_ns: how long a fork waits at most: a signal's handler that forks may have interrupted a call.
    """

    def __init__(self, patience_ns: int = _PATIENCE_NS) -> None:
        self._patience_ns = patience_ns
        self._real = SystemClock()
        self._mutex = threading.Lock()  # one fork at a time, and nothing new during a fork
        self._gated: WeakSet[Gated] = WeakSet()
        self._undo: list[Callable[[], None]] = []
        self._missed: list[Gated] = []
        self._forking = 0  # the thread that forks
        self._hooked = False

    def add(self, gated: Gated) -> None:
        """Have each fork close this, as long as it exists."""
        with self._mutex:
            if not self._hooked:
                self._hooked = True
                os.register_at_fork(before=self.before, after_in_parent=self.after, after_in_child=self.after_in_child)
            self._gated.add(gated)

    def before(self) -> None:
        """Close what can be closed in time; a fork cannot be refused."""
        until_ns = self._real.monotonic_ns() + self._patience_ns
        if not self._taken(self._mutex, until_ns):
            return
        self._forking = threading.get_ident()
        for gated in list(self._gated):
            taken = [mutex for mutex in gated.mutexes if self._taken(mutex, until_ns)]
            self._undo += [mutex.release for mutex in taken]
            if len(taken) == len(gated.mutexes):
                gated.disconnect()
            else:
                self._missed.append(gated)

    def after(self) -> None:
        """Let the threads go on."""
        if self._forking == threading.get_ident():
            undo, self._undo, self._missed, self._forking = self._undo, [], [], 0
            for release in undo:
                release()
            self._mutex.release()

    def after_in_child(self) -> None:
        """Let the child open databases of its own."""
        missed = self._missed if self._forking == threading.get_ident() else list(self._gated)
        for gated in missed:
            gated.inherited()
        if self._forking == threading.get_ident():
            self.after()
        else:
            self._mutex, self._undo, self._missed, self._forking = threading.Lock(), [], [], 0

    def _taken(self, mutex: Lock, until_ns: int) -> bool:
        return mutex.acquire(timeout=max(0, until_ns - self._real.monotonic_ns()) / SECOND)


FORK_GATE: Final = ForkGate()  # of this process, as SQLite's own memory is
