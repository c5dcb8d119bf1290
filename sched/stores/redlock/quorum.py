"""Ask several servers at once: send to all, then read from all.

One after the other through redis-py gave 654 lock cycles/s over five servers, a thread
for each 545, and this 2,651: the answers come while the others are still being read.
"""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import MS, SECOND
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.stores.redis.connections import kind_of
from tickglass.sched.stores.redis.rights import forbids, lacking, with_cure
from tickglass.sched.stores.redis.scripts import RIGHTS, freed
from tickglass.sched.stores.redis.topology import call, connect, driver

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tickglass.sched.stores.redis.scripts import Argument, Script
    from tickglass.sched.stores.redis.topology import Credentials, Link, Server

__all__ = ["Answers", "Quorum"]

_LEFT_ALONE_NS: Final = SECOND  # a server that did not answer costs a time-out at most once in this time
_LEAST_WAIT_NS: Final = MS  # when the others have used up the time: what has arrived is still read
_Bundle = list["Link | None"]


class Answers(dict[int, Any]):
    """What answered in time, by the server's number.

    Args:
        asked: the numbers of all that were asked, and may have done what was asked.
    """

    def __init__(self, asked: Sequence[int]) -> None:
        super().__init__()
        self.asked = frozenset(asked)

    def join(self, more: Answers) -> None:
        """Add the answers of others."""
        self.update(more)
        self.asked |= more.asked


class Quorum:
    """Connections to all servers; a bundle of them per thread that is inside.

    Args:
        base: the prefix of all keys, in braces.
    """

    def __init__(self, servers: Sequence[Server], base: str, login: Credentials) -> None:
        self.needed = len(servers) // 2 + 1
        self.size = len(servers)
        self.base = base
        self._servers = servers
        self._login = login
        self._errors = driver()
        self._pid = os.getpid()
        self._clock = SystemClock()
        self._closed = False
        self._allowed = False  # whether the servers were found to allow all that a script may do
        self._idle: deque[_Bundle] = deque()
        self._absent_until_ns = [0] * self.size

    def ask(
        self,
        operation: str,
        script: Script,
        args: Sequence[Argument],
        *,
        among: Sequence[int] | None = None,
        patience_ns: int | None = None,
    ) -> Answers:
        """Run a script on the servers and return what answered in time, by the server's number.

        Args:
            among: the numbers of the servers to ask; all if it is not given.
            patience_ns: how long to wait for each server.

        Raises:
            StoreUnavailable: all were asked, and less than a majority answered.
        """
        self.check_usable(operation)
        if script.writes and among is None:
            self.check_rights_once(operation)
        failures: dict[int, Exception] = {}
        answers = self._asked(script, args, failures, among=among, patience_ns=patience_ns)
        if among is None and len(answers) < self.needed:
            raise self._too_few(operation, len(answers), failures)
        return answers

    def check_rights(self, operation: str) -> None:
        """Ask whether the user may do all that the scripts do; a server that forbids it is a mistake, be it one alone.

        Raises:
            StoreUnavailable: "error", saying which server, which right is missing and what gives it; or see `ask`.
        """
        self.check_usable(operation)
        failures: dict[int, Exception] = {}
        answers = self._asked(RIGHTS, [freed(self.base)], failures)
        user = self._login.username
        problems = {number: lacking(reply, self.base, user) for number, reply in answers.items()}
        problems |= {at: with_cure(str(error), self.base, user) for at, error in failures.items() if forbids(error)}
        for number, problem in problems.items():
            if problem:
                raise StoreUnavailable("redlock", operation, f"{self._servers[number]}: {problem}", kind="error")
        if len(answers) < self.needed:
            raise self._too_few(operation, len(answers), failures)
        self._allowed = True

    def check_rights_once(self, operation: str) -> None:
        """The same, unless the servers were found to allow it; for who counts the time from here on."""
        if not self._allowed:
            self.check_rights(operation)

    def check_usable(self, operation: str) -> None:
        """Refuse to work once closed, or in a forked process: two would read each other's answers.

        Raises:
            StoreUnavailable: it is so.
        """
        if self._closed:
            raise StoreUnavailable("redlock", operation, "the store is closed", kind="error")
        if os.getpid() != self._pid:
            problem = "the store was opened before this process was forked; open one in each process"
            raise StoreUnavailable("redlock", operation, problem, kind="error")

    def close(self) -> None:
        """Close what is idle; what is in use is closed when it is given back."""
        self._closed = True
        self._drop_idle()

    # --- inside

    def _asked(
        self,
        script: Script,
        args: Sequence[Argument],
        failures: dict[int, Exception],
        *,
        among: Sequence[int] | None = None,
        patience_ns: int | None = None,
    ) -> Answers:
        try:
            bundle = self._idle.pop()
        except IndexError:
            bundle = [None] * self.size
        try:
            command = ("EVALSHA", script.sha, 1, self.base, *args)
            patience_ns = patience_ns or self._login.timeout_ns
            wanted = self._wanted() if among is None else list(among)
            answers = self._round(bundle, script, command, wanted, patience_ns, failures)
            if among is None and len(answers) < self.needed:  # then those left alone must do
                rest = [number for number in range(self.size) if number not in wanted]
                answers.join(self._round(bundle, script, command, rest, patience_ns, failures))
        except BaseException:
            _drop(bundle)  # answers may still be on their way
            raise
        self._idle.append(bundle)
        if self._closed:
            self._drop_idle()
        return answers

    def _wanted(self) -> list[int]:
        """Return whom to ask: not those that were just found absent, if the others are enough."""
        now_ns = self._clock.monotonic_ns()
        present = [number for number in range(self.size) if self._absent_until_ns[number] <= now_ns]
        return present if len(present) >= self.needed else list(range(self.size))

    def _round(
        self,
        bundle: _Bundle,
        script: Script,
        command: tuple[Argument, ...],
        numbers: list[int],
        patience_ns: int,
        failures: dict[int, Exception],
    ) -> Answers:
        sent = self._send(bundle, command, numbers, patience_ns, failures)
        return self._read(bundle, script, command, sent, patience_ns, failures)

    def _send(
        self,
        bundle: _Bundle,
        command: tuple[Argument, ...],
        numbers: list[int],
        patience_ns: int,
        failures: dict[int, Exception],
    ) -> list[int]:
        sent, packed = [], None
        for number in numbers:
            try:
                link = self._link(bundle, number, patience_ns)
                packed = packed or link.pack_command(*command)
                link.send_packed_command(packed, check_health=False)
            except (self._errors.RedisError, OSError) as error:
                self._failed(bundle, number, error, failures)
            else:
                sent.append(number)
        return sent

    def _link(self, bundle: _Bundle, number: int, patience_ns: int) -> Link:
        link = bundle[number]
        if link is not None:
            try:
                if not link.can_read(0):
                    return link
            except (self._errors.RedisError, OSError):
                pass  # the server closed it while it lay idle
            link.disconnect()
        link = bundle[number] = connect(self._servers[number], self._login, patience_ns=patience_ns)
        return link

    def _read(
        self,
        bundle: _Bundle,
        script: Script,
        command: tuple[Argument, ...],
        sent: list[int],
        patience_ns: int,
        failures: dict[int, Exception],
    ) -> Answers:
        answers = Answers(sent)
        until_ns = self._clock.monotonic_ns() + patience_ns
        for number in sent:
            link = bundle[number]
            if link is None:
                continue
            try:
                _wait_at_most(link, max(_LEAST_WAIT_NS, until_ns - self._clock.monotonic_ns()))
                answers[number] = self._answer(link, script, command, patience_ns)
            except self._errors.ResponseError as error:
                failures[number] = error  # it answered: the connection is in order
            except (self._errors.RedisError, OSError) as error:
                self._failed(bundle, number, error, failures)
        return answers

    def _answer(self, link: Link, script: Script, command: tuple[Argument, ...], patience_ns: int) -> Any:  # noqa: ANN401
        try:
            return link.read_response()
        except self._errors.exceptions.NoScriptError:
            _wait_at_most(link, patience_ns)  # asked anew, though a silent server has used up the time of all
            return call(link, "EVAL", script.text, *command[2:])

    def _failed(self, bundle: _Bundle, number: int, error: Exception, failures: dict[int, Exception]) -> None:
        failures[number] = error
        self._absent_until_ns[number] = self._clock.monotonic_ns() + _LEFT_ALONE_NS
        link, bundle[number] = bundle[number], None
        if link is not None:
            link.disconnect()

    def _too_few(self, operation: str, count: int, failures: dict[int, Exception]) -> StoreUnavailable:
        told = "; ".join(f"{self._servers[number]}: {error}" for number, error in failures.items())
        if any(map(forbids, failures.values())):
            told = with_cure(told, self.base, self._login.username)
        kinds = {kind_of(error, self._errors) for error in failures.values()}
        return StoreUnavailable(
            "redlock",
            operation,
            f"{count} of {self.size} servers answered, {self.needed} are needed ({told})",
            kind="error" if kinds == {"error"} else "unavailable",
        )

    def _drop_idle(self) -> None:
        try:
            while True:
                _drop(self._idle.pop())
        except IndexError:
            pass


def _wait_at_most(link: Link, patience_ns: int) -> None:
    if link._sock is not None:  # noqa: SLF001 - `read_response` takes no timeout in all versions
        link._sock.settimeout(patience_ns / SECOND)  # noqa: SLF001


def _drop(bundle: _Bundle) -> None:
    for number, link in enumerate(bundle):
        bundle[number] = None
        if link is not None:
            link.disconnect()
