"""Forget what the ledger need not keep, in small transactions, a bounded time at a time.

Every instance does it; what one has deleted, the next does not find. Jobs are gone through in turn, so one pass
that runs out of time is continued by the next.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

import msgspec
from aetcd import rpc

from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import MS
from tickglass.sched.stores import etcd_keys as kv
from tickglass.sched.stores.etcd_keys import EndedRun
from tickglass.sched.stores.etcd_wire import RANGE, TXN
from tickglass.sched.stores.retention import LATEST_KEPT, PRUNE_EVERY_NS

if TYPE_CHECKING:
    from tickglass.sched.clock import Clock
    from tickglass.sched.stores.etcd_keys import Keys
    from tickglass.sched.stores.etcd_wire import Call, EtcdWire

__all__ = ["Pruner"]

_BATCH: Final = 100  # a cluster takes 128 operations in one transaction, unless told otherwise
_AT_MOST_NS: Final = 500 * MS  # the rest next time: whoever called wants to go on


class Pruner:
    """Applies the rules of retention.py to one prefix.

    Args:
        keep_ns: how long after its end an attempt is kept.
    """

    def __init__(self, wire: EtcdWire, keys: Keys, clock: Clock, keep_ns: int) -> None:
        self._wire = wire
        self._keys = keys
        self._clock = clock
        self._keep_ns = keep_ns
        self._real = SystemClock()
        self._busy = threading.Lock()
        self._pruned_ns = clock.monotonic_ns()
        self._from = keys.lasts  # the job to go on with

    def prune_now_and_then(self) -> None:
        """Prune if the last time was a minute ago; made to be called every few seconds."""
        if self._clock.monotonic_ns() - self._pruned_ns >= PRUNE_EVERY_NS:
            self.prune()

    def prune(self) -> None:
        """Forget what may be forgotten, for half a second at most.

        Raises:
            StoreUnavailable: see `Call.ask_all`.
        """
        if not self._busy.acquire(blocking=False):
            return  # another thread is at it
        try:
            self._pruned_ns = self._clock.monotonic_ns()
            with self._wire.call("prune") as call:
                self._prune(call, self._clock.wall_ns() - self._keep_ns)
        finally:
            self._busy.release()

    def _prune(self, call: Call, oldest_ns: int) -> None:
        stop_ns = self._real.monotonic_ns() + _AT_MOST_NS
        while True:
            end = kv.after_prefix(self._keys.lasts)
            page = call.ask(RANGE, rpc.RangeRequest(key=self._from, range_end=end, limit=_BATCH, keys_only=True))
            names = [self._keys.name(it.key) for it in page.kvs]
            for name in self._with_old_ones(call, names, oldest_ns):
                if not self._prune_job(call, name, oldest_ns, stop_ns):
                    self._from = self._keys.last(name)
                    return
            self._from = page.kvs[-1].key + b"\0" if page.more else self._keys.lasts
            if not page.more or self._real.monotonic_ns() >= stop_ns:
                return

    def _with_old_ones(self, call: Call, names: list[str], oldest_ns: int) -> list[str]:
        """Return the jobs that have an attempt which was due before this."""
        if not names:
            return []
        looks = [
            kv.get(self._keys.due_before(name, oldest_ns), kv.after_prefix(self._keys.runs_of(name)), 1, keys_only=True)
            for name in names
        ]
        found = call.ask(TXN, kv.transaction([], looks))
        return [name for number, name in enumerate(names) if kv.read(found, number) is not None]

    def _prune_job(self, call: Call, job: str, oldest_ns: int, stop_ns: int) -> bool:
        """Forget what one job need not keep; False when the time is up before that is done."""
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
