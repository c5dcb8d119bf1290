"""Real schedulers in real processes on one database file: they race, and each due instant is accounted for."""

from __future__ import annotations

import signal
from collections import Counter, defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import pytest
from kit.processes import Fleet, Instance, Scrape, running_fleet, wait_until

from tickglass.sched.durations import MS
from tickglass.sched.events import InstantsElsewhere, InstantsMissed, InstantsSkipped, OccurrenceMoved
from tickglass.sched.identity import JobId

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tickglass.sched.ports import RunRecord

pytestmark = pytest.mark.xdist_group("busy")  # see tests/chaos/test_chaos.py

PERIOD_NS: Final = 10 * MS  # as in the app
JOBS: Final = ("tick", "tock")
ENOUGH: Final = 250  # due instants of a job at each instance: two and a half seconds
STRETCH: Final = 50  # claims in a row
MOST_OF_THEM: Final = 0.8  # a quiet machine claims 99 of 100; every second instant would be far too few
EVERYTHING: Final = 1_000_000
Key = tuple[str, int]  # job, due_ns
Account = dict[Key, list[str]]  # the outcomes of each due instant at one instance


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with running_fleet(tmp_path) as fleet:
        yield fleet


def account_of(instance: Instance) -> Account:
    account: Account = defaultdict(list)
    for event in instance.told.events:
        if isinstance(event, OccurrenceMoved) and event.event == "ended":
            assert event.outcome is not None
            account[event.job, event.due_ns].append(event.outcome)
        elif isinstance(event, InstantsMissed | InstantsElsewhere):
            instants = range(event.first_due_ns, event.before_ns, PERIOD_NS)
            assert len(instants) == event.count
            for due_ns in instants:
                account[event.job, due_ns].append("missed" if isinstance(event, InstantsMissed) else "elsewhere")
        elif isinstance(event, InstantsSkipped):
            instants = range(event.first_due_ns, event.latest_due_ns + 1, PERIOD_NS)
            assert len(instants) == event.count
            for due_ns in instants:
                account[event.job, due_ns].append("skipped")
    return account


def scrape_until_enough(instances: list[Instance]) -> None:
    """Scrape while they run: each scrape of each of them agrees in itself."""

    def enough() -> bool:
        scrapes = [instance.scrape() for instance in instances]
        for scrape in scrapes:
            scrape.assert_the_account_agrees()
        return all(
            scrape.total("tickglass_job_due_total", job_name=job) >= ENOUGH for scrape in scrapes for job in JOBS
        )

    wait_until(enough, "nothing falls due")


def wait_until_most_are_claimed(fleet: Fleet) -> None:
    """Wait, for each job, until it was seen once that of the latest due instants most were claimed.

    Once will do: on a busy machine a process waits longer for a processor than the period is, and of all instants
    together no more than 40 % may be claimed, for the runs overlap or nobody is there. But such moments pass, and
    a scheduler that leaves out instants, or a job that the other one starves, does so in all of them.
    """

    def most(job: str) -> bool:
        runs = fleet.store.runs(JobId("fleet", job), STRETCH)
        return len(runs) == STRETCH and (runs[0].due_ns - runs[-1].due_ns) // PERIOD_NS * MOST_OF_THEM < STRETCH

    for job in JOBS:
        wait_until(lambda job=job: most(job), f"most instants of {job} are left out")  # type: ignore[misc]


def come_to_rest(instances: list[Instance], last_ns: int) -> dict[Instance, Scrape]:
    """Wait until nothing is due any more, nothing in hand, and what passed accounted for; return the last scrapes."""
    last: dict[Instance, Scrape] = {}

    def resting(instance: Instance) -> bool:
        scrape = last[instance] = instance.scrape()
        scrape.assert_the_account_agrees()
        done = not scrape.has("tickglass_job_next_run_timestamp_seconds")
        return done and scrape.total("tickglass_job_pending") == 0 and whole(instance, scrape)

    def whole(instance: Instance, scrape: Scrape) -> bool:
        account = account_of(instance)
        first_ns = {job: min(due_ns for name, due_ns in account if name == job) for job in JOBS}
        return all(
            scrape.total("tickglass_job_due_total", job_name=job) > (last_ns - first_ns[job]) // PERIOD_NS
            for job in JOBS
        )

    wait_until(lambda: all(resting(instance) for instance in instances), "they do not come to rest")
    return last


def assert_one_at_a_time_under_growing_fences(runs: list[RunRecord]) -> None:
    by_resource = defaultdict(list)
    for run in runs:
        by_resource[run.resource].append(run)
    for ours in by_resource.values():
        ours.sort(key=lambda run: run.claimed_wall_ns)
        for before, after in pairwise(ours):
            assert before.fence < after.fence
            assert before.ended_wall_ns is not None
            assert before.ended_wall_ns <= after.claimed_wall_ns


def assert_each_instance_has_no_gap(account: Account, last_ns: int) -> None:
    for job in JOBS:
        dues = sorted(due_ns for name, due_ns in account if name == job)
        assert dues == list(range(dues[0], last_ns + PERIOD_NS, PERIOD_NS))


@pytest.mark.parametrize("size", [2, 4])
def test_over_the_fleet_each_due_instant_is_claimed_once_or_accounted_for(fleet: Fleet, size: int) -> None:
    instances = [fleet.start("race") for _ in range(size)]
    for instance in instances:
        instance.running()
    scrape_until_enough(instances)
    wait_until_most_are_claimed(fleet)
    last_ns = fleet.end_the_race()
    at_rest = come_to_rest(instances, last_ns)
    assert [instance.stopped() for instance in instances] == [0] * size

    runs = list(fleet.store.runs(limit=EVERYTHING))
    claimed = {(run.job, run.due_ns) for run in runs}
    assert len(claimed) == len(runs)
    assert {(run.attempt, run.outcome) for run in runs} == {(1, "success")}
    assert_one_at_a_time_under_growing_fences(runs)
    assert fleet.store.leases() == []

    accounts = {instance: account_of(instance) for instance in instances}
    for instance, account in accounts.items():
        assert_each_instance_has_no_gap(account, last_ns)
        assert {len(outcomes) for outcomes in account.values()} == {1}
        counted = Counter((job, outcome) for (job, _), (outcome,) in account.items())
        for (job, outcome), count in counted.items():
            told = at_rest[instance].total("tickglass_job_outcomes_total", job_name=job, outcome=outcome)
            assert told == count, (job, outcome)
    for job in JOBS:
        first_ns = min(due_ns for name, due_ns in claimed if name == job)
        for due_ns in range(first_ns, last_ns + PERIOD_NS, PERIOD_NS):
            outcomes = Counter(outcome for account in accounts.values() for outcome in account.get((job, due_ns), []))
            if (job, due_ns) in claimed:
                assert outcomes["success"] == 1, (due_ns, outcomes)
            else:
                assert outcomes.keys() & {"missed", "skipped"}, (due_ns, outcomes)  # who claimed the next one was there
                assert outcomes.keys() <= {"missed", "skipped", "elsewhere"}, (due_ns, outcomes)


def test_a_kill_in_the_middle_of_a_race_loses_no_occurrence(fleet: Fleet) -> None:
    instances = [fleet.start("race", ttl="2s") for _ in range(3)]
    for instance in instances:
        instance.running()
    scrape_until_enough(instances)
    killed = instances.pop()
    killed.signal(signal.SIGKILL)
    assert killed.exit_code() == -signal.SIGKILL
    due = {instance: instance.scrape().total("tickglass_job_due_total") for instance in instances}
    wait_until(
        lambda: all(i.scrape().total("tickglass_job_due_total") > due[i] + ENOUGH for i in instances), "they go on"
    )
    last_ns = fleet.end_the_race()
    come_to_rest(instances, last_ns)
    wait_until(lambda: None not in {run.outcome for run in fleet.store.runs(limit=EVERYTHING)}, "a claim stays open")
    at_rest = come_to_rest(instances, last_ns)
    assert [instance.stopped() for instance in instances] == [0, 0]

    attempts: dict[Key, list[RunRecord]] = defaultdict(list)
    for run in sorted(fleet.store.runs(limit=EVERYTHING), key=lambda run: run.attempt):
        attempts[run.job, run.due_ns].append(run)
    ended = {key: tuple(run.outcome for run in runs) for key, runs in attempts.items()}
    assert set(ended.values()) <= {("success",), ("orphaned", "success")}
    taken_over = [runs for runs in attempts.values() if len(runs) == 2]
    assert len(taken_over) <= len(JOBS), "one in hand of each job"
    for first, second in taken_over:
        assert (first.attempt, first.owner, second.attempt) == (1, killed.owner, 2)
        assert second.fence > first.fence
    found = sum(scrape.total("tickglass_job_orphans_total") for scrape in at_rest.values())
    assert found == len(taken_over)
    for instance in instances:
        account = account_of(instance)
        assert_each_instance_has_no_gap(account, last_ns)
        for key, outcomes in account.items():
            assert outcomes.count("success") <= 1
            if key not in ended:
                assert set(outcomes) <= {"missed", "skipped", "elsewhere"}, key


def test_instances_of_a_service_have_stable_names(fleet: Fleet) -> None:
    first = fleet.start("").running()
    second = fleet.start("").running()
    assert first.owner.endswith("/fleet/0")
    assert second.owner.endswith("/fleet/1")
    first.signal(signal.SIGKILL)
    first.exit_code()
    third = fleet.start("").running()
    assert third.owner == first.owner
    assert [second.stopped(), third.stopped()] == [0, 0]
