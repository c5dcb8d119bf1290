"""Remember the votes of ours that a server may still have though we ended them, and end them when they are in our way.

A server that did not answer is left alone for a while, or does late what it was asked: then it keeps a vote until the
lease would have ended. Beside a second server that is down, such a vote is in the way of a majority.
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

LEFTOVERS_MAX: Final = 1_000  # the oldest end by themselves


class _Ending(NamedTuple):
    """What ends the votes of one token, and on which servers that is still to be done."""

    operation: str
    script: Script
    args: tuple[Argument, ...]
    numbers: set[int]


class Leftovers:
    """What ends votes, by the token or the run that has them.

    Each script that is noted leaves alone what the same token was granted since.
    """

    def __init__(self, quorum: Quorum) -> None:
        self._quorum = quorum
        self._mutex = threading.Lock()
        self._endings: OrderedDict[str, _Ending] = OrderedDict()

    def ask(self, whose: Iterable[str], operation: str, script: Script, args: tuple[Argument, ...]) -> Answers:
        """Have all servers end these votes, and remember those that do not answer.

        Raises:
            StoreUnavailable: less than a majority answered.
        """
        unheard = set(range(self._quorum.size))
        try:
            replies = self._quorum.ask(operation, script, args)
            unheard -= replies.keys()
            return replies
        finally:
            self.note(whose, operation, script, args, unheard)

    def note(
        self,
        whose: Iterable[str],
        operation: str,
        script: Script,
        args: tuple[Argument, ...],
        numbers: Iterable[int],
    ) -> None:
        """Remember what these servers may not have heard.

        Args:
            whose: the token, and the run if there is one: servers tell the one or the other.
        """
        unheard = set(numbers)
        if not unheard:
            return
        ending = _Ending(operation, script, args, unheard)
        with self._mutex:
            for name in filter(None, whose):
                self._endings[name] = ending
                self._endings.move_to_end(name)
            while len(self._endings) > LEFTOVERS_MAX:
                self._endings.popitem(last=False)

    def forget(self, *whose: str) -> None:
        """Drop what ends the votes of a token that has just been granted a lease again."""
        with self._mutex:
            for name in whose:
                self._endings.pop(name, None)

    def end(self, replies: Mapping[int, Any]) -> bool:
        """End those votes by which ACQUIRE or CLAIM were refused here that are ours; return whether one was."""
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
    """Return who has the server's vote: a token, or the run of a claim."""
    if reply[0] == "refused":
        return str(reply[8])
    return str(reply[3]) if reply[0] == "already" and not reply[2] else ""
