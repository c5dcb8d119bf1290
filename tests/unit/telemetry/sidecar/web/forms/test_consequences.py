"""What an act will do is said before it is done, and counted right."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tickglass.sched.clock import ns_of
from tickglass.sched.durations import MS, SECOND
from tickglass.sched.ports import InstanceRecord, InstanceState, JobRecord, LeaseRecord, RunRecord
from tickglass.sched.triggers import at
from tickglass.telemetry.sidecar.web.forms.consequences import (
    cancel_words,
    drain_words,
    due_instants,
    pause_words,
    resume_words,
    time_text,
    trigger_words,
    unlock_words,
    until_text,
)

NOW_NS = ns_of(datetime(2026, 12, 1, 12, 7, 30, tzinfo=UTC)) + 250 * MS
HOUR = 3_600 * SECOND


def job(trigger: str = 'every("15m")', name: str = "nightly") -> JobRecord:
    return JobRecord(name, trigger, f"billing/{name}", "host-1", "billing", 60 * SECOND, SECOND, None, None)


def lease(**given: object) -> LeaseRecord:
    facts = {"resource": "billing/nightly", "owner": "host-2", "service": "billing", "job": "nightly"}
    held = {"run_id": "0123456789abcdef", "fence": 12, "ttl_ns": SECOND, "acquired_wall_ns": 0, "held_ns": 90 * SECOND}
    return LeaseRecord(**(facts | held | {"remaining_ns": SECOND} | given))  # type: ignore[arg-type] # a record's fields


def instance(owner: str) -> InstanceRecord:
    return InstanceRecord("billing", owner, f"{owner}-1", "1.0", "jobs", InstanceState.RUNNING)


@pytest.mark.parametrize(
    ("trigger", "lasting_ns", "words"),
    [
        ('every("15m")', HOUR, "4 due instants until 13:07:30 will be skipped: 12:15, 12:30, 12:45, 13:00"),
        ('every("15m")', 8 * 60 * SECOND, "1 due instant until 12:15:30 will be skipped: 12:15"),
        ('every("15m")', SECOND, "no instant is due until 12:07:31, so none will be skipped"),
        (
            'every("15m")',
            2 * HOUR,
            "8 due instants until 14:07:30 will be skipped: 12:15, 12:30, 12:45, … 14:00",
        ),
        (
            'every("1s")',
            HOUR,
            "more than 1,000 due instants until 13:07:30 will be skipped: 12:07:31, 12:07:32, 12:07:33 and so on",
        ),
        ('every("15m")', None, "every due instant will be skipped: 12:15, 12:30, 12:45 and so on"),
        (
            'every("1d")',
            24 * HOUR,
            "1 due instant until 2026-12-02 12:07:30 will be skipped: 2026-12-02 00:00",
        ),
        (
            "Moon()",
            HOUR,
            "its due instants will be skipped; they cannot be named, because its trigger is not one of ours",
        ),
    ],
)
def test_a_pause_names_the_instants_that_it_skips(trigger: str, lasting_ns: int | None, words: str) -> None:
    until_ns = None if lasting_ns is None else NOW_NS + lasting_ns
    assert pause_words(job(trigger), NOW_NS, until_ns) == words


def test_a_trigger_without_further_instants_loses_none() -> None:
    past = job(str(at(datetime(2020, 1, 1, tzinfo=UTC))))
    assert pause_words(past, NOW_NS, None) == "no instant is due any more, so none will be skipped"


def test_the_last_instant_of_a_pause_is_not_its_end() -> None:
    end_ns = ns_of(datetime(2026, 12, 1, 12, 30, tzinfo=UTC))
    assert [time_text(it, NOW_NS) for it in due_instants(job(), NOW_NS, end_ns)] == ["12:15"]
    assert [time_text(it, NOW_NS) for it in due_instants(job(), NOW_NS, end_ns + 1)] == ["12:15", "12:30"]


def test_an_instant_is_as_short_as_it_can_be() -> None:
    at_ns = ns_of(datetime(2026, 12, 1, 13, 5, tzinfo=UTC))
    assert [time_text(at_ns + ns, NOW_NS) for ns in (0, SECOND, SECOND + 40 * MS)] == [
        "13:05",
        "13:05:01",
        "13:05:01.040",
    ]
    assert time_text(at_ns + 24 * HOUR, NOW_NS) == "2026-12-02 13:05"
    assert until_text(at_ns + 999 * MS, NOW_NS) == "13:05"


def test_a_resume_names_the_jobs_and_their_instants() -> None:
    jobs = [job(name=f"job-{number}") for number in range(7)]
    words = resume_words(jobs, NOW_NS)
    assert words[0] == "job-0 of billing will run again from 12:15 on"
    assert words[5:] == ["so will 2 other jobs", "Instants that passed during the pause are not run later"]
    assert resume_words([job("Moon()")], NOW_NS)[0] == "nightly of billing will run again from its next due instant on"


def test_a_run_on_request_is_one_run_that_may_have_to_wait() -> None:
    three = [instance(f"host-{number}") for number in range(3)]
    assert "on one of 3 instances" in trigger_words(job(), three, [])[0]
    assert "on the one instance that has it" in trigger_words(job(), three[:1], [])[0]
    assert "will be refused" in trigger_words(job(), [], [])[0]
    assert "host-2 holds its lock billing/nightly" in trigger_words(job(), three, [lease()])[1]
    assert len(trigger_words(job(), three, [lease(remaining_ns=0), lease(resource="other")])) == 1


def test_a_run_that_shall_stop_is_known_by_its_instant() -> None:
    due_ns = ns_of(datetime(2026, 12, 1, 12, tzinfo=UTC))
    run = RunRecord(
        "nightly", due_ns, 1, "host-1", "billing", "0123456789abcdef", "r", 1, due_ns, due_ns, None, None, "", None
    )
    assert cancel_words(run, NOW_NS) == "01234567 on host-1, due 12:00, in progress for 7m30s"


def test_an_unlock_says_who_loses_and_what_becomes_of_the_run() -> None:
    words = unlock_words("billing/nightly", 12, lease())
    assert words[0] == "host-2 will lose billing/nightly, which it has held for 1m30s under fence 12"
    assert words[-1] == "the run 01234567 of nightly ends as orphaned, and is not run again"
    assert len(unlock_words("billing/nightly", 12, lease(run_id=""))) == 3
    for gone in (None, lease(fence=13)):
        assert unlock_words("billing/nightly", 12, gone) == [
            "billing/nightly is not held under fence 12 any more, so this will be refused"
        ]


def test_a_drain_says_who_takes_over() -> None:
    hosts = [instance(f"host-{number}") for number in range(3)]
    assert drain_words("host-0", "billing", hosts, 0) == [
        "host-0 of billing will start no run; nothing runs there now",
        "2 other instances of billing will run its jobs",
    ]
    assert drain_words("host-0", "billing", hosts[:2], 2) == [
        "host-0 of billing will start no run; 2 runs go on to the end",
        "one other instance of billing will run its jobs",
    ]
    assert "none of its jobs will run" in drain_words("host-0", "billing", hosts[:1], 1)[1]
