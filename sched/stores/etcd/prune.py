"""Delete what need not be kept, in small transactions, for a bounded time at a time.

Every instance does it. Leases and jobs are read in order, and a pass that runs out of time is continued by the next
one. etcd does not report when a lease ended: the first instance that finds it ended writes the time down, and the
lease is kept for its time from then on.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

import msgspec
from aetcd import rpc
from msgspec.structs import replace

from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import MS
from tickglass.sched.stores.etcd import keys as kv
from tickglass.sched.stores.etcd.client import RANGE, TXN
from tickglass.sched.stores.etcd.keys import EndedRun, HolderEntry
from tickglass.sched.stores.retention import LATEST_KEPT, PRUNE_EVERY_NS, ended_keep_ns

if TYPE_CHECKING:
    from tickglass.sched.clock import Clock
    from tickglass.sched.identity import JobId
    from tickglass.sched.stores.etcd.client import Call, EtcdClient
    from tickglass.sched.stores.etcd.keys import Keys

__all__ = ["Pruner"]

_BATCH: Final = 100  # by default a cluster takes 128 operations in one transaction
_AT_MAX_NS: Final = 500 * MS  # the rest next time: the caller waits for this
_LEASES_AT_MAX_NS: Final = 100 * MS  # of it


class Pruner:
    """Applies the rules of retention.py to one prefix.

    Args:
        keep_ns: how long after its end an attempt is kept.
    """

    def __init__(self, client: EtcdClient, keys: Keys, clock: Clock, keep_ns: int) -> None:
        self._client = client
        self._keys = keys
        self._clock = clock
        self._keep_ns = keep_ns
        self._real = SystemClock()
        self._busy = threading.Lock()
        self._pruned_ns = clock.monotonic_ns()
        self._from = keys.lasts  # the job to go on with
        self._holders_from = keys.holders  # the resource to go on with

    def prune_now_and_then(self) -> None:
        """Prune if the last time was a minute ago; call it every few seconds."""
        if self._clock.monotonic_ns() - self._pruned_ns >= PRUNE_EVERY_NS:
            self.prune()

    def prune(self) -> None:
        """Delete what may be deleted, for half a second at most.

        Raises:
            StoreUnavailable: see `Call.ask_all`.
        """
        if not self._busy.acquire(blocking=False):
            return  # another thread is pruning
        try:
            self._pruned_ns = self._clock.monotonic_ns()
            began_ns, wall_ns = self._real.monotonic_ns(), self._clock.wall_ns()
            with self._client.call("prune") as call:
                self._prune_leases(call, wall_ns, began_ns + _LEASES_AT_MAX_NS)
                self._prune_runs(call, wall_ns - self._keep_ns, began_ns + _AT_MAX_NS)
        finally:
            self._busy.release()

    def _prune_leases(self, call: Call, wall_ns: int, stop_ns: int) -> None:
        end = kv.after_prefix(self._keys.holders)
        while True:
            page = call.ask(RANGE, rpc.RangeRequest(key=self._holders_from, range_end=end, limit=_BATCH))
            if page.kvs:
                self._prune_holders(call, list(page.kvs), wall_ns)
            self._holders_from = page.kvs[-1].key + b"\0" if page.more else self._keys.holders
            if not page.more or self._real.monotonic_ns() >= stop_ns:
                return

    def _prune_holders(self, call: Call, holders: list[Any], wall_ns: int) -> None:
        """Note which of these leases have ended; delete those whose end was noted long ago."""
        names = [self._keys.resource(it.key) for it in holders]
        first, last = self._keys.lease(names[0]), self._keys.lease(names[-1])
        found = call.ask(RANGE, rpc.RangeRequest(key=first, range_end=last + b"\0", keys_only=True))
        live = {it.key for it in found.kvs}
        steps = []
        for name, it in zip(names, holders, strict=True):
            step = None if self._keys.lease(name) in live else self._step(it, wall_ns)
            if step is not None:  # a lease that was taken meanwhile has a key again, and another holder
                still = [kv.absent(self._keys.lease(name)), kv.unchanged(it.key, it.mod_revision)]
                steps.append(kv.nested(kv.transaction(still, [step])))
        if steps:
            call.ask(TXN, kv.transaction([], steps))

    def _step(self, found: Any, wall_ns: int) -> Any | None:  # noqa: ANN401 - the client is not typed
        """Return the operation for the holder of an ended lease; None while there is nothing to do."""
        holder = msgspec.json.decode(found.value, type=HolderEntry)
        if not holder.ended_wall_ns:
            return kv.put(found.key, replace(holder, ended_wall_ns=wall_ns, fence=found.mod_revision))
        return kv.delete(found.key) if holder.ended_wall_ns < wall_ns - ended_keep_ns(self._keep_ns) else None

    def _prune_runs(self, call: Call, oldest_ns: int, stop_ns: int) -> None:
        keys = self._keys
        while True:
            by_hand = self._from.startswith(keys.askeds)  # after the jobs that a trigger has run
            end = kv.after_prefix(keys.askeds if by_hand else keys.lasts)
            page = call.ask(RANGE, rpc.RangeRequest(key=self._from, range_end=end, limit=_BATCH, keys_only=True))
            found = {keys.job_id(it.key): it.key for it in page.kvs}
            for job in self._with_old_ones(call, list(found), oldest_ns):
                if not self._prune_job(call, job, oldest_ns, stop_ns):
                    self._from = found[job]
                    return
            if page.more:
                self._from = page.kvs[-1].key + b"\0"
            else:
                self._from = keys.lasts if by_hand else keys.askeds
            if (by_hand and not page.more) or self._real.monotonic_ns() >= stop_ns:
                return

    def _with_old_ones(self, call: Call, jobs: list[JobId], oldest_ns: int) -> list[JobId]:
        """Return the jobs that have an attempt that was due before this."""
        if not jobs:
            return []
        reads = [
            kv.get(self._keys.due_before(job, oldest_ns), kv.after_prefix(self._keys.runs_of(job)), 1, keys_only=True)
            for job in jobs
        ]
        found = call.ask(TXN, kv.transaction([], reads))
        return [job for number, job in enumerate(jobs) if kv.read(found, number) is not None]

    def _prune_job(self, call: Call, job: JobId, oldest_ns: int, stop_ns: int) -> bool:
        """Delete what one job need not keep; False when the time is up before that is done."""
        first = self._keys.runs_of(job)
        end = kv.after_prefix(first)
        kept = call.ask(RANGE, rpc.RangeRequest(key=first, range_end=end, limit=LATEST_KEPT, keys_only=True))
        if not kept.more:
            return True
        first = max(kept.kvs[-1].key + b"\0", self._keys.due_before(job, oldest_ns))
        while self._real.monotonic_ns() < stop_ns:
            page = call.ask(RANGE, rpc.RangeRequest(key=first, range_end=end, limit=_BATCH))
            old = [it.key for it in page.kvs if msgspec.json.decode(it.value, type=EndedRun).ended_wall_ns < oldest_ns]
            if old:
                call.ask(TXN, kv.transaction([], [kv.delete(key) for key in old]))
            if not page.more:
                return True
            first = page.kvs[-1].key + b"\0"
        return False
