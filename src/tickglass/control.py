"""Act on a fleet through its store: pause, resume, skip, run now, cancel, unlock, drain, and read who did what.

    from tickglass import Control

    with Control("redis://localhost:6379", by="anna") as control:
        control.pause("nightly", reason="the warehouse is moved", for_="2h")

Every instance on the store obeys within a second. Every act is one row of the audit log, or is refused.
"""

from __future__ import annotations

import getpass
import os
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

from tickglass.sched.clock import SystemClock
from tickglass.sched.control.operator import Operator
from tickglass.sched.control.orders import ALL
from tickglass.sched.durations import Duration, duration_ns
from tickglass.sched.errors import ConfigError
from tickglass.sched.stores import check_exists, open_store
from tickglass.sched.triggers.base import to_ns

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from datetime import datetime
    from typing import Self

    from tickglass.sched.control.audit import Act
    from tickglass.sched.control.orders import Order
    from tickglass.sched.ports import Store

__all__ = ["AsyncControl", "Control"]

RUN_WITHIN: Final = "60s"
P = ParamSpec("P")
T = TypeVar("T")


class Control:
    """Acts on all schedulers of one store, in one person's name; safe for threads.

    All acts are idempotent: what stands already is returned with `changed=False`. Each raises `ControlRefused` with a
    sentence if it cannot be done, and `StoreUnavailable` if the store does not answer; then it may have been done.

    Args:
        store: URL of a store that exists, or an open one; it is closed with this.
        by: who acts, for the audit log; default: the user of the operating system, by number where it has no name.

    Raises:
        ConfigError: the URL is wrong, or there is no store.
    """

    def __init__(self, store: str | Store, *, by: str | None = None) -> None:
        if isinstance(store, str):
            check_exists(store)
            store = open_store(store, SystemClock())
        self._store = store
        self._operator = Operator(store, _user() if by is None else by)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the store."""
        self.close()

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def pause(
        self,
        job: str,
        *,
        service: str = ALL,
        reason: str,
        for_: Duration | None = None,
        until: datetime | None = None,
    ) -> Act:
        """Have due instants skipped, with reason "paused"; runs in progress go on.

        Instants that pass are not run later.

        Args:
            job: a name, or a pattern such as "report-*"; "*" is every job.
            service: likewise; needed for a name that several services have.
            for_: how long; default: until it is resumed.
            until: an aware datetime, instead of `for_`.
        """
        return self._operator.pause(job, service, _said(reason), self._end_ns(for_, until))

    def resume(self, job: str, *, service: str = ALL, reason: str) -> Act:
        """End the pauses that these jobs have of their own, and take back skips of instants that are still to come."""
        return self._operator.resume(job, service, _said(reason))

    def skip(self, job: str, *, service: str | None = None, reason: str, at: datetime | None = None) -> Act:
        """Have one due instant skipped, with reason "paused".

        Args:
            at: the instant, aware; default: the next one.
        """
        due_ns = None if at is None else to_ns(at, what="skip(at)")
        return self._operator.skip(job, service, _said(reason), due_ns)

    def trigger(self, job: str, *, service: str | None = None, reason: str, within: Duration = RUN_WITHIN) -> Act:
        """Have a job run once, now, also if it is paused: an occurrence of its own, of kind "manual".

        Args:
            within: how long it may wait for the job's lock and for a worker; later it is not run.
        """
        return self._operator.trigger(job, service, _said(reason), duration_ns(within, what="trigger(within)"))

    def cancel(self, job: str, *, service: str | None = None, reason: str, run_id: str | None = None) -> Act:
        """Ask a run to stop: `run.cancelled` becomes true, a coroutine is cancelled; its outcome is "cancelled".

        Args:
            run_id: of the run, or its beginning; needed if several runs of the job are in progress.
        """
        return self._operator.cancel(job, service, _said(reason), run_id)

    def unlock(self, resource: str, *, fence: int, reason: str) -> Act:
        """Take a lease from its holder. Its run goes on until the holder's next renewal fails; its fence is stale.

        Args:
            fence: that of the lease as it was seen, so that no later holder loses it.
        """
        return self._operator.unlock(resource, fence, _said(reason))

    def drain(
        self,
        owner: str,
        *,
        service: str | None = None,
        reason: str,
        for_: Duration | None = None,
        until: datetime | None = None,
    ) -> Act:
        """Have one instance start nothing more; its runs go on to their end, and it is not ready meanwhile."""
        return self._operator.drain(owner, service, _said(reason), self._end_ns(for_, until))

    def undrain(self, owner: str, *, service: str | None = None, reason: str) -> Act:
        """Let a drained instance start runs again."""
        return self._operator.undrain(owner, service, _said(reason))

    def standing(self) -> Sequence[Order]:
        """Return what stands now, oldest first."""
        return self._operator.standing()

    def log(self, limit: int = 100, *, before: int | None = None) -> Sequence[Act]:
        """Return the latest acts, newest first; with `before`, those numbered below it."""
        return self._operator.log(limit, before=before)

    def _end_ns(self, for_: Duration | None, until: datetime | None) -> int | None:
        if for_ is not None and until is not None:
            raise ConfigError("say until when either as a duration or as an instant, not as both")
        if until is not None:
            return to_ns(until, what="until")
        return None if for_ is None else self._store.time_ns() + duration_ns(for_, what="for_")


class AsyncControl:
    """`Control` for coroutines: each act runs on a thread, so that the event loop does not wait for the store.

    Args:
        control: is not closed.
    """

    def __init__(self, control: Control) -> None:
        self._control = control
        self.pause = _threaded(control.pause)
        self.resume = _threaded(control.resume)
        self.skip = _threaded(control.skip)
        self.trigger = _threaded(control.trigger)
        self.cancel = _threaded(control.cancel)
        self.unlock = _threaded(control.unlock)
        self.drain = _threaded(control.drain)
        self.undrain = _threaded(control.undrain)
        self.standing = _threaded(control.standing)
        self.log = _threaded(control.log)


def _threaded(act: Callable[P, T]) -> Callable[P, Coroutine[Any, Any, T]]:
    async def begin(*args: P.args, **kwargs: P.kwargs) -> T:
        import asyncio  # noqa: PLC0415 - what has no coroutines does not load it

        return await asyncio.to_thread(act, *args, **kwargs)

    return begin


def _said(reason: str) -> str:
    if not reason.strip():
        raise ConfigError("say why: the reason is in the audit log, and shown to those who wonder", given=repr(reason))
    return reason.strip()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # in a container under a number that has no name there; OSError since Python 3.13
        return f"uid {os.getuid()}"
