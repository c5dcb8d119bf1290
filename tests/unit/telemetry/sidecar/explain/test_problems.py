"""What is wrong comes first, and is named."""

from __future__ import annotations

import msgspec
import pytest
from kit.view_samples import ill, job_of, well

from tickglass.sched.durations import SECOND
from tickglass.telemetry.sidecar.explain.problems import headline, mark_words, problems, scheduler_words
from tickglass.telemetry.sidecar.explain.tones import Tone
from tickglass.telemetry.sidecar.view import JobView, LockMark, LockView, OutcomeShare, SchedulerView, StoreView, View


def only(**parts: object) -> View:
    return View(at_wall_ns=1, **parts)  # type: ignore[arg-type]


def said(**parts: object) -> list[tuple[Tone, str]]:
    return [(problem.tone, f"{problem.what} {problem.name} {problem.words}") for problem in problems(only(**parts))]


def test_without_a_problem_the_headline_is_all_well() -> None:
    assert headline(problems(well())) == "All well"


def test_a_stuck_lock_is_named_before_all_else() -> None:
    found = problems(ill())
    assert [problem.what for problem in found] == ["lock", "job", "job"]
    assert headline(found) == "Not well: lock ledger:eu, job close_books, job send_invoices"
    assert "has held it for 4m12s, 25s is allowed; 2 wait for it" in found[0].words


def test_the_headline_holds_no_ages() -> None:
    now_ns = ill().at_wall_ns
    later = ill(now_ns + 20 * SECOND)
    assert headline(problems(later)) == headline(problems(ill(now_ns)))


def test_the_headline_names_a_few_and_counts_the_rest() -> None:
    jobs = [job_of(name, "5s", [], overdue_ns=1) for name in "abcde"]
    assert headline(problems(only(jobs=jobs))) == "Not well: job a, job b, job c and 2 more"


def test_what_is_not_known_is_said() -> None:
    assert said(unready=["no store was read"]) == [(Tone.WARN, "view  no store was read")]
    assert headline(problems(only(unready=["no store was read"]))) == "Not all is known"


def test_a_lock_whose_lease_ended_without_a_release_is_stuck() -> None:
    lock = LockView(resource="r", state="expired", owner="h", remaining_ns=-90 * SECOND, stuck=True, waiters=1)
    [(tone, words)] = said(locks=[lock])
    assert tone is Tone.BAD
    assert words == (
        "lock r is stuck: the lease of h ended 1m30s ago without a release, and no instance has taken the lock since;"
        " 1 waits for it"
    )


@pytest.mark.parametrize(
    ("change", "tone", "words"),
    [
        ({"ok": False, "error": "ConnectionError", "age_ns": 9 * SECOND}, Tone.BAD, "cannot be read: ConnectionError"),
        ({"skew_ns": 3 * SECOND, "skew_bound_ns": SECOND}, Tone.WARN, "our clock is 3.00 s ahead of the store's"),
        ({"skew_ns": -3 * SECOND, "skew_bound_ns": SECOND}, Tone.WARN, "our clock is 3.00 s behind the store's"),
    ],
)
def test_each_problem_of_a_store_has_its_tone_and_words(change: dict[str, object], tone: Tone, words: str) -> None:
    [(seen, text)] = said(stores=[StoreView(source="redis://r", **{"ok": True, **change})])  # type: ignore[arg-type]
    assert seen is tone
    assert words in text


def test_a_skew_within_its_own_bound_is_no_news() -> None:
    assert said(stores=[StoreView(source="s", ok=True, skew_ns=3 * SECOND, skew_bound_ns=2 * SECOND)]) == []


@pytest.mark.parametrize(
    ("change", "tone", "word", "words"),
    [
        ({"state": "gone", "connected": False, "silent_ns": 4 * SECOND}, Tone.BAD, "gone", "ended 4.00 s ago"),
        ({"stalled": True}, Tone.BAD, "stalled", "its timeline does not tick"),
        ({"unready": ["it is full", "it is late"]}, Tone.BAD, "not ready", "is not ready: it is full; it is late"),
        ({"missed": 12, "gaps": 1, "gap_age_ns": 599 * SECOND}, Tone.OK, "running", "12 events never arrived"),
        ({"missed": 12, "gaps": 1, "gap_age_ns": 600 * SECOND}, Tone.OK, "running", ""),
        ({"connected": False, "state": "stopped"}, Tone.QUIET, "stopped", ""),
        ({"state": "draining"}, Tone.RUN, "draining", ""),
    ],
)
def test_each_state_of_a_scheduler_has_its_tone_and_words(
    change: dict[str, object], tone: Tone, word: str, words: str
) -> None:
    facts = {"owner": "h", "service": "s", "state": "running", "connected": True, **change}
    scheduler = SchedulerView(**facts)  # type: ignore[arg-type]
    assert scheduler_words(scheduler, only(schedulers=[scheduler])) == (tone, word)
    found = [text for _, text in said(schedulers=[scheduler])]
    assert len(found) == bool(words)
    assert all(words in text and text.startswith("scheduler s/h ") for text in found)


@pytest.mark.parametrize(
    ("others", "named"),
    [
        ([{}], []),
        ([{"service": "another"}], ["s/h"]),
        ([{"stalled": True}], ["s/h", "s/o"]),
        ([{"state": "draining"}], ["s/h"]),
        ([{"state": "stopped", "connected": False}], ["s/h"]),
        ([{"state": "gone", "connected": False, "silent_ns": 1_799 * SECOND}], ["s/h", "s/o"]),
    ],
)
def test_schedulers_that_are_gone_matter_while_nobody_else_is_at_work(
    others: list[dict[str, object]], named: list[str]
) -> None:
    who = {"state": "running", "connected": True, "service": "s", "owner": "o"}
    lost = [
        SchedulerView(owner="h", service="s", state="gone", silent_ns=1_800 * SECOND),
        SchedulerView(owner="i", service="s", state="gone", silent_ns=30 * 86_400 * SECOND),
    ]
    view = only(schedulers=[*lost, *(SchedulerView(**{**who, **other}) for other in others)])  # type: ignore[arg-type]
    assert [problem.name for problem in problems(view)] == named
    assert [scheduler_words(one, view)[0] for one in lost] == [
        Tone.BAD if f"s/{one.owner}" in named else Tone.QUIET for one in lost
    ]


def test_of_a_service_that_has_long_been_gone_the_last_one_is_named() -> None:
    gone = [
        SchedulerView(owner=owner, service="s", state="gone", silent_ns=days * 86_400 * SECOND)
        for owner, days in (("h", 2), ("i", 1))
    ]
    assert [problem.name for problem in problems(only(schedulers=gone))] == ["s/i"]


@pytest.mark.parametrize(
    ("change", "tone", "words"),
    [
        ({"overdue_ns": SECOND, "why": "no instance claimed it"}, Tone.BAD, "is overdue: no instance claimed it"),
        ({"overdue_ns": SECOND}, Tone.BAD, "is overdue: it was due 1.00 s ago"),
        ({"failures": 2}, Tone.BAD, "has failed 2 times in a row"),
        ({"abandoned": 1, "why": "abandoned"}, Tone.WARN, "has 1 claim whose lease ended"),
        ({"why": "something is the matter"}, Tone.WARN, "something is the matter"),
        (
            {"running": 1, "running_since_wall_ns": -90 * SECOND, "timeout_ns": 25 * SECOND, "overdue_ns": 1},
            Tone.BAD,
            "has a run that was asked to stop at its timeout of 25s and is still running 1m05s later",
        ),
    ],
)
def test_each_problem_of_a_job_has_its_tone_words_and_link(change: dict[str, object], tone: Tone, words: str) -> None:
    job = msgspec.structs.replace(JobView(name="a/b", service="s", trigger="t", resource="a/b"), **change)
    [problem] = problems(only(jobs=[job]))
    assert problem.tone is tone
    assert words in problem.words
    assert problem.href == "/jobs/a%2Fb?service=s"


@pytest.mark.parametrize("ran_s", [3, 25, 26])
def test_a_run_within_its_timeout_or_about_to_stop_is_no_news(ran_s: int) -> None:
    job = JobView(name="j", service="s", trigger="t", resource="j", running=1, timeout_ns=25 * SECOND)
    assert said(jobs=[msgspec.structs.replace(job, running_since_wall_ns=-ran_s * SECOND)]) == []


def test_one_failure_is_the_jobs_own_affair() -> None:
    assert said(jobs=[JobView(name="j", service="s", trigger="t", resource="j", failures=1)]) == []


@pytest.mark.parametrize("what", ["lost", "expired", "rejected", "taken over", "something new"])
@pytest.mark.parametrize("other", ["", "host-2"])
def test_what_happened_to_a_lock_is_a_sentence(what: str, other: str) -> None:
    words = mark_words(LockMark(resource="r", job="j", at_wall_ns=1, what=what, owner="host-1", other=other))
    assert words
    assert words == "something new" or "host-1" in words


@pytest.mark.parametrize(
    ("share", "words"),
    [
        ({"runs": 5, "failed": 2, "due": 5}, "has failed in 2 of 5 runs in the last 15m"),
        ({"runs": 6, "due": 10, "left_out": 4}, "was skipped or missed 4 of 10 times in the last 15m"),
        ({"runs": 1, "failed": 1, "due": 1}, ""),
        ({"runs": 8, "failed": 2, "due": 8}, ""),
        ({"runs": 9, "due": 12, "left_out": 3}, ""),
        ({"due": 2, "left_out": 2}, ""),
    ],
)
def test_a_job_that_fails_or_is_left_out_often_is_not_well_though_never_twice_in_a_row(
    share: dict[str, int], words: str
) -> None:
    shares = [OutcomeShare(window_ns=900 * SECOND, **share), OutcomeShare(window_ns=86_400 * SECOND)]
    job = JobView(name="j", service="s", trigger="t", resource="j", failures=1, shares=shares)
    assert said(jobs=[job]) == ([(Tone.WARN, f"job j {words}")] if words else [])
