"""A person deletes one key, or all rows of one table: everything else goes on, in every store."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import pytest

from tickglass.sched.identity import JobId
from tickglass.sched.ports import MANUAL, Claimed, ControlRecord, Granted, InstanceRecord, Released, Settled

if TYPE_CHECKING:
    from contract.conftest import StoreKit

    from tickglass.sched.ports import Store

JOBS: Final = ("a", "b")
IDS: Final = [JobId("billing", name) for name in JOBS]
INSTANCE: Final = InstanceRecord("billing", "n1", "i1", "1.2.3", "f00d", "running")


def fill(kit: StoreKit, store: Store) -> int:
    """Write something of every kind (of each job an orphan, an ended run, one in progress); return a fence."""
    store.register([kit.job_record(name) for name in JOBS])
    store.join(INSTANCE, JOBS)
    assert store.write_control(ControlRecord(1, "text"), "act")
    assert isinstance(store.acquire(kit.ask("by-hand")), Granted)
    fence = 0
    for name in JOBS:
        orphaned, ended, runs = (kit.claim(name, due_ns=due_ns, resource=f"{name} {due_ns}") for due_ns in (1, 2, 3))
        assert isinstance(store.release(kit.lease(orphaned, store.claim(orphaned))), Released)
        assert store.settle(kit.settlement(ended, store.claim(ended))).recorded
        asked = kit.claim(name, due_ns=4, resource=f"{name} 4", kind=MANUAL)
        assert store.settle(kit.settlement(asked, store.claim(asked))).recorded
        answer = store.claim(runs)
        assert isinstance(answer, Claimed)
        fence = answer.fence
    return fence


def is_named_in(hole: str, job: str) -> bool:
    """Whether a key is that of a job, or of one of its resources."""
    return re.search(rf"[:/]{job}($|[ /%])", hole) is not None


def check(kit: StoreKit, store: Store, hole: str, fence: int) -> None:
    """Do everything once; what does not need the key has to be as it was."""
    leases, runs = store.leases(), store.runs()
    store.jobs(), store.abandoned(), store.instances(), store.job_set("f00d")
    assert len(leases) <= 3
    assert len(runs) <= 8
    record = store.control()
    assert record is not None
    assert len(store.audit()) <= 1
    assert store.write_control(ControlRecord(record.version + 1, "another"), "another act"), hole
    assert store.control(record.version) == ControlRecord(record.version + 1, "another"), hole
    found = {(it.job, it.due_ns) for it in store.orphans(IDS)}
    for job, other in (JOBS, JOBS[::-1]):
        if is_named_in(hole, job):
            assert (other, 1) in found, hole
    for orphan in store.orphans(IDS):
        again = kit.claim(orphan.job, orphan.due_ns, resource=f"{orphan.job} {orphan.due_ns}")
        answer = store.claim(again)
        assert isinstance(answer, Claimed), hole
        assert store.settle(kit.settlement(again, answer)) == Settled(recorded=True, released=True), hole
        assert not store.abandon(orphan), hole
    assert not any(it.due_ns == 1 for it in store.orphans(IDS)), f"{hole}: a claim that cannot be taken over for ever"
    for job in JOBS:
        new = kit.claim(job, due_ns=9)
        answer = store.claim(new)
        assert isinstance(answer, Claimed), hole
        assert answer.fence > fence, hole
        assert store.settle(kit.settlement(new, answer)).recorded, hole
    assert isinstance(store.acquire(kit.ask("another")), Granted)
    store.register([kit.job_record(name) for name in JOBS])
    assert [job.name for job in store.jobs()] == list(JOBS), hole
    kit.forget(store)


def test_without_any_one_key_everything_else_goes_on(kit: StoreKit, store: Store) -> None:
    if kit.holes is None:
        pytest.skip("nobody can delete a part of it")
    fill(kit, store)
    names = sorted(kit.holes())
    assert names
    for name in names:
        kit.wipe()
        fence = fill(kit, store)
        kit.holes()[name]()
        check(kit, store, name, fence)
