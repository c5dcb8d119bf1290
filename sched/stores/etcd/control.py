"""Keep what operators have asked for in an etcd cluster, and take a lease from its holder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from aetcd import rpc

from tickglass.sched.identity import JobId
from tickglass.sched.ports import AUDIT_KEPT, AuditRow, ControlRecord
from tickglass.sched.stores.etcd import keys as kv
from tickglass.sched.stores.etcd.client import TXN
from tickglass.sched.stores.etcd.keys import EndedRun, Opened
from tickglass.sched.stores.etcd.observer import Snapshot
from tickglass.sched.stores.retention import shown_detail

if TYPE_CHECKING:
    from tickglass.sched.clock import Clock
    from tickglass.sched.stores.etcd.claim_state import LeaseState
    from tickglass.sched.stores.etcd.client import Call, EtcdClient
    from tickglass.sched.stores.etcd.keys import Keys
    from tickglass.sched.stores.etcd.locks import Locks
    from tickglass.sched.stores.etcd.watch import EtcdWatch

__all__ = ["Control"]

_TRIES: Final = 16  # a try fails only where another client succeeds


class Control:
    """See `ControlStore`.

    Args:
        watch: is told of an unlocked resource at once; other processes are told by the cluster.
    """

    def __init__(self, client: EtcdClient, keys: Keys, clock: Clock, locks: Locks, watch: EtcdWatch) -> None:
        self._client = client
        self._keys = keys
        self._clock = clock
        self._locks = locks
        self._watch = watch

    def read(self, known_version: int) -> ControlRecord | None:
        """See `ControlStore.control`: one round trip, and one more if something has changed."""
        with self._client.call("control") as call:
            if known_version >= 0 and call.holds(self._is_version(known_version)):
                return None
            first = self._keys.control
            found, _ = call.read(rpc.RangeRequest(key=first, range_end=kv.after_prefix(first)))
            parts = {it.key: it.value.decode() for it in found.kvs}
            version = int(parts.get(self._keys.control_version, "0"))
            text = parts.get(self._keys.control_text, "") if version else ""
        return None if version == known_version else ControlRecord(version, text)

    def write(self, record: ControlRecord, entry: str) -> bool:
        """See `ControlStore.write_control`: one round trip."""
        keys, version = self._keys, record.version
        then = [
            kv.put(keys.control_version, _number(version)),
            kv.put(keys.control_text, record.text.encode()),
            kv.put(keys.control_act, entry.encode()),
            kv.put(keys.act(version), AuditRow(version, self._clock.wall_ns(), entry)),
            kv.delete(keys.act(version - AUDIT_KEPT), kv.after_prefix(keys.acts)),
            kv.delete(keys.acts, keys.act(version)),  # of a record that a person has deleted
        ]
        done = [kv.same(keys.control_version, _number(version)), kv.same(keys.control_act, entry.encode())]
        with self._client.call("write_control") as call:
            written = kv.transaction([self._is_version(version - 1)], then, [kv.nested(kv.transaction(done, []))])
            answer = call.ask(TXN, written)
        return bool(answer.succeeded or answer.responses[0].response_txn.succeeded)

    def audit(self, limit: int, before: int | None) -> list[AuditRow]:
        """See `ControlStore`; one round trip for a thousand acts."""
        first = self._keys.acts if before is None else self._keys.act(before - 1)
        with self._client.call("audit") as call:
            found = Snapshot(call).between(first, kv.after_prefix(self._keys.acts), max(0, limit))
            return [msgspec.json.decode(it.value, type=AuditRow) for it in found]

    def unlock(self, resource: str, fence: int, detail: str) -> bool:
        """See `ControlStore`: two round trips, three for the lease of a claim."""
        keys = self._keys
        with self._client.call("unlock") as call:
            for _ in range(_TRIES):
                lease = self._locks.read_lease(call, resource)
                if lease.fence != fence:
                    return False
                still = [kv.created(keys.lease(resource), fence)]
                then = [kv.delete(keys.lease(resource)), kv.delete(keys.holder(resource))]
                for found in self._claims_with(call, lease):
                    still.append(kv.unchanged(found.key, found.mod_revision))
                    then += self._settled(found, detail)
                if call.ask(TXN, kv.transaction(still, then), again=False).succeeded:
                    self._watch.freed(resource)
                    return True
            raise call.give_up(f"others were faster {_TRIES} times in a row")

    def _is_version(self, version: int) -> Any:  # noqa: ANN401 - the client is not typed
        """Compare: this version stands."""
        key = self._keys.control_version
        return kv.same(key, _number(version)) if version > 0 else kv.absent(key)

    def _claims_with(self, call: Call, lease: LeaseState) -> list[Any]:
        """Return the open attempt that has this lease, if the lock was not taken by hand."""
        holder = lease.holder
        if not holder.job and lease.holder_revision:
            return []
        # A person may have deleted the key of the holder: then nothing says of which job it is.
        first = self._keys.opens_of(JobId(holder.service, holder.job)) if holder.job else self._keys.opens
        return [it for it in Snapshot(call).under(first) if Opened.read(it).fence == lease.fence]

    def _settled(self, found: Any, detail: str) -> list[Any]:  # noqa: ANN401
        """Return the operations that settle an open attempt as orphaned."""
        keys, opened = self._keys, Opened.read(found)
        ended = EndedRun(opened.run, opened.fence, "orphaned", self._clock.wall_ns(), shown_detail(detail))
        run = keys.run(keys.job_id(found.key), keys.due_ns(found.key), opened.run.attempt)
        return [kv.put(run, ended), kv.delete(found.key)]


def _number(version: int) -> bytes:
    return str(version).encode()
