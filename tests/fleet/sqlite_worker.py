"""One process of a small fleet over a database file: `sqlite_worker.py race|toil|hog PATH OWNER`.

Tells what it got, a JSON array a line, after the store has answered.
"""

from __future__ import annotations

import itertools
import json
import random
import sys
import uuid
from typing import TYPE_CHECKING, Final

from tickglass import Scheduler
from tickglass.sched.clock import SystemClock, Wake
from tickglass.sched.durations import MS, SECOND
from tickglass.sched.identity import JobId
from tickglass.sched.lease import Lease
from tickglass.sched.ports import ClaimAsk, Claimed, Granted, LeaseAsk, Refused, Settlement
from tickglass.sched.stores import open_store

if TYPE_CHECKING:
    from tickglass.sched.ports import Store

OCCURRENCES: Final = 600
TTL_NS: Final = SECOND // 2


def tell(*facts: object) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def ask(job: str, due_ns: int, owner: str, resource: str, ttl_ns: int = 30 * SECOND) -> ClaimAsk:
    lease = LeaseAsk(resource, owner, "fleet", str(uuid.uuid4()), ttl_ns, job, uuid.uuid4().hex)
    return ClaimAsk(lease, due_ns)


def settle(store: Store, claim: ClaimAsk, fence: int) -> None:
    wish = claim.lease
    lease = Lease(wish.resource, wish.owner, wish.token, fence, wish.ttl_ns, 0)
    settled = store.settle(Settlement(lease, "fleet", wish.job, claim.due_ns, wish.run_id, "success"))
    if not settled.recorded:  # a busy machine may be later than the lease; its end is written all the same
        tell("wrong", claim.due_ns, fence)


def race(store: Store, owner: str, clock: SystemClock) -> None:
    """Claim the same occurrences as everybody else, each in its own order, all on one resource."""
    tell("ready", 0, 0)
    sys.stdin.readline()
    for due_ns in random.sample(range(OCCURRENCES), OCCURRENCES):
        claim = ask("nightly", due_ns, owner, "ledger")
        while True:
            answer = store.claim(claim)
            if isinstance(answer, Claimed):
                settle(store, claim, answer.fence)
                tell("claimed", due_ns, answer.fence)
            if not isinstance(answer, Refused):
                break
            clock.wait(clock.monotonic_ns() + random.randrange(MS), Wake())


def toil(store: Store, owner: str, _: SystemClock) -> None:
    """Claim and settle, and take and keep locks, until killed."""
    last_ns = max((run.due_ns for run in store.runs(JobId("fleet", owner), 1)), default=0)
    for due_ns in itertools.count(last_ns + 1):
        claim = ask(owner, due_ns, owner, f"resource of {owner} {due_ns}", TTL_NS)
        answer = store.claim(claim)
        if not isinstance(answer, Claimed):
            tell("wrong", due_ns, 0)
            continue
        tell("claimed", due_ns, answer.fence)
        settle(store, claim, answer.fence)
        tell("settled", due_ns, answer.fence)
        kept = LeaseAsk(f"lock of {owner} {due_ns}", owner, "fleet", str(uuid.uuid4()), TTL_NS)
        granted = store.acquire(kept)
        tell("kept" if isinstance(granted, Granted) else "wrong", due_ns, getattr(granted, "fence", 0))


def hog(_: Store, owner: str, clock: SystemClock) -> None:
    """Hold one lock nearly all the time, and want it again as soon as it is released; until killed."""
    with Scheduler(f"sqlite:///{path}", owner=owner, spool=f"{path}.{owner}") as scheduler:
        lock = scheduler.lock("hot")
        tell("ready", 0, 0)
        sys.stdin.readline()
        while True:
            with lock as lease:
                tell("held", 0, lease.fence)
                clock.wait(clock.monotonic_ns() + 50 * MS, Wake())


if __name__ == "__main__":
    _, task, path, name = sys.argv
    the_clock = SystemClock()
    the_store = open_store(f"sqlite:///{path}", the_clock)
    {"race": race, "toil": toil, "hog": hog}[task](the_store, name, the_clock)
    the_store.close()
