"""Read an etcd store for observers, without changing anything: in pages, all of one revision."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import msgspec
from aetcd import rpc

from tickglass.sched.durations import MS, SECOND
from tickglass.sched.ports import JobRecord, LeaseRecord, Orphan, RunRecord
from tickglass.sched.ports.missing import MissingKind, MissingRecord
from tickglass.sched.stores.etcd.client import TIME_TO_LIVE
from tickglass.sched.stores.etcd.keys import EndedRun, HolderEntry, LastEntry, Opened, after_prefix
from tickglass.sched.stores.missing_log import MissingLog

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tickglass.sched.clock import Clock
    from tickglass.sched.identity import JobId
    from tickglass.sched.stores.etcd.client import Call, EtcdClient
    from tickglass.sched.stores.etcd.keys import Keys, OpenRun

__all__ = ["Observer", "Snapshot", "job_shown"]

_PAGE: Final = 1_000  # keys
_WINDOW: Final = 64  # requests under way at a time
_HALF_A_SECOND_NS: Final = 500 * MS


class Observer:
    """Reads leases, jobs and runs."""

    def __init__(self, client: EtcdClient, keys: Keys, clock: Clock) -> None:
        self._client = client
        self._keys = keys
        self._clock = clock
        self.missing = MissingLog()

    def leases(self, limit: int | None) -> list[LeaseRecord]:
        """Return all leases, or the first `limit`, by resource.

        etcd reports the remaining time of a lease in whole seconds, so half a second
        is added: the answer is wrong by half a second at most. The time that it has
        been held is by the wall clocks of its owner and of this host.
        """
        with self._client.call("leases") as call:
            snapshot = Snapshot(call)
            holders = list(snapshot.under(self._keys.holders, limit))
            upto = holders[-1].key.removeprefix(self._keys.holders) + b"\0" if holders else b""
            end = self._keys.leases + upto if limit is not None and len(holders) == limit else None
            leases = snapshot.between(self._keys.leases, end or after_prefix(self._keys.leases), None)
            live = {self._keys.resource(it.key): it.lease for it in leases}
            unnamed = live.keys() - {self._keys.resource(it.key) for it in holders}
            self.missing.add(MissingRecord(MissingKind.LEASE, resource) for resource in sorted(unnamed))
            rests = _rests_ns(call, list(live.values()))
            wall_ns = self._clock.wall_ns()
            found = [self._lease(it, live, rests, wall_ns) for it in holders]
        return sorted(found, key=lambda it: it.resource)

    def jobs(self) -> list[JobRecord]:
        """Return all jobs ever registered, by service and name."""
        with self._client.call("jobs") as call:
            snapshot = Snapshot(call)
            jobs = list(snapshot.under(self._keys.jobs))
            lasts = {self._keys.job_id(it.key): it for it in snapshot.under(self._keys.lasts)}
            found = [job_shown(it, lasts.get(self._keys.job_id(it.key))) for it in jobs]
            return sorted(found, key=lambda job: job.job_id)

    def runs(self, job: JobId | None, limit: int, before_ns: int | None) -> list[RunRecord]:
        """Return the latest attempts, newest due instant first; with `before_ns`, of what was due before then."""
        if limit <= 0:
            return []
        with self._client.call("runs") as call:
            snapshot = Snapshot(call)
            if job is not None:
                jobs: list[JobId] = [job]
                least_due_ns = None
            else:  # the jobs that may have the latest attempts of all
                jobs, least_due_ns = self._latest_jobs(snapshot, limit if before_ns is None else None)
            found = [run for one in jobs for run in self._runs_of(snapshot, one, limit, least_due_ns, before_ns)]
        found.sort(key=lambda run: (run.due_ns, run.job_id, run.attempt), reverse=True)
        return found[:limit]

    def orphans(self, jobs: frozenset[JobId], limit: int) -> list[Orphan]:
        """Return abandoned claims of these jobs, oldest first."""
        found = self._abandoned("orphans", jobs)[: max(0, limit)]
        return [Orphan(*run.job_id, run.due_ns, run.attempt, run.run_id, run.owner, run.kind) for run in found]

    def abandoned(self, limit: int) -> list[RunRecord]:
        """Return abandoned claims, oldest first."""
        return self._abandoned("abandoned", None)[: max(0, limit)]

    def _abandoned(self, operation: str, jobs: frozenset[JobId] | None) -> list[RunRecord]:
        """Return abandoned claims, of these jobs or all, oldest first."""
        with self._client.call(operation) as call:
            snapshot = Snapshot(call)
            opens = snapshot.under(self._keys.opens)
            begun = {it.key: Opened.read(it) for it in opens if jobs is None or self._keys.job_id(it.key) in jobs}
            live = {it.create_revision for it in snapshot.under(self._keys.leases, keys_only=True)} if begun else set()
            # A claim's lease key was created with it, and no other in that revision.
            found = [self._run(key, it.run, it.fence) for key, it in begun.items() if it.fence not in live]
        return sorted(found, key=lambda run: (run.due_ns, run.job_id, run.attempt))

    def _lease(self, entry: Any, live: dict[str, int], rests: dict[int, int], wall_ns: int) -> LeaseRecord:  # noqa: ANN401 - the client is not typed
        resource, holder = self._keys.resource(entry.key), msgspec.json.decode(entry.value, type=HolderEntry)
        return LeaseRecord(
            resource,
            holder.owner,
            holder.service,
            holder.job,
            holder.run_id,
            holder.fence or entry.mod_revision,
            holder.ttl_ns,
            holder.acquired_wall_ns,
            held_ns=max(0, wall_ns - holder.acquired_wall_ns),
            remaining_ns=rests.get(live.get(resource, 0), min(0, (holder.ended_wall_ns or wall_ns) - wall_ns)),
        )

    def _latest_jobs(self, snapshot: Snapshot, limit: int | None) -> tuple[list[JobId], int | None]:
        """Return the jobs that may have the latest attempts, and the due instant before which none of these was due."""
        latest: dict[JobId, int] = {}
        for prefix in (self._keys.lasts, self._keys.askeds):
            for it in snapshot.under(prefix):
                job, due_ns = self._keys.job_id(it.key), msgspec.json.decode(it.value, type=LastEntry).due_ns
                latest[job] = max(due_ns, latest.get(job, due_ns))
        lasts = sorted(((due_ns, job) for job, due_ns in latest.items()), reverse=True)
        if limit is None or len(lasts) < limit:
            return [job for _, job in lasts], None
        least_due_ns = lasts[limit - 1][0]
        return [job for due_ns, job in lasts if due_ns >= least_due_ns], least_due_ns

    def _runs_of(
        self, snapshot: Snapshot, job: JobId, limit: int, least_due_ns: int | None, before_ns: int | None
    ) -> Iterator[RunRecord]:
        def begins(prefix: bytes) -> bytes:
            return prefix if before_ns is None else self._keys.before(prefix, before_ns)

        def ends(prefix: bytes) -> bytes:
            return after_prefix(prefix if least_due_ns is None else self._keys.reaching(prefix, least_due_ns))

        begun, ended = self._keys.opens_of(job), self._keys.runs_of(job)
        for it in snapshot.between(begins(begun), ends(begun), limit):
            opened = Opened.read(it)
            yield self._run(it.key, opened.run, opened.fence)
        for it in snapshot.between(begins(ended), ends(ended), limit):
            end = msgspec.json.decode(it.value, type=EndedRun)
            yield replace(
                self._run(it.key, end.claim, end.fence),
                started_wall_ns=end.started_wall_ns,
                ended_wall_ns=end.ended_wall_ns,
                outcome=end.outcome,
                detail=end.detail,
                lateness_ns=end.lateness_ns,
                ran_ns=end.ran_ns,
            )

    def _run(self, key: bytes, run: OpenRun, fence: int) -> RunRecord:
        return RunRecord(
            job=self._keys.job_id(key).name,
            due_ns=self._keys.due_ns(key),
            attempt=run.attempt,
            owner=run.owner,
            service=run.service,
            run_id=run.run_id,
            resource=run.resource,
            fence=fence,
            claimed_wall_ns=run.claimed_wall_ns,
            started_wall_ns=None,
            ended_wall_ns=None,
            outcome=None,
            detail="",
            lateness_ns=None,
            kind=run.kind,
            not_before_ns=run.not_before_ns,
            declaration=run.declaration,
        )


def job_shown(entry: Any, last: Any) -> JobRecord:  # noqa: ANN401
    """Return a job from its key and from its latest claim, which may be None."""
    job = msgspec.json.decode(entry.value, type=JobRecord)
    if last is None:
        return job
    claimed = msgspec.json.decode(last.value, type=LastEntry)
    job = replace(job, last_due_ns=claimed.due_ns)
    if last.mod_revision < entry.mod_revision:
        return job
    return replace(job, next_due_ns=claimed.next_due_ns, seen_wall_ns=claimed.seen_wall_ns)


class Snapshot:
    """Reads at one revision: that of the first read."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._revision = 0

    def under(self, prefix: bytes, limit: int | None = None, *, keys_only: bool = False) -> Iterator[Any]:
        """Yield all keys with a prefix, or the first `limit`."""
        return self.between(prefix, after_prefix(prefix), limit, keys_only=keys_only)

    def between(self, first: bytes, end: bytes, limit: int | None, *, keys_only: bool = False) -> Iterator[Any]:
        """Yield the keys from `first` to before `end`, at most `limit`."""
        left = limit
        while left is None or left > 0:
            page = _PAGE if left is None else min(_PAGE, left)
            asked = rpc.RangeRequest(key=first, range_end=end, limit=page, revision=self._revision, keys_only=keys_only)
            self._call.begin_page()
            answer, revision = self._call.read(asked)
            self._revision = self._revision or revision
            yield from answer.kvs
            if not answer.more:
                return
            first = answer.kvs[-1].key + b"\0"
            left = None if left is None else left - len(answer.kvs)


def _rests_ns(call: Call, lease_ids: Sequence[int]) -> dict[int, int]:
    """Return the remaining times of these etcd leases; those that ended meanwhile are left out."""
    rests = {}
    for first in range(0, len(lease_ids), _WINDOW):
        some = lease_ids[first : first + _WINDOW]
        call.begin_page()
        answers = call.ask_all(*((TIME_TO_LIVE, rpc.LeaseTimeToLiveRequest(ID=lease_id)) for lease_id in some))
        rests.update({it.ID: it.TTL * SECOND + _HALF_A_SECOND_NS for it in answers if it.TTL >= 0})
    return rests
