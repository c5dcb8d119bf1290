"""Judge from a store's answers to writes whether this instance can claim.

A grant, of a claim or of a lock, proves it, and so does a record of this instance that was written. Answers to reads
do not: a full Redis, a replica and a locked file go on answering them. Refusals by other holders are answers, and count
as working.

No I/O; the clock is the caller's.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, NamedTuple

from tickglass.sched.clock import instant_of
from tickglass.sched.durations import SECOND

if TYPE_CHECKING:
    from tickglass.sched.clock import Reading

__all__ = ["WRITES", "WriteHealth"]

WRITES: Final = frozenset(
    {
        "abandon",
        "acquire",
        "beat",
        "claim",
        "claim_many",
        "join",
        "register",
        "release",
        "renew",
        "settle",
        "settle_many",
        "unlock",
        "write_control",
    }
)
_ERROR_LASTS_NS: Final = 10 * SECOND  # a spooled outcome is tried again within the longest pause between sweeps
_DETAIL_MAX: Final = 300  # characters of an error in a sentence for people


class _Failure(NamedTuple):
    """Since when an operation has failed, and how it failed last."""

    since_wall_ns: int
    last_ns: int
    detail: str
    kind: str


class WriteHealth:
    """Which writes fail, since when, and when the store last answered one; for all threads.

    Args:
        store: its name.
        now_ns: monotonic; silence is counted from here.
    """

    def __init__(self, store: str, now_ns: int) -> None:
        self._store = store
        self._mutex = threading.Lock()
        self._failures: dict[str, _Failure] = {}  # by operation
        self._answered_ns = now_ns

    def failed(self, operation: str, detail: str, kind: str, now: Reading) -> None:
        """Note that a write did not work."""
        with self._mutex:
            before = self._failures.pop(operation, None)  # the latest goes to the end
            since_wall_ns = now.wall_ns if before is None else before.since_wall_ns
            self._failures[operation] = _Failure(since_wall_ns, now.monotonic_ns, detail, kind)

    def answered(self, operation: str, now_ns: int) -> bool:
        """Note that the store answered a write as it should; return whether others fail. On the path of every claim."""
        self._answered_ns = now_ns
        if not self._failures:
            return False
        with self._mutex:
            self._failures.pop(operation, None)
            return bool(self._failures)

    def proved(self, now_ns: int) -> None:
        """Note that the store granted or wrote something: it can be reached, and takes writes.

        Operations that failed because the store could not be reached do not count any more. An operation that
        was answered with an error may still fail, whatever was granted: it counts until it works, or has not
        been tried for ten seconds.
        """
        if not self._failures:
            return
        with self._mutex:
            self._failures = {
                operation: failure
                for operation, failure in self._failures.items()
                if failure.kind == "error" and now_ns - failure.last_ns < _ERROR_LASTS_NS
            }

    @property
    def fails(self) -> bool:
        """Whether a write failed that has not worked since."""
        return bool(self._failures)

    def reason(self, now_ns: int, silence_max_ns: int) -> str | None:
        """Return a sentence while writes fail, or the store has not answered one for too long; else None."""
        with self._mutex:
            failures = list(self._failures.items())
        if failures:
            since_wall_ns = min(failure.since_wall_ns for _, failure in failures)
            operation, last = failures[-1]
            since = instant_of(since_wall_ns).isoformat(" ", "seconds").replace("+00:00", " UTC")
            detail = " ".join(last.detail.split())[:_DETAIL_MAX]
            return (
                f"the {self._store} store has not taken our writes since {since}; last error, of {operation}: {detail}"
            )
        silent_ns = now_ns - self._answered_ns
        if silent_ns > silence_max_ns:
            return f"the {self._store} store has not answered a write for {silent_ns / SECOND:.1f} s"
        return None
