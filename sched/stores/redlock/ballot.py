"""Hold a vote among independent servers, and take back the votes of one that was not won.

Source: the Redlock algorithm, redis.io/docs; with fences that a majority remembers
before they are used.
"""

from __future__ import annotations

import itertools
import random
import threading
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from msgspec.structs import replace

from tickglass.sched.clock import SystemClock, Wake
from tickglass.sched.durations import MS, duration_text
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.ports import Refused
from tickglass.sched.stores.redlock.scripts import CONFIRM
from tickglass.sched.stores.redlock.votes import expired_owner_of, judge

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Set as AbstractSet

    from tickglass.sched.ports import Ahead, AlreadyClaimed, LeaseAsk
    from tickglass.sched.stores.redis.scripts import Argument, Script
    from tickglass.sched.stores.redis.topology import Credentials
    from tickglass.sched.stores.redlock.ledger import RedlockLedger
    from tickglass.sched.stores.redlock.leftovers import Leftovers
    from tickglass.sched.stores.redlock.quorum import Quorum

__all__ = ["BY_HAND", "Ballot", "Occurrence", "Won"]

_NAME: Final = "redlock"
_TIMEOUTS_PER_TTL: Final = 10  # a server that does not answer costs at most this part of a lease
_ROUNDS: Final = 24  # of votes that split; with the pauses between them about a third of a second at most
_PAUSE_NS: Final = (MS, 20 * MS)  # the longest pause after the first split, and after many
_FENCE_MAX: Final = 2**52  # us: the year 2112; from twice that on, Lua's numbers are no longer exact
_SILENCE: Final = ("",)
_OURS: Final = ("granted", "claimed", *_SILENCE)  # a server that was asked and is silent may have voted for us


class Occurrence(NamedTuple):
    """What a vote is about beside the lease, as the scripts are given it."""

    job: str
    due: str


BY_HAND: Final = Occurrence("", "")  # a vote about a lock: no occurrence


class Won(NamedTuple):
    """A majority was won: what its servers agreed on."""

    fence: int
    expired_owner: str
    attempt: int = 1
    previous_run_id: str = ""


class Ballot:
    """Asks for votes until a majority has voted for this client, or for another one.

    Args:
        allowance_ns: returns how long before its end a lease of some TTL is not trusted any more.
        timeout_given: whether the timeout of the credentials holds for short leases too.
    """

    def __init__(
        self,
        quorum: Quorum,
        ledger: RedlockLedger,
        leftovers: Leftovers,
        credentials: Credentials,
        allowance_ns: Callable[[int], int],
        *,
        timeout_given: bool,
    ) -> None:
        self._quorum = quorum
        self._ledger = ledger
        self._leftovers = leftovers
        self._allowance_ns = allowance_ns
        self._timeout_ns = credentials.timeout_ns
        self._timeout_given = timeout_given
        self._real = SystemClock()
        self._counting = threading.Lock()
        self._newest_fence = 0

    def hold(
        self,
        operation: str,
        script: Script,
        args_with: Callable[[int], tuple[Argument, ...]],
        lease: LeaseAsk,
        occurrence: Occurrence,
    ) -> Won | AlreadyClaimed | Refused | Ahead:
        """Ask for votes until a majority has voted for this client, or for another; without a majority, keep none.

        Each round is a request of its own, with a number, because the message that takes its votes back may arrive
        late, when the next request has been answered.
        """
        self._quorum.check_rights_once(operation)
        for round_ in itertools.count():
            question = self.question()
            ballot = (lease.resource, lease.token, occurrence.job, lease.run_id, occurrence.due, question)
            asked_ns, suspects = self._real.monotonic_ns(), set(range(self._quorum.size))
            silent: AbstractSet[int] = suspects
            try:
                args, timeout_ns = args_with(question), self.timeout_ns(lease.ttl_ns)
                replies = self._quorum.ask(operation, script, args, timeout_ns=timeout_ns)
                verdict = judge(list(replies.values()), self._quorum.needed, self._quorum.size)
                suspects = {number for number in replies.asked if replies.get(number, _SILENCE)[0] in _OURS}
                silent = replies.asked - replies.keys()
                if verdict.answer is None:
                    won = self._agree(operation, replies, ballot)
                    self._check_in_time(operation, lease.ttl_ns, asked_ns)
                    self._leftovers.forget(lease.token, lease.run_id)
                    return won
            except BaseException:
                self._give_up(ballot, suspects, silent)
                raise
            self._give_up(ballot, suspects, silent)
            if self._leftovers.end(replies):
                continue
            if not verdict.split or round_ >= _ROUNDS:
                rest_ns = random.randint(*_PAUSE_NS) if verdict.split else 0  # noqa: S311 - fairness, no secret
                return _sooner(verdict.answer, rest_ns)
            self.pause(round_)
        raise AssertionError  # the loop above has no end of its own

    def _give_up(self, ballot: tuple[Argument, ...], suspects: AbstractSet[int], silent: AbstractSet[int]) -> None:
        """Take back the votes of a request that was not won; a silent server may still carry out that request later."""
        if suspects:
            self._ledger.withdraw(ballot, suspects)
        self._ledger.note_silent(ballot, silent)

    def question(self, above: int = 0) -> int:
        """Return the number of a new request, greater than all before; it is also the least fence to be granted.

        It is a fence that no server has reached, so all servers grant the same one and none needs to be corrected.
        """
        wall_us = self._real.wall_ns() // 1_000
        with self._counting:
            least = wall_us if wall_us < _FENCE_MAX else 1
            self._newest_fence = max(self._newest_fence + 1, above + 1, least)
            return self._newest_fence

    def _agree(self, operation: str, replies: dict[int, Any], ballot: tuple[Argument, ...]) -> Won:
        """Make a majority remember one fence, the greatest, before it is used, and the number of the attempt."""
        ours = {number: reply for number, reply in replies.items() if reply[0] in _OURS}
        fence = max(int(reply[1]) for reply in ours.values())
        latest = max(ours.values(), key=lambda reply: int(reply[3]) if len(reply) > 3 else 0)
        attempt, previous = (int(latest[3]), latest[4]) if len(latest) > 3 else (1, "")
        with self._counting:
            self._newest_fence = max(fence, self._newest_fence)
        if any((int(it[1]), it[3:]) != (fence, latest[3:]) for it in ours.values()):
            attempt_key = f"{ballot[4]}/{attempt:06d}"
            args = (*ballot, fence, attempt_key, previous)
            agreed = self._quorum.ask(operation, CONFIRM, args, among=list(ours))
            if sum(agreed.values()) < self._quorum.needed:
                raise StoreUnavailable(_NAME, operation, "a majority voted, but did not confirm the fence")
        return Won(fence, expired_owner_of(ours.values(), self._quorum.needed), attempt, previous)

    def _check_in_time(self, operation: str, ttl_ns: int, asked_ns: int) -> None:
        took_ns = self._real.monotonic_ns() - asked_ns
        if took_ns >= ttl_ns - self._allowance_ns(ttl_ns):
            detail = f"the vote took {duration_text(took_ns)}: nothing is left of a lease of {duration_text(ttl_ns)}"
            raise StoreUnavailable(_NAME, operation, detail)

    def pause(self, round_: int) -> None:
        """Wait a random time, longer after many splits, so that one client is first."""
        longest_ns = min(_PAUSE_NS[0] << min(round_, 8), _PAUSE_NS[1])
        now_ns = self._real.monotonic_ns()
        self._real.wait(now_ns + random.randint(0, longest_ns), Wake())  # noqa: S311 - fairness, no secret

    def timeout_ns(self, ttl_ns: int) -> int:
        """Return how long a server may take to answer about a lease of this TTL."""
        if self._timeout_given:
            return self._timeout_ns
        return max(MS, min(self._timeout_ns, ttl_ns // _TIMEOUTS_PER_TTL))


def _sooner(answer: AlreadyClaimed | Refused | Ahead, rest_ns: int) -> AlreadyClaimed | Refused | Ahead:
    """Return a refusal after a split vote with a short random time to retry: maybe no client has the lease."""
    if rest_ns and isinstance(answer, Refused):
        return replace(answer, retry_after_ns=min(answer.retry_after_ns, rest_ns))
    return answer
