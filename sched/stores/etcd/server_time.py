"""Ask an etcd member for the time, to the second.

The etcd API has no clock. But its HTTP side, on the same port, dates each answer to the second, as HTTP servers do.
"""

from __future__ import annotations

import http.client
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from tickglass.sched.clock import Reading, ns_of
from tickglass.sched.durations import SECOND

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickglass.sched.clock import Clock, ClockDiscipline, ThreadDelay, Wake

__all__ = ["ClusterClock", "closest_ns", "dated_ns"]


class ClusterClock:
    """Our clock, corrected by the cluster's wall time once that is known, so that a wrong clock here dates no records.

    Args:
        clock: ours; until the cluster was asked, its wall side as well.
        ask: asks the cluster for its wall time, see `closest_ns`.
    """

    def __init__(self, clock: Clock, ask: Callable[[], int]) -> None:
        self._clock = clock
        self._ask = ask
        self._offset_ns: int | None = None  # the cluster's wall clock minus our monotonic one

    def compare(self) -> int:
        """Ask the cluster, and use its answer from now on; return its wall time.

        Raises:
            StoreUnavailable: it does not answer.
        """
        reported_ns = self._ask()
        self._offset_ns = reported_ns - self._clock.monotonic_ns()
        return reported_ns

    @property
    def compared(self) -> bool:
        """Whether the cluster has ever been asked."""
        return self._offset_ns is not None

    def monotonic_ns(self) -> int:
        """See `Clock`."""
        return self._clock.monotonic_ns()

    def wall_ns(self) -> int:
        """See `Clock`."""
        return self.reading().wall_ns

    def reading(self) -> Reading:
        """See `Clock`."""
        ours, offset_ns = self._clock.reading(), self._offset_ns
        return ours if offset_ns is None else Reading(ours.monotonic_ns, ours.monotonic_ns + offset_ns)

    def wait(self, until_ns: int | None, wake: Wake) -> bool:
        """See `Clock`."""
        return self._clock.wait(until_ns, wake)

    def discipline(self) -> ClockDiscipline | None:
        """See `Clock`: of this host's clock, because the cluster does not say."""
        return self._clock.discipline()

    def thread_delay(self) -> ThreadDelay | None:
        """See `Clock`."""
        return self._clock.thread_delay()

    def process_began_ns(self) -> int | None:
        """See `Clock`."""
        return self._clock.process_began_ns()


def dated_ns(host: str, port: int, timeout_s: float) -> int | None:
    """Return the second that a member's clock is in; None if no HTTP server answers there."""
    connection = http.client.HTTPConnection(host.strip("[]"), port, timeout=timeout_s)
    try:
        connection.request("GET", "/version")
        dated = connection.getresponse().headers["Date"]
        return None if dated is None else ns_of(parsedate_to_datetime(dated))
    except (OSError, ValueError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def closest_ns(asked: Reading, answered_ns: int, reported_ns: int | None) -> int:
    """Return the instant closest to our own wall clock that agrees with a member's answer.

    How long the answer took is read off the monotonic clock: the wall clock may be set while the member is asked.

    Args:
        asked: our clocks before the request.
        answered_ns: monotonic, after the answer.
        reported_ns: the second that the member was in; None if it did not report one.

    Returns:
        Our own time, midway between request and answer, if the member's may be the
        same; else the nearer end of what it may be.
    """
    half_ns = (answered_ns - asked.monotonic_ns) // 2  # the member read its clock at some time in between
    ours_ns = asked.wall_ns + half_ns
    if reported_ns is None:
        return ours_ns
    return min(max(ours_ns, reported_ns - half_ns), reported_ns + SECOND - 1 + half_ns)
