"""Read what a claim finds in the keys of an etcd store, and decide what it writes there.

Pure: messages, no I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from tickglass.sched.ports import Holder
from tickglass.sched.stores.etcd import keys as kv
from tickglass.sched.stores.etcd.keys import EndedRun, HolderEntry, LastClaim, LastEntry, Opened, OpenRun

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tickglass.sched.ports import ClaimAsk
    from tickglass.sched.stores.etcd.keys import Keys

__all__ = ["ClaimState", "ClaimWrites", "LeaseState", "claim_from", "claim_reads", "lease_from", "lease_reads"]

_NO_HOLDER: Final = HolderEntry("", "", "", 0, 0)


class LeaseState(NamedTuple):
    """A resource's lease and holder, as one read found them.

    Args:
        revision: the cluster's, at the time of the read.
        token: of the live lease, "" if there is none.
        fence: likewise, 0 if there is none.
        holder: with an empty owner if there is none.
        holder_revision: the revision that wrote it, 0 if there is none.
    """

    revision: int
    token: str
    fence: int
    lease_id: int
    holder: HolderEntry
    holder_revision: int

    @property
    def live(self) -> bool:
        """Whether the resource is held."""
        return self.fence > 0

    def as_holder(self) -> Holder:
        """Return the holder, as `Refused` names it."""
        return Holder(self.holder.owner, self.holder.service, self.holder.job, self.holder.run_id, self.fence)


def lease_reads(keys: Keys, resource: str) -> list[Any]:
    """Return the operations that read what `lease_from` understands."""
    return [kv.get(keys.lease(resource)), kv.get(keys.holder(resource))]


def lease_from(reply: Any, first: int = 0) -> LeaseState:  # noqa: ANN401 - the client is not typed
    """Read the answer to `lease_reads`, whose first part has this number."""
    lease, holder = kv.read(reply, first), kv.read(reply, first + 1)
    return LeaseState(
        reply.header.revision,
        "" if lease is None else lease.value.decode(),
        0 if lease is None else lease.create_revision,
        0 if lease is None else lease.lease,
        _NO_HOLDER if holder is None else msgspec.json.decode(holder.value, type=HolderEntry),
        0 if holder is None else holder.mod_revision,
    )


class ClaimWrites(NamedTuple):
    """What is written with a lease if it is granted to a run; nothing for a lock by hand.

    Args:
        compares: must hold, or else nothing is written.
        puts: to write.
        run: the attempt that is among them.
        claim: to write for those that watch claims.
    """

    compares: Sequence[Any] = ()
    puts: Sequence[Any] = ()
    run: OpenRun | None = None
    claim: LastClaim | None = None


class ClaimState(NamedTuple):
    """An occurrence and its resource, as one read found them.

    Args:
        begun: its unsettled attempt.
        ended: its latest settled attempt; it does not count while there is an unsettled one.
        last_due_ns: of the job's latest claimed occurrence, among the scheduled ones or among the others.
        last_revision: the revision that wrote it, 0 if none was claimed.
    """

    lease: LeaseState
    begun: Opened | None
    ended: EndedRun | None
    last_due_ns: int | None
    last_revision: int

    def next_attempt(self, ask: ClaimAsk, wall_ns: int) -> OpenRun:
        """Return the attempt that a claim begins."""
        lease, died = ask.lease, self.begun
        return OpenRun(
            lease.run_id,
            lease.owner,
            lease.service,
            lease.resource,
            wall_ns,
            1 if died is None else died.run.attempt + 1,
            "" if died is None else died.run.run_id,
            kind=ask.kind,
            declaration=ask.declaration,
        )

    def writes(self, keys: Keys, ask: ClaimAsk, run: OpenRun) -> ClaimWrites:
        """Return the comparisons that must hold, and what to write if they do.

        A latest claim that lies further ahead than any instance may claim now came from a wrong clock, and is
        overwritten.
        """
        job, due_ns, died = ask.job_id, ask.due_ns, self.begun
        compares = [kv.unchanged(keys.open(job, due_ns), 0 if died is None else died.revision)]
        puts = [kv.put(keys.open(job, due_ns), run)]
        if died is None:
            compares.append(kv.absent(keys.run(job, due_ns, run.attempt)))
        else:
            compares.append(kv.not_created(keys.lease(died.run.resource), died.fence))
            ended = EndedRun(died.run, died.fence, "orphaned", run.claimed_wall_ns)
            puts.append(kv.put(keys.run(job, due_ns, died.run.attempt), ended))
        believed = ask.max_ahead_ns is None or (self.last_due_ns or 0) <= run.claimed_wall_ns + ask.max_ahead_ns
        if self.last_due_ns is None or self.last_due_ns < due_ns or not believed:
            last = keys.last(job, ask.kind)
            compares.append(kv.unchanged(last, self.last_revision))
            puts.append(kv.put(last, LastEntry(due_ns, ask.next_due_ns, run.claimed_wall_ns)))
        return ClaimWrites(compares, puts, run, LastClaim(job.name, due_ns))


def claim_reads(keys: Keys, ask: ClaimAsk) -> list[Any]:
    """Return the operations that read what `claim_from` understands."""
    job, due_ns = ask.job_id, ask.due_ns
    ended = keys.runs_at(job, due_ns)
    return [
        *lease_reads(keys, ask.lease.resource),
        kv.get(keys.open(job, due_ns)),
        kv.get(ended, kv.after_prefix(ended), limit=1),
        kv.get(keys.last(job, ask.kind)),
    ]


def claim_from(reply: Any) -> ClaimState:  # noqa: ANN401
    """Read the answer to `claim_reads`."""
    begun, ended, last = (kv.read(reply, number) for number in (2, 3, 4))
    return ClaimState(
        lease_from(reply),
        None if begun is None else Opened.read(begun),
        None if ended is None else msgspec.json.decode(ended.value, type=EndedRun),
        None if last is None else msgspec.json.decode(last.value, type=LastEntry).due_ns,
        0 if last is None else last.mod_revision,
    )
