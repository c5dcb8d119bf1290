"""Talk to one Redis server: one connection for each call under way, errors of ours.

redis-py's shared pool costs eight threads more than half of their throughput (2,755
lock cycles/s, 6,862 with a connection each). So idle connections are kept in a deque, from
which they are taken and put back without a lock. There are never more than calls were under
way at once, and a thread that ends leaves nothing behind.
"""

from __future__ import annotations

import os
import ssl
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.stores.redis.channels import Channels
from tickglass.sched.stores.redis.direct import direct
from tickglass.sched.stores.redis.layout import MIGRATING, is_older, migrate, refused_layout, run_script, told
from tickglass.sched.stores.redis.rights import forbids, lacking, with_cure
from tickglass.sched.stores.redis.scripts import RIGHTS
from tickglass.sched.stores.redis.topology import call, connect, driver

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tickglass.sched.stores.redis.scripts import Argument, Script
    from tickglass.sched.stores.redis.topology import Connection, Credentials, Server, ServerLocator

__all__ = ["RedisConnections", "kind_of"]

# Absent, not yet ready, no longer the right server, or full: waiting and asking again may help.
_ABSENT = ("LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "MOVED", "ASK", "BUSY", "NOREPLICAS", "OOM")
# TLS that was cut short, not refused: the server or the network went away.
_TLS_CUT: Final = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)


class RedisConnections:
    """Connections to the server that has the store's keys; any thread may use them.

    Args:
        name: the store's, for errors.
        base: the prefix of all keys, in braces.
    """

    def __init__(self, name: str, base: str, locator: ServerLocator, credentials: Credentials) -> None:
        self.base = base
        self.channels = Channels(base, credentials.db)
        self._name = name
        self._locator = locator
        self._credentials = credentials
        self._db_0 = credentials.db == 0
        self._errors = driver()
        self._pid = os.getpid()
        self._closed = False
        self._allowed: bool | None = None  # whether the server allows what scripts do; None: never asked
        self._idle: deque[Connection] = deque()

    def run(self, operation: str, script: Script, *args: Argument, again: bool = True) -> Any:  # noqa: ANN401 - see the script
        """Run a script and return its answer; before the first that writes, the user's rights are checked.

        Keys of the layout before are migrated for a script that writes.

        Args:
            again: whether it may be sent a second time when the connection
                breaks and it is unknown whether the script ran: only where the
                second run gives the answer of the first.

        Raises:
            StoreUnavailable: "unavailable" when the server cannot be reached in
                time, is not ready or is full, "error" otherwise.
        """
        if script.writes and not self._allowed:
            # Later, only the rights that would abort a script are checked again: subscribing gives hints only.
            self._check_rights(operation, (self.channels.freed("NAME"),) if self._allowed is None else ())
        here = script if self._db_0 else script.on(self._credentials.db)
        try:
            try:
                return self._with_connection(operation, run_script, here, self.base, args, again=again)
            except self._errors.ResponseError as error:
                if not (script.writes and is_older(refused_layout(error))):
                    raise
            self._with_connection(operation, migrate, self.base, again=True)
            return self._with_connection(operation, run_script, here, self.base, args, again=again)
        except (self._errors.RedisError, OSError, UnicodeError, OverflowError) as error:
            raise self._our_error(operation, error) from error

    def check_rights(self, operation: str, services: Iterable[str] = ()) -> None:
        """Check that the user may run all commands of the scripts, and subscribe; Redis before 7 cannot tell.

        Args:
            services: the services whose claims are published and subscribed to.

        Raises:
            StoreUnavailable: "error", saying which right is missing and what gives it; or see `run`.
        """
        claims = (self.channels.claims(service, 0) for service in services)
        self._check_rights(operation, (self.channels.freed("NAME"), *claims))

    def ask(self, operation: str, *words: str | int) -> Any:  # noqa: ANN401 - whatever the server answers
        """Send one command that changes nothing and return the answer.

        Raises:
            StoreUnavailable: see `run`.
        """
        try:
            return self._with_connection(operation, call, *words, again=True)
        except (self._errors.RedisError, OSError) as error:
            raise self._our_error(operation, error) from error

    def error_in(self, operation: str, problem: str) -> StoreUnavailable:
        """Return the error that `run` would have raised, had the server answered with this problem."""
        return self._our_error(operation, self._errors.ResponseError(problem))

    def with_cure_for(self, problem: str) -> str:
        """Return what the server has forbidden, and the command that allows it."""
        return with_cure(problem, self.base, self._credentials.username, self._locator.rights)

    def server(self) -> Server:
        """Return the server to which connections lead now, as far as is known; redis-py's errors are not wrapped."""
        return self._locator.find()

    def open(self, *, timeout_ns: int | None = None) -> Connection:
        """Return a new connection, which the caller closes; redis-py's errors are not wrapped."""
        try:
            connection = connect(self._locator.find(), self._credentials, timeout_ns=timeout_ns)
        except (self._errors.RedisError, OSError):
            self._locator.forget()
            raise
        try:
            self._locator.check(connection)
        except BaseException:
            connection.disconnect()
            self._locator.forget()
            raise
        return connection

    def check_usable(self, operation: str) -> None:
        """Refuse to work once closed, or in a forked process: two processes would read each other's answers.

        Raises:
            StoreUnavailable: it is closed, or was opened before a fork.
        """
        if self._closed:
            raise StoreUnavailable(self._name, operation, "the store is closed", kind="error")
        if os.getpid() != self._pid:
            problem = "the store was opened before this process was forked; open one in each process"
            raise StoreUnavailable(self._name, operation, problem, kind="error")

    def close(self) -> None:
        """Close idle connections; those in use are closed when their calls end."""
        self._closed = True
        self._drop_idle()

    # --- inside

    def _our_error(self, operation: str, error: Exception) -> StoreUnavailable:
        """Return an error of the driver as one of ours."""
        detail = str(error) or type(error).__name__
        layout = refused_layout(error)
        if layout:
            kind = "unavailable" if layout == MIGRATING else "error"
            return StoreUnavailable(self._name, operation, told(layout, self.base), kind=kind)
        if forbids(error):
            self._forget_rights()
            detail = self.with_cure_for(detail)
        return StoreUnavailable(self._name, operation, detail, kind=kind_of(error, self._errors))

    def _check_rights(self, operation: str, channels: tuple[str, ...]) -> None:
        problem = lacking(
            self.run(operation, RIGHTS, *channels), self.base, self._credentials.username, self._locator.rights
        )
        if problem:
            raise StoreUnavailable(self._name, operation, problem, kind="error")
        self._allowed = True

    def _forget_rights(self) -> None:
        """Have the rights checked again before the next script that writes."""
        if self._allowed:
            self._allowed = False

    def _with_connection(self, operation: str, work: Any, *args: Any, again: bool) -> Any:  # noqa: ANN401
        """Call `work` with a connection and these arguments; on the path of every claim and lock."""
        if self._closed or os.getpid() != self._pid:
            self.check_usable(operation)
        try:
            return self._once(work, args, sure=not again)
        except (self._errors.RedisError, OSError) as error:
            if not self._worth_another_try(error, again=again):
                raise
        return self._once(work, args, sure=not again)

    def _once(self, work: Any, args: tuple[Any, ...], *, sure: bool) -> Any:  # noqa: ANN401
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._new()
        else:
            if sure and _has_ended(connection, self._errors):
                self._drop_idle()
                connection.disconnect()
                connection = self._new()
        try:
            answer = work(connection, *args)
        except self._errors.ResponseError:
            self._give_back(connection)  # it answered: the connection works
            raise
        except BaseException:
            connection.disconnect()
            raise
        self._give_back(connection)
        return answer

    def _new(self) -> Connection:
        connection = self.open()
        return direct(connection, str(self._locator.find()), self._credentials.timeout_ns)

    def _give_back(self, connection: Connection) -> None:
        self._idle.append(connection)
        if self._closed:
            self._drop_idle()

    def _drop_idle(self) -> None:
        self._forget_rights()  # the next connection may lead to another server
        try:
            while True:
                self._idle.pop().disconnect()
        except IndexError:
            pass

    def _worth_another_try(self, error: Exception, *, again: bool) -> bool:
        """Whether to ask once more, at once; broken and outdated connections are dropped."""
        text = str(error)
        if isinstance(error, self._errors.ResponseError):
            moved = _says(error, "MOVED", self._errors) or _says(error, "READONLY", self._errors)
            if moved:  # it changed nothing: the wrong server says so at the first write
                self._locator.forget(text)
                self._drop_idle()
            return moved and self._locator.can_change
        if isinstance(error, self._errors.AuthenticationError):
            return False
        timed_out = isinstance(error, self._errors.TimeoutError)
        if not timed_out or self._locator.can_change:
            # The server restarted, stopped, or hangs while another took over: each other connection would cost a
            # time-out, too. But a server that cannot change may only be slow, and new connections would slow it more.
            self._drop_idle()
            self._locator.forget()
        return again and not (timed_out or isinstance(error, self._errors.BusyLoadingError))


def kind_of(error: Exception, errors: Any) -> str:  # noqa: ANN401 - the module redis
    """Return the `kind` of `StoreUnavailable` that an error of the driver stands for."""
    if isinstance(error, errors.AuthenticationError | errors.exceptions.AuthorizationError):
        return "error"
    cause = error.__context__  # redis-py says only that there is no connection
    if isinstance(cause, ssl.SSLError) and not isinstance(cause, _TLS_CUT):
        return "error"
    if isinstance(error, errors.ConnectionError | errors.TimeoutError | OSError):
        return "unavailable"
    return "unavailable" if any(_says(error, word, errors) for word in _ABSENT) else "error"


def _says(error: Exception, word: str, errors: Any) -> bool:  # noqa: ANN401
    """Whether the server's error is of this kind; redis-py strips the first word of those that it has a class for."""
    classes = errors.exceptions
    by_class = {
        "OOM": classes.OutOfMemoryError,
        "READONLY": classes.ReadOnlyError,
        "MASTERDOWN": classes.MasterDownError,
        "CLUSTERDOWN": classes.ClusterDownError,
        "TRYAGAIN": classes.TryAgainError,
        "MOVED": classes.MovedError,
        "ASK": classes.AskError,
    }
    text = str(error)
    return isinstance(error, by_class.get(word, ())) or text.startswith(f"{word} ") or f"-{word} " in text


def _has_ended(connection: Connection, errors: Any) -> bool:  # noqa: ANN401
    """Whether the server closed this idle connection: then its end can be read."""
    try:
        return connection.can_read(0)
    except (errors.RedisError, OSError):
        return True
