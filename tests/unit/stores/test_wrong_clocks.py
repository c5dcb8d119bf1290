"""A wrong clock, of an instance or of one server, dates nothing for the others and wins nothing by itself."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import SECOND
from tickglass.sched.lease import Lease
from tickglass.sched.ports import Ahead, AlreadyClaimed, ClaimAsk, Claimed, JobRecord, LeaseAsk, Refused, Settlement
from tickglass.sched.stores import open_store
from tickglass.sched.stores.redlock.votes import judge

if TYPE_CHECKING:
    from collections.abc import Callable

    from kit.servers import EtcdServer, RedisServer

HOUR: Final = 3_600 * SECOND
ALLOWED: Final = SECOND
JOB: Final = JobRecord("nightly", "every 1s", "nightly", "n1", "billing", 30 * SECOND, 0, None, 1)


class WrongClock(SystemClock):
    """The machine's clock, wrong by a constant."""

    def __init__(self, off_ns: int) -> None:
        self.off_ns = off_ns

    def wall_ns(self) -> int:
        return super().wall_ns() + self.off_ns


def claim_of(due_ns: int, run_id: str = "run", *, resource: str = "nightly") -> ClaimAsk:
    lease = LeaseAsk(resource, "n1", "billing", f"token of {run_id}", 30 * SECOND, "nightly", run_id)
    return ClaimAsk(lease, due_ns, max_ahead_ns=ALLOWED)


def wall_ns() -> int:
    return SystemClock().wall_ns()


# --- etcd


def test_an_instance_that_has_not_asked_for_the_time_yet_asks_before_it_claims(etcd: EtcdServer) -> None:
    store = open_store(etcd.url(prefix=f"/clocks/{uuid.uuid4()}"), WrongClock(HOUR))
    answer = store.claim(claim_of(wall_ns() + HOUR))
    assert isinstance(answer, Ahead)
    assert isinstance(store.claim(claim_of(wall_ns())), Claimed)
    store.close()


def test_a_clock_that_was_put_right_since_the_last_comparison_is_compared_again_before_a_claim_is_refused(
    etcd: EtcdServer,
) -> None:
    clock = WrongClock(-HOUR)
    store = open_store(etcd.url(prefix=f"/clocks/{uuid.uuid4()}"), clock)
    store.time_ns()
    store._clock._offset_ns -= HOUR  # type: ignore[attr-defined] # as if the host had stood still for an hour
    clock.off_ns = 0
    assert isinstance(store.claim(claim_of(wall_ns())), Claimed)
    store.close()


def test_a_host_with_a_wrong_clock_dates_claims_and_ends_by_the_clusters(etcd: EtcdServer) -> None:
    store = open_store(etcd.url(prefix=f"/clocks/{uuid.uuid4()}"), WrongClock(HOUR))
    store.time_ns()
    store.register([JOB])
    ask = claim_of(wall_ns())
    claimed = store.claim(ask)
    assert isinstance(claimed, Claimed)
    (lease,) = store.leases()
    store.settle(
        Settlement(
            Lease("nightly", "n1", ask.lease.token, claimed.fence, SECOND, 0),
            "billing",
            "nightly",
            ask.due_ns,
            "run",
            "failure",
        )
    )
    (run,), (job,) = store.runs(), store.jobs()
    for dated_ns in (lease.acquired_wall_ns, run.claimed_wall_ns, run.ended_wall_ns or 0, job.seen_wall_ns):
        assert abs(dated_ns - wall_ns()) < 10 * SECOND
    assert lease.held_ns < 10 * SECOND
    store.close()


# --- redlock


def _ahead(early_us: int) -> list[str]:
    return ["ahead", str(early_us)]


def _ours() -> list[str]:
    return ["claimed", "7", "", "1", ""]


def _refused() -> list[str]:
    return ["refused", "n2", "billing", "other", "run-2", "7", "20000000", "30000000000", "token"]


def test_one_server_whose_clock_is_behind_keeps_nobody_from_claiming() -> None:
    assert judge([_ours(), _ahead(5), _ours()], 2, 3).answer is None


def test_so_many_that_no_majority_is_left_without_them_refuse_a_claim_as_too_early() -> None:
    verdict = judge([_ahead(9), _ours(), _ahead(5)], 2, 3)
    assert (verdict.answer, verdict.split) == (Ahead(5_000), False)


def test_a_vote_that_a_silent_server_would_decide_is_refused_as_too_early() -> None:
    assert judge([_ahead(5), _ours()], 2, 3).answer == Ahead(5_000)


def test_a_server_that_calls_it_too_early_does_not_hide_who_has_the_resource() -> None:
    assert isinstance(judge([_ahead(5), _refused(), _refused()], 2, 3).answer, Refused)


def test_an_outcome_that_one_server_knows_counts_more_than_that_others_find_it_too_early() -> None:
    known = ["already", "n2", "success", "run-2", "billing", "7", "0", "5", "1"]
    assert judge([_ahead(5), known, _ahead(5)], 2, 3).answer == AlreadyClaimed("n2", "success")


def test_a_vote_taken_back_is_not_the_jobs_latest_claim_any_more(own_redis: Callable[..., RedisServer]) -> None:
    servers = [own_redis() for _ in range(3)]
    nodes = [open_store(server.url, SystemClock()) for server in servers]
    places = ",".join(f"127.0.0.1:{server.port}" for server in servers)
    store = open_store(f"redlock://{places}/0?timeout=200ms", SystemClock())
    store.register([JOB])
    before = claim_of(wall_ns() - HOUR, "before", resource="other")
    for voted_ns, last_ns in ((wall_ns(), None), (wall_ns() + SECOND // 2, before.due_ns)):
        for node in nodes[:2]:  # so that one server is left to vote for us
            assert not isinstance(node.claim(replace(claim_of(0), due_ns=-1)), Ahead)
        assert isinstance(store.claim(claim_of(voted_ns, f"run at {voted_ns}")), Refused)
        assert [job.last_due_ns for job in nodes[2].jobs()] == [last_ns]
        if last_ns is None:
            store.claim(before)
    for one in (*nodes, store):
        one.close()
