"""Any thread reads the jobs of an engine while another one adds, and nothing is copied for it."""

from __future__ import annotations

import pytest
from kit.own_process import nothing

from tickglass.sched.durations import SECOND
from tickglass.sched.engine.job_table import JobTable
from tickglass.sched.job import Job, declare
from tickglass.sched.triggers import every


def job(name: str, ttl: str = "30s") -> Job:
    return declare(nothing, every("1s"), service="svc", name=name, ttl=ttl)


def test_jobs_are_found_by_name_and_come_in_the_order_in_which_they_were_added() -> None:
    jobs = JobTable([job("b"), job("a")])
    assert (list(jobs), len(jobs), jobs["a"].name) == (["b", "a"], 2, "a")
    assert "c" not in jobs
    with pytest.raises(KeyError):
        jobs["c"]


def test_who_goes_through_the_jobs_while_one_is_added_sees_those_that_were_there() -> None:
    jobs = JobTable([job("a"), job("b")])
    seen = []
    for name in jobs:
        seen.append(name)
        jobs.add(job(f"{name}, added meanwhile"))
    assert seen == ["a", "b"]
    assert len(jobs) == 4


def test_a_part_ends_where_the_jobs_end() -> None:
    jobs = JobTable([job("a"), job("b"), job("c")])
    assert [it.name for it in jobs.first(2)] == ["a", "b"]
    assert [it.name for it in jobs.first(2, after=2)] == ["c"]


def test_the_shortest_lease_is_known_without_going_through_the_jobs() -> None:
    jobs = JobTable()
    assert jobs.shortest_ttl_ns is None
    known: list[int | None] = []
    for ttl in ("30s", "40s", "20s"):
        jobs.add(job(ttl, ttl))
        known.append(jobs.shortest_ttl_ns)
    assert known == [30 * SECOND, 30 * SECOND, 20 * SECOND]
