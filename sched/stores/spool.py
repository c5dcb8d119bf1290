"""Keep outcomes in a local file while the store cannot be reached, in the order in which they became known.

Bounded; made when it is first needed; survives kill -9. Not a store: no other process reads it.
"""

from __future__ import annotations

import sqlite3
import threading
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from tickglass.sched.errors import ConfigError, StoreUnavailable
from tickglass.sched.files.private import check_ours, make_private
from tickglass.sched.ports import SpooledOutcome
from tickglass.sched.stores.fork_gate import FORK_GATE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

__all__ = ["OUTCOMES_MAX", "SqliteSpool"]

OUTCOMES_MAX: Final = 100_000  # some 50 MB
_MAKE: Final = "CREATE TABLE IF NOT EXISTS outcomes (number INTEGER PRIMARY KEY AUTOINCREMENT, outcome BLOB NOT NULL)"
_OLDEST: Final = "SELECT number, outcome FROM outcomes WHERE number > ? ORDER BY number LIMIT ?"

Answer = TypeVar("Answer")


class SqliteSpool:
    """A `Spool` in a SQLite file.

    Args:
        path: created for this user alone when the first outcome comes; its directory must exist.
        service: that of the outcomes, where an older version wrote them without it.
        outcomes_max: how many outcomes it holds.

    Raises:
        ConfigError: the file at that path is another user's.
    """

    def __init__(self, path: Path, service: str, *, outcomes_max: int = OUTCOMES_MAX) -> None:
        check_ours(path)  # checked now: later, the outcome would be lost
        self._path = path
        self._service = service
        self._outcomes_max = outcomes_max
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        FORK_GATE.add(self)

    def put(self, outcome: SpooledOutcome) -> bool:
        """See `Spool`."""

        def work(connection: sqlite3.Connection) -> bool:
            if _depth(connection) >= self._outcomes_max:
                return False
            connection.execute("INSERT INTO outcomes (outcome) VALUES (?)", (msgspec.json.encode(outcome),))
            return True

        return self._do("put", work)

    def oldest(self, limit: int, *, after: int = 0) -> Sequence[tuple[int, SpooledOutcome | None]]:
        """See `Spool`."""
        if not self._there():
            return ()
        rows = self._do("oldest", lambda it: it.execute(_OLDEST, (after, limit)).fetchall())
        return [(number, _read(outcome, self._service)) for number, outcome in rows]

    def drop(self, number: int) -> None:
        """See `Spool`."""
        self._do("drop", lambda it: it.execute("DELETE FROM outcomes WHERE number = ?", (number,)))

    def depth(self) -> int:
        """See `Spool`."""
        return self._do("depth", _depth) if self._there() else 0

    def close(self) -> None:
        """See `Spool`."""
        with self._lock:
            self.disconnect()

    @property
    def mutexes(self) -> tuple[threading.Lock, ...]:
        """See `Gated`."""
        return (self._lock,)

    def disconnect(self) -> None:
        """See `Gated`."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def inherited(self) -> None:
        """See `Gated`; no other process uses the file."""

    def _there(self) -> bool:
        return self._connection is not None or self._path.exists()

    def _do(self, operation: str, work: Callable[[sqlite3.Connection], Answer]) -> Answer:
        with self._lock:
            try:
                if self._connection is None:
                    check_ours(self._path)
                    make_private(self._path)
                    self._connection = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None)
                    self._connection.execute("PRAGMA journal_mode = WAL")
                    self._connection.execute(_MAKE)
                return work(self._connection)
            except (sqlite3.Error, OSError, ConfigError) as error:
                raise StoreUnavailable("spool", operation, f"{self._path}: {error}", kind="error") from error


def _read(row: bytes, service: str) -> SpooledOutcome | None:
    """Return an outcome; None if it cannot be read, because another version wrote it or the disk is failing."""
    try:
        outcome = msgspec.json.decode(row)
        outcome["settlement"].setdefault("service", service)
        return msgspec.convert(outcome, SpooledOutcome)
    except (msgspec.MsgspecError, UnicodeDecodeError, TypeError, KeyError, AttributeError):
        return None


def _depth(connection: sqlite3.Connection) -> int:
    (count,) = connection.execute("SELECT count(*) FROM outcomes").fetchone()
    return int(count)
