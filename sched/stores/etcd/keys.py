"""Say which keys an etcd store has, what is in them, and how a transaction over them is written.

Pure: messages, no I/O. Names are percent-encoded, so they are readable with etcdctl and hold no "/". Instants
and attempts are written so that the newest comes first, because etcd reads a range upwards.

    /layout                       the layout of these keys, see layout.py
    /lease/RESOURCE               the token; attached to an etcd lease, so etcd deletes it when that ends
    /holder/RESOURCE              the present or last holder of that lease; until it is released, taken or long ended
    /opened/SERVICE/JOB/DUE       an unsettled attempt
    /runs/SERVICE/JOB/DUE/ATTEMPT a settled attempt
    /jobs/SERVICE/JOB             what schedulers registered
    /latest/SERVICE/JOB           its latest scheduled occurrence that was claimed
    /asked/SERVICE/JOB            its latest occurrence of another kind that was claimed: a job that was only run by
                                  hand is found by this key
    /claims/SERVICE/OWNER         the claim that this owner won last, for those that watch; gone with an etcd lease
    /instances/INCARNATION        the record of an instance; versions before it do not read it, nor the next one
    /jobsets/FINGERPRINT/FROM     names of the jobs of instances with this fingerprint, a thousand from that number on
    /control/version, /text, /act what operators have asked for, and the latest act
    /acts/VERSION                 the acts that made its versions (instances before these do not read any of the two)
    /last/JOB                     what keeps instances of layout 1 from a job of that name: they cannot read it

The fence of a lease is the revision of the transaction that granted it: the create revision of its lease key,
and the modification revision of its opened key, and of its holder key until that is marked as ended. Where one of
these two was written anew later, it holds the fence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote, unquote

import msgspec
from aetcd import rpc

from tickglass.sched.identity import JobId
from tickglass.sched.ports import SCHEDULED

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "EndedRun",
    "HolderEntry",
    "Keys",
    "LastClaim",
    "LastEntry",
    "OpenRun",
    "Opened",
    "absent",
    "after_prefix",
    "created",
    "delete",
    "due_of",
    "get",
    "nested",
    "not_created",
    "present",
    "put",
    "read",
    "same",
    "transaction",
    "unchanged",
]

_DUE_MAX: Final = 10**19  # above any instant of 64 bits
_ATTEMPT_MAX: Final = 10**6
_VERSION_MAX: Final = 10**19


class HolderEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """The holder of a lease, or of the one that expired last.

    Args:
        ended_wall_ns: when it was first found that the lease had ended, 0 until then.
        fence: the lease's fence, once its end was noted, because that write has a revision of its own.
        stop: why its run is asked to stop; nothing writes it yet.
    """

    token: str
    owner: str
    service: str
    ttl_ns: int
    acquired_wall_ns: int
    job: str = ""
    run_id: str = ""
    expired_owner: str = ""
    ended_wall_ns: int = 0
    fence: int = 0
    stop: str = ""


class OpenRun(msgspec.Struct, frozen=True, omit_defaults=True):
    """An unsettled attempt.

    Args:
        kind: what asked for it.
        not_before_ns: from when on it may start; nothing writes it yet.
        fence: that of its lease, if a migration wrote it anew; else 0: it is the revision that wrote it.
    """

    run_id: str
    owner: str
    service: str
    resource: str
    claimed_wall_ns: int
    attempt: int = 1
    previous_run_id: str = ""
    kind: str = SCHEDULED
    not_before_ns: int | None = None
    fence: int = 0
    declaration: str = ""


class EndedRun(msgspec.Struct, frozen=True, omit_defaults=True):
    """A settled attempt."""

    claim: OpenRun
    fence: int
    outcome: str
    ended_wall_ns: int
    detail: str = ""
    started_wall_ns: int | None = None
    lateness_ns: int | None = None
    ran_ns: int | None = None


class LastClaim(msgspec.Struct, frozen=True, array_like=True):
    """The occurrence that an owner claimed last."""

    job: str
    due_ns: int


class LastEntry(msgspec.Struct, frozen=True):
    """A job's latest claimed occurrence, scheduled or of another kind, and what was due next then."""

    due_ns: int
    next_due_ns: int | None
    seen_wall_ns: int


class Opened(NamedTuple):
    """An unsettled attempt as it was found.

    Args:
        revision: that wrote it.
    """

    run: OpenRun
    revision: int

    @classmethod
    def read(cls, found: Any) -> Opened:  # noqa: ANN401 - the client is not typed
        """Read a key-value."""
        return cls(msgspec.json.decode(found.value, type=OpenRun), found.mod_revision)

    @property
    def fence(self) -> int:
        """The fence of its lease."""
        return self.run.fence or self.revision


class Keys:
    """The keys under one prefix."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.layout = self._key("layout")
        self.leases = self._key("lease", "")
        self.holders = self._key("holder", "")
        self.opens = self._key("opened", "")
        self.jobs = self._key("jobs", "")
        self.lasts = self._key("latest", "")
        self.askeds = self._key("asked", "")
        self.claims = self._key("claims", "")
        self.instances = self._key("instances", "")
        self.job_sets = self._key("jobsets", "")
        self.control = self._key("control", "")
        self.control_version = self._key("control", "version")
        self.control_text = self._key("control", "text")
        self.control_act = self._key("control", "act")
        self.acts = self._key("acts", "")

    def lease(self, resource: str) -> bytes:
        """Where a live lease's token is."""
        return self._key("lease", _quoted(resource))

    def holder(self, resource: str) -> bytes:
        """Where its holder is."""
        return self._key("holder", _quoted(resource))

    def open(self, job: JobId, due_ns: int) -> bytes:
        """Where an occurrence's attempt is while it is not settled."""
        return self._key("opened", *_of(job), _due(due_ns))

    def opens_of(self, job: JobId) -> bytes:
        """What all of these begin with."""
        return self._key("opened", *_of(job), "")

    def run(self, job: JobId, due_ns: int, attempt: int) -> bytes:
        """Where a settled attempt is."""
        return self._key("runs", *_of(job), _due(due_ns), f"{_ATTEMPT_MAX - attempt:07d}")

    def runs_at(self, job: JobId, due_ns: int) -> bytes:
        """What an occurrence's settled attempts begin with; the latest comes first."""
        return self._key("runs", *_of(job), _due(due_ns), "")

    def runs_of(self, job: JobId) -> bytes:
        """What a job's settled attempts begin with; the latest comes first."""
        return self._key("runs", *_of(job), "")

    def job(self, job: JobId) -> bytes:
        """Where a job's record is."""
        return self._key("jobs", *_of(job))

    def last(self, job: JobId, kind: str = SCHEDULED) -> bytes:
        """Where its latest claimed occurrence of this kind is; all kinds but the scheduled one share a key."""
        return self._key("latest" if kind == SCHEDULED else "asked", *_of(job))

    def claim_by(self, service: str, owner: str) -> bytes:
        """Where the claim is that an owner won last."""
        return self._key("claims", _quoted(service), _quoted(owner))

    def claims_of_others(self, service: str, owner: str) -> tuple[tuple[bytes, bytes], tuple[bytes, bytes]]:
        """Return the two ranges that hold the last claims of the others: before the owner's own key, and after it."""
        all_of, own = self._key("claims", _quoted(service), ""), self.claim_by(service, owner)
        return (all_of, own), (own + b"\0", after_prefix(all_of))

    def instance(self, incarnation: str) -> bytes:
        """Where the record of an instance is."""
        return self._key("instances", _quoted(incarnation))

    def job_set(self, fingerprint: str) -> bytes:
        """What the parts of a job set begin with."""
        return self._key("jobsets", _quoted(fingerprint), "")

    def job_set_part(self, fingerprint: str, first: int) -> bytes:
        """Where its names are from this number on; the parts lie in order."""
        return self._key("jobsets", _quoted(fingerprint), f"{first:07d}")

    def act(self, version: int) -> bytes:
        """Where the act is that made a version; the latest comes first."""
        return self._key("acts", f"{_VERSION_MAX - version:020d}")

    def old(self, *parts: str) -> bytes:
        """Return a key of layout 1, or what such keys begin with: "job", "open", "run" or "last", then its parts."""
        return self._key(*parts)

    def refusing_old(self, name: str) -> bytes:
        """Where instances of layout 1 read the latest claim of a job of this name."""
        return self._key("last", _quoted(name))

    def reaching(self, prefix: bytes, due_ns: int) -> bytes:
        """Return the prefix of the oldest of a job's keys that are not due before this."""
        return prefix + _due(due_ns).encode() + b"/"

    def due_before(self, job: JobId, due_ns: int) -> bytes:
        """Return where the settled attempts of a job begin that were due before this."""
        return self.before(self.runs_of(job), due_ns)

    def before(self, prefix: bytes, due_ns: int) -> bytes:
        """Return where the keys of a job begin that were due before this; the newest of them comes first."""
        return prefix + _due(due_ns - 1).encode()

    def resource(self, key: bytes) -> str:
        """Return the resource of a lease or a holder key."""
        return self.parts(key)[1]

    def job_id(self, key: bytes) -> JobId:
        """Return the job of any other key."""
        _, service, name, *_ = self.parts(key)
        return JobId(service, name)

    def due_ns(self, key: bytes) -> int:
        """Return the instant of an opened or a runs key."""
        return due_of(self.parts(key)[3])

    def parts(self, key: bytes) -> list[str]:
        """Return the parts of a key behind the prefix, unquoted."""
        return [unquote(part.decode()) for part in key[len(self._prefix) + 1 :].split(b"/")]

    def _key(self, *parts: str) -> bytes:
        return "/".join((self._prefix, *parts)).encode()


def _quoted(name: str) -> str:
    return quote(name, safe="")


def _of(job: JobId) -> tuple[str, str]:
    return _quoted(job.service), _quoted(job.name)


def due_of(text: str) -> int:
    """Return the instant that stands in a key."""
    return _DUE_MAX - int(text)


def _due(due_ns: int) -> str:
    return f"{_DUE_MAX - due_ns:020d}"


# --- messages


def transaction(compares: Sequence[Any], then: Sequence[Any], otherwise: Sequence[Any] = ()) -> Any:  # noqa: ANN401 - the client is not typed
    """Return a transaction: if all of `compares` hold, `then`, else `otherwise`."""
    return rpc.TxnRequest(compare=compares, success=then, failure=otherwise)


def get(key: bytes, end: bytes = b"", limit: int = 0, **more: Any) -> Any:  # noqa: ANN401
    """Return the operation that reads a key, or a range up to `end`."""
    return rpc.RequestOp(request_range=rpc.RangeRequest(key=key, range_end=end, limit=limit, **more))


def put(key: bytes, value: object, lease_id: int = 0, **more: Any) -> Any:  # noqa: ANN401
    """Return the operation that writes a key."""
    content = value if isinstance(value, bytes) else msgspec.json.encode(value)
    return rpc.RequestOp(request_put=rpc.PutRequest(key=key, value=content, lease=lease_id, **more))


def delete(key: bytes, end: bytes = b"") -> Any:  # noqa: ANN401
    """Return the operation that deletes a key, or a range up to `end`, as far as there are such keys."""
    return rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=key, range_end=end))


def nested(request: Any) -> Any:  # noqa: ANN401
    """Return the operation that is a transaction of its own."""
    return rpc.RequestOp(request_txn=request)


def absent(key: bytes, end: bytes = b"") -> Any:  # noqa: ANN401
    """Compare: there is no such key, or none up to `end`."""
    return rpc.Compare(target=rpc.Compare.VERSION, key=key, range_end=end, version=0)


def present(key: bytes) -> Any:  # noqa: ANN401
    """Compare: there is such a key."""
    return rpc.Compare(target=rpc.Compare.VERSION, result=rpc.Compare.GREATER, key=key, version=0)


def unchanged(key: bytes, revision: int) -> Any:  # noqa: ANN401
    """Compare: the key was last written at this revision; 0: it is not there."""
    return rpc.Compare(target=rpc.Compare.MOD, key=key, mod_revision=revision)


def same(key: bytes, value: bytes) -> Any:  # noqa: ANN401
    """Compare: the key is there and holds this."""
    return rpc.Compare(target=rpc.Compare.VALUE, key=key, value=value)


def created(key: bytes, revision: int) -> Any:  # noqa: ANN401
    """Compare: the key is there, and was created at this revision."""
    return rpc.Compare(target=rpc.Compare.CREATE, key=key, create_revision=revision)


def not_created(key: bytes, revision: int) -> Any:  # noqa: ANN401
    """Compare: the key is not there, or was created at another revision."""
    return rpc.Compare(target=rpc.Compare.CREATE, result=rpc.Compare.NOT_EQUAL, key=key, create_revision=revision)


def read(reply: Any, number: int = 0) -> Any:  # noqa: ANN401
    """Return the first key-value that one `get` of a transaction found, or None."""
    found = reply.responses[number].response_range.kvs
    return found[0] if found else None


def replaced(reply: Any, number: int) -> Any:  # noqa: ANN401
    """Return the key-value that one `put` of a transaction, asked for `prev_kv`, found in its place, or None."""
    put_there = reply.responses[number].response_put
    return put_there.prev_kv if put_there.HasField("prev_kv") else None


def after_prefix(prefix: bytes) -> bytes:
    """Return where the keys with this prefix end; its last byte is a "/"."""
    return prefix[:-1] + bytes([prefix[-1] + 1])
