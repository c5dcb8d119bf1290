from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from kit.sidecar_views import EVERY_NS, GRACE_NS, TTL_NS, Lookout

from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import MS, SECOND
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.policies.preference import presence_resource
from tickglass.sched.ports import LeaseAsk
from tickglass.telemetry import catalogue
from tickglass.telemetry.sidecar.stores import probe as probe_module
from tickglass.telemetry.sidecar.stores.ledger_cache import ATTEMPTS_MAX, Attempts, attempts_at
from tickglass.telemetry.sidecar.stores.overdue import trigger_of
from tickglass.telemetry.sidecar.stores.probe import Probe, look_once
from tickglass.telemetry.sidecar.stores.store_metrics import SHOWN_MAX, SIGHT_METRICS, sight_families

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tickglass.sched.ports import JobRecord, LeaseRecord, RunRecord
    from tickglass.sched.stores.memory import MemoryStore

PATIENCE_S = 10.0


@pytest.fixture
def lookout() -> Lookout:
    return Lookout()


class Moody:
    """A store that does whatever the test says before it answers; it counts what it is asked."""

    def __init__(self, store: MemoryStore, before: Callable[[], None] = lambda: None) -> None:
        self.store = store
        self.before = before
        self.asked: list[str] = []
        self.was_asked = threading.Event()

    def _ask(self, what: str) -> MemoryStore:
        self.asked.append(what)
        self.was_asked.set()
        self.before()
        return self.store

    def leases(self, limit: int | None = None) -> Sequence[LeaseRecord]:
        return self._ask("leases").leases(limit)

    def jobs(self) -> Sequence[JobRecord]:
        return self._ask("jobs").jobs()

    def runs(self, job: str | None = None, limit: int = 100, *, before_ns: int | None = None) -> Sequence[RunRecord]:
        return self._ask(f"runs {job}").runs(job, limit, before_ns=before_ns)

    def abandoned(self, limit: int = 100) -> Sequence[RunRecord]:
        return self._ask("abandoned").abandoned(limit)

    def time_ns(self) -> int:
        return self._ask("time").time_ns()


def down() -> None:
    raise StoreUnavailable("redis", "leases", "nobody there")


def broken() -> None:
    raise RuntimeError("no idea")


# --- one look


def test_a_look_sees_all_of_it(lookout: Lookout) -> None:
    lookout.register()
    died = lookout.claim("nightly", owner="dead", resource="other")
    lookout.clock.advance(TTL_NS + SECOND)
    ended = lookout.claim()
    lookout.settle(ended)
    lookout.claim("nightly", due_ns=1)
    sight = look_once("memory://", lookout.store, lookout.clock)
    assert sight.taken == lookout.clock.reading()
    assert [(lease.resource, lease.remaining_ns <= 0) for lease in sight.leases] == [
        ("nightly", False),
        ("other", True),
    ]
    assert [job.name for job in sight.jobs] == ["nightly"]
    assert [run.run_id for run in sight.abandoned] == [died.lease.run_id]
    assert [run.outcome for run in sight.runs["nightly"]] == [None, None, "success"]
    assert (sight.skew_ns, sight.skew_bound_ns, sight.truncated, sight.error) == (0, 0, False, "")


def test_who_only_shows_that_it_is_there_holds_no_lock(lookout: Lookout) -> None:
    lookout.store.acquire(LeaseAsk(presence_resource("region=a"), "n1", "billing", "t", TTL_NS))
    assert look_once("memory://", lookout.store, lookout.clock).leases == ()


def test_our_clock_is_compared_with_the_stores_within_half_a_round_trip(lookout: Lookout) -> None:
    store = Moody(lookout.store)

    def slowly() -> None:
        if store.asked == ["time"]:
            lookout.clock.advance(4 * MS)

    store.before = slowly
    sight = look_once("slow", store, lookout.clock)
    assert (sight.skew_ns, sight.skew_bound_ns) == (-2 * MS, 2 * MS)


def test_a_look_is_bounded_and_says_so(lookout: Lookout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_module, "LEASES_MAX", 2)
    for name in "abc":
        lookout.store.acquire(LeaseAsk(name, "host-1", "billing", name, TTL_NS))
    sight = look_once("memory://", lookout.store, lookout.clock)
    assert ([lease.resource for lease in sight.leases], sight.truncated) == (["a", "b"], True)
    lookout.sights = [sight]
    assert lookout.view().stores[0].truncated
    assert lookout.view().unready == ["memory:// holds more than one look reads"]


# --- again and again


def running(lookout: Lookout, **stores: Moody) -> Probe:
    probe = Probe(stores, clock=lookout.clock)
    probe.start()
    lookout.clock.wait_for_sleepers(len(stores))
    return probe


def test_a_store_that_does_not_answer_keeps_its_last_look_and_is_asked_again(lookout: Lookout) -> None:
    lookout.register()
    store = Moody(lookout.store)
    probe = running(lookout, redis=store)
    first = probe.sights()[0].taken
    assert first is not None
    for failure, kind in ((down, "unavailable"), (broken, "error")):
        store.before = failure
        turn(lookout, store)
        (sight,) = probe.sights()
        assert (sight.taken, sight.error_kind, len(sight.jobs)) == (first, kind, 1)
    assert sight.error == "RuntimeError: no idea"
    assert sight.errors == {"unavailable": 1, "error": 1}
    assert sight.age_ns(lookout.clock.reading()) == 10 * SECOND
    store.before = lambda: None
    turn(lookout, store)
    (sight,) = probe.sights()
    assert (sight.error, sight.taken) == ("", lookout.clock.reading())
    probe.stop()


def turn(lookout: Lookout, store: Moody) -> None:
    """Let the next look come, and end."""
    store.was_asked.clear()
    lookout.clock.advance(probe_module.EVERY_NS)
    assert store.was_asked.wait(PATIENCE_S), "no look came"
    lookout.clock.wait_for_sleepers(1)


def test_a_store_that_hangs_holds_up_nobody(lookout: Lookout) -> None:
    let_go, stuck = threading.Event(), threading.Event()

    def hang() -> None:
        stuck.set()
        let_go.wait(PATIENCE_S)

    well, hanging = Moody(lookout.store), Moody(lookout.store, hang)
    probe = Probe({"well": well, "hanging": hanging}, clock=lookout.clock)
    probe.start()
    lookout.clock.wait_for_sleepers(1)
    assert stuck.wait(PATIENCE_S)
    one, other = probe.sights()
    assert (one.source, one.taken is not None) == ("well", True)
    assert (other.source, other.taken) == ("hanging", None)
    lookout.sights = [one, other]
    assert lookout.view().unready == ["hanging has not been seen yet"]
    let_go.set()
    lookout.clock.wait_for_sleepers(2)
    probe.stop()
    assert all(sight.taken is not None for sight in probe.sights())


def test_stopping_ends_the_threads(lookout: Lookout) -> None:
    probe = running(lookout, redis=Moody(lookout.store))
    probe.stop()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("tickglass-probe")]


# --- the ledger, little by little


def test_attempts_of_a_busy_job_do_not_hide_those_of_a_quiet_one(lookout: Lookout) -> None:
    lookout.register("busy")
    lookout.register("quiet")
    lookout.settle(lookout.claim("quiet", due_ns=1), "failure")
    for due_ns in range(2, 700):
        lookout.settle(lookout.claim("busy", due_ns=due_ns))
    store, attempts = Moody(lookout.store), Attempts()
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


@pytest.mark.parametrize(
    "text", ["", "every(", "__import__('os')", "every()", "Tides()", "every('1s') + 1", 'every("1 s")']
)
def test_a_trigger_that_is_not_ours_is_not_made(text: str) -> None:
    assert trigger_of(text, "nightly") is None


@pytest.mark.parametrize(
    "text",
    [
        'every("1h", offset="5m")',
        'cron("0 30 2 * * ?", tz="Asia/Shanghai", dst="both")',
        'cron("*/5 * * * *", jitter="2s")',
        'at("2027-01-31T01:30:00+00:00")',
    ],
)
def test_a_trigger_is_made_again_from_its_text(text: str) -> None:
    trigger = trigger_of(text, "nightly")
    assert str(trigger) == text


# --- metrics


def shown(lookout: Lookout) -> dict[str, dict[str, float]]:
    """Return every sample by name, and by its labels but for the source."""
    found: dict[str, dict[str, float]] = {}
    for family in sight_families(lookout.sights, lookout.clock.reading()):
        for sample in family.samples:
            labels = {name: value for name, value in sample.labels.items() if name != "source"}
            assert sample.labels["source"] == "memory://"
            found.setdefault(sample.name, {})["/".join(labels.values())] = sample.value
    return found


def test_the_metrics_of_a_frozen_holder_grow_between_two_looks(lookout: Lookout) -> None:
    lookout.register()
    ask = lookout.claim(owner="frozen")
    lookout.look()
    lookout.clock.advance(7 * SECOND)
    found = shown(lookout)
    assert found["distributed_lock_held_seconds"] == {"nightly/frozen/billing": 7}
    assert found["distributed_lock_acquired_timestamp_seconds"] == {"nightly/frozen/billing": ask.due_ns / SECOND}
    assert found["distributed_lock_lease_expiry_timestamp_seconds"] == {"nightly": (ask.due_ns + TTL_NS) / SECOND}
    assert found["distributed_lock_lease_ttl_seconds"] == {"nightly": 30}
    assert found["distributed_lock_max_hold_seconds"] == {"nightly": 25}
    assert found["distributed_lock_fencing_token"] == {"nightly": 1}
    assert "distributed_lock_lease_expired_seconds" not in found
    assert "tickglass_job_next_run_timestamp_seconds" not in found, "it runs"


def test_the_metrics_say_what_expired_and_what_was_abandoned(lookout: Lookout) -> None:
    lookout.register()
    lookout.settle(lookout.claim(), "failure")
    lookout.settle(lookout.claim(due_ns=lookout.clock.wall_ns() + 1))
    lookout.claim(due_ns=lookout.clock.wall_ns() + 2, owner="dead")
    lookout.clock.advance(TTL_NS + SECOND)
    lookout.look()
    lookout.clock.advance(SECOND)
    found = shown(lookout)
    assert found["distributed_lock_lease_expired_seconds"] == {"nightly/dead/billing": 2}
    of_holders = {"held_seconds", "acquired_timestamp_seconds", "lease_expiry_timestamp_seconds"}
    assert not {f"distributed_lock_{name}" for name in of_holders} & found.keys(), "nobody holds it"
    assert found["tickglass_job_abandoned_claims"] == {"nightly": 1}
    assert found["tickglass_job_interval_seconds"] == {"nightly": EVERY_NS / SECOND}
    assert found["tickglass_job_misfire_grace_seconds"] == {"nightly": GRACE_NS / SECOND}
    began_s = (lookout.clock.wall_ns() - TTL_NS - 2 * SECOND) / SECOND
    assert found["tickglass_job_last_completion_timestamp_seconds"] == {"nightly": began_s}
    assert found["tickglass_job_last_success_timestamp_seconds"] == {"nightly": began_s}
    assert found["tickglass_job_next_run_timestamp_seconds"]["nightly"] == pytest.approx(began_s + 10)


def test_of_too_many_leases_the_live_ones_have_series(lookout: Lookout) -> None:
    def take(resource: str, ttl_ns: int) -> None:
        lookout.store.acquire(LeaseAsk(resource, "host-1", "billing", resource, ttl_ns))

    take("dead for long", SECOND)
    lookout.clock.advance(2 * SECOND)
    for number in range(SHOWN_MAX):
        take(f"dead {number}", SECOND)
    lookout.clock.advance(2 * SECOND)
    take("live", TTL_NS)
    lookout.look()
    found = shown(lookout)
    assert found["distributed_lock_held_seconds"] == {"live/host-1/billing": 0}
    ended = found["distributed_lock_lease_expired_seconds"]
    assert (len(ended), "dead for long/host-1/billing" in ended) == (SHOWN_MAX - 1, False)


def test_a_look_that_is_too_old_is_told_of_and_not_what_it_saw(lookout: Lookout) -> None:
    lookout.register()
    lookout.claim()
    lookout.look()
    lookout.clock.advance(60 * SECOND)
    found = shown(lookout)
    assert {name for name in found if not name.startswith("tickglass_sidecar_")} == set()
    assert found["tickglass_sidecar_source_last_success_timestamp_seconds"] == {
        "": (lookout.clock.wall_ns() - 60 * SECOND) / SECOND
    }
    assert found["tickglass_sidecar_probe_errors_total"] == {"unavailable": 0, "error": 0}
    assert found["tickglass_sidecar_probe_duration_seconds_count"] == {"": 1}


def test_a_store_that_was_never_seen_has_its_errors_only(lookout: Lookout) -> None:
    lookout.sights = [look_once("memory://", Moody(lookout.store, down), lookout.clock)]
    found = shown(lookout)
    assert "tickglass_sidecar_source_last_success_timestamp_seconds" not in found
    assert found["tickglass_sidecar_probe_errors_total"] == {"unavailable": 1, "error": 0}


def test_so_many_locks_get_series_and_no_more_the_longest_held_first(lookout: Lookout) -> None:
    lookout.store.acquire(LeaseAsk("old", "host-1", "billing", "old", 2 * TTL_NS))
    lookout.clock.advance(SECOND)
    for number in range(1_100):
        lookout.store.acquire(LeaseAsk(f"order-{number}", "host-1", "billing", f"t{number}", 2 * TTL_NS))
    lookout.look()
    held = shown(lookout)["distributed_lock_held_seconds"]
    assert len(held) == 1_000
    assert "old/host-1/billing" in held


def test_what_is_shown_is_declared() -> None:
    declared = set(catalogue.metrics())
    assert set(SIGHT_METRICS) <= declared
    assert len({family.name for family in sight_families([], SystemClock().reading())}) == len(SIGHT_METRICS)
