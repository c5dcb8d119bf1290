"""Build the arguments of the scripts, and read their answers.

Pure but for reading the scripts from this package, once. Each .lua file opens with
its KEYS, ARGV and result; common.lua names the keys, and what a script uses of it is put in front of it.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from importlib.resources import files
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tickglass.sched.identity import JobId
from tickglass.sched.ports import (
    Ahead,
    AlreadyClaimed,
    Claimed,
    Gone,
    Granted,
    Holder,
    JobRecord,
    LeaseRecord,
    Orphan,
    Refused,
    Released,
    Renewed,
    RunRecord,
    Settled,
)
from tickglass.sched.ports.missing import MissingKind, MissingRecord
from tickglass.sched.registration import Registered
from tickglass.sched.stores.redis.channels import claims_seat
from tickglass.sched.stores.redis.script_text import with_what_it_uses
from tickglass.sched.stores.retention import shown_detail

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tickglass.sched.lease import Lease
    from tickglass.sched.ports import ClaimAnswer, ClaimAsk, LeaseAsk, Settlement

__all__ = [
    "ABANDON",
    "ACQUIRE",
    "CHECK_OPEN",
    "CLAIM",
    "CLAIM_MANY",
    "DROP_MISSING",
    "FORGET",
    "JOBS",
    "LEASES",
    "MIGRATE",
    "ORPHANS",
    "PRUNE",
    "PRUNE_LEASES",
    "REGISTER",
    "RELEASE",
    "RENEW",
    "RIGHTS",
    "RUNS",
    "SETTLE",
    "SETTLE_MANY",
    "UNREGISTERED",
    "Script",
    "abandon_args",
    "acquire_args",
    "acquired",
    "batch_args",
    "can_be_sent",
    "claim_args",
    "claimed",
    "due_text",
    "failure_in",
    "is_settled_as",
    "is_whole",
    "job_args",
    "job_record",
    "lease_record",
    "load_script",
    "missing_attempt",
    "missing_job",
    "missing_lease",
    "missing_open",
    "orphan",
    "read_claim_message",
    "registered",
    "release_args",
    "released",
    "renew_args",
    "renewed",
    "run_record",
    "settle_args",
    "settled",
    "too_early",
]

Argument = str | int
_PACKAGE: Final = "tickglass.sched.stores.redis"
_DB_0: Final = "local DB = 0\n"  # the first line of a script
_DUE_DIGITS: Final = 20
_WHOLE_ROW: Final = 3  # columns at least: a shorter row names what is missing
_OUTCOME, _KIND = 9, 13  # their places in an attempt's list
_DUE_OFFSET: Final = 2**63  # makes texts of 20 digits sort like the instants, negative ones included


class Script(NamedTuple):
    """A script and the name under which a server that has seen it knows it."""

    text: str
    sha: str
    writes: bool = True

    def on(self, db: int) -> Script:
        """Return the script for a database: only the names of channels depend on it."""
        return self if db == 0 else _script_on(self, db)


@lru_cache(maxsize=256)  # some twenty scripts, in a few databases
def _script_on(script: Script, db: int) -> Script:
    return _script(script.text.replace(_DB_0, f"local DB = {db}\n", 1), writes=script.writes)


def _script(text: str, *, writes: bool) -> Script:
    return Script(text, hashlib.sha1(text.encode()).hexdigest(), writes)  # noqa: S324 - Redis names scripts so


def load_script(
    name: str, *, package: str = _PACKAGE, writes: bool = True, checks: bool = True, batch: bool = False
) -> Script:
    """Return the script `name`.lua of a package, with what it needs of common.lua in front of it.

    Args:
        checks: whether it is refused on keys of another layout.
        batch: whether it is run for each of many items, see batch.lua.
    """
    begin = f"{_DB_0}local WRITES, CHECKS = {str(writes).lower()}, {str(checks).lower()}\n"
    own = _lua(name, package)
    if batch:
        own = f"local function one(ARGV)\n{own}end\n{_lua('batch')}"
    return _script(begin + with_what_it_uses(_lua("common"), own), writes=writes)


def _lua(name: str, package: str = _PACKAGE) -> str:
    return (files(package) / f"{name}.lua").read_text("utf-8")


ACQUIRE: Final = load_script("acquire")
RENEW: Final = load_script("renew")
RELEASE: Final = load_script("release")
CLAIM: Final = load_script("claim")
SETTLE: Final = load_script("settle")
CLAIM_MANY: Final = load_script("claim", batch=True)
SETTLE_MANY: Final = load_script("settle", batch=True)
REGISTER: Final = load_script("register")
ORPHANS: Final = load_script("orphans", writes=False)
ABANDON: Final = load_script("abandon")
FORGET: Final = load_script("forget")
PRUNE: Final = load_script("prune")
CHECK_OPEN: Final = load_script("check_open")
DROP_MISSING: Final = load_script("drop_missing")
PRUNE_LEASES: Final = load_script("prune_leases")
LEASES: Final = load_script("leases", writes=False)
JOBS: Final = load_script("jobs", writes=False)
UNREGISTERED: Final = load_script("unregistered", writes=False)
RUNS: Final = load_script("runs", writes=False)
RIGHTS: Final = load_script("rights", writes=False, checks=False)
MIGRATE: Final = load_script("migrate", checks=False)


# --- arguments


def acquire_args(ask: LeaseAsk, least_fence: int = 0) -> tuple[Argument, ...]:
    """Return ARGV of ACQUIRE, with which CLAIM's begins too; the least fence is also the number of the request."""
    who = (ask.resource, ask.token, ask.owner, ask.service, ask.job, ask.run_id)
    return (*who, ask.ttl_ns, _ms(ask.ttl_ns), least_fence)


def claim_args(ask: ClaimAsk, least_fence: int = 0) -> tuple[Argument, ...]:
    """Return ARGV of CLAIM."""
    what = (due_text(ask.due_ns), _text(ask.next_due_ns), int(ask.rerun))
    when = (ask.due_ns // 1_000, "" if ask.max_ahead_ns is None else ask.max_ahead_ns // 1_000)
    job = (str(ask.job_id), ask.declaration, claims_seat(ask.lease.owner), ask.kind)
    return (*acquire_args(ask.lease, least_fence), *what, *when, *job)


def batch_args(items: Sequence[tuple[Argument, ...]]) -> tuple[Argument, ...]:
    """Return ARGV of CLAIM_MANY or SETTLE_MANY from that of each item; there is at least one."""
    return (len(items[0]), *chain.from_iterable(items))


def can_be_sent(words: Sequence[Argument]) -> bool:
    """Whether these words are text; halves of characters are not."""
    try:
        "".join(map(str, words)).encode()
    except UnicodeError:
        return False
    return True


def release_args(lease: Lease, question: int) -> tuple[Argument, ...]:
    """Return ARGV of RELEASE; a lease from a later request than this, or with a greater fence, is not released."""
    return lease.resource, lease.token, question


def renew_args(lease: Lease) -> tuple[Argument, ...]:
    """Return ARGV of RENEW."""
    return lease.resource, lease.token, lease.ttl_ns, _ms(lease.ttl_ns)


def settle_args(settlement: Settlement, call: str) -> tuple[Argument, ...]:
    """Return ARGV of SETTLE; `call` is the id of this call."""
    which = (settlement.lease.resource, settlement.lease.token, str(settlement.job_id), settlement.run_id)
    how = (settlement.outcome, shown_detail(settlement.detail))
    when = (_text(settlement.started_wall_ns), _text(settlement.lateness_ns))
    after_ns = settlement.started_after_ns
    took = ("" if after_ns is None else after_ns // 1_000, _text(settlement.ran_ns))
    return (*which, due_text(settlement.due_ns), *how, *when, call, *took)


def abandon_args(orphan: Orphan, call: str) -> tuple[Argument, ...]:
    """Return ARGV of ABANDON; `call` is the id of this call."""
    due = due_text(orphan.due_ns)
    return str(orphan.job_id), due, f"{due}/{orphan.attempt:06d}", orphan.run_id, call


def job_args(job: JobRecord) -> tuple[Argument, ...]:
    """Return one job's part of ARGV of REGISTER."""
    record = (job.trigger, job.resource, job.owner, job.service, job.ttl_ns, job.grace_ns, job.timeout_ns)
    return str(job.job_id), json.dumps(record), _text(job.next_due_ns)


def due_text(due_ns: int) -> str:
    """Return a due instant as it stands in the keys."""
    return f"{due_ns + _DUE_OFFSET:020d}"


# --- answers


def acquired(reply: Sequence[Any]) -> Granted | Refused:
    """Read the answer of ACQUIRE."""
    return Granted(int(reply[1]), reply[2]) if reply[0] == "granted" else _refused(reply)


def failure_in(reply: Sequence[Any]) -> str | None:
    """Return the error in an item's answer of CLAIM_MANY or SETTLE_MANY; None if it is that of CLAIM or SETTLE."""
    return reply[1] if reply[0] == "failed" else None


def settled(reply: Sequence[Any], settlement: Settlement) -> Settled:
    """Read the answer of SETTLE."""
    recorded, released, _, packed = reply
    return Settled(recorded == 1, released == 1, recorded == 0 and is_settled_as(packed, settlement))


def is_settled_as(packed: str, settlement: Settlement) -> bool:
    """Whether the attempt in SETTLE's answer has this outcome; "" is no attempt."""
    return bool(packed) and json.loads(packed)[_OUTCOME] == settlement.outcome


def renewed(reply: Sequence[Any]) -> Renewed | Gone:
    """Read the answer of RENEW."""
    return Renewed() if reply[0] == "renewed" else Gone(reply[1])


def released(reply: Sequence[Any]) -> Released | Gone:
    """Read the answer of RELEASE."""
    return Released() if reply[0] == "released" else Gone(reply[1])


def claimed(reply: Sequence[Any]) -> ClaimAnswer:
    """Read the answer of CLAIM."""
    if reply[0] == "claimed":
        return Claimed(int(reply[1]), int(reply[3]), reply[4], reply[2])
    if reply[0] == "already":
        return AlreadyClaimed(reply[1], reply[2] or None)
    return too_early(reply) if reply[0] == "ahead" else _refused(reply)


def too_early(reply: Sequence[Any]) -> Ahead:
    """Read CLAIM's answer to a claim that comes too early."""
    return Ahead(int(reply[1]) * 1_000)


def orphan(row: Sequence[Any]) -> Orphan:
    """Read one row of ORPHANS."""
    job, attempt_key, packed = row
    run = json.loads(packed)
    return Orphan(*JobId.read(job), *_due_and_attempt(attempt_key), run[0], run[1], run[_KIND])


def job_record(row: Sequence[Any]) -> JobRecord:
    """Read one row of JOBS, or the first part of a row of REGISTER."""
    job, record, next_due_ns, last_due, seen_us = row
    trigger, resource, owner, service, ttl_ns, grace_ns, timeout_ns = json.loads(record)
    return JobRecord(
        JobId.read(job).name,
        trigger,
        resource,
        owner,
        service,
        ttl_ns,
        grace_ns,
        timeout_ns,
        _number(next_due_ns),
        int(last_due) - _DUE_OFFSET if last_due else None,
        int(seen_us) * 1_000,
    )


def registered(row: Sequence[Any]) -> Registered:
    """Read one row of REGISTER."""
    job, _, _, last_due, _, *before = row
    if not before:
        return Registered(job_record(row[:5]))
    record, next_due_ns, seen_us = before
    return Registered(job_record(row[:5]), job_record((job, record, next_due_ns, last_due, seen_us)))


def lease_record(row: Sequence[Any]) -> LeaseRecord:
    """Read one row of LEASES."""
    resource, owner, service, job, run_id, *numbers = row
    fence, ttl_ns, acquired_us, held_us, rest_us = map(int, numbers)
    ages = (max(0, held_us * 1_000), min(rest_us * 1_000, ttl_ns))
    return LeaseRecord(resource, owner, service, job, run_id, fence, ttl_ns, acquired_us * 1_000, *ages)


def run_record(row: Sequence[Any]) -> RunRecord:
    """Read one row of RUNS or ORPHANS."""
    job, attempt_key, packed = row
    run_id, owner, service, _, resource, fence, claimed_us, *rest = json.loads(packed)
    started_ns, ended_us, outcome, detail, lateness_ns, _, kind, not_before_ns, ran_ns, declaration = rest
    return RunRecord(
        JobId.read(job).name,
        *_due_and_attempt(attempt_key),
        owner,
        service,
        run_id,
        resource,
        int(fence),
        int(claimed_us) * 1_000,
        _number(started_ns),
        int(ended_us) * 1_000 if ended_us else None,
        outcome or None,
        detail,
        _number(lateness_ns),
        kind,
        _number(not_before_ns),
        _number(ran_ns),
        declaration,
    )


def is_whole(row: Sequence[Any]) -> bool:
    """Whether a row of LEASES, JOBS, RUNS or ORPHANS has something; else it only names what was deleted by hand."""
    return len(row) >= _WHOLE_ROW


def missing_lease(resource: str) -> MissingRecord:
    """Return what says that a lease is missing."""
    return MissingRecord(MissingKind.LEASE, resource)


def missing_job(job: str) -> MissingRecord:
    """Return what says that the record of a JOB is missing."""
    return MissingRecord(MissingKind.JOB, job)


def missing_attempt(job: str, _attempt_key: str) -> MissingRecord:
    """Return what says that the row of an attempt is missing: of which job, because all of a job's are in one key."""
    return MissingRecord(MissingKind.ATTEMPT, job)


def missing_open(job: str, _attempt_key: str) -> MissingRecord:
    """Return what says that the list of open claims lacks an attempt of a job."""
    return MissingRecord(MissingKind.OPEN, job)


def read_claim_message(message: str) -> tuple[str, int, str]:
    """Read a message about a claim: job, due_ns, owner.

    Raises:
        ValueError: it is not from Tickglass, because any client may publish.
    """
    job, _, owner = message[_DUE_DIGITS:].partition("\0")
    return job, int(message[:_DUE_DIGITS]) - _DUE_OFFSET, owner


def _refused(reply: Sequence[Any]) -> Refused:
    _, owner, service, job, run_id, fence, rest_us, ttl_ns, _ = reply
    # Redis ends a key up to a millisecond after its time to live.
    rest_ns = min(int(rest_us) * 1_000, int(ttl_ns))
    return Refused(Holder(owner, service, job, run_id, int(fence)), rest_ns)


def _due_and_attempt(attempt_key: str) -> tuple[int, int]:
    due, attempt = attempt_key.split("/")
    return int(due) - _DUE_OFFSET, int(attempt)


def _ms(ttl_ns: int) -> int:
    return -(-ttl_ns // 1_000_000)  # rounded up: no lease is shorter than requested


def _text(number: int | None) -> str:
    return "" if number is None else str(number)


def _number(text: str) -> int | None:
    return int(text) if text else None
