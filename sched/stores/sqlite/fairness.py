"""Let who has waited for long have a resource next, among the processes that share a file.

None of them hears of another's release: who waits asks again after a pause, and who has just released and wants the
resource again would be faster every time. So a refusal leaves a mark: since when this process has been asking, and when
it asked last. Once that is long enough, the others are refused a free resource, too, as long as it goes on asking.
Timings are advice about who goes first; who has a resource, its lease alone says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tickglass.sched.durations import MS
from tickglass.sched.ports import Holder, Refused

if TYPE_CHECKING:
    import sqlite3

    from tickglass.sched.ports import LeaseAsk

__all__ = ["clear_marks", "mark_refusal", "refusal_in_favour"]

# The others may take it again and again for so long: taking turns at each release would leave the resource idle for
# most of the time, because who waits asks some four times a second.
_TURN_NS: Final = 250 * MS
_ASKING_NS: Final = 500 * MS  # since the last time it asked; who waits pauses for 250 ms at most

_MARK: Final = """
    INSERT INTO waiting VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (resource, party) DO UPDATE SET owner = excluded.owner, service = excluded.service,
        since_ns = iif(asked_ns BETWEEN ? AND excluded.asked_ns, since_ns, excluded.since_ns),
        asked_ns = excluded.asked_ns"""
_MARKS: Final = "SELECT party, owner, service, since_ns, asked_ns FROM waiting WHERE resource = ? ORDER BY since_ns"
_DROP: Final = "DELETE FROM waiting WHERE resource = ? AND party = ?"
_CLEAR: Final = "DELETE FROM waiting WHERE NOT asked_ns BETWEEN ? AND ?"


def mark_refusal(connection: sqlite3.Connection, ask: LeaseAsk, party: str, now_ns: int) -> None:
    """Note that a party asked in vain; `party` is its store's own."""
    mark = (ask.resource, party, ask.owner, ask.service, now_ns, now_ns)
    connection.execute(_MARK, (*mark, now_ns - _ASKING_NS + 1))


def refusal_in_favour(connection: sqlite3.Connection, resource: str, party: str, now_ns: int) -> Refused | None:
    """Return the answer to a party that asks for a free resource while another goes first, None if it may have it.

    Then it is taken for one that waits no more.
    """
    marks = connection.execute(_MARKS, (resource,)).fetchall()
    for who, owner, service, since_ns, asked_ns in marks:
        left_ns = asked_ns + _ASKING_NS - now_ns
        if asked_ns - since_ns >= _TURN_NS and 0 < left_ns <= _ASKING_NS:
            if who == party:
                break
            return Refused(Holder(owner, service, "", "", 0), left_ns)
    if any(who == party for who, *_ in marks):
        connection.execute(_DROP, (resource, party))
    return None


def clear_marks(connection: sqlite3.Connection, now_ns: int) -> None:
    """Forget those that ask no more."""
    connection.execute(_CLEAR, (now_ns - _ASKING_NS + 1, now_ns))
