"""Keep what operators have asked for on a majority of servers, and take a lease from its holder.

One register, agreed on as in CASPaxos: a writer has a majority promise its ballot, learns from these servers what was
accepted in the latest ballot, changes that, and has a majority accept the result. So

- what a majority has accepted in one ballot stands, and every later ballot begins with it;
- what only a minority has accepted does not stand, and is shown to no reader. The next ballot begins with it, if it
  sees it and nothing later: then its act was done after all, and its writer, who had no answer, finds that out by
  asking again. Before a writer is told that another one was faster, what stands has been accepted again, in a later
  ballot than anything of that writer: so an act that was refused never happens later;
- a version follows only one that a majority has accepted in one ballot; until then that one is accepted again. So a
  majority has the act of each version in its log, and those that a server missed or that did not get a majority are
  told from the others by their ballots;
- a server that was away is brought up to date by the next write: it needs nothing of the versions between.

Source: D. Rystsov, "CASPaxos: Replicated State Machines without logs", 2018.
"""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.ports import AUDIT_KEPT, ControlRecord
from tickglass.sched.stores.redis.control import UNLOCK, StoredAct, unlock_args
from tickglass.sched.stores.redlock.scripts import ACCEPT, CONTROL_STATE, PROMISE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tickglass.sched.ports import AuditRow
    from tickglass.sched.stores.redis.scripts import Argument
    from tickglass.sched.stores.redlock.quorum import Quorum

__all__ = ["RedlockControl", "merged_acts"]

_ROUNDS: Final = 24  # ballots that others overtook; with the pauses between them about a third of a second at most
_READS: Final = 4  # a write is under way for the time between two servers' answers
_NUMBER_DIGITS: Final = 20


class _Stands(NamedTuple):
    """What operators have asked for, and the act that made it so."""

    version: int
    text: str
    act: str
    wall_us: str

    @property
    def args(self) -> tuple[Argument, ...]:
        """Its part of ARGV of ACCEPT."""
        return self.version, self.text, self.act, self.wall_us


class RedlockControl:
    """See `ControlStore`.

    Args:
        acts: returns the acts that each server of a majority has, as `RedisStore.acts` does.
        pause: waits a random time, longer after many rounds, so that one client is first.
    """

    def __init__(
        self,
        quorum: Quorum,
        acts: Callable[[int, int], Sequence[Sequence[StoredAct]]],
        pause: Callable[[int], None],
    ) -> None:
        self._quorum = quorum
        self._acts = acts
        self._pause = pause
        self._party = f"{uuid.uuid4().int:039d}"  # digits: servers compare texts by their own locale
        self._counting = threading.Lock()
        self._number = 0

    def read(self, known_version: int) -> ControlRecord | None:
        """See `ControlStore.control`: one round trip.

        If no majority has accepted the same, a write is under way, or its writer died, or servers came back empty.
        Then it reads again, and at last has a majority accept what the next write would begin with: two round trips
        more. So what one server still has is not lost when the others are empty.
        """
        for round_ in range(_READS):
            replies = list(self._quorum.ask("control", CONTROL_STATE, (known_version,)).values())
            self._note(reply[0] for reply in replies)
            stands = self._agreed(replies)
            if stands is not None:
                _, version, text = stands
                break
            self._pause(round_)
        else:
            version, text, _, _ = self._agree("control", lambda stands, _: stands)
        return None if int(version) == known_version else ControlRecord(int(version), text)

    def write(self, record: ControlRecord, entry: str) -> bool:
        """See `ControlStore.write_control`: two round trips, and two more for each writer that was faster."""
        proposed = False

        def change(stands: _Stands, now_us: str) -> _Stands:
            nonlocal proposed
            if stands.version != record.version - 1:
                return stands
            proposed = True
            return _Stands(record.version, record.text, entry, now_us)

        stands = self._agree("write_control", change)
        if stands.version > record.version and proposed:  # others may have had it accepted, and gone on from there
            return any(row.text == entry for row in self._rows(1, record.version + 1))
        return (stands.version, stands.act) == (record.version, entry)

    def audit(self, limit: int, before: int | None) -> list[AuditRow]:
        """See `ControlStore`: the acts that made what a majority has."""
        stands = self.read(-1)
        assert stands is not None  # noqa: S101 - no version is -1
        return self._rows(limit, stands.version + 1 if before is None else min(before, stands.version + 1))

    def unlock(self, resource: str, fence: int, detail: str, call: str) -> bool:
        """See `ControlStore`: one round trip; a majority had the lease, or may have, counting the silent servers.

        The lease that a silent server has lasts there until it ends, but no majority has it any more. That server is
        told that the attempt was settled when orphans are looked for. The attempt of a lease that just ends, and that
        only a minority of the servers has still, is settled although the answer is no.
        """
        replies = self._quorum.ask("unlock", UNLOCK, unlock_args(resource, fence, detail, call))
        may_have = sum(replies.values()) + self._quorum.size - len(replies)
        return bool(may_have >= self._quorum.needed)

    # --- inside

    def _agreed(self, replies: Sequence[Sequence[Any]]) -> Sequence[Any] | None:
        """Return the answer of CONTROL_STATE that a majority gave; None if there is none."""
        ballot, votes = Counter(reply[0] for reply in replies).most_common(1)[0]
        if votes < self._quorum.needed or (not ballot and votes < len(replies)):
            return None
        return next(reply for reply in replies if reply[0] == ballot)

    def _rows(self, limit: int, before: int) -> list[AuditRow]:
        return merged_acts(self._acts(limit, before), limit)

    def _agree(self, operation: str, change: Callable[[_Stands, str], _Stands]) -> _Stands:
        """Have a majority accept what `change` makes of what stands, at a server's time in us; return it.

        Raises:
            StoreUnavailable: fewer than a majority answered, so it is open whether the change was made; or others were
                faster all the time.
        """
        for round_ in range(_ROUNDS):
            ballot = self._next_ballot()
            replies = list(self._quorum.ask(operation, PROMISE, (ballot,)).values())
            self._note(reply[1] for reply in replies)
            promises = [reply for reply in replies if reply[0]]
            if len(promises) >= self._quorum.needed:
                stands, votes = _latest(promises)
                changed = change(stands, _median_us(promises)) if votes >= self._quorum.needed else stands
                accepted = self._quorum.ask(operation, ACCEPT, (ballot, *changed.args, AUDIT_KEPT))
                if sum(accepted.values()) >= self._quorum.needed:
                    if votes >= self._quorum.needed:
                        return changed
                    continue  # now a majority has what is to be changed
            self._pause(round_)
        raise StoreUnavailable("redlock", operation, f"others were faster {_ROUNDS} times in a row")

    def _next_ballot(self) -> str:
        """Return a ballot that no other call has, later than all that this client has seen."""
        with self._counting:
            self._number += 1
            return f"{self._number:0{_NUMBER_DIGITS}d}{self._party}"

    def _note(self, ballots: Iterable[str]) -> None:
        """Have later ballots of this client be later than these."""
        latest = max((int(ballot[:_NUMBER_DIGITS] or 0) for ballot in ballots), default=0)
        with self._counting:
            self._number = max(self._number, latest)


def _latest(promises: Sequence[Sequence[Any]]) -> tuple[_Stands, int]:
    """Return what was accepted in the latest ballot, in the answers of PROMISE, and by how many of these servers."""
    _, _, latest, version, text, act, wall_us, _ = max(promises, key=lambda reply: str(reply[2]))
    return _Stands(int(version), text, act, wall_us), sum(reply[2] == latest for reply in promises)


def _median_us(promises: Sequence[Sequence[Any]]) -> str:
    times = sorted((str(reply[7]) for reply in promises), key=int)
    return times[len(times) // 2]


def merged_acts(views: Iterable[Iterable[StoredAct]], limit: int) -> list[AuditRow]:
    """Return the latest acts that some servers of a majority have, newest first.

    A server may have kept an act that did not get a majority; the act that did was accepted in a later ballot.
    """
    latest: dict[int, StoredAct] = {}
    for view in views:
        for act in view:
            known = latest.get(act.row.version)
            if known is None or known.ballot < act.ballot:
                latest[act.row.version] = act
    return [latest[version].row for version in sorted(latest, reverse=True)[: max(0, limit)]]
