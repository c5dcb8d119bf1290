from __future__ import annotations

import pytest
from kit.sidecar_views import TTL_NS, ScriptedStore, SidecarRig

from tickglass.sched.identity import JobId
from tickglass.telemetry.sidecar.stores.ledger_cache import ATTEMPTS_MAX, LedgerCache, attempts_at

BUSY, QUIET = JobId("billing", "busy"), JobId("billing", "quiet")


@pytest.fixture
def rig() -> SidecarRig:
    return SidecarRig()


def test_attempts_of_a_busy_job_do_not_hide_those_of_a_quiet_one(rig: SidecarRig) -> None:
    rig.register("busy")
    rig.register("quiet")
    rig.settle(rig.claim("quiet", due_ns=1), "failure")
    for due_ns in range(2, 700):
        rig.settle(rig.claim("busy", due_ns=due_ns))
    store, attempts = ScriptedStore(rig.store), LedgerCache()
    attempts.read(store, rig.store.jobs())
    assert {name: len(runs) for name, runs in attempts.by_job().items()} == {BUSY: ATTEMPTS_MAX, QUIET: 1}
    assert store.asked == ["runs None", "runs billing/quiet"]
    rig.settle(rig.claim("busy", due_ns=700))
    attempts.read(store, rig.store.jobs())
    assert store.asked[2:] == ["runs None"], "nothing new is asked about by itself"
    assert [run.due_ns for run in attempts.by_job()[BUSY]] == list(range(661, 701))


def test_an_open_attempt_is_read_again_until_it_has_ended(rig: SidecarRig) -> None:
    rig.register("busy")
    rig.register("quiet")
    ask = rig.claim("quiet", due_ns=1)
    for due_ns in range(2, 700):
        rig.settle(rig.claim("busy", due_ns=due_ns))
    attempts = LedgerCache()
    attempts.read(rig.store, rig.store.jobs())
    assert [run.outcome for run in attempts.by_job()[QUIET]] == [None]
    rig.settle(ask)
    attempts.read(rig.store, rig.store.jobs())
    assert [run.outcome for run in attempts.by_job()[QUIET]] == ["success"]


def test_many_jobs_are_read_over_several_probes(rig: SidecarRig) -> None:
    for number in range(250):
        rig.register(f"job-{number}")
        rig.settle(rig.claim(f"job-{number}", due_ns=number))
    rig.register("busy")
    for due_ns in range(1_000, 1_600):
        rig.settle(rig.claim("busy", due_ns=due_ns))
    attempts, seen = LedgerCache(), []
    for _ in range(3):
        attempts.read(rig.store, rig.store.jobs())
        seen.append(len(attempts.by_job()))
    assert seen == [101, 201, 251]


def test_all_attempts_at_an_instant_are_found_wherever_the_pages_end(rig: SidecarRig) -> None:
    rig.register()
    rig.settle(rig.claim(due_ns=1))
    rig.claim(due_ns=5)
    rig.clock.advance(TTL_NS)
    rig.settle(rig.claim(due_ns=5))  # the second attempt: the claimant of the first died
    for newer in range(ATTEMPTS_MAX - 1):
        rig.settle(rig.claim(due_ns=10 + newer))

    def found(due_ns: int) -> list[tuple[int, int]]:
        return [(run.due_ns, run.attempt) for run in attempts_at(rig.store, JobId("billing", "nightly"), due_ns)]

    assert found(9) == [(5, 2), (5, 1)]
    assert found(4) == [(1, 1)]
    assert found(0) == [(1, 1)], "the oldest, where there is none"
    assert found(rig.clock.wall_ns()) == [(10 + ATTEMPTS_MAX - 2, 1)]
    assert attempts_at(rig.store, JobId("billing", "hourly"), 9) == []


def test_a_job_that_is_gone_is_forgotten(rig: SidecarRig) -> None:
    rig.register()
    rig.settle(rig.claim())
    attempts = LedgerCache()
    attempts.read(rig.store, rig.store.jobs())
    attempts.read(rig.store, [])
    assert attempts.by_job() == {}
