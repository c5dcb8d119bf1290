"""Do acts on a store: read what stands, decide, write it, and again if another operator was faster.

Every act is one row of the log and one version of what stands, or a refusal. Instances obey what stands within a
second: see engine/control/.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from tickglass.sched.control import acts
from tickglass.sched.control.acts import Asked
from tickglass.sched.control.audit import Act, read_act
from tickglass.sched.control.order_book import ORDERS_MAX, OrderBook
from tickglass.sched.control.orders import ALL
from tickglass.sched.control.roster import read_roster
from tickglass.sched.durations import SECOND
from tickglass.sched.errors import ControlRefused, StoreUnavailable, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tickglass.sched.control.acts import Decided
    from tickglass.sched.control.orders import Order
    from tickglass.sched.identity import JobId
    from tickglass.sched.ports import ControlRecord, ControlStore, JobRecord, RunRecord, Store

__all__ = ["Operator", "read_book"]

_CANCEL_STANDS_NS: Final = 3_600 * SECOND  # its instance may not reach the store just now
_ROUNDS: Final = 20  # of operators who act at the same moment
_OPEN_RUNS_READ: Final = 100


class Operator:
    """Acts on one store, in one person's name.

    Args:
        by: who acts, as the log will say.
    """

    def __init__(self, store: Store, by: str) -> None:
        self._store = store
        self._by = by

    def pause(self, job: str, service: str, reason: str, until_ns: int | None) -> Act:
        """See `acts.pause`; a job's name must be that of one service's job, unless the service is given."""
        known = self._known()
        whose = self._whose(known, job, service)
        return self._act(
            reason, until_ns, lambda book, asked: acts.pause(book, asked, service=whose, job=job, known=known)
        )

    def resume(self, job: str, service: str, reason: str) -> Act:
        """See `acts.resume`; a job's name as for `pause`."""
        known = self._known()
        whose = self._whose(known, job, service)
        return self._act(
            reason, None, lambda book, asked: acts.resume(book, asked, service=whose, job=job, known=known)
        )

    def skip(self, job: str, service: str | None, reason: str, due_ns: int | None) -> Act:
        """See `acts.skip`."""
        record = self._record(job, service)
        return self._act(reason, None, lambda book, asked: acts.skip(book, asked, record=record, due_ns=due_ns))

    def trigger(self, job: str, service: str | None, reason: str, within_ns: int) -> Act:
        """See `acts.run_now`."""
        meant = self._record(job, service).job_id
        having = read_roster(self._store).having(meant)
        return self._act(
            reason, None, lambda book, asked: acts.run_now(book, asked, job=meant, having=having), lasts_ns=within_ns
        )

    def cancel(self, job: str, service: str | None, reason: str, run_id: str | None) -> Act:
        """See `acts.cancel`."""
        meant = self._record(job, service).job_id
        running = self._running(meant)
        return self._act(
            reason,
            None,
            lambda book, asked: acts.cancel(book, asked, job=meant, run_id=run_id, running=running),
            lasts_ns=_CANCEL_STANDS_NS,
        )

    def unlock(self, resource: str, fence: int, reason: str) -> Act:
        """Take a lease from its holder, which is told at its next renewal; its run is settled as orphaned.

        Raises:
            ControlRefused: the lease is not held under that fence, or was given back just now.
        """
        leases = self._store.leases()
        act = self._act(
            reason, None, lambda book, asked: acts.unlock(book, asked, resource=resource, fence=fence, leases=leases)
        )
        if not self._store.unlock(resource, fence, f"unlocked by {self._by}: {reason}"):
            raise ControlRefused(f"the lease on {resource} under fence {fence} has just ended by itself")
        return act

    def drain(self, owner: str, service: str | None, reason: str, until_ns: int | None) -> Act:
        """See `acts.drain`."""
        living = [it for it in self._store.instances() if it.living]
        of_service = self._service_of(owner, service)
        return self._act(
            reason,
            until_ns,
            lambda book, asked: acts.drain(book, asked, owner=owner, service=of_service, living=living),
        )

    def undrain(self, owner: str, service: str | None, reason: str) -> Act:
        """See `acts.undrain`."""
        of_service = self._service_of(owner, service)
        return self._act(reason, None, lambda book, asked: acts.undrain(book, asked, owner=owner, service=of_service))

    def standing(self) -> Sequence[Order]:
        """Return what stands now, oldest first."""
        return read_book(self._store).standing(self._store.time_ns())

    def log(self, limit: int = 100, *, before: int | None = None) -> Sequence[Act]:
        """Return the latest acts, newest first; with `before`, those numbered below it."""
        return [read_act(row) for row in self._store.audit(limit, before=before)]

    # --- one act

    def _act(
        self,
        reason: str,
        until_ns: int | None,
        decide: Callable[[OrderBook, Asked], Decided],
        *,
        lasts_ns: int | None = None,
    ) -> Act:
        for _ in range(_ROUNDS):
            book = read_book(self._store)
            now_ns = self._store.time_ns()
            ends_ns = until_ns if lasts_ns is None else now_ns + lasts_ns
            decided = decide(book, Asked(by=self._by, reason=reason, now_ns=now_ns, until_ns=ends_ns))
            if decided.book is None:
                return self._earlier(book, now_ns, decided)
            if len(decided.book.standing(now_ns)) > ORDERS_MAX:
                raise ControlRefused(f"{ORDERS_MAX} orders stand already; take back some of them first")
            if self._written(decided.book.written(), msgspec.json.encode(decided.entry).decode()):
                return Act(decided.book.version, now_ns, decided.entry)
        raise ControlRefused("others act on this store all the time; nothing was done, ask again")

    def _written(self, record: ControlRecord, entry: str) -> bool:
        """Write; once more if no answer came, because a repeated request is known as one."""
        try:
            return self._store.write_control(record, entry)
        except StoreUnavailable:
            return self._store.write_control(record, entry)

    def _earlier(self, book: OrderBook, now_ns: int, decided: Decided) -> Act:
        """Return the act by which it stands already; this one, not logged, if there is none."""
        number = book.version if decided.earlier is None else decided.earlier.number
        row = next(iter(self._store.audit(1, before=number + 1)), None)
        if decided.earlier is None or row is None or row.version != number:
            return Act(book.version, now_ns, decided.entry, changed=False)
        act = read_act(row)
        return Act(act.version, act.at_ns, act.entry, changed=False)

    # --- what an act is about

    def _known(self) -> list[JobId]:
        return [record.job_id for record in self._store.jobs()]

    def _whose(self, known: Sequence[JobId], job: str, service: str) -> str:
        """Return the service that is meant: that of the one job of this name, unless a service or a pattern is given.

        Raises:
            ControlRefused: several services have a job of this name.
        """
        named = service == ALL and any(it.name == job for it in known)
        return self._one(known, job, None).service if named else service

    def _record(self, job: str, service: str | None) -> JobRecord:
        records = {record.job_id: record for record in self._store.jobs()}
        return records[self._one(list(records), job, service)]

    def _one(self, known: Sequence[JobId], name: str, service: str | None) -> JobId:
        named = [it for it in known if it.name == name]
        found = [it for it in named if service in (None, it.service)]
        if not named:
            raise ControlRefused(f"there is no job {name}", instead=nearest(name, {it.name for it in known}))
        if not found:
            raise ControlRefused(f"{service} has no job {name}", instead=tuple(it.service for it in named))
        if len(found) > 1:
            services = " and ".join(it.service for it in found)
            raise ControlRefused(f"{services} each have a job {name}: say of which service")
        return found[0]

    def _service_of(self, owner: str, service: str | None) -> str:
        if service is not None:
            return service
        instances = self._store.instances()
        services = sorted({it.service for it in instances if it.owner == owner and it.living})
        if len(services) > 1:
            raise ControlRefused(f"{owner} is an instance of {' and '.join(services)}: say of which")
        if not services:
            raise ControlRefused(
                f"no instance {owner} lives", instead=nearest(owner, {it.owner for it in instances if it.living})
            )
        return services[0]

    def _running(self, job: JobId) -> Sequence[RunRecord]:
        abandoned = {run.run_id for run in self._store.abandoned(_OPEN_RUNS_READ)}
        runs = self._store.runs(job, _OPEN_RUNS_READ)
        return [run for run in runs if run.outcome is None and run.run_id not in abandoned]


def read_book(store: ControlStore) -> OrderBook:
    """Read what stands in a store.

    Raises:
        StoreUnavailable: it does not answer.
    """
    record = store.control()
    assert record is not None  # noqa: S101 - no version was named
    return OrderBook.read(record)
