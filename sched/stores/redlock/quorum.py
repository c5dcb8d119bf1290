"""Ask several servers at once: send to all, then read from all.

One server after the other through redis-py gave 654 lock cycles/s over five servers, a thread
for each server 545, and this 2,651: answers arrive while the others are being read.
"""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import MS, SECOND
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.stores.redis.channels import Channels
from tickglass.sched.stores.redis.connections import kind_of
from tickglass.sched.stores.redis.layout import is_older, migrate, refused_layout, run_script, told
from tickglass.sched.stores.redis.rights import forbids, lacking, with_cure
from tickglass.sched.stores.redis.scripts import RIGHTS
from tickglass.sched.stores.redis.topology import call, driver
from tickglass.sched.stores.redlock.dialler import Dialler
from tickglass.sched.stores.redlock.outgoing import Outgoing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tickglass.sched.stores.redis.scripts import Argument, Script
    from tickglass.sched.stores.redis.topology import Connection, Credentials, Server

__all__ = ["Answers", "Quorum"]

_AVOIDED_NS: Final = SECOND  # a server that did not answer costs at most one time-out in this time
_TIMEOUTS_TO_BEGIN: Final = 3  # the first call connects, in some round trips, and no lease depends on it yet
_WAIT_MIN_NS: Final = MS  # when other servers have used up the time: what has arrived is still read
_Bundle = list["Connection | None"]


class Answers(dict[int, Any]):
    """The answers that came in time, by the server's number.

    Args:
        asked: the numbers of all servers that were asked, and may have run the script.
    """

    def __init__(self, asked: Sequence[int]) -> None:
        super().__init__()
        self.asked = frozenset(asked)

    def join(self, more: Answers) -> None:
        """Add the answers of others."""
        self.update(more)
        self.asked |= more.asked


class Quorum:
    """Connections to all servers; one bundle of them for each call under way.

    Args:
        base: the prefix of all keys, in braces.
    """

    def __init__(self, servers: Sequence[Server], base: str, credentials: Credentials) -> None:
        self.needed = len(servers) // 2 + 1
        self.size = len(servers)
        self.base = base
        self._channels = Channels(base, credentials.db)
        self._servers = servers
        self._credentials = credentials
        self._errors = driver()
        self._pid = os.getpid()
        self._clock = SystemClock()
        self._closed = False
        self._allowed = False  # whether the servers are known to allow all that a script may do
        self._idle: deque[_Bundle] = deque()
        self._dialler = Dialler(servers, credentials)
        self._absent_until_ns = [0] * self.size

    def ask(
        self,
        operation: str,
        script: Script,
        args: Sequence[Argument],
        *,
        among: Sequence[int] | None = None,
        timeout_ns: int | None = None,
    ) -> Answers:
        """Run a script on the servers and return the answers that came in time, by the server's number.

        Args:
            among: the numbers of the servers to ask; all if it is not given.
            timeout_ns: how long to wait for the servers.

        Raises:
            StoreUnavailable: all were asked, and fewer than a majority answered; or the arguments cannot be sent.
        """
        self.check_usable(operation)
        if script.writes and among is None:
            self.check_rights_once(operation)
        failures: dict[int, Exception] = {}
        try:
            answers = self._asked(script, args, failures, among=among, timeout_ns=timeout_ns)
        except UnicodeError as error:
            raise StoreUnavailable("redlock", operation, str(error), kind="error") from error
        if among is None and len(answers) < self.needed:
            raise self._too_few(operation, len(answers), failures)
        return answers

    def check_rights(self, operation: str) -> None:
        """Check that the user may run all commands of the scripts; one server that forbids one is an error.

        Raises:
            StoreUnavailable: "error", naming the server, the missing right and what gives it; or see `ask`.
        """
        self.check_usable(operation)
        failures: dict[int, Exception] = {}
        timeout_ns = _TIMEOUTS_TO_BEGIN * self._credentials.timeout_ns
        answers = self._asked(RIGHTS, [self._channels.freed("NAME")], failures, timeout_ns=timeout_ns)
        user = self._credentials.username
        problems = {number: lacking(reply, self.base, user) for number, reply in answers.items()}
        problems |= {at: with_cure(str(error), self.base, user) for at, error in failures.items() if forbids(error)}
        for number, problem in problems.items():
            if problem:
                raise StoreUnavailable("redlock", operation, f"{self._servers[number]}: {problem}", kind="error")
        if len(answers) < self.needed:
            raise self._too_few(operation, len(answers), failures)
        self._allowed = True

    def check_rights_once(self, operation: str) -> None:
        """Do the same, unless it has succeeded before; so that a vote's time does not include it."""
        if not self._allowed:
            self.check_rights(operation)

    def check_usable(self, operation: str) -> None:
        """Refuse to work once closed, or in a forked process: two processes would read each other's answers.

        Raises:
            StoreUnavailable: it is closed, or was opened before a fork.
        """
        if self._closed:
            raise StoreUnavailable("redlock", operation, "the store is closed", kind="error")
        if os.getpid() != self._pid:
            problem = "the store was opened before this process was forked; open one in each process"
            raise StoreUnavailable("redlock", operation, problem, kind="error")

    def close(self) -> None:
        """Close idle connections; those in use are closed when their calls end."""
        self._closed = True
        self._drop_idle()
        self._dialler.close()

    # --- inside

    def _asked(
        self,
        script: Script,
        args: Sequence[Argument],
        failures: dict[int, Exception],
        *,
        among: Sequence[int] | None = None,
        timeout_ns: int | None = None,
    ) -> Answers:
        try:
            bundle = self._idle.pop()
        except IndexError:
            bundle = [None] * self.size
        script = script.on(self._credentials.db)
        try:
            command = ("EVALSHA", script.sha, 1, self.base, *args)
            timeout_ns = timeout_ns or self._credentials.timeout_ns
            wanted = self._wanted() if among is None else list(among)
            answers = self._round(bundle, script, command, wanted, timeout_ns, failures)
            if among is None and len(answers) < self.needed:  # then the avoided servers are asked, too
                rest = [number for number in range(self.size) if number not in wanted]
                answers.join(self._round(bundle, script, command, rest, timeout_ns, failures))
        except BaseException:
            _drop(bundle)  # answers may still be under way
            raise
        self._idle.append(bundle)
        if self._closed:
            self._drop_idle()
        return answers

    def _wanted(self) -> list[int]:
        """Return the servers to ask: not those that did not answer recently, if the others are enough."""
        now_ns = self._clock.monotonic_ns()
        present = [number for number in range(self.size) if self._absent_until_ns[number] <= now_ns]
        return present if len(present) >= self.needed else list(range(self.size))

    def _round(
        self,
        bundle: _Bundle,
        script: Script,
        command: tuple[Argument, ...],
        numbers: list[int],
        timeout_ns: int,
        failures: dict[int, Exception],
    ) -> Answers:
        sent, until_ns = self._send(bundle, command, numbers, timeout_ns, failures)
        return self._read(bundle, script, command, sent, (until_ns, timeout_ns), failures)

    def _send(
        self,
        bundle: _Bundle,
        command: tuple[Argument, ...],
        numbers: list[int],
        timeout_ns: int,
        failures: dict[int, Exception],
    ) -> tuple[list[int], int]:
        """Send at once to the servers that are connected, and to the others as they are.

        Returns:
            To which it was sent, in this order, and until when to wait for answers: for the time-out from when
            a majority was asked. A connection that takes longer is too late for this call.
        """
        asked, unconnected = Outgoing(command, min(self.needed, len(numbers)), timeout_ns, self._clock), []
        for number in numbers:
            bundle[number] = self._live(number, bundle[number])
            if bundle[number] is None:
                unconnected.append(number)
            else:
                self._send_one(bundle, number, asked, failures)
        if not unconnected:
            return asked.numbers, asked.until_ns
        waiting = set(unconnected)
        with self._dialler.dial(unconnected, timeout_ns) as dial:
            while waiting and (found := dial.next(asked.rest_ns)) is not None:
                number, connection = found
                waiting.discard(number)
                if isinstance(connection, self._errors.RedisError | OSError):
                    self._failed(bundle, number, connection, failures)
                elif isinstance(connection, Exception):
                    raise connection
                else:
                    bundle[number] = connection
                    self._send_one(bundle, number, asked, failures)
        for number in waiting:
            self._failed(bundle, number, self._errors.TimeoutError("it could not be connected in time"), failures)
        return asked.numbers, asked.until_ns

    def _send_one(self, bundle: _Bundle, number: int, asked: Outgoing, failures: dict[int, Exception]) -> None:
        connection = bundle[number]
        assert connection is not None  # noqa: S101 - the callers have put it there
        try:
            asked.send(number, connection)
        except (self._errors.RedisError, OSError) as error:
            self._failed(bundle, number, error, failures)

    def _live(self, number: int, connection: Connection | None) -> Connection | None:
        """Return this connection to a server, or one that came too late for an earlier call, if it still works."""
        for known in (connection, self._dialler.spare(number) if connection is None else None):
            if known is None:
                continue
            try:
                if not known.can_read(0):
                    return known
            except (self._errors.RedisError, OSError):
                pass  # the server closed it while it was idle
            known.disconnect()
        return None

    def _read(
        self,
        bundle: _Bundle,
        script: Script,
        command: tuple[Argument, ...],
        sent: list[int],
        times: tuple[int, int],
        failures: dict[int, Exception],
    ) -> Answers:
        """Read the answers.

        Args:
            times: until when to wait for them, and the time-out of a server that has to be asked again.
        """
        answers = Answers(sent)
        until_ns, timeout_ns = times
        for number in sent:
            connection = bundle[number]
            if connection is None:
                continue
            try:
                _wait_at_most(connection, max(_WAIT_MIN_NS, until_ns - self._clock.monotonic_ns()))
                answers[number] = self._answer(connection, script, command, timeout_ns)
            except self._errors.ResponseError as error:
                failures[number] = error  # it answered: the connection works
            except (self._errors.RedisError, OSError) as error:
                self._failed(bundle, number, error, failures)
        return answers

    def _answer(self, connection: Connection, script: Script, command: tuple[Argument, ...], timeout_ns: int) -> Any:  # noqa: ANN401
        """Read a server's answer; a server that has to learn the script, or has older keys, is asked again.

        That gets the whole time-out once more, although a silent server may have used up the time.
        """
        try:
            try:
                return connection.read_response()
            except self._errors.exceptions.NoScriptError:
                _wait_at_most(connection, timeout_ns)
                return call(connection, "EVAL", script.text, *command[2:])
        except self._errors.ResponseError as error:
            layout = refused_layout(error)
            if not layout:
                raise
            if not (script.writes and is_older(layout)):
                raise self._errors.ResponseError(told(layout, self.base)) from error
        _wait_at_most(connection, timeout_ns)
        migrate(connection, self.base)
        return run_script(connection, script, self.base, command[4:])

    def _failed(self, bundle: _Bundle, number: int, error: Exception, failures: dict[int, Exception]) -> None:
        failures[number] = error
        self._absent_until_ns[number] = self._clock.monotonic_ns() + _AVOIDED_NS
        connection, bundle[number] = bundle[number], None
        if connection is not None:
            connection.disconnect()

    def _too_few(self, operation: str, count: int, failures: dict[int, Exception]) -> StoreUnavailable:
        told = "; ".join(f"{self._servers[number]}: {error}" for number, error in failures.items())
        if any(map(forbids, failures.values())):
            told = with_cure(told, self.base, self._credentials.username)
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


def _wait_at_most(connection: Connection, timeout_ns: int) -> None:
    if connection._sock is not None:  # noqa: SLF001 - `read_response` takes no timeout in all versions
        connection._sock.settimeout(timeout_ns / SECOND)  # noqa: SLF001


def _drop(bundle: _Bundle) -> None:
    for number, connection in enumerate(bundle):
        bundle[number] = None
        if connection is not None:
            connection.disconnect()
