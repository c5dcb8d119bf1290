"""Remember votes of this client that a server may still have though they were ended, and end them when they refuse us.

A server that did not answer is not asked for a while, or carries out a request late: then it keeps a vote until the
lease would have ended. If a second server is down, that vote can prevent a majority.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tickglass.sched.stores.redis.scripts import Argument, Script
    from tickglass.sched.stores.redlock.quorum import Answers, Quorum

__all__ = ["LEFTOVERS_MAX", "Leftovers"]

LEFTOVERS_MAX: Final = 1_000  # the oldest ones end by themselves


class _Ending(NamedTuple):
    """The script that ends the votes of one token, and the servers on which it has still to run."""

    operation: str
    script: Script
    args: tuple[Argument, ...]
    numbers: set[int]


class Leftovers:
    """The scripts that end votes, by the token or the run that has them.

    Each of them leaves alone what the same token was granted later.
    """

    def __init__(self, quorum: Quorum) -> None:
        self._quorum = quorum
        self._mutex = threading.Lock()
        self._endings: OrderedDict[str, _Ending] = OrderedDict()

    def ask(self, voters: Iterable[str], operation: str, script: Script, args: tuple[Argument, ...]) -> Answers:
        """Have all servers end these votes, and remember the servers that do not answer.

        Raises:
            StoreUnavailable: less than a majority answered.
        """
        unanswered = set(range(self._quorum.size))
        try:
            replies = self._quorum.ask(operation, script, args)
            unanswered -= replies.keys()
            return replies
        finally:
            self.note(voters, operation, script, args, unanswered)

    def note(
        self,
        voters: Iterable[str],
        operation: str,
        script: Script,
        args: tuple[Argument, ...],
        numbers: Iterable[int],
    ) -> None:
        """Remember that these servers may not have run the script.

        Args:
            voters: the token, and the run if there is one: a server's refusal names one or the other.
        """
        unanswered = set(numbers)
        if not unanswered:
            return
        ending = _Ending(operation, script, args, unanswered)
        with self._mutex:
            for name in filter(None, voters):
                self._endings[name] = ending
                self._endings.move_to_end(name)
            while len(self._endings) > LEFTOVERS_MAX:
                self._endings.popitem(last=False)

    def forget(self, *voters: str) -> None:
        """Forget the votes of a token that has just been granted a lease again."""
        with self._mutex:
            for name in voters:
                self._endings.pop(name, None)

    def end(self, replies: Mapping[int, Any]) -> bool:
        """End the votes of this client that refused its own ACQUIRE or CLAIM; return whether there was one."""
        found: list[tuple[int, _Ending]] = []
        with self._mutex:
            for number, reply in replies.items():
                ending = self._endings.get(_voter(reply))
                if ending is not None and number in ending.numbers:
                    ending.numbers.discard(number)
                    found.append((number, ending))
        for number, ending in found:
            self._quorum.ask(ending.operation, ending.script, ending.args, among=[number])
        return bool(found)


def _voter(reply: Any) -> str:  # noqa: ANN401 - as the server answers
    """Return the token, or the run of a claim, that has the server's vote."""
    if reply[0] == "refused":
        return str(reply[8])
    return str(reply[3]) if reply[0] == "already" and not reply[2] else ""
