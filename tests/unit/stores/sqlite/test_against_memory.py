"""The same random walk over SqliteStore and MemoryStore, under one clock: the same answers at every step."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from msgspec.structs import replace

from tickglass.sched.durations import SECOND
from tickglass.sched.identity import JobId
from tickglass.sched.lease import Lease
from tickglass.sched.ports import (
    MANUAL,
    SCHEDULED,
    ClaimAsk,
    ControlRecord,
    JobRecord,
    LeaseAsk,
    Orphan,
    Settlement,
)
from tickglass.sched.stores.memory.store import MemoryStore
from tickglass.sched.stores.retention import KEEP_MIN_NS
from tickglass.sched.stores.sqlite.store import SqliteStore
from tickglass.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickglass.sched.ports import Store

T = TypeVar("T")

# Few of each, so that they meet.
resources = st.sampled_from(["eu", "us"])
jobs = st.builds(JobId, st.sampled_from(["s", "t"]), st.sampled_from(["a", "ç"]))
owners = st.sampled_from(["n1", "n2"])
tokens = st.sampled_from([f"t{number}" for number in range(5)])
due_instants = st.integers(1, 4)
ttls = st.sampled_from([SECOND, 10 * SECOND])
kinds = st.sampled_from([SCHEDULED, SCHEDULED, MANUAL])
next_due_instants = st.none() | st.integers(2, 5)


@st.composite
def claims(draw: st.DrawFn) -> tuple[ClaimAsk, int | None]:
    """Return a claim, and the latest instant that is not too early."""
    job, token = draw(jobs), draw(tokens)
    lease = LeaseAsk(draw(resources), draw(owners), job.service, token, draw(ttls), job.name, f"run of {token}")
    ask = ClaimAsk(lease, draw(due_instants), draw(next_due_instants), draw(st.booleans()), kind=draw(kinds))
    return ask, draw(st.sampled_from([None, 2, 3]))


@st.composite
def settlements(draw: st.DrawFn) -> Settlement:
    token = draw(tokens)
    lease = Lease(draw(resources), "", token, 0, 0, 0)
    return Settlement(lease, *draw(jobs), draw(due_instants), f"run of {token}", "success", "d", 1, 2)


class TwinStores(RuleBasedStateMachine):
    """Every rule asks both; a run's id goes with its token, and both are used again and again."""

    def __init__(self) -> None:
        super().__init__()
        self.home = tempfile.TemporaryDirectory()
        self.clock = FakeClock()
        self.memory = MemoryStore(self.clock, keep_ns=KEEP_MIN_NS)
        self.sqlite = self._opened()

    def _opened(self) -> SqliteStore:
        return SqliteStore(f"{self.home.name}/jobs.db", self.clock, keep_ns=KEEP_MIN_NS)

    def both(self, ask: Callable[[Store], T]) -> T:
        expected, answer = ask(self.memory), ask(self.sqlite)
        assert answer == expected
        return answer

    @rule(resource=resources, owner=owners, token=tokens, ttl_ns=ttls)
    def acquire(self, resource: str, owner: str, token: str, ttl_ns: int) -> None:
        self.both(lambda store: store.acquire(LeaseAsk(resource, owner, "s", token, ttl_ns)))

    @rule(resource=resources, token=tokens, ttl_ns=ttls)
    def renew(self, resource: str, token: str, ttl_ns: int) -> None:
        self.both(lambda store: store.renew(Lease(resource, "", token, 0, ttl_ns, 0)))

    @rule(resource=resources, token=tokens)
    def release(self, resource: str, token: str) -> None:
        self.both(lambda store: store.release(Lease(resource, "", token, 0, 0, 0)))

    def bounded(self, claim: tuple[ClaimAsk, int | None]) -> ClaimAsk:
        ask, latest_ns = claim
        return replace(ask, max_ahead_ns=None if latest_ns is None else latest_ns - self.clock.wall_ns())

    @rule(claim=claims())
    def claim(self, claim: tuple[ClaimAsk, int | None]) -> None:
        self.both(lambda store: store.claim(self.bounded(claim)))

    @rule(batch=st.lists(claims(), max_size=4))
    def claim_many(self, batch: list[tuple[ClaimAsk, int | None]]) -> None:
        self.both(lambda store: store.claim_many([self.bounded(claim) for claim in batch]))

    @rule(settlement=settlements())
    def settle(self, settlement: Settlement) -> None:
        self.both(lambda store: store.settle(settlement))

    @rule(batch=st.lists(settlements(), max_size=4))
    def settle_many(self, batch: list[Settlement]) -> None:
        self.both(lambda store: store.settle_many(batch))

    @rule(resource=resources, token=tokens)
    def settle_whatever_runs(self, resource: str, token: str) -> None:
        for run in self.both(lambda store: store.runs(limit=3)):
            lease = Lease(resource, "", token, 0, 0, 0)
            ended = Settlement(lease, run.service, run.job, run.due_ns, run.run_id, "failure")
            self.both(lambda store, ended=ended: store.settle(ended))  # type: ignore[misc]

    @rule(wanted=st.lists(jobs), limit=st.integers(0, 3), abandon=st.booleans())
    def orphans(self, wanted: list[JobId], limit: int, *, abandon: bool) -> None:
        for orphan in self.both(lambda store: store.orphans(wanted, limit)):
            if abandon:
                self.both(lambda store, orphan=orphan: store.abandon(orphan))  # type: ignore[misc]

    @rule(job=jobs, due_ns=due_instants, attempt=st.integers(1, 2), token=tokens)
    def abandon(self, job: JobId, due_ns: int, attempt: int, token: str) -> None:
        self.both(lambda store: store.abandon(Orphan(*job, due_ns, attempt, f"run of {token}", "n1")))

    @rule(ids=st.lists(jobs, max_size=3), next_due_ns=next_due_instants, owner=owners)
    def register(self, ids: list[JobId], next_due_ns: int | None, owner: str) -> None:
        records = [JobRecord(job.name, "t", str(job), owner, job.service, 1, 2, None, next_due_ns) for job in ids]
        self.both(lambda store: store.register(records))

    @rule(version=st.integers(1, 4), text=st.sampled_from(["a", "b"]))
    def write_control(self, version: int, text: str) -> None:
        self.both(lambda store: store.write_control(ControlRecord(version, text), f"act {text}"))

    @rule(known_version=st.integers(-1, 4), limit=st.integers(0, 3), before=st.none() | st.integers(1, 4))
    def read_control(self, known_version: int, limit: int, before: int | None) -> None:
        self.both(lambda store: store.control(known_version))
        self.both(lambda store: list(store.audit(limit, before=before)))

    @rule(wrong_by=st.sampled_from([0, 0, 1]))
    def unlock(self, wrong_by: int) -> None:
        for lease in self.memory.leases(1):
            self.both(lambda store, it=lease: store.unlock(it.resource, it.fence + wrong_by, "by hand"))  # type: ignore[misc]

    @rule(by_ns=st.sampled_from([1, SECOND // 2, SECOND, 10 * SECOND, 90 * SECOND]))
    def let_pass(self, by_ns: int) -> None:
        self.clock.advance(by_ns)

    @rule(by_ns=st.sampled_from([-3_600 * SECOND, 3_600 * SECOND]))
    def set_the_wall_clock(self, by_ns: int) -> None:
        self.clock.step(by_ns)

    @rule()
    def reopen(self) -> None:
        self.sqlite.close()
        self.sqlite = self._opened()
        self.both(lambda store: store.register([]))  # both have pruned just now

    @invariant()
    def all_that_can_be_seen_is_the_same(self) -> None:
        self.both(lambda store: store.leases())
        self.both(lambda store: store.jobs())
        self.both(lambda store: store.runs())
        self.both(lambda store: store.runs(JobId("s", "a"), 2))

    def teardown(self) -> None:
        self.sqlite.close()
        self.home.cleanup()


TestTwinStores = TwinStores.TestCase
TestTwinStores.settings = settings(
    max_examples=60,
    stateful_step_count=50,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
