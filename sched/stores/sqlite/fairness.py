"""Give a free resource to the process that has waited longest, among those that share a file.

No process is notified of another's release, so a waiter polls, and a holder that releases and asks again would be
faster every time. So a refusal writes a waiting mark: since when this process has been asking, and when it asked last.
Once a process has asked for long enough, all others are refused the resource even if it is free, as long as that
process goes on asking. Marks only decide which process goes first; the lease alone says which one has the resource.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tickglass.sched.durations import MS
from tickglass.sched.ports import Holder, Refused

if TYPE_CHECKING:
    import sqlite3

    from tickglass.sched.ports import LeaseAsk

__all__ = ["clear_waiting", "note_waiting", "refusal_in_favour"]

# A holder may take the resource again and again for this long. Handing it over at each release would leave it idle for
# most of the time, because a waiter asks only some four times a second.
_YIELD_AFTER_NS: Final = 250 * MS
_WAITING_TIMEOUT_NS: Final = 500 * MS  # after its last request; a waiter pauses for 250 ms at most

_NOTE: Final = """
    INSERT INTO waiting VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (resource, party) DO UPDATE SET owner = excluded.owner, service = excluded.service,
        since_ns = iif(asked_ns BETWEEN ? AND excluded.asked_ns, since_ns, excluded.since_ns),
        asked_ns = excluded.asked_ns"""
_WAITING: Final = "SELECT party, owner, service, since_ns, asked_ns FROM waiting WHERE resource = ? ORDER BY since_ns"
_DROP: Final = "DELETE FROM waiting WHERE resource = ? AND party = ?"
_CLEAR: Final = "DELETE FROM waiting WHERE NOT asked_ns BETWEEN ? AND ?"


def note_waiting(connection: sqlite3.Connection, ask: LeaseAsk, party: str, now_ns: int) -> None:
    """Note that a party was refused; `party` is the id of its store object."""
    row = (ask.resource, party, ask.owner, ask.service, now_ns, now_ns)
    connection.execute(_NOTE, (*row, now_ns - _WAITING_TIMEOUT_NS + 1))


def refusal_in_favour(connection: sqlite3.Connection, resource: str, party: str, now_ns: int) -> Refused | None:
    """Return the refusal of a free resource that another party should have first; None if this party may have it.

    If it may have the resource, its waiting mark is cleared.
    """
    waiting = connection.execute(_WAITING, (resource,)).fetchall()
    for who, owner, service, since_ns, asked_ns in waiting:
        left_ns = asked_ns + _WAITING_TIMEOUT_NS - now_ns
        if asked_ns - since_ns >= _YIELD_AFTER_NS and 0 < left_ns <= _WAITING_TIMEOUT_NS:
            if who == party:
                break
            return Refused(Holder(owner, service, "", "", 0), left_ns)
    if any(who == party for who, *_ in waiting):
        connection.execute(_DROP, (resource, party))
    return None


def clear_waiting(connection: sqlite3.Connection, now_ns: int) -> None:
    """Delete the marks of parties that have stopped asking."""
    connection.execute(_CLEAR, (now_ns - _WAITING_TIMEOUT_NS + 1, now_ns))
