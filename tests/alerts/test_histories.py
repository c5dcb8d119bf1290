"""Histories of a fleet, scraped each 15, 30 and 60 s, itself or by way of a sidecar: a healthy hour alerts nobody, and
of each fault the right alerts fire, the cause first.

Beside each stands what an earlier rule made of the same history, so that the history proves something.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Final

import pytest
from kit import promtool
from kit.fleet_history import STEP_S, Fleet, Told

from tickglass.alerts import INHIBITIONS, groups
from tickglass.sched.durations import SECOND
from tickglass.sched.events import PoolMoved
from tickglass.sched.occurrence import Outcome, SkipReason

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SCRAPES: Final = (("themselves", 15), ("by a sidecar", 30), ("themselves", 60))
BILLING: Final = {
    "tick": 'every("100ms")',
    "second": 'every("1s")',
    "sync": 'every("5s")',
    "minute": 'every("1m")',
    "hourly": 'every("1h")',
    "spread": 'cron("*/5 * * * *", jitter="20s")',
}
BEFORE: Final = {**BILLING, "removed": 'every("5s")', "old name": 'every("10s")', "retimed": 'every("5s")'}
AFTER: Final = {**BILLING, "new name": 'every("10s")', "retimed": 'every("2s")'}
MAIL: Final = {"sync": 'every("5s")', "send": 'every("10s")', "digest": 'every("1m")'}
FEW: Final = {"second": 'every("1s")', "sync": 'every("5s")', "minute": 'every("1m")'}

# Rules as they were, each as (expression, for).
OLD_DUE: Final = "max by (job_name) (last_over_time(tickglass_job_next_run_timestamp_seconds[1h]))"
OLD_MISSED: Final = (
    (
        f"(time() - {OLD_DUE} > on (job_name)"
        " max by (job_name) (last_over_time(tickglass_job_misfire_grace_seconds[1h])))"
        " unless on (job_name) (max by (job_name) (last_over_time(tickglass_job_last_start_timestamp_seconds[1h]))"
        f" >= on (job_name) {OLD_DUE})"
    ),
    "3m",
)
OLD_FAILING: Final = (
    (
        "max by (job_name) (tickglass_job_consecutive_failures"
        " unless (tickglass_job_unsuccessful_latest_timestamp_seconds <= on (job_name) group_left ()"
        " max by (job_name) (last_over_time(tickglass_job_last_success_timestamp_seconds[1h])))) >= 2"
    ),
    "0s",
)
OLD_STORE: Final = (
    (
        "sum by (backend) (rate(distributed_lock_store_errors_total[5m])) / on (backend)"
        " sum by (backend) (rate(distributed_lock_store_operation_duration_seconds_count[5m])) > 0.05"
        " and on (backend) sum by (backend) (rate(distributed_lock_store_errors_total[2m])) > 0"
    ),
    "3m",
)
OLD_POOL: Final = (
    (
        "max by (job, instance, pool) (avg_over_time(tickglass_pool_slots_in_use[10m]))"
        " / on (job, instance, pool) max by (job, instance, pool) (tickglass_pool_slots) > 0.95"
        " and on (job, instance, pool)"
        " max by (job, instance, pool) (min_over_time(tickglass_pool_queue_depth[10m])) > 0"
    ),
    "5m",
)


def old_burn() -> tuple[str, str]:
    def late(window: str) -> str:
        on_time = f'rate(tickglass_job_start_lateness_seconds_bucket{{le="0.008"}}[{window}])'
        due = f'rate(tickglass_job_outcomes_total{{outcome!="elsewhere"}}[{window}])'
        return f"(1 - sum by (job_name) ({on_time}) / on (job_name) sum by (job_name) ({due}))"

    due = 'sum by (job_name) (increase(tickglass_job_outcomes_total{outcome!="elsewhere"}[1h]))'
    both = f"{late('1h')} > 0.144 and on (job_name) {late('5m')} > 0.144"
    return f"{both} and on (job_name) {due} >= 10", "2m"


def steps(fleet: Fleet, until_s: int) -> None:
    while fleet.clock.wall_ns() < fleet.began_ns + until_s * SECOND:
        fleet.step()


@cache
def hour() -> Fleet:
    """A deploy at 10 min, Prometheus away at 25, mail scaled to zero from 30 to 40, a sidecar that restarts at 45."""
    fleet = Fleet()
    for owner in ("b1", "b2"):
        fleet.start("billing", owner, BEFORE)
    for owner in ("m1", "m2"):
        fleet.start("mail", owner, MAIL)
    for old, new, at_s in (("b1", "b3", 600), ("b2", "b4", 660)):
        steps(fleet, at_s)
        fleet.start("billing", new, AFTER)
        steps(fleet, at_s + 30)
        fleet.stop(old)
    steps(fleet, 1500)
    for _ in range(4):
        fleet.step(scraped=False)
    steps(fleet, 1800)
    for owner in ("m1", "m2"):
        fleet.stop(owner)
    steps(fleet, 2400)
    for owner in ("m3", "m4"):
        fleet.start("mail", owner, MAIL)
    steps(fleet, 2700)
    fleet.restart_sidecar()
    steps(fleet, 3600)
    return fleet


class Spoken:
    """When alerts fired, by name and labels; the rules of old beside those of now."""

    def __init__(self, home: Path, fleet: Fleet, scrapes: tuple[str, int], **old: tuple[str, str]) -> None:
        how, every_s = scrapes
        end_s = (fleet.clock.wall_ns() - fleet.began_ns) // SECOND // every_s * every_s - every_s
        step_s = max(STEP_S, every_s // 2)  # between scrapes, too
        firing = 'timestamp(ALERTS{alertstate="firing",alertname!="TickglassWatchdog"})'
        asked = [f"{kind}_over_time({firing}[{end_s}s:{step_s}s])" for kind in ("min", "max")]
        test = {
            "interval": f"{every_s}s",
            "evaluated": f"{step_s}s",
            "input_series": fleet.input_series(how, every_s),
            "promql_expr_test": [{"expr": expr, "eval_time": f"{end_s}s", "exp_samples": []} for expr in asked],
        }
        rules = [{"alert": name, "expr": expr, "for": pending} for name, (expr, pending) in old.items()]
        said = promtool.verdict(home, [([*rules, *_frequent()], [test])])
        found = [re.findall(r"\{([^}]*)\} ([\d.E+-]+)", part) for part in said.split("got:")[1:]]
        self.first, self.last = ({labels: float(at) for labels, at in one} for one in found) if found else ({}, {})
        self.old = {labels: at for labels, at in self.first.items() if "severity=" not in labels}
        for labels in self.old:
            del self.first[labels], self.last[labels]

    def names(self) -> set[str]:
        return {re.findall(r'alertname="(\w+)"', labels)[0] for labels in self.first}

    def of(self, alert: str, **wanted: str) -> list[str]:
        """Return the labels of the alerts of that name."""
        parts = [f'alertname="{alert}"', *(f'{name}="{text}"' for name, text in wanted.items())]
        return [labels for labels in {**self.first, **self.old} if all(part in labels for part in parts)]


def _frequent() -> list[promtool.Document]:
    """Return the rules but for those over six hours and more, which are evaluated less often than promtool does it."""
    return [
        rule for group in groups() if not group.every for rule in group.document("tickglass", promtool.LINKS)["rules"]
    ]


@pytest.mark.xdist_group("healthy histories")
@pytest.mark.parametrize(("how", "every_s"), [*SCRAPES, ("by a sidecar", 60)])
def test_a_healthy_hour_alerts_nobody(how: str, every_s: int, tmp_path: Path) -> None:
    spoken = Spoken(tmp_path, hour(), (how, every_s), Old=OLD_MISSED)
    assert spoken.first == {}
    assert spoken.of("Old", job_name="tick"), "it pages for a job that is well, and often due"


def history(told: Callable[[str, str, int], Told], until_s: int = 1500) -> Fleet:
    fleet = Fleet(told)
    for owner in ("b1", "b2"):
        fleet.start("billing", owner, FEW)
    fleet.start("mail", "m1", FEW)
    steps(fleet, until_s)
    return fleet


@cache
def failing() -> Fleet:
    def told(service: str, job: str, _: int) -> Told:
        return Told(Outcome.FAILURE if (service, job) == ("billing", "sync") else Outcome.SUCCESS)

    return history(told, 900)


@pytest.mark.xdist_group("histories of faults")
@pytest.mark.parametrize(("how", "every_s"), SCRAPES)
def test_a_broken_job_is_not_excused_by_one_of_its_name(how: str, every_s: int, tmp_path: Path) -> None:
    spoken = Spoken(tmp_path, failing(), (how, every_s), Old=OLD_FAILING)
    assert spoken.names() == {"TickglassJobFailing", "TickglassJobNotSucceeding"}
    assert spoken.of("TickglassJobNotSucceeding", job_name="sync", service="billing")
    assert len(spoken.first) == len(spoken.names())
    assert spoken.old == {}


@cache
def outage() -> Fleet:
    def told(_: str, __: str, at_s: int) -> Told:
        away = 180 <= at_s < 240
        return Told(Outcome.SKIPPED, reason="store_unavailable") if away else Told()

    return history(told)


@pytest.mark.xdist_group("histories of faults")
@pytest.mark.parametrize(("how", "every_s"), SCRAPES)
def test_a_store_that_is_away_for_a_minute_is_told_of_and_no_job_because_of_it(
    how: str, every_s: int, tmp_path: Path
) -> None:
    spoken = Spoken(tmp_path, outage(), (how, every_s), OldStore=OLD_STORE, OldBurn=old_burn())
    assert spoken.of("DistributedLockStoreErrors", service="billing")
    nothing_but_inhibited(spoken, "DistributedLockStoreErrors")
    assert not spoken.of("OldStore"), "the store was never told of"
    assert spoken.of("OldBurn"), "but the jobs were"


@cache
def full_pool() -> Fleet:
    fleet = Fleet(lambda _, __, at_s: Told(late_ns=2 * SECOND) if at_s >= 600 else Told())
    for owner in ("b1", "b2"):
        fleet.start("billing", owner, FEW)
    steps(fleet, 600)
    for one in fleet.instances:
        one.tell(PoolMoved(pool="default", slots=4, in_use=4, waiting=9, waited_ns=None))
    steps(fleet, 1350)
    return fleet


@pytest.mark.xdist_group("histories of faults")
@pytest.mark.parametrize(("how", "every_s"), SCRAPES)
def test_a_full_pool_is_told_of_before_the_jobs_that_it_delays(how: str, every_s: int, tmp_path: Path) -> None:
    spoken = Spoken(tmp_path, full_pool(), (how, every_s), OldPool=OLD_POOL, OldBurn=old_burn())
    nothing_but_inhibited(spoken, "TickglassPoolDelaysJobs")
    assert spoken.of("OldBurn")
    assert not spoken.of("OldPool"), "it comes ten minutes after the jobs"


@cache
def hung_pool() -> Fleet:
    overlaps = Told(Outcome.SKIPPED, reason=SkipReason.OVERLAP)
    fleet = Fleet(lambda _, __, at_s: overlaps if at_s >= 600 else Told())
    fleet.start("billing", "b1", FEW)
    steps(fleet, 600)
    fleet.instances[0].tell(PoolMoved(pool="default", slots=4, in_use=4, waiting=9, waited_ns=None))
    steps(fleet, 1500)
    return fleet


@pytest.mark.xdist_group("histories of faults")
@pytest.mark.parametrize(("how", "every_s"), SCRAPES)
def test_a_pool_that_hangs_for_good_is_told_of_before_its_jobs(how: str, every_s: int, tmp_path: Path) -> None:
    spoken = Spoken(tmp_path, hung_pool(), (how, every_s))
    nothing_but_inhibited(spoken, "TickglassPoolDelaysJobs")
    assert spoken.of("TickglassJobLeftOut")


@cache
def two_of_twelve() -> Fleet:
    def told(_: str, job: str, at_s: int) -> Told:
        return Told(late_ns=SECOND if job == "minute" and 540 <= at_s <= 600 else 0)

    return history(told, 900)


@pytest.mark.xdist_group("histories of faults")
@pytest.mark.parametrize("every_s", [15, 30, 60])
def test_two_late_starts_of_twelve_page_nobody(every_s: int, tmp_path: Path) -> None:
    spoken = Spoken(tmp_path, two_of_twelve(), ("themselves", every_s), Old=old_burn())
    assert spoken.first == {}
    assert spoken.of("Old", job_name="minute")


@cache
def dead_replica() -> Fleet:
    fleet = Fleet()
    for owner in ("b1", "b2"):
        fleet.start("billing", owner, FEW)
    steps(fleet, 300)
    fleet.kill("b1")
    steps(fleet, 1200)
    return fleet


@pytest.mark.xdist_group("histories of faults")
@pytest.mark.parametrize(("how", "every_s"), SCRAPES)
def test_a_dead_replica_of_two_is_told_of_and_is_no_page(how: str, every_s: int, tmp_path: Path) -> None:
    spoken = Spoken(tmp_path, dead_replica(), (how, every_s))
    assert spoken.names() == {"TickglassTargetDown" if how == "themselves" else "TickglassReplicaGone"}
    assert all('severity="warning"' in labels for labels in spoken.first)


def nothing_but_inhibited(spoken: Spoken, cause: str) -> None:
    """Fail unless all that fires is the cause, and what it inhibits for as long as it fires."""
    begins = min(spoken.first[one] for one in spoken.of(cause))
    ends = max(spoken.last[one] for one in spoken.of(cause))
    inhibited = {target for one in INHIBITIONS if one.source == cause for target in one.targets}
    assert spoken.names() <= {cause, *inhibited}
    for labels, first in spoken.first.items():
        assert first >= begins, labels
        assert spoken.last[labels] <= ends, labels
