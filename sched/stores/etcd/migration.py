"""Turn keys of layout 1 into keys of layout 2, in small transactions; any instance may go on where another stopped.

Layout 1 knew a job by its name alone (`/job/JOB`, `/open/JOB/DUE`, `/run/JOB/DUE/ATTEMPT`, `/last/JOB`), and a job's
own resource was that name. Each attempt is given to the service that made it, and each record to the service that
registered last. A lease on a job's own resource moves to its new name together with its claim, in one transaction, and
stays attached to its etcd lease: so a run in progress keeps the next one from starting. While `/layout` says that keys
are being migrated, no other transaction goes through.
"""

from __future__ import annotations

from dataclasses import replace as changed
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec.structs import replace

from tickglass.sched.identity import JobId
from tickglass.sched.ports import JobRecord
from tickglass.sched.stores.etcd import keys as kv
from tickglass.sched.stores.etcd.keys import EndedRun, HolderEntry, LastEntry, OpenRun
from tickglass.sched.stores.etcd.layout import MIGRATING, OURS, REFUSAL, layout_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tickglass.sched.stores.etcd.keys import Keys
    from tickglass.sched.stores.etcd.layout import Layout

__all__ = ["Migration"]

_BATCH: Final = 40  # keys; by default a cluster takes 128 operations in one transaction


class Migration:
    """Brings the keys under one prefix to our layout.

    Args:
        ask: sends a transaction as it is, without the check of the layout.
    """

    def __init__(self, layout: Layout, ask: Callable[[Any], Any]) -> None:
        self._layout = layout
        self._keys: Keys = layout.keys
        self._ask = ask

    def run(self) -> str:
        """Mark a store without keys with our layout, or migrate older keys; return the layout that it has then."""
        key = self._keys.layout
        unused = [kv.absent(key), *(kv.absent(it, kv.after_prefix(it)) for it in self._layout.old_prefixes)]
        self._ask(kv.transaction(unused, [kv.put(key, OURS.encode())]))
        begun = self._ask(kv.transaction([kv.absent(key)], [kv.put(key, MIGRATING.encode())], [kv.get(key)]))
        layout = MIGRATING if begun.succeeded else layout_in(kv.read(begun))
        if layout != MIGRATING:
            return layout
        self._move_runs()
        self._move_opens()
        self._move_jobs()
        self._ask(kv.transaction([kv.same(key, MIGRATING.encode())], [kv.put(key, OURS.encode())]))
        return OURS

    def _pages(self, word: str) -> Iterator[list[Any]]:
        """Yield the keys of one kind in pages, as long as there are any: each page is moved away before the next."""
        first = self._keys.old(word, "")
        end = kv.after_prefix(first)
        while True:
            found = self._ask(kv.transaction([], [kv.get(first, end, limit=_BATCH)])).responses[0].response_range
            if found.kvs:
                yield list(found.kvs)
            if not found.more:
                return
            first = found.kvs[-1].key + b"\0"

    def _move_runs(self) -> None:
        """Move the settled attempts; of each job the latest comes first."""
        for page in self._pages("run"):
            noted: set[JobId] = set()
            steps = [step for found in page for step in self._moved_run(found, noted)]
            self._ask(kv.transaction([], [kv.nested(step) for step in steps]))

    def _moved_run(self, found: Any, noted: set[JobId]) -> Iterator[Any]:  # noqa: ANN401 - the client is not typed
        """Yield what moves an attempt, and notes it as its job's latest if none is noted; one transaction has both."""
        _, name, due, _ = self._keys.parts(found.key)
        ended = msgspec.json.decode(found.value, type=EndedRun)
        ended = replace(ended, claim=_renamed(ended.claim, name))
        job, due_ns = JobId(ended.claim.service, name), kv.due_of(due)
        moves = [kv.put(self._keys.run(job, due_ns, ended.claim.attempt), ended), kv.delete(found.key)]
        yield kv.transaction([kv.unchanged(found.key, found.mod_revision)], moves)
        if job not in noted:
            noted.add(job)
            last = kv.put(self._keys.last(job), LastEntry(due_ns, None, 0))
            yield kv.transaction([kv.absent(self._keys.last(job))], [last])

    def _move_opens(self) -> None:
        """Move the claims, each in a transaction of its own: the revision of a claim says which lease is its own."""
        for page in self._pages("open"):
            for found in page:
                self._move_open(found)

    def _move_open(self, found: Any) -> None:  # noqa: ANN401
        _, name, due = self._keys.parts(found.key)
        run, due_ns = msgspec.json.decode(found.value, type=OpenRun), kv.due_of(due)
        job, moved = JobId(run.service, name), _renamed(run, name)
        reads = [self._keys.lease(run.resource), self._keys.holder(run.resource), self._keys.last(job)]
        answer = self._ask(kv.transaction([], [kv.get(key) for key in reads]))
        lease, holder, last = (kv.read(answer, number) for number in range(3))
        live = lease is not None and lease.create_revision == found.mod_revision
        steps, still = [kv.delete(found.key)], [kv.unchanged(found.key, found.mod_revision)]
        if live and moved.resource != run.resource and holder is not None:
            still += [kv.unchanged(lease.key, lease.mod_revision), kv.unchanged(holder.key, holder.mod_revision)]
            steps += [kv.delete(lease.key), kv.delete(holder.key)]
            steps += [kv.put(self._keys.lease(moved.resource), lease.value, lease.lease)]
            steps += [kv.put(self._keys.holder(moved.resource), msgspec.json.decode(holder.value, type=HolderEntry))]
        else:
            moved = replace(moved, fence=found.mod_revision)
        if last is None or msgspec.json.decode(last.value, type=LastEntry).due_ns < due_ns:
            steps.append(kv.put(self._keys.last(job), LastEntry(due_ns, None, 0)))
        self._ask(kv.transaction(still, [*steps, kv.put(self._keys.open(job, due_ns), moved)]))

    def _move_jobs(self) -> None:
        """Move the records, after the latest claims: then what a record says of the next due instant counts."""
        for page in self._pages("job"):
            for found in page:
                _, name = self._keys.parts(found.key)
                record = msgspec.json.decode(found.value, type=JobRecord)
                last = kv.read(self._ask(kv.transaction([], [kv.get(self._keys.refusing_old(name))])))
                if last is not None and last.value != REFUSAL and last.mod_revision > found.mod_revision:
                    claimed = msgspec.json.decode(last.value, type=LastEntry)
                    record = changed(record, next_due_ns=claimed.next_due_ns, seen_wall_ns=claimed.seen_wall_ns)
                if record.resource == name:
                    record = changed(record, resource=str(record.job_id))
                steps = [kv.put(self._keys.job(record.job_id), record), kv.delete(found.key)]
                steps.append(kv.put(self._keys.refusing_old(name), REFUSAL))
                self._ask(kv.transaction([kv.unchanged(found.key, found.mod_revision)], steps))
        for page in self._pages("last"):
            self._ask(kv.transaction([], [kv.put(it.key, REFUSAL) for it in page]))


def _renamed(run: OpenRun, name: str) -> OpenRun:
    """Return an attempt with the new name of its job's own resource."""
    return replace(run, resource=str(JobId(run.service, name))) if run.resource == name else run
