"""Open an existing store to read it; a store that does not exist is not created."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from tickglass.cli.envvars import variable_checker
from tickglass.cli.text import shown
from tickglass.sched.clock import SystemClock
from tickglass.sched.errors import ConfigError, StoreUnavailable
from tickglass.sched.ports.missing import sentence_of
from tickglass.sched.stores import (
    DEFAULT_STORE,
    check_exists,
    check_url,
    is_shared,
    open_store,
    redacted_url,
    scheme_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tickglass.sched.clock import Clock
    from tickglass.sched.identity import JobId
    from tickglass.sched.ports import (
        AuditRow,
        ControlRecord,
        InstanceRecord,
        JobRecord,
        LeaseRecord,
        RunRecord,
        Store,
    )
    from tickglass.sched.ports.missing import MissingRecord

__all__ = ["STORE_ENV", "LazyStore", "check_one_store", "default_store", "existing_store", "store_argument"]

STORE_ENV: Final = "TICKGLASS_STORE"

F = TypeVar("F", bound="Callable[..., Any]")


def check_one_store(url: str) -> None:
    """Refuse a value that is not one existing store, because the variable may name several for a sidecar.

    Raises:
        ConfigError: it is.
    """
    several = [redacted_url(one) for one in url.split(" ")]
    if len(several) > 1:
        problem = "name one store, not several with blanks between them; write a blank in a path as %20"
        raise ConfigError(problem, given=" ".join(several), instead=tuple(filter(None, several)))
    check_exists(url)


def default_store() -> str:
    """Return the URL of the store that a scheduler uses which names none, seen from the current folder.

    Raises:
        ConfigError: no scheduler has used one here.
    """
    try:
        check_exists(DEFAULT_STORE)
    except ConfigError as error:
        problem = f"no store is named, and the default one is not in this folder: {error.problem}"
        right = ("sqlite:///path/to/jobs.db", "redis://localhost:6379")
        raise ConfigError(problem, examples=(right[0], f"{STORE_ENV}={right[1]}")) from error
    return DEFAULT_STORE


def store_argument(command: F) -> F:
    """Add the argument STORE_URL to a command: the store that is named, or $TICKGLASS_STORE, or the default one."""
    argument = click.argument(
        "store_url",
        metavar="[STORE_URL]",
        required=False,
        default=default_store,
        envvar=STORE_ENV,
        callback=variable_checker(check_one_store),
    )
    return argument(command)


@contextmanager
def existing_store(url: str) -> Iterator[Store]:
    """Open the store that a URL names, and close it afterwards; what was found missing is said on standard error.

    Raises:
        ConfigError: the URL is wrong, or the store does not exist.
        StoreUnavailable: the store exists, but does not answer.
    """
    check_exists(url)
    store = open_store(url, SystemClock())
    try:
        yield store
        for record in store.missing():
            click.echo(shown(f"the {store.name} store: {sentence_of(record)}"), err=True)
    finally:
        store.close()


class LazyStore:
    """A store to read periodically, which need not exist yet: it is opened at the first read.

    Raises:
        ConfigError: the URL is wrong.
    """

    def __init__(self, url: str, clock: Clock) -> None:
        check_url(url)
        if not is_shared(url):
            check_exists(url)
        self._url = url
        self._clock = clock
        self._store: Store | None = None

    def leases(self, limit: int | None = None) -> Sequence[LeaseRecord]:
        """See `StoreObserver`."""
        return self._opened().leases(limit)

    def jobs(self) -> Sequence[JobRecord]:
        """See `StoreObserver`."""
        return self._opened().jobs()

    def runs(self, job: JobId | None = None, limit: int = 100, *, before_ns: int | None = None) -> Sequence[RunRecord]:
        """See `StoreObserver`."""
        return self._opened().runs(job, limit, before_ns=before_ns)

    def abandoned(self, limit: int = 100) -> Sequence[RunRecord]:
        """See `StoreObserver`."""
        return self._opened().abandoned(limit)

    def instances(self) -> Sequence[InstanceRecord]:
        """See `StoreObserver`."""
        return self._opened().instances()

    def job_set(self, fingerprint: str) -> Sequence[str] | None:
        """See `StoreObserver`."""
        return self._opened().job_set(fingerprint)

    def control(self, known_version: int = -1) -> ControlRecord | None:
        """See `ControlReader`."""
        return self._opened().control(known_version)

    def audit(self, limit: int = 100, *, before: int | None = None) -> Sequence[AuditRow]:
        """See `ControlReader`."""
        return self._opened().audit(limit, before=before)

    def missing(self) -> Sequence[MissingRecord]:
        """See `StoreObserver`."""
        return () if self._store is None else self._store.missing()

    def time_ns(self) -> int:
        """See `LockStore`."""
        return self._opened().time_ns()

    def close(self) -> None:
        """Give back connections and files."""
        if self._store is not None:
            self._store.close()

    def _opened(self) -> Store:
        """Return the store.

        Raises:
            StoreUnavailable: it does not exist, or does not answer.
        """
        if self._store is None:
            try:
                check_exists(self._url)
                self._store = open_store(self._url, self._clock)
            except ConfigError as error:
                raise StoreUnavailable(scheme_of(self._url), "open", error.problem) from error
        return self._store
