from __future__ import annotations

import pytest
from kit.sidecar_views import TTL_NS, Lookout, ScriptedStore

from tickglass.telemetry.sidecar.stores.ledger_cache import ATTEMPTS_MAX, Attempts, attempts_at


@pytest.fixture
def lookout() -> Lookout:
    return Lookout()


def test_attempts_of_a_busy_job_do_not_hide_those_of_a_quiet_one(lookout: Lookout) -> None:
    lookout.register("busy")
    lookout.register("quiet")
    lookout.settle(lookout.claim("quiet", due_ns=1), "failure")
    for due_ns in range(2, 700):
        lookout.settle(lookout.claim("busy", due_ns=due_ns))
    store, attempts = ScriptedStore(lookout.store), Attempts()
    attempts.read(store, lookout.store.jobs())
    assert {name: len(runs) for name, runs in attempts.by_job().items()} == {"busy": ATTEMPTS_MAX, "quiet": 1}
    assert store.asked == ["runs None", "runs quiet"]
    lookout.settle(lookout.claim("busy", due_ns=700))
    attempts.read(store, lookout.store.jobs())
    assert store.asked[2:] == ["runs None"], "nothing new is asked about by itself"
    assert [run.due_ns for run in attempts.by_job()["busy"]] == list(range(661, 701))


def test_an_open_attempt_is_read_again_until_it_has_ended(lookout: Lookout) -> None:
    lookout.register("busy")
    lookout.register("quiet")
    ask = lookout.claim("quiet", due_ns=1)
    for due_ns in range(2, 700):
        lookout.settle(lookout.claim("busy", due_ns=due_ns))
    attempts = Attempts()
    attempts.read(lookout.store, lookout.store.jobs())
    assert [run.outcome for run in attempts.by_job()["quiet"]] == [None]
    lookout.settle(ask)
    attempts.read(lookout.store, lookout.store.jobs())
    assert [run.outcome for run in attempts.by_job()["quiet"]] == ["success"]


def test_many_jobs_are_read_over_several_looks(lookout: Lookout) -> None:
    for number in range(250):
        lookout.register(f"job-{number}")
        lookout.settle(lookout.claim(f"job-{number}", due_ns=number))
    lookout.register("busy")
    for due_ns in range(1_000, 1_600):
        lookout.settle(lookout.claim("busy", due_ns=due_ns))
    attempts, seen = Attempts(), []
    for _ in range(3):
        attempts.read(lookout.store, lookout.store.jobs())
        seen.append(len(attempts.by_job()))
    assert seen == [101, 201, 251]


def test_all_attempts_at_an_instant_are_found_wherever_the_pages_end(lookout: Lookout) -> None:
    lookout.register()
    lookout.settle(lookout.claim(due_ns=1))
    lookout.claim(due_ns=5)
    lookout.clock.advance(TTL_NS)
    lookout.settle(lookout.claim(due_ns=5))  # the second attempt: the claimant of the first died
    for newer in range(ATTEMPTS_MAX - 1):
        lookout.settle(lookout.claim(due_ns=10 + newer))

    def found(due_ns: int) -> list[tuple[int, int]]:
        return [(run.due_ns, run.attempt) for run in attempts_at(lookout.store, "nightly", due_ns)]

    assert found(9) == [(5, 2), (5, 1)]
    assert found(4) == [(1, 1)]
    assert found(0) == [(1, 1)], "the oldest, where there is none"
    assert found(lookout.clock.wall_ns()) == [(10 + ATTEMPTS_MAX - 2, 1)]
    assert attempts_at(lookout.store, "hourly", 9) == []


def test_a_job_that_is_gone_is_forgotten(lookout: Lookout) -> None:
    lookout.register()
    lookout.settle(lookout.claim())
    attempts = Attempts()
    attempts.read(lookout.store, lookout.store.jobs())
    attempts.read(lookout.store, [])
    assert attempts.by_job() == {}
