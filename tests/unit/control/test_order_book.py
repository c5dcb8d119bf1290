"""What stands in a store, how it is written, and what it means for a job, a run, an instance."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import structs

from tickglass.sched.control.order_book import OrderBook
from tickglass.sched.control.orders import Cancel, Drain, Order, Pause, RunNow, Skip, fits
from tickglass.sched.durations import SECOND
from tickglass.sched.identity import JobId
from tickglass.sched.ports import ControlRecord

NIGHTLY = JobId("billing", "nightly")
DAY = 86_400 * SECOND


def pause(number: int = 1, *, service: str = "*", job: str = "*", until_ns: int | None = None) -> Pause:
    return Pause(number=number, by="anna", reason="why", since_ns=0, until_ns=until_ns, service=service, job=job)


def told(number: int) -> dict[str, Any]:
    return {"number": number, "by": "anna", "reason": "why", "since_ns": 5}


EACH: tuple[Order, ...] = (
    pause(until_ns=9),
    Skip(**told(2), service="billing", job="nightly", due_ns=77),
    RunNow(**told(3), service="billing", job="nightly", due_ns=78),
    Cancel(**told(4), service="billing", job="nightly", run_id="ab"),
    Drain(**told(5), service="billing", owner="host-1"),
)


def test_what_is_written_is_read_again() -> None:
    book = OrderBook(7, EACH)
    assert OrderBook.read(book.written()) == book


def test_before_the_first_act_nothing_stands() -> None:
    assert OrderBook.read(ControlRecord()) == OrderBook()


def test_an_order_of_a_later_version_is_kept_and_not_obeyed() -> None:
    later = {"order": "quarantine", "number": 6, "by": "bob", "level": 3}
    known = json.loads(OrderBook(6, EACH).written().text)
    book = OrderBook.read(ControlRecord(6, json.dumps([later, *known])))
    assert book.orders == EACH
    assert later in json.loads(book.revised(0).written().text)


@pytest.mark.parametrize(
    ("name", "pattern", "does"),
    [
        ("nightly", "*", True),
        ("nightly", "nightly", True),
        ("nightly", "night*", True),
        ("nightly", "Nightly", False),
        ("nightly", "night", False),
        ("a[1]", "a[1]", True),
        ("a1", "a[12]", True),
    ],
)
def test_a_pattern_fits_as_in_a_shell_and_a_name_always_fits_itself(name: str, pattern: str, does: bool) -> None:  # noqa: FBT001 - a row of the table
    assert fits(name, pattern) is does


@pytest.mark.parametrize(
    ("service", "job", "due_ns", "paused"),
    [
        ("*", "*", 8, True),
        ("billing", "nightly", 8, True),
        ("bill*", "n*", 8, True),
        ("mail", "*", 8, False),
        ("*", "hourly", 8, False),
        ("*", "*", 9, False),
        ("*", "*", 0, True),
    ],
)
def test_a_pause_is_about_the_due_instants_before_its_end(service: str, job: str, due_ns: int, paused: bool) -> None:  # noqa: FBT001 - a row of the table
    book = OrderBook(1, (pause(service=service, job=job, until_ns=9),))
    assert (book.pause_of(NIGHTLY, due_ns) is not None) is paused


def test_a_pause_without_an_end_covers_all_that_comes() -> None:
    assert OrderBook(1, (pause(),)).pause_of(NIGHTLY, 10**19) is not None


def test_pauses_that_touch_are_one_span_and_count_from_their_beginning_on() -> None:
    spans = ((50, 60), (10, 20), (20, 30), (15, 18), (90, None), (0, 3))
    pauses = [structs.replace(pause(until_ns=until_ns), since_ns=since_ns) for since_ns, until_ns in spans]
    other = pause(job="other")
    book = OrderBook(1, (*pauses, other))
    assert book.paused_spans(NIGHTLY, 5, 100) == [(10, 30), (50, 60), (90, 100)]
    assert book.paused_spans(NIGHTLY, 12, 55) == [(12, 30), (50, 55)]
    assert book.paused_spans(NIGHTLY, 30, 50) == []


def test_a_skip_is_about_one_due_instant_of_one_job() -> None:
    book = OrderBook(2, EACH)
    assert book.skip_of(NIGHTLY, 77) == EACH[1]
    assert book.skip_of(NIGHTLY, 78) is None
    assert book.skip_of(JobId("mail", "nightly"), 77) is None


def test_a_drain_is_about_one_instance_until_its_end() -> None:
    drain = Drain(**told(5), service="billing", owner="host-1", until_ns=9)
    book = OrderBook(5, (drain,))
    assert book.drain_of("billing", "host-1", 8) == drain
    assert book.drain_of("billing", "host-1", 9) is None
    assert book.drain_of("mail", "host-1", 8) is None
    assert book.cancel_of("ab") is None


def test_a_new_version_ends_orders_now_and_drops_what_ended_a_month_ago() -> None:
    old, ended, standing = pause(1, until_ns=1), pause(2, until_ns=2 * DAY), pause(3)
    now_ns = 32 * DAY + 5
    book = OrderBook(3, (old, ended, standing))
    added = pause(4, job="x")
    revised = book.revised(now_ns, add=[added], end=[standing])
    assert revised.version == 4
    assert revised.orders == (ended, pause(3, until_ns=now_ns), added)
    assert revised.standing(now_ns) == (added,)


def test_of_what_has_ended_only_the_latest_that_may_still_matter_is_kept() -> None:
    runs = [RunNow(**told(number), service="billing", job="x", due_ns=1, until_ns=9) for number in range(1, 500)]
    pauses = [pause(number, until_ns=9) for number in range(500, 1_000)]
    revised = OrderBook(999, (*runs, *pauses)).revised(10)
    assert revised.orders == tuple(pauses[-100:])
