"""Ask an etcd member for the time, as far as etcd tells it.

The etcd API has no clock. Its HTTP side, on the same port, dates each answer to the second, as every HTTP server does.
"""

from __future__ import annotations

import http.client
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from tickglass.sched.clock import ns_of
from tickglass.sched.durations import SECOND

if TYPE_CHECKING:
    from tickglass.sched.clock import Clock

__all__ = ["closest_ns", "dated_ns"]


def dated_ns(host: str, port: int, timeout_s: float) -> int | None:
    """Return the second that a member's clock is in; None if it does not speak HTTP there."""
    connection = http.client.HTTPConnection(host.strip("[]"), port, timeout=timeout_s)
    try:
        connection.request("GET", "/version")
        dated = connection.getresponse().headers["Date"]
        return None if dated is None else ns_of(parsedate_to_datetime(dated))
    except (OSError, ValueError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def closest_ns(clock: Clock, asked_ns: int, told_ns: int | None) -> int:
    """Return the instant closest to our own wall clock that a member may have meant.

    Args:
        asked_ns: our wall clock before the question.
        told_ns: the second that the member was in; None if it did not tell.

    Returns:
        Our own time, midway between question and answer, if that may be the member's
        too; else the nearer end of what may be.
    """
    answered_ns = max(asked_ns, clock.wall_ns())
    ours_ns = asked_ns + (answered_ns - asked_ns) // 2
    if told_ns is None:
        return ours_ns
    half_ns = (answered_ns - asked_ns) // 2  # the member read its clock at some time in between
    return min(max(ours_ns, told_ns - half_ns), told_ns + SECOND - 1 + half_ns)
