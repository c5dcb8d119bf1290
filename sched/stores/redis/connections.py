"""Talk to one Redis server: a connection per thread that is inside, errors of ours.

redis-py's shared pool costs eight threads more than half of their throughput (2,755
lock cycles/s, 6,862 with a connection each), so connections lie in a deque, whose ends
are taken and put back without a lock: there are never more than threads were inside at
once, and a thread that ends leaves nothing behind.
"""

from __future__ import annotations

import os
import ssl
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.stores.redis.rights import forbids, lacking, with_cure
from tickglass.sched.stores.redis.scripts import RIGHTS, claimed_by, freed
from tickglass.sched.stores.redis.topology import call, connect, driver

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tickglass.sched.stores.redis.scripts import Argument, Script
    from tickglass.sched.stores.redis.topology import Credentials, Link, ServerLocator

__all__ = ["RedisConnections", "kind_of", "run_script"]

# Not there, not yet ready, or no longer the one to ask: to wait and to ask again may help.
_ABSENT = ("LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "MOVED", "ASK", "BUSY", "NOREPLICAS")
# TLS that was cut short, not refused: the server or the network went away.
_TLS_CUT: Final = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)


class RedisConnections:
    """Connections to the server that has the store's keys; any thread may use them.

    Args:
        name: the store's, for errors.
        base: the prefix of all keys, in braces.
    """

    def __init__(self, name: str, base: str, finder: ServerLocator, login: Credentials) -> None:
        self.base = base
        self._name = name
        self._finder = finder
        self._login = login
        self._errors = driver()
        self._pid = os.getpid()
        self._closed = False
        self._allowed: bool | None = None  # whether the server lets us do what scripts do; None: never asked
        self._idle: deque[Link] = deque()

    def run(self, operation: str, script: Script, *args: Argument, again: bool = True) -> Any:  # noqa: ANN401 - see the script
        """Run a script and return its answer; before the first that writes, it is asked whether it may.

        Args:
            again: whether it may be sent a second time when the connection
                breaks and nobody knows whether the script ran: only where the
                second run gives the first one's answer.

        Raises:
            StoreUnavailable: "unavailable" when the server cannot be reached in
                time or is not ready, "error" otherwise.
        """
        if script.writes and not self._allowed:
            # Later on, a lease in hand is worth more than a hint: only what would break a script off is asked again.
            self._check_rights(operation, (freed(self.base),) if self._allowed is None else ())
        try:
            return self._run(operation, script, args, again=again)
        except (self._errors.RedisError, OSError, UnicodeError, OverflowError) as error:
            raise self._ours(operation, error) from error

    def check_rights(self, operation: str, services: Iterable[str] = ()) -> None:
        """Ask whether the user may do all that the scripts do, and hear of it; Redis before 7 cannot say.

        Args:
            services: whose claims are told and heard of.

        Raises:
            StoreUnavailable: "error", saying which right is missing and what gives it; or see `run`.
        """
        self._check_rights(operation, (freed(self.base), *(claimed_by(self.base, service) for service in services)))

    def ask(self, operation: str, *words: str | int) -> Any:  # noqa: ANN401 - whatever the server answers
        """Say one command that changes nothing and return the answer.

        Raises:
            StoreUnavailable: see `run`.
        """
        try:
            return self._with_link(operation, lambda link: call(link, *words), again=True)
        except (self._errors.RedisError, OSError) as error:
            raise self._ours(operation, error) from error

    def cured(self, problem: str) -> str:
        """Return what the server has forbidden, and what allows it."""
        return with_cure(problem, self.base, self._login.username, self._finder.rights)

    def open(self, *, patience_ns: int | None = None) -> Link:
        """Return a new connection, which is the caller's to close; redis-py's errors come out."""
        try:
            connection = connect(self._finder.find(), self._login, patience_ns=patience_ns)
        except (self._errors.RedisError, OSError):
            self._finder.forget()
            raise
        try:
            self._finder.check(connection)
        except BaseException:
            connection.disconnect()
            self._finder.forget()
            raise
        return connection

    def check_usable(self, operation: str) -> None:
        """Refuse to work once closed, or in a forked process: two would read each other's answers.

        Raises:
            StoreUnavailable: it is so.
        """
        if self._closed:
            raise StoreUnavailable(self._name, operation, "the store is closed", kind="error")
        if os.getpid() != self._pid:
            problem = "the store was opened before this process was forked; open one in each process"
            raise StoreUnavailable(self._name, operation, problem, kind="error")

    def close(self) -> None:
        """Close what is idle; what is in use is closed when it is given back."""
        self._closed = True
        self._drop_idle()

    # --- inside

    def _ours(self, operation: str, error: Exception) -> StoreUnavailable:
        """Return an error of the driver as one of ours."""
        detail = str(error) or type(error).__name__
        if forbids(error):
            self._ask_anew()
            detail = self.cured(detail)
        return StoreUnavailable(self._name, operation, detail, kind=kind_of(error, self._errors))

    def _check_rights(self, operation: str, channels: tuple[str, ...]) -> None:
        problem = lacking(self.run(operation, RIGHTS, *channels), self.base, self._login.username, self._finder.rights)
        if problem:
            raise StoreUnavailable(self._name, operation, problem, kind="error")
        self._allowed = True

    def _ask_anew(self) -> None:
        """Ask for the rights before the next script that writes, unless they are asked for there anyway."""
        if self._allowed:
            self._allowed = False

    def _run(self, operation: str, script: Script, args: tuple[Argument, ...], *, again: bool) -> Any:  # noqa: ANN401
        return self._with_link(operation, lambda link: run_script(link, script, self.base, args), again=again)

    def _with_link(self, operation: str, work: Any, *, again: bool) -> Any:  # noqa: ANN401
        self.check_usable(operation)
        try:
            return self._once(work, sure=not again)
        except (self._errors.RedisError, OSError) as error:
            if not self._worth_another_try(error, again=again):
                raise
        return self._once(work, sure=not again)

    def _once(self, work: Any, *, sure: bool) -> Any:  # noqa: ANN401
        link = self._taken(sure=sure)
        try:
            answer = work(link)
        except self._errors.ResponseError:
            self._give_back(link)  # it answered: the connection is in order
            raise
        except BaseException:
            link.disconnect()
            raise
        self._give_back(link)
        return answer

    def _taken(self, *, sure: bool) -> Link:
        try:
            link = self._idle.pop()
        except IndexError:
            return self.open()
        if sure and _has_ended(link, self._errors):
            self._drop_idle()
            link.disconnect()
            return self.open()
        return link

    def _give_back(self, link: Link) -> None:
        self._idle.append(link)
        if self._closed:
            self._drop_idle()

    def _drop_idle(self) -> None:
        self._ask_anew()  # what is connected next may be another server
        try:
            while True:
                self._idle.pop().disconnect()
        except IndexError:
            pass

    def _worth_another_try(self, error: Exception, *, again: bool) -> bool:
        """Whether to ask once more, at once; what is known to be broken or outdated is dropped."""
        text = str(error)
        if isinstance(error, self._errors.ResponseError):
            moved = _says(error, "MOVED", self._errors) or _says(error, "READONLY", self._errors)
            if moved:  # it changed nothing: a server that is not the one says so at the first write
                self._finder.forget(text)
                self._drop_idle()
            return moved and self._finder.can_change
        if isinstance(error, self._errors.AuthenticationError):
            return False
        timed_out = isinstance(error, self._errors.TimeoutError)
        if not timed_out or self._finder.can_change:
            # The server restarted, went, or hangs while another took over: the other connections would each cost a
            # time-out, too. One that cannot be another may only be slow, and slower if all connected anew.
            self._drop_idle()
            self._finder.forget()
        return again and not (timed_out or isinstance(error, self._errors.BusyLoadingError))


def run_script(link: Link, script: Script, base: str, args: tuple[Argument, ...]) -> Any:  # noqa: ANN401
    """Run a script by name; the server is shown its text if it has not seen it since it started."""
    try:
        return call(link, "EVALSHA", script.sha, 1, base, *args)
    except driver().exceptions.NoScriptError:
        return call(link, "EVAL", script.text, 1, base, *args)


def kind_of(error: Exception, errors: Any) -> str:  # noqa: ANN401 - the module redis
    """Return the `kind` of `StoreUnavailable` that an error of the driver stands for."""
    if isinstance(error, errors.AuthenticationError | errors.exceptions.AuthorizationError):
        return "error"
    cause = error.__context__  # redis-py says no more than that there is no connection
    if isinstance(cause, ssl.SSLError) and not isinstance(cause, _TLS_CUT):
        return "error"
    if isinstance(error, errors.ConnectionError | errors.TimeoutError | OSError):
        return "unavailable"
    return "unavailable" if any(_says(error, word, errors) for word in _ABSENT) else "error"


def _says(error: Exception, word: str, errors: Any) -> bool:  # noqa: ANN401
    """Whether the server's error is of this kind; redis-py strips the first word of those that it has a class for."""
    classes = errors.exceptions
    by_class = {
        "READONLY": classes.ReadOnlyError,
        "MASTERDOWN": classes.MasterDownError,
        "CLUSTERDOWN": classes.ClusterDownError,
        "TRYAGAIN": classes.TryAgainError,
        "MOVED": classes.MovedError,
        "ASK": classes.AskError,
    }
    text = str(error)
    return isinstance(error, by_class.get(word, ())) or text.startswith(f"{word} ") or f"-{word} " in text


def _has_ended(link: Link, errors: Any) -> bool:  # noqa: ANN401
    """Whether the server closed this idle connection: then there is something to read, its end."""
    try:
        return link.can_read(0)
    except (errors.RedisError, OSError):
        return True
