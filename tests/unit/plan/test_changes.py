"""The golden table of changes: what a program declares against what its store knows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest
from kit.declarations import NOBODY, NOW, job, living, record

from tickglass import at, cron, every
from tickglass.plan.changes import compared
from tickglass.sched.durations import SECOND

if TYPE_CHECKING:
    from tickglass.sched.control.roster import Roster
    from tickglass.sched.job import Job

# Before, after, the living instances, and what is told: the kind, the fields, the owners.
GOLDEN: Final[dict[str, tuple[Job | None, Job | None, Roster, str]]] = {
    "nothing": (job(), job(), NOBODY, "nightly unchanged"),
    "a new job": (None, job(), NOBODY, "nightly added"),
    "a job without code that an instance still has": (
        job(),
        None,
        living("nightly"),
        "nightly removed web-1/billing/0",
    ),
    "a job without code and instance": (job(), None, living("other"), "nightly retired"),
    "a job without code, and no instances": (job(), None, NOBODY, "nightly retired"),
    "an instance of another service": (job(), None, living("nightly", service="shop"), "nightly retired"),
    "another trigger": (
        job(),
        job(cron("0 3 * * *")),
        NOBODY,
        'nightly changed trigger: cron("30 2 * * *") -> cron("0 3 * * *")',
    ),
    "another zone": (
        job(),
        job(cron("30 2 * * *", tz="Europe/Warsaw")),
        NOBODY,
        'nightly changed trigger: cron("30 2 * * *") -> cron("30 2 * * *", tz="Europe/Warsaw")',
    ),
    "the same trigger in other words": (job(every("60s")), job(every("1m")), NOBODY, "nightly unchanged"),
    "a resource": (
        job(),
        job(resource="warehouse"),
        NOBODY,
        "nightly changed resource: billing/nightly -> warehouse",
    ),
    "a ttl": (job(), job(ttl="1m"), NOBODY, "nightly changed ttl: 30s -> 1m"),
    "a timeout": (job(), job(timeout="5m"), NOBODY, "nightly changed timeout: none -> 5m"),
    "no timeout": (job(timeout="5m"), job(), NOBODY, "nightly changed timeout: 5m -> none"),
    "a grace": (job(), job(misfire_grace="10m"), NOBODY, "nightly changed misfire_grace: 1m -> 10m"),
    "no grace": (
        job(misfire_grace="10m"),
        job(),
        NOBODY,
        "nightly changed misfire_grace: 10m -> the default",
    ),
    "a short grace no more": (
        job(misfire_grace="30s"),
        job(),
        NOBODY,
        "nightly changed misfire_grace: 30s -> the default",
    ),
    "the default grace said": (job(), job(misfire_grace="60s"), NOBODY, "nightly unchanged"),
    "the default grace of another trigger": (
        job(every("10s")),
        job(every("5s")),
        NOBODY,
        'nightly changed trigger: every("10s") -> every("5s")',
    ),
    "a trigger that is over": (job(at("2026-01-01T00:00Z")), job(at("2026-01-01T00:00Z")), NOBODY, "nightly unchanged"),
    "several": (
        job(),
        job(every("1h"), ttl="1m", timeout="5m"),
        NOBODY,
        'nightly changed trigger: cron("30 2 * * *") -> every("1h"), ttl: 30s -> 1m, timeout: none -> 5m',
    ),
}


@pytest.mark.parametrize(("before", "after", "roster", "told"), GOLDEN.values(), ids=GOLDEN)
def test_a_change_is_told(before: Job | None, after: Job | None, roster: Roster, told: str) -> None:
    jobs = {} if after is None else {after.name: after}
    records = [] if before is None else [record(before)]
    (change,) = compared("billing", jobs, records, roster, NOW)
    fields = ", ".join(f"{it.field}: {it.before} -> {it.after}" for it in change.fields)
    words = [change.job.name, str(change.kind), fields, *change.owners]
    assert " ".join(filter(None, words)) == told
    assert change.job.service == "billing"


def test_jobs_of_other_services_are_not_compared_and_the_rest_is_in_order() -> None:
    jobs = {name: job(name=name) for name in ("b", "a", "d")}
    records = [record(job(name=name)) for name in ("d", "c")]
    records.append(record(job(name="a"), service="shop"))
    found = [(it.job.name, str(it.kind)) for it in compared("billing", jobs, records, NOBODY, NOW)]
    assert found == [("a", "added"), ("b", "added"), ("c", "retired"), ("d", "unchanged")]


def test_the_grace_of_an_uneven_trigger_may_be_that_of_any_of_its_intervals() -> None:
    uneven = job(cron("0,10 * * * * ?"))  # 10 s and 50 s
    known = record(uneven)
    for grace_s in (10, 50):
        (change,) = compared("billing", {"nightly": uneven}, [replace(known, grace_ns=grace_s * SECOND)], NOBODY, NOW)
        assert change.fields == ()
    (change,) = compared("billing", {"nightly": uneven}, [replace(known, grace_ns=11 * SECOND)], NOBODY, NOW)
    assert [it.field for it in change.fields] == ["misfire_grace"]
