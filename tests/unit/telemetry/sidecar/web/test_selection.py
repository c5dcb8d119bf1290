"""A page shows what is wrong first, and never grows without end."""

from __future__ import annotations

import msgspec
import pytest
from kit.view_samples import NOW_NS, ill, job_of, runs_of, twins, well

from tickglass.sched.durations import SECOND
from tickglass.telemetry.sidecar.explain.problems import job_tone
from tickglass.telemetry.sidecar.explain.tones import Tone
from tickglass.telemetry.sidecar.view import LockView, OrderView, View
from tickglass.telemetry.sidecar.web.selection import (
    FILTERS,
    LANES_MAX,
    LOCKS_MAX,
    PAGE_JOBS,
    Subject,
    jobs_shown,
    lanes,
    locks_shown,
)


def crowd(count: int) -> View:
    jobs = [
        job_of(f"job-{number:05}", "5s", runs_of(f"job-{number:05}", 5 * SECOND, ran_ns=1)) for number in range(count)
    ]
    return View(at_wall_ns=NOW_NS, jobs=jobs)


@pytest.mark.parametrize(
    ("search", "page", "expected"),
    [
        ("", "1", Subject(None, "", 1)),
        ("  led ", "3", Subject(None, "led", 3)),
        ("", "0", Subject()),
        ("", "-1", Subject()),
        ("", "²", Subject()),
        ("", "99999999999999999999", Subject()),
        ("x" * 300, "", Subject(None, "x" * 200)),
    ],
)
def test_what_makes_no_sense_is_left_out(search: str, page: str, expected: Subject) -> None:
    assert Subject.of(None, search, page) == expected


def test_jobs_in_trouble_come_first() -> None:
    names = [job.name for _, job in jobs_shown(ill(), Subject()).rows]
    assert names[:2] == ["close_books", "send_invoices"]
    assert names[2:] == sorted(names[2:])


def test_many_jobs_are_shown_page_by_page() -> None:
    view = crowd(PAGE_JOBS * 2 + 1)
    pages = [jobs_shown(view, Subject(page=page)) for page in (1, 2, 3)]
    assert [len(page.rows) for page in pages] == [PAGE_JOBS, PAGE_JOBS, 1]
    assert [page.first for page in pages] == [1, PAGE_JOBS + 1, 2 * PAGE_JOBS + 1]
    assert jobs_shown(view, Subject(page=9)) == pages[-1], "a page that is no more is the last one"


def test_jobs_are_found_by_part_of_their_or_their_locks_name() -> None:
    found = {job.name for _, job in jobs_shown(ill(), Subject(search="LEDGER")).rows}
    assert found == {"reconcile", "close_books"}
    assert {one.job for one in lanes(ill(), Subject(search="LEDGER"))[0]} == found


def test_stuck_locks_come_first_then_those_that_are_waited_for() -> None:
    assert [lock.resource for lock in locks_shown(ill())] == ["ledger:eu", "send_invoices"]
    locks = [LockView(resource=f"r{n}", state="held", waiters=n % 2) for n in range(LOCKS_MAX + 7)]
    shown = locks_shown(View(at_wall_ns=1, locks=locks))
    assert len(shown) == LOCKS_MAX
    assert shown[0].waiters == 1


def test_contenders_for_one_lock_stand_side_by_side() -> None:
    drawn, left_out = lanes(ill(), Subject())
    names = [one.job for one in drawn]
    assert abs(names.index("close_books") - names.index("reconcile")) == 1
    assert {one.resource for one in drawn if one.job in ("close_books", "reconcile")} == {"ledger:eu"}
    assert left_out == 0


def test_a_lane_has_the_marks_of_its_lock() -> None:
    drawn, _ = lanes(ill(), Subject())
    assert {one.job: len(one.marks) for one in drawn if one.marks} == {"inventory_sync": 1}


def test_jobs_of_two_services_with_one_name_have_a_lane_each() -> None:
    drawn, left_out = lanes(twins(), Subject())
    assert left_out == 0
    assert [(one.service, one.words, len(one.marks)) for one in drawn] == [
        ("billing", "cleanup, last 5 minutes: 15 success", 0),
        ("shipping", "cleanup, last 5 minutes: 12 success, 2 failure, 1 skipped", 1),
    ]


def test_a_job_that_did_nothing_has_no_lane() -> None:
    quiet = job_of("quiet", "1h", runs_of("quiet", 3_600 * SECOND, ran_ns=1, now_ns=NOW_NS - 900 * SECOND))
    view = msgspec.structs.replace(well(), jobs=[quiet], runs=[])
    assert lanes(view, Subject()) == ([], 0)


def test_lanes_are_bounded_and_the_worst_are_kept() -> None:
    view = crowd(LANES_MAX + 5)
    bad = msgspec.structs.replace(
        view.jobs[-1], recent=runs_of("job-00034", SECOND, ran_ns=1, odd={0: {"outcome": "lost"}})
    )
    drawn, left_out = lanes(msgspec.structs.replace(view, jobs=[*view.jobs[:-1], bad]), Subject())
    assert (len(drawn), left_out) == (LANES_MAX, 5)
    assert bad.name in [one.job for one in drawn]


@pytest.mark.parametrize("only", list(FILTERS))
def test_a_filter_is_kept_and_any_other_value_is_ignored(only: str) -> None:
    assert Subject.of(None, "", "1", only=only).only == only
    assert Subject.of(None, "", "1", only=f"{only}s").only == ""


def test_jobs_are_filtered_by_what_is_the_matter_with_them() -> None:
    names = {only: {job.name for _, job in jobs_shown(ill(), Subject(only=only)).rows} for only in FILTERS}
    tones = {job.name: job_tone(job, NOW_NS) for job in ill().jobs}
    assert names["problems"] == {name for name, tone in tones.items() if tone in (Tone.WARN, Tone.BAD)} != set()
    assert names["running"] == {job.name for job in ill().jobs if job.running} != set()
    assert names["paused"] == set()
    pause = OrderView(
        source="s", kind="pause", number=1, by="anna", reason="r", since_wall_ns=0, service="*", job="rotate*"
    )
    paused = msgspec.structs.replace(ill(), orders=[pause])
    assert [job.name for _, job in jobs_shown(paused, Subject(only="paused")).rows] == ["rotate_keys"]
    assert jobs_shown(paused, Subject(search="ledger", only="paused")).rows == []
    assert {one.job for one in lanes(paused, Subject(only="paused"))[0]} <= {"rotate_keys"}
