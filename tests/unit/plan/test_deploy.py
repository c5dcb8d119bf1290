"""A plan puts jobs, instants and overlaps together, and knows whether there is any difference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kit.declarations import NOBODY, NOW, job, living, record

from tickglass import Trigger, cron, every
from tickglass.plan import InstantsChange, Known, Plan, plan_of
from tickglass.sched.control.roster import Roster
from tickglass.sched.durations import SECOND
from tickglass.sched.engine.membership.job_set import fingerprint_of
from tickglass.sched.ports import InstanceRecord

if TYPE_CHECKING:
    from tickglass.sched.job import Job

WEEK: Final = 7 * 86_400 * SECOND


class Tides(Trigger):
    def next_after_ns(self, after_ns: int) -> int | None:
        return after_ns + 3_600 * SECOND


def planned(before: list[Job], after: list[Job], roster: Roster = NOBODY) -> Plan:
    known = Known([record(it) for it in before], roster, NOW)
    return plan_of("billing", {it.name: it for it in after}, known, span_ns=WEEK, version="1.0")


def counted(change: InstantsChange | None) -> tuple[int, int, int]:
    assert change is not None
    return change.added.count, change.removed.count, change.moved.count


def test_a_plan_without_a_difference_says_so() -> None:
    found = planned([job(Tides())], [job(Tides())])
    assert (found.differs, found.instants, found.overlaps) == (False, {}, ())
    assert (found.from_ns, found.until_ns) == (NOW, NOW + WEEK)


def test_instants_are_counted_of_each_job_that_falls_due_otherwise() -> None:
    found = planned(
        [job(name="moved"), job(name="gone"), job(name="slower", timeout="5m"), job(Tides(), name="tides")],
        [
            job(cron("0 3 * * *"), name="moved"),
            job(every("1h"), name="new"),
            job(name="slower"),
            job(every("1h"), name="tides"),
        ],
        living("gone"),
    )
    assert found.differs
    assert {str(kind): count for kind, count in found.counts.items()} == {"changed": 3, "added": 1, "removed": 1}
    tides = found.instants["tides"]
    assert tides is None
    rest = {name: counted(change) for name, change in found.instants.items() if name != "tides"}
    assert rest == {"moved": (0, 0, 7), "gone": (0, 7, 0), "new": (168, 0, 0)}


def test_a_retired_job_takes_no_instant_away_because_nothing_runs_it() -> None:
    found = planned([job()], [])
    assert (found.differs, found.instants) == (True, {})


def test_overlaps_arise_with_jobs_of_this_and_of_other_services_that_live() -> None:
    here = job(cron("0 3 * * *"), name="report", resource="warehouse")
    there = record(job(cron("0 3 * * *"), name="stock", resource="warehouse"), service="shop")
    moved = job(cron("0 3 * * *"), resource="warehouse")
    records = [record(job(resource="warehouse")), record(here), there]
    for roster, rivals in (
        (NOBODY, {"billing/report"}),
        (living("stock", service="shop"), {"billing/report", "shop/stock"}),
    ):
        found = plan_of(
            "billing", {"nightly": moved, "report": here}, Known(records, roster, NOW), span_ns=WEEK, version="1.0"
        )
        assert {str(overlap.jobs[1]) for overlap in found.overlaps} == rivals
        assert {(str(overlap.jobs[0]), overlap.count) for overlap in found.overlaps} == {("billing/nightly", 7)}


def test_a_job_that_goes_meets_no_other() -> None:
    gone = job(cron("0 3 * * *"), name="gone", resource="warehouse")
    found = planned([gone], [job(cron("0 3 * * *"), resource="warehouse")], living("gone"))
    assert found.overlaps == ()


def test_what_no_store_records_is_seen_by_the_fingerprint_of_living_instances() -> None:
    declared = job()

    def having(fingerprint: str, version: str = "1.0") -> Roster:
        instance = InstanceRecord("billing", "web-1/billing/0", "a", version, fingerprint, "running")
        return Roster((instance,), {fingerprint: frozenset({"nightly"})})

    same = fingerprint_of("billing", [declared])
    assert not planned([declared], [declared], having(same)).differs
    other = planned([declared], [declared], having("other"))
    assert (other.unrecorded, other.differs) == (True, True)
    assert not planned([declared], [declared], having("other", "0.9")).differs
    assert not planned([declared], [job(ttl="1m")], having("other")).unrecorded, "a change is shown already"
