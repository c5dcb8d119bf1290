"""Keep the records of instances in etcd.

The names of a job set lie in keys of a thousand names each, because a cluster takes requests of 1.5 MB by default.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tickglass.sched.ports import Beat, InstanceRecord
from tickglass.sched.stores.etcd import keys as kv
from tickglass.sched.stores.etcd.client import TXN
from tickglass.sched.stores.etcd.observer import Snapshot
from tickglass.sched.stores.retention import gone_for_long

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tickglass.sched.clock import Clock
    from tickglass.sched.stores.etcd.client import Call, EtcdClient
    from tickglass.sched.stores.etcd.keys import Keys

__all__ = ["Instances"]

_NAMES_AT_ONCE: Final = 1_000
_BATCH: Final = 100  # by default a cluster takes 128 operations in one transaction


class Instances:
    """See `Membership` and `StoreObserver`."""

    def __init__(self, client: EtcdClient, keys: Keys, clock: Clock) -> None:
        self._client = client
        self._keys = keys
        self._clock = clock

    def join(self, instance: InstanceRecord, jobs: Sequence[str]) -> None:
        """See `Membership`; the record comes last, so what is there has its names.

        Another instance may delete these names just then, because it does not see the record yet: the next beat finds
        that.
        """
        names = sorted(jobs)
        with self._client.call("join") as call:
            self._prune(call)
            for first in range(0, len(names), _NAMES_AT_ONCE) or (0,):
                call.begin_page()
                key = self._keys.job_set_part(instance.fingerprint, first)
                call.ask(TXN, kv.transaction([], [kv.put(key, names[first : first + _NAMES_AT_ONCE])]))
            call.ask(TXN, kv.transaction([], [self._put(instance)]))

    def beat(self, instance: InstanceRecord) -> Beat:
        """See `Membership`."""
        named = self._keys.job_set(instance.fingerprint)
        then = [self._put(instance), kv.get(named, kv.after_prefix(named), limit=1, keys_only=True)]
        with self._client.call("beat") as call:
            answer = call.ask(TXN, kv.transaction([kv.present(self._keys.instance(instance.incarnation))], then))
            if not answer.succeeded:
                return Beat.FORGOTTEN
            return Beat.PARTLY if kv.read(answer, 1) is None else Beat.KNOWN

    def all(self) -> list[InstanceRecord]:
        """See `StoreObserver.instances`."""
        with self._client.call("instances") as call:
            found = [self._record(it) for it in Snapshot(call).under(self._keys.instances)]
        return sorted(found, key=lambda it: (it.service, it.owner, it.incarnation))

    def job_set(self, fingerprint: str) -> list[str] | None:
        """See `StoreObserver`."""
        with self._client.call("job_set") as call:
            parts = list(Snapshot(call).under(self._keys.job_set(fingerprint)))
        return [name for part in parts for name in msgspec.json.decode(part.value, type=list[str])] if parts else None

    def _put(self, instance: InstanceRecord) -> Any:  # noqa: ANN401 - the client is not typed
        record = replace(instance, seen_wall_ns=self._clock.wall_ns(), silent_ns=0)
        return kv.put(self._keys.instance(instance.incarnation), record)

    def _record(self, found: Any) -> InstanceRecord:  # noqa: ANN401
        record = msgspec.json.decode(found.value, type=InstanceRecord)
        return replace(record, silent_ns=max(0, self._clock.wall_ns() - record.seen_wall_ns))

    def _prune(self, call: Call) -> None:
        call.ask(TXN, kv.transaction([], []))  # a writer: keys of the layout before are migrated before they are read
        snapshot = Snapshot(call)
        records = [self._record(it) for it in snapshot.under(self._keys.instances)]
        gone = set(gone_for_long(records))
        used = {it.fingerprint for it in records if it.incarnation not in gone}
        keys = [self._keys.instance(incarnation) for incarnation in gone]
        named = (it.key for it in snapshot.under(self._keys.job_sets, keys_only=True))
        keys += [key for key in named if self._keys.parts(key)[1] not in used]
        for first in range(0, len(keys), _BATCH):
            call.begin_page()
            call.ask(TXN, kv.transaction([], [kv.delete(key) for key in keys[first : first + _BATCH]]))
