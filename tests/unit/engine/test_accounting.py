"""Every due instant has exactly one outcome, and the sums agree at every scrape."""

from __future__ import annotations

import random
from collections import defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING

from hypothesis import example, given, settings
from hypothesis import strategies as st
from kit.rig import Rig

from tickglass.sched.control.order_book import OrderBook
from tickglass.sched.control.orders import Pause
from tickglass.sched.durations import MS, SECOND
from tickglass.sched.events import InstantsElsewhere, InstantsMissed, InstantsSkipped, OccurrenceMoved
from tickglass.sched.identity import JobId
from tickglass.sched.triggers import Trigger, cron, every

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickglass.sched.events import Event
    from tickglass.sched.run import Run

TRIGGERS: dict[str, Trigger] = {
    "fast": every("100ms"),
    "odd": every("70ms", offset="13ms"),
    "seconds": cron("* * * * * *"),
    "minutes": cron("*/1 * * * *"),
}


def scraped(rig: Rig) -> dict[str, dict[str, float]]:
    """Return due, outcomes and pending of each job, as a scrape finds them."""
    sums: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for family in rig.metrics.registry.collect():
        for sample in family.samples:
            if sample.name in ("tickglass_job_due_total", "tickglass_job_outcomes_total", "tickglass_job_pending"):
                sums[sample.labels["job_name"]][sample.name] += sample.value
    return sums


def assert_the_sums_agree(rig: Rig) -> None:
    for job, sums in scraped(rig).items():
        due = sums["tickglass_job_due_total"]
        assert due == sums["tickglass_job_outcomes_total"] + sums["tickglass_job_pending"], job


def accounted_for_once(events: list[Event], job: str, trigger: Trigger) -> tuple[int, int] | None:
    """The due instants and the passed ranges of one instance follow each other without gap or repetition.

    Return the first instant and the one that must come next; None if nothing was due.
    """
    spans = []  # first instant, where the next span must begin, how many it stands for
    for event in events:
        if isinstance(event, OccurrenceMoved) and event.event == "fell_due" and event.job == job:
            following_ns = trigger.next_after_ns(event.due_ns)
            assert following_ns is not None, "these go on for ever"
            spans.append((event.due_ns, following_ns, 1))
        elif isinstance(event, InstantsMissed | InstantsElsewhere) and event.job == job:
            spans.append((event.first_due_ns, event.before_ns, event.count))
        elif isinstance(event, InstantsSkipped) and event.job == job:
            assert event.next_due_ns is not None, "these go on for ever"
            spans.append((event.first_due_ns, event.next_due_ns, event.count))
    spans.sort()
    for (_, end, _), (following, _, _) in pairwise(spans):
        assert end == following
    for begin, end, count in spans:
        assert trigger.count_between(begin - 1, end - 1, 10**6).count == count
    return (spans[0][0], spans[-1][1]) if spans else None


def frozen(book: OrderBook, now_ns: int, lasts_ns: int) -> OrderBook:
    pause = Pause(number=1, by="anna", reason="a freeze", since_ns=now_ns, until_ns=now_ns + lasts_ns)
    return book.revised(now_ns, add=[pause])


def jobs_of(seed: int) -> dict[str, Callable[[Run], None]]:
    dice = random.Random(seed)

    def work(run: Run) -> None:
        length_ms = dice.choice((0, 0, 5, 60, 150, 2_000))
        if length_ms:
            run.wait(f"{length_ms}ms")
        if dice.random() < 0.2:
            raise RuntimeError("unlucky")

    return dict.fromkeys(TRIGGERS, work)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("advance"), st.sampled_from([MS, 7 * MS, 50 * MS, 100 * MS, 333 * MS, SECOND])),
        st.tuples(st.just("pause"), st.integers(2 * SECOND, 200 * SECOND)),
        st.tuples(st.just("step"), st.integers(-5 * SECOND, 90 * SECOND)),
        st.tuples(st.just("freeze"), st.integers(0, 200 * SECOND)),  # operators have the jobs paused for so long
        st.tuples(st.just("restart"), st.integers(0, 200 * SECOND)),  # after so long without anybody
    ),
    max_size=25,
)


@settings(max_examples=40, deadline=None)
@example(
    steps=[
        ("advance", 100 * MS),
        ("pause", 2_400 * MS),
        ("step", -2_088 * MS - 1),
        ("restart", 0),
        ("restart", 0),
        ("advance", 333 * MS),
    ],
    seed=1,
)
@example(
    steps=[("freeze", 5 * SECOND), ("restart", 20 * SECOND), ("freeze", 50 * SECOND), ("restart", 90 * SECOND)], seed=1
)
@given(steps=steps, seed=st.integers(0, 10**6))
def test_the_accounts_agree_through_overruns_failures_pauses_steps_freezes_and_restarts(
    steps: list[tuple[str, int]], seed: int
) -> None:
    rig = Rig()
    functions = jobs_of(seed)
    owed = {name: trigger.next_after_ns(rig.clock.wall_ns()) or 0 for name, trigger in TRIGGERS.items()}
    covered = dict(owed)  # up to where each instant has an outcome
    claimed: dict[str, int] = {}
    book = OrderBook()

    def register() -> None:
        rig.orders.book = book
        in_time_ns = rig.clock.wall_ns() + rig.skew.max_ahead_ns
        for name, trigger in TRIGGERS.items():
            runs = rig.store.runs(JobId("svc", name), 1, before_ns=in_time_ns + 1)
            claimed[name] = max((run.due_ns for run in runs), default=0)
            rig.add(functions[name], trigger, name=name, timeout="500ms")

    def close_the_books() -> None:
        rig.stop()
        assert_the_sums_agree(rig)
        assert {sums["tickglass_job_pending"] for sums in scraped(rig).values()} == {0}
        for name, trigger in TRIGGERS.items():
            span = accounted_for_once(rig.sink.events, name, trigger)
            if span is None:
                continue
            begin, owes = span
            # A claim ahead of a clock that was set back is believed once that clock has come so far: an earlier
            # instance has accounted for what is before it, and the next one goes on from there.
            believed = begin == trigger.next_after_ns(claimed[name]) and begin <= covered[name]
            assert begin <= owed[name] or believed, "an instant between two instances is nobody's"
            assert begin > claimed[name], "what was claimed in time is not due again"
            owed[name] = owes
            covered[name] = max(covered[name], owes)
        rig.sink.events.clear()

    register()
    for step, by_ns in steps:
        if step == "step":
            rig.clock.step(by_ns)
        elif step == "freeze":
            rig.orders.book = book = frozen(book, rig.clock.wall_ns(), by_ns)
        elif step == "restart":
            close_the_books()
            rig.clock.advance(by_ns)
            rig.start("b")
            register()
        rig.advance(by_ns if step in ("advance", "pause") else MS)
        assert_the_sums_agree(rig)
    close_the_books()
