"""Decide which names get series of their own: the first ones, up to a cap, and of locks those that are in use.

No I/O, no clock reads but for the age of idle locks.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from tickglass.sched.durations import SECOND
from tickglass.telemetry.locks import LockGroup
from tickglass.telemetry.metric import OVERFLOW

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickglass.sched.clock import Clock, Reading
    from tickglass.telemetry.series import Value

__all__ = ["ByName", "LocksByName"]

G = TypeVar("G")
# Looking for idle locks goes through all of them, so it must be seldom, though new names may come with every event.
_RETIRED_SHARE: Final = 10  # of the cap: so many are forgotten at once
_LOOK_EVERY_NS: Final = 60 * SECOND  # after none was found


class ByName(dict[str, G], Generic[G]):
    """Entries by declared name: created at the first look-up, folded into `OVERFLOW` beyond the cap.

    Args:
        make: builds the entry of a name.
        cap: how many names get an entry of their own.
        overflow: counts the look-ups that were folded.
    """

    def __init__(self, make: Callable[[str], G], cap: int, overflow: Value) -> None:
        super().__init__()
        self._make = make
        self._cap = cap
        self._overflow = overflow
        self._growing = threading.RLock()

    def __missing__(self, name: str) -> G:
        with self._growing:
            entry = self.get(name)
            if entry is None and (len(self) < self._cap or self._make_room(name)):
                entry = self[name] = self._make(name)
            if entry is None:
                self._overflow.add()
                entry = self.get(OVERFLOW)
            if entry is None:
                entry = self[OVERFLOW] = self._make(OVERFLOW)
            return entry

    def _make_room(self, name: str) -> bool:  # noqa: ARG002 - for subclasses
        """Return whether there is room for this name after all, because another one was removed."""
        return False


class LocksByName(ByName[LockGroup]):
    """Locks by resource. When the cap is reached, the locks that have been idle for longest are forgotten.

    A lock that was forgotten begins at zero when somebody asks for it again, as after a restart. Its series have been
    absent for some time by then, so no rule reads them from before and from after at once.

    Args:
        make: builds the group of a resource.
        cap: how many resources get a group of their own.
        overflow: counts the look-ups that were folded.
        forgotten: called with the number of locks that were forgotten.
    """

    def __init__(
        self,
        make: Callable[[str], LockGroup],
        cap: int,
        overflow: Value,
        *,
        clock: Clock,
        forgotten: Callable[[int], None],
    ) -> None:
        super().__init__(make, cap, overflow)
        self._clock = clock
        self._forgotten = forgotten
        self._look_again_ns = 0  # monotonic

    def change(self, resource: str, change: Callable[[LockGroup], bool]) -> None:
        """Change the lock's group.

        Args:
            change: returns False if the group was retired meanwhile; then it is called with the next one.
        """
        group = self[resource]
        while not change(group):
            self._remove(resource, group)
            group = self[resource]

    def count_idle(self, now: Reading) -> int:
        """Return how many of them are hidden."""
        return sum(group.idle_since_ns(now) is not None for group in list(self.values()))

    def _remove(self, resource: str, group: LockGroup) -> None:
        with self._growing:
            if self.get(resource) is group:
                del self[resource]

    def _make_room(self, name: str) -> bool:
        now = self._clock.reading()
        folded = self.get(OVERFLOW)
        if now.monotonic_ns < self._look_again_ns or (folded is not None and folded.has_in_hand(name)):
            return False  # what began under `OVERFLOW` ends there
        since = [(group.idle_since_ns(now), resource) for resource, group in list(self.items())]
        idle = sorted((at_ns, resource) for at_ns, resource in since if at_ns is not None)
        most = max(1, self._cap // _RETIRED_SHARE)
        retired = [group for _, resource in idle[:most] if (group := self[resource]).retire(now)]
        for group in retired:
            self._remove(group.resource, group)
        self._forgotten(len(retired))
        if not retired:
            self._look_again_ns = now.monotonic_ns + _LOOK_EVERY_NS
        return bool(retired)
