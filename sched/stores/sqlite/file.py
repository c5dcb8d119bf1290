"""Hold a database file open: whole transactions, fair waiting, errors of ours.

Two connections: all writers of this process share one, observers the other, so a
scrape never waits for a claim. SQLite allows one writer at a time, so more
connections would gain nothing.

SQLite's own busy handler is not used: with four processes it left a waiter without
the write lock for 0.4 to 2 s, because it sleeps longer the longer it has waited.
With short random sleeps, all waiters have the same chance.

Each call into SQLite is made under one of three mutexes, because a fork takes these and closes the file (fork_gate.py).
"""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import threading
from functools import partial
from typing import TYPE_CHECKING, Final, Literal, TypeVar

from tickglass.sched.clock import SystemClock, Wake
from tickglass.sched.durations import MS, SECOND, US, duration_text
from tickglass.sched.errors import ConfigError, StoreUnavailable
from tickglass.sched.files.private import make_private
from tickglass.sched.stores.fork_gate import FORK_GATE
from tickglass.sched.stores.sqlite import schema as sqlite_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

__all__ = ["BUSY_TIMEOUT_NS", "SqliteFile", "Synchronous"]

T = TypeVar("T")
Item = TypeVar("Item")
Synchronous = Literal["normal", "full"]

BUSY_TIMEOUT_NS: Final = 5 * SECOND
_RETRY_NS: Final = (100 * US, MS)  # a transaction holds the lock for about 50 us
_RETRY_GROWTH: Final = 1.1
_RETRY_MAX_NS: Final = 4 * MS
_GLANCE_NS: Final = 5 * MS  # many transactions of this process; the write that follows waits as long as it must
# A claim and its settlement write nine pages. In small pages, and moved from the log to the file less often than by
# default, the two take a fifth less time, and their 99th percentile a third (400 us, not 1,400).
_PAGE_BYTES: Final = 1_024
_WAL_PAGES: Final = 8_000
_INHERITED: Final = set[tuple[int, int] | None]()  # files that were in use when this process was forked
_WRONG_FILE: Final = {
    sqlite3.SQLITE_CANTOPEN: "the database cannot be opened or created there",
    sqlite3.SQLITE_NOTADB: "the file is not a SQLite database",
    sqlite3.SQLITE_PERM: "the database may not be written",
    sqlite3.SQLITE_READONLY: "the database may not be written",
}


class SqliteFile:
    """One database file, opened by one process; any thread may use it.

    A file that another process keeps locked is opened later, by the first call that finds it unlocked.

    Args:
        path: absolute; a missing file is created, for this user alone; a missing directory is not.
        synchronous: "full" syncs to the disk at each commit; "normal" may lose
            the last commits to a power failure, never to a crash of a process.
        busy_timeout_ns: how long to wait for another process's write.

    Raises:
        ConfigError: the path is wrong, or the file is not ours to write.
        StoreUnavailable: the file is damaged.
    """

    def __init__(
        self, path: Path, *, synchronous: Synchronous = "normal", busy_timeout_ns: int = BUSY_TIMEOUT_NS
    ) -> None:
        self.path = path
        self._busy_timeout_ns = busy_timeout_ns
        self._real = SystemClock()  # other processes hold the lock in real time, whatever clock the leases use
        self._pid = os.getpid()
        self._synchronous = synchronous
        self._closed = False
        self._open_mutex = threading.Lock()
        self._write_mutex = threading.Lock()
        self._read_mutex = threading.Lock()
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        FORK_GATE.add(self)
        self._check_place()
        try:
            with self._open_mutex:
                self._open()
        except StoreUnavailable as error:
            if error.kind != "unavailable":
                raise

    def write(self, operation: str, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do all of `work` in one write transaction, or nothing of it.

        It runs with the write lock held, so a clock that it reads is not behind
        what was written before. A file of the version before is migrated first, in the same transaction.

        Raises:
            StoreUnavailable: "unavailable" when the lock stayed taken or the disk is full, "error" otherwise.
        """
        deadline_ns = self._real.monotonic_ns() + self._busy_timeout_ns
        while True:
            self._open_late(operation)
            if not self._write_mutex.acquire(timeout=self._busy_timeout_ns / SECOND):
                raise self._locked(operation)
            try:
                if not self._closed_by_fork():
                    connection = self._usable(self._writer, operation)
                    return self._transact(operation, _on_current(work), connection, deadline_ns)
            finally:
                self._write_mutex.release()

    def write_each(
        self, operation: str, work: Callable[[sqlite3.Connection, Item], T], items: Sequence[Item]
    ) -> list[T | StoreUnavailable]:
        """Do `work` for each of these, in one write transaction; an item whose words do not fit is left out of it.

        Raises:
            StoreUnavailable: see `write`; then nothing of any item was written.
        """

        def work_all(connection: sqlite3.Connection) -> list[T | StoreUnavailable]:
            return [_saved(connection, operation, work, item) for item in items]

        return self.write(operation, work_all) if items else []

    def read(self, operation: str, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do `work`, one query, on a snapshot; it does not wait for writers.

        Raises:
            StoreUnavailable: see `write`.
        """
        deadline_ns = self._real.monotonic_ns() + self._busy_timeout_ns
        while True:
            self._open_late(operation)
            with self._read_mutex:
                if self._closed_by_fork():
                    continue
                connection = self._usable(self._reader, operation)
                try:
                    return self._retry_while_busy(operation, partial(_read_current, connection, work), deadline_ns)
                except _FAILURES as error:
                    raise StoreUnavailable("sqlite", operation, str(error), kind=_kind_of(error)) from error

    def glance(self, work: Callable[[sqlite3.Connection], T]) -> T | None:
        """Do `work`, which only reads, on the writers' connection and without a transaction; None if it cannot be done.

        Its `PRAGMA data_version` changes with the commits of others, and not with those of `write`. The schema is not
        checked. What is wrong with the file is raised by the next call of another method.
        """
        if self._reader is None or not self._write_mutex.acquire(timeout=_GLANCE_NS / SECOND):
            return None
        try:
            return work(self._usable(self._writer, "glance"))
        except (*_FAILURES, StoreUnavailable):
            return None
        finally:
            self._write_mutex.release()

    def close(self) -> None:
        """Close both connections when no thread uses them any more; a second call does nothing."""
        with self._open_mutex, self._write_mutex, self._read_mutex:
            self._closed = True
            self.disconnect()

    # --- forks

    @property
    def mutexes(self) -> tuple[threading.Lock, ...]:
        """See `Gated`."""
        return self._open_mutex, self._write_mutex, self._read_mutex

    def disconnect(self) -> None:
        """See `Gated`."""
        for connection in (self._reader, self._writer):
            if connection is not None:
                connection.close()
        self._reader = self._writer = None

    def _closed_by_fork(self) -> bool:
        """Return whether a fork has closed it since this call found it open: then it is to be opened again.

        The caller has one of the mutexes. The reader tells, because the writer is set while the file is being opened.
        """
        return self._reader is None and not self._closed and os.getpid() == self._pid and self._is_there()

    def inherited(self) -> None:
        """See `Gated`."""
        if self._writer is not None:
            _INHERITED.add(_identity(self.path))

    # --- opening

    def _check_place(self) -> None:
        synchronous: str = self._synchronous
        if synchronous not in ("normal", "full"):
            raise ConfigError("synchronous is not a known setting", given=synchronous, instead=("normal", "full"))
        if not self.path.parent.is_dir():
            raise ConfigError(f"there is no directory {self.path.parent}")
        if self.path.is_dir():
            raise ConfigError(f"{self.path} is a directory, not a file")

    def _open_late(self, operation: str) -> None:
        """Open the file if that failed so far; one thread tries, and the others wait for it as for a write."""
        if self._reader is not None or self._closed or os.getpid() != self._pid:
            return
        if not self._open_mutex.acquire(timeout=self._busy_timeout_ns / SECOND):
            raise self._locked(operation)
        try:
            if self._reader is None and not self._closed and self._is_there():
                self._open()
        except StoreUnavailable as error:
            raise StoreUnavailable("sqlite", operation, error.detail, kind=error.kind) from error
        except ConfigError as error:
            raise StoreUnavailable("sqlite", operation, str(error), kind="error") from error
        finally:
            self._open_mutex.release()

    def _is_there(self) -> bool:
        """Whether the file is the one that was open before, if there was one; `_usable` tells the caller."""
        return self._identity is None or _identity(self.path) == self._identity

    def _open(self) -> None:
        if _identity(self.path) in _INHERITED:
            problem = f"this process was forked while {self.path} was in use; start it by spawn instead"
            raise StoreUnavailable("sqlite", "open", problem, kind="error")
        with contextlib.suppress(OSError):  # SQLite's own error says what is wrong there
            make_private(self.path)
        try:
            self._connect()
        except BaseException as error:
            self.disconnect()
            if isinstance(error, sqlite3.Error):
                raise self._unopened(error) from error
            raise

    def _unopened(self, error: sqlite3.Error) -> ConfigError | StoreUnavailable:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _WRONG_FILE:
            return ConfigError(f"{_WRONG_FILE[code]}: {self.path}")
        return StoreUnavailable("sqlite", "open", f"{self.path}: {error}", kind=_kind_of(error))

    def _connect(self) -> None:
        deadline_ns = self._real.monotonic_ns() + self._busy_timeout_ns
        writer = self._writer = self._connection()

        def set_up() -> str:
            writer.execute(f"PRAGMA page_size={_PAGE_BYTES}")  # of a new file; an old one keeps its own
            writer.execute(f"PRAGMA synchronous={self._synchronous}")
            writer.execute(f"PRAGMA wal_autocheckpoint={_WAL_PAGES}")
            return str(writer.execute("PRAGMA journal_mode=WAL").fetchone()[0])

        # Checked before anything is changed: it may be another application's file.
        self._retry_while_busy("open", lambda: sqlite_schema.version_of(writer), deadline_ns)
        if self._retry_while_busy("open", set_up, deadline_ns) != "wal":
            raise ConfigError(f"the file system of {self.path} cannot share memory between processes (SQLite's WAL)")
        self._transact("open", sqlite_schema.create, writer, deadline_ns)
        reader = self._connection()
        reader.execute("PRAGMA query_only=1")
        if self._identity is None:
            self._identity = _identity(self.path)
        self._reader = reader  # last: it marks the file as open

    def _connection(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=0, isolation_level=None, check_same_thread=False)

    # --- waiting and failing

    def _transact(
        self, operation: str, work: Callable[[sqlite3.Connection], T], connection: sqlite3.Connection, deadline_ns: int
    ) -> T:
        try:
            self._retry_while_busy(operation, lambda: connection.execute("BEGIN IMMEDIATE"), deadline_ns)
            answer = work(connection)
            connection.execute("COMMIT")
        except _FAILURES as error:
            raise StoreUnavailable("sqlite", operation, str(error), kind=_kind_of(error)) from error
        finally:
            if connection.in_transaction:
                with contextlib.suppress(sqlite3.Error):  # the first error is raised already
                    connection.execute("ROLLBACK")
        return answer

    def _retry_while_busy(self, operation: str, step: Callable[[], T], deadline_ns: int) -> T:
        """Do one step; repeat it while another process holds the lock."""
        shortest, longest = _RETRY_NS
        while True:
            try:
                return step()
            except sqlite3.OperationalError as error:
                if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
                now_ns = self._real.monotonic_ns()
                if now_ns >= deadline_ns:
                    raise self._locked(operation) from error
            self._real.wait(now_ns + random.randint(shortest, longest), Wake())  # noqa: S311 - fairness, no secret
            longest = min(int(longest * _RETRY_GROWTH), _RETRY_MAX_NS)

    def _usable(self, connection: sqlite3.Connection | None, operation: str) -> sqlite3.Connection:
        if os.getpid() != self._pid:
            problem = "the store was opened before this process was forked; open one in each process"
        elif self._closed:
            problem = "the store is closed"
        elif connection is None or not self._is_there():
            problem = f"{self.path} was removed or replaced while it was open; other processes would not see our writes"
        else:
            return connection
        raise StoreUnavailable("sqlite", operation, problem, kind="error")

    def _locked(self, operation: str) -> StoreUnavailable:
        return StoreUnavailable(
            "sqlite", operation, f"the write lock was not free for {duration_text(self._busy_timeout_ns)}"
        )


# Beside SQLite's own errors: an integer over 64 bits, text that is not Unicode, and another version's schema.
_FAILURES: Final = (sqlite3.Error, OverflowError, UnicodeError, ConfigError)


# Of these, what only the words of one item can have caused; what it had written before is undone alone.
_ITEMS_OWN: Final = (sqlite3.DataError, sqlite3.IntegrityError, OverflowError, UnicodeError)


def _saved(
    connection: sqlite3.Connection, operation: str, work: Callable[[sqlite3.Connection, Item], T], item: Item
) -> T | StoreUnavailable:
    """Do `work` for an item, or nothing of it."""
    answer: T | StoreUnavailable
    connection.execute("SAVEPOINT item")
    try:
        answer = work(connection, item)
    except _ITEMS_OWN as error:
        connection.execute("ROLLBACK TO item")
        answer = StoreUnavailable("sqlite", operation, str(error), kind="error")
    connection.execute("RELEASE item")
    return answer


def _on_current(work: Callable[[sqlite3.Connection], T]) -> Callable[[sqlite3.Connection], T]:
    def checked(connection: sqlite3.Connection) -> T:
        sqlite_schema.make_current(connection)
        return work(connection)

    return checked


def _read_current(connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], T]) -> T:
    sqlite_schema.check_current(connection)
    return work(connection)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        stat = os.stat(path)  # noqa: PTH116 - on the path of each claim: 1 us, against 3 for Path.stat
    except OSError:
        return None
    return stat.st_dev, stat.st_ino


def _kind_of(error: Exception) -> str:
    """Return the `kind` of `StoreUnavailable`: a disk that is full is waited for, as a lock is."""
    return "unavailable" if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL else "error"
