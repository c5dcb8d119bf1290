"""Write and repair the ledger by majority: settle, abandon, withdraw.

A settled attempt is copied to servers that missed its claim (read repair), so that a majority
goes on knowing it as servers come and go.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.ports import Orphan, Settled
from tickglass.sched.stores.redis import scripts as lua
from tickglass.sched.stores.redlock.scripts import OCCURRENCE_STATE, READ_REPAIR, REOPEN, WITHDRAW

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tickglass.sched.identity import JobId
    from tickglass.sched.ports import Settlement
    from tickglass.sched.stores.redis.scripts import Argument
    from tickglass.sched.stores.redlock.leftovers import Leftovers
    from tickglass.sched.stores.redlock.quorum import Quorum

__all__ = ["RedlockLedger"]


class RedlockLedger:
    """The ledger's votes.

    Args:
        leftovers: notes the servers that may not know that a vote has ended.
    """

    def __init__(self, quorum: Quorum, leftovers: Leftovers) -> None:
        self._quorum = quorum
        self._leftovers = leftovers

    def settle(self, settlement: Settlement, call: str) -> Settled:
        """Settle on all servers.

        Recorded: a majority has the outcome now, and some server did not have it before. Earlier: a majority had it
        before. Released: a majority may have had the lease until now, because a silent server may have it still.

        Raises:
            StoreUnavailable: also when it depends on the silent servers whether a majority has the outcome.
        """
        voters = settlement.lease.token, settlement.run_id
        replies = self._leftovers.ask(voters, "settle", lua.SETTLE, lua.settle_args(settlement, call))
        written = sum(reply[0] for reply in replies.values())
        released = sum(reply[1] for reply in replies.values())
        have = [reply for reply in replies.values() if reply[3]]
        stored = len(have)
        unknown = [number for number, reply in replies.items() if reply[2] == "-"]
        if written and unknown:
            _, _, attempt_key, packed = have[0]
            stored += self._read_repair(
                str(settlement.job_id), lua.due_text(settlement.due_ns), attempt_key, packed, unknown
            )
        needed, silent = self._quorum.needed, self._quorum.size - len(replies)
        if 0 < stored < needed <= stored + silent:
            detail = f"{stored} servers have the outcome, and {silent} that may have its claim are silent"
            raise StoreUnavailable("redlock", "settle", detail)
        earlier = written == 0 and sum(lua.is_settled_as(reply[3], settlement) for reply in have) >= needed
        return Settled(written > 0 and stored >= needed, released + silent >= needed, earlier)

    def withdraw(self, ballot: tuple[Argument, ...], numbers: Iterable[int]) -> None:
        """Take back the votes that these servers may have given to this client.

        A server that does not answer keeps its vote until the lease ends, or until the vote refuses a request of ours.
        """
        unanswered = set(numbers)
        with contextlib.suppress(StoreUnavailable):  # closed meanwhile
            unanswered -= self._quorum.ask("withdraw", WITHDRAW, ballot, among=list(unanswered)).keys()
        self.note_silent(ballot, unanswered)

    def note_silent(self, ballot: tuple[Argument, ...], numbers: Iterable[int]) -> None:
        """Note that these servers may still vote for this client, or still have its vote."""
        _, token, _, run_id, *_ = ballot
        self._leftovers.note((str(token), str(run_id)), "withdraw", WITHDRAW, ballot, numbers)

    def abandon(self, orphan: Orphan, call: str) -> bool | None:
        """Abandon on all servers; None: the vote split, nothing was changed, and asking again may help."""
        replies = self._quorum.ask("abandon", lua.ABANDON, lua.abandon_args(orphan, call))
        won = sum(reply == 1 for reply in replies.values())
        lost = sum(reply == 0 for reply in replies.values())
        if won >= self._quorum.needed or (won and not lost):
            return True
        if won:
            due = lua.due_text(orphan.due_ns)
            self._quorum.ask("abandon", REOPEN, (str(orphan.job_id), due, call), among=range(self._quorum.size))
            return None
        return False

    def abandoned(self, views: Sequence[Sequence[Orphan]]) -> list[Orphan]:
        """Return the claims that are abandoned according to several servers, oldest first."""
        votes: dict[tuple[JobId, int, str], list[Orphan]] = defaultdict(list)
        for view in views:
            for orphan in view:
                votes[orphan.job_id, orphan.due_ns, orphan.run_id].append(orphan)
        latest = [max(orphans, key=lambda it: it.attempt) for orphans in votes.values()]
        found = [
            it
            for it in latest
            if len(votes[it.job_id, it.due_ns, it.run_id]) >= self._quorum.needed or self._is_abandoned(it)
        ]
        return sorted(found, key=lambda it: (it.due_ns, it.job_id, it.attempt))

    def _is_abandoned(self, orphan: Orphan) -> bool:
        """Ask all servers about a claim that only some report as abandoned; repair those that missed its end."""
        due = lua.due_text(orphan.due_ns)
        states: dict[int, Any] = self._quorum.ask("orphans", OCCURRENCE_STATE, (str(orphan.job_id), due))
        settled = [reply for reply in states.values() if reply[0] == "settled"]
        if settled:
            _, attempt_key, packed = max(settled, key=lambda reply: str(reply[1]))
            behind = [number for number, reply in states.items() if reply[0] in ("abandoned", "unknown")]
            self._read_repair(str(orphan.job_id), due, attempt_key, packed, behind)
            return False
        return not any(reply[0] == "running" for reply in states.values())

    def _read_repair(self, job: str, due: str, attempt_key: str, packed: str, numbers: Sequence[int]) -> int:
        """Copy a settled attempt to these servers; return how many have it now."""
        if not numbers:
            return 0
        return sum(
            self._quorum.ask("read_repair", READ_REPAIR, (job, due, attempt_key, packed), among=numbers).values()
        )
