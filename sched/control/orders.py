"""Say what can be asked of a fleet, one value for each thing that was asked for and still stands.

Pure: values only.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, TypeAlias

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tickglass.sched.identity import JobId

__all__ = ["ALL", "Cancel", "Drain", "Order", "OrderBase", "Pause", "RunNow", "Skip", "fits", "fits_any"]

ALL = "*"
_WILD = frozenset("*?[")  # fnmatch compiles each pattern, also a plain name


class OrderBase(msgspec.Struct, frozen=True, kw_only=True, tag_field="order"):
    """What all orders say of themselves.

    Args:
        number: the version of the record that it came with; no two orders of a store have the same.
        by: who asked for it.
        reason: why, in that person's words.
        since_ns: when, by the store's wall clock.
        until_ns: from when on it does not stand any more (wall clock); None: until it is taken back.
    """

    number: int
    by: str
    reason: str
    since_ns: int
    until_ns: int | None = None

    def stands_at(self, now_ns: int) -> bool:
        """Return whether it has not ended by itself."""
        return self.until_ns is None or now_ns < self.until_ns


class Pause(OrderBase, frozen=True, kw_only=True, tag="pause"):
    """Due instants of these jobs are skipped.

    Args:
        service: a name or a pattern; so is `job`.
    """

    service: str = ALL
    job: str = ALL

    def covers(self, job: JobId) -> bool:
        """Return whether it is about this job."""
        return fits(job.service, self.service) and fits(job.name, self.job)


class Skip(OrderBase, frozen=True, kw_only=True, tag="skip"):
    """One due instant of a job is skipped."""

    service: str
    job: str
    due_ns: int


class RunNow(OrderBase, frozen=True, kw_only=True, tag="run"):
    """A job is run once, at `due_ns` or as soon after it as an instance can, by `until_ns` at the latest."""

    service: str
    job: str
    due_ns: int


class Cancel(OrderBase, frozen=True, kw_only=True, tag="cancel"):
    """One run is asked to stop."""

    service: str
    job: str
    run_id: str


class Drain(OrderBase, frozen=True, kw_only=True, tag="drain"):
    """One instance starts nothing more; what runs there goes on to its end."""

    service: str
    owner: str


Order: TypeAlias = Pause | Skip | RunNow | Cancel | Drain


def fits(name: str, pattern: str) -> bool:
    """Return whether a name is meant by a name or by a pattern with `*`, `?` and `[...]`."""
    return pattern in (ALL, name) or (not _WILD.isdisjoint(pattern) and fnmatchcase(name, pattern))


def fits_any(name: str, patterns: Iterable[str]) -> bool:
    """Return whether a name is meant by one of these."""
    return any(fits(name, pattern) for pattern in patterns)
