"""The state machines: each legal move is reported exactly once, and no other is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickglass.sched.errors import IllegalTransition
from tickglass.sched.events import LockMoved, OccurrenceMoved, SchedulerMoved
from tickglass.sched.lease import LOCK_TRANSITIONS, LockEvent, LockMachine, LockState
from tickglass.sched.lifecycle import SCHEDULER_TRANSITIONS, SchedulerEvent, SchedulerMachine
from tickglass.sched.occurrence import (
    ENDINGS,
    OCCURRENCE_TRANSITIONS,
    OccurrenceEvent,
    OccurrenceMachine,
    OccurrenceState,
    Outcome,
    Timings,
)
from tickglass.testing import FakeClock, ListSink

if TYPE_CHECKING:
    from collections.abc import Mapping
    from enum import StrEnum

pauses = st.integers(0, 10**9)


def lock(clock: FakeClock, sink: ListSink) -> LockMachine:
    return LockMachine(
        "nightly", owner="n1", service="s", job="j", run_id="r", ttl_ns=1, blocking=True, clock=clock, sink=sink
    )


def occurrence(clock: FakeClock, sink: ListSink) -> OccurrenceMachine:
    return OccurrenceMachine("j", 0, owner="n1", service="s", run_id="r", clock=clock, sink=sink)


@given(st.lists(st.tuples(st.sampled_from(LockEvent), pauses), max_size=200))
def test_a_lock_reports_each_legal_move_once_and_makes_no_other(steps: list[tuple[LockEvent, int]]) -> None:
    clock, sink = FakeClock(), ListSink()
    machine = lock(clock, sink)
    legal: list[tuple[LockState, LockEvent]] = []
    for event, pause in steps:
        clock.advance(pause)
        before = machine.state
        if (before, event) in LOCK_TRANSITIONS:
            machine.fire(event)
            legal.append((before, event))
        else:
            with pytest.raises(IllegalTransition):
                machine.fire(event)
            assert machine.state is before
    assert [(move.before, move.event) for move in sink.of(LockMoved)] == legal


@given(st.lists(st.tuples(st.sampled_from(OccurrenceEvent), st.sampled_from([None, *Outcome])), max_size=100))
def test_an_occurrence_ends_at_most_once_and_only_as_its_state_allows(
    steps: list[tuple[OccurrenceEvent, Outcome | None]],
) -> None:
    sink = ListSink()
    machine = occurrence(FakeClock(), sink)
    legal = []
    for event, outcome in steps:
        before = machine.state
        fits = (event is OccurrenceEvent.ENDED) == (outcome is not None)
        allowed = outcome is None or outcome in ENDINGS.get(before, ())
        if fits and allowed and (before, event) in OCCURRENCE_TRANSITIONS:
            machine.fire(event, outcome=outcome)
            legal.append((before, event, outcome))
        else:
            with pytest.raises(IllegalTransition):
                machine.fire(event, outcome=outcome)
            assert machine.state is before
    moves = sink.of(OccurrenceMoved)
    assert [(move.before, move.event, move.outcome) for move in moves] == legal
    assert sum(move.outcome is not None for move in moves) == (machine.state is OccurrenceState.ENDED)


@given(st.lists(st.sampled_from(SchedulerEvent), max_size=50))
def test_a_scheduler_stops_before_it_starts_again(steps: list[SchedulerEvent]) -> None:
    sink = ListSink()
    machine = SchedulerMachine("n1", "s", FakeClock(), sink)
    for event in steps:
        if (machine.state, event) in SCHEDULER_TRANSITIONS:
            machine.fire(event)
        else:
            with pytest.raises(IllegalTransition):
                machine.fire(event)
    moves = sink.of(SchedulerMoved)
    starts = [number for number, move in enumerate(moves) if move.event == "start_asked"]
    assert all(moves[number - 1].after == "stopped" for number in starts[1:])
    assert moves == [] or (moves[0].before, moves[0].event) == ("new", "start_asked")


def test_a_renewal_does_not_begin_a_new_age() -> None:
    clock, sink = FakeClock(), ListSink()
    machine = lock(clock, sink)
    for event in (LockEvent.REQUESTED, LockEvent.GRANTED, LockEvent.RENEWED, LockEvent.RELEASED):
        machine.fire(event)
        clock.advance(10)
    assert sink.of(LockMoved)[-1].stayed_ns == 20


@pytest.mark.parametrize(
    ("table", "start"),
    [(LOCK_TRANSITIONS, LockState.IDLE), (OCCURRENCE_TRANSITIONS, OccurrenceState.NEW)],
)
def test_every_state_of_a_table_can_be_reached(table: Mapping[tuple[Any, Any], Any], start: StrEnum) -> None:
    reached: set[object] = {start}
    size = 0
    while len(reached) > size:
        size = len(reached)
        reached |= {after for (before, _), after in table.items() if before in reached}
    assert reached == set(type(start))


def test_every_state_in_which_an_occurrence_may_end_says_how() -> None:
    may_end = {before for before, event in OCCURRENCE_TRANSITIONS if event is OccurrenceEvent.ENDED}
    assert may_end == set(ENDINGS)
    assert set().union(*ENDINGS.values()) == set(Outcome)


@given(st.integers(0, 10**12), st.lists(st.integers(0, 10**9), min_size=8, max_size=8), st.booleans(), st.booleans())
def test_the_parts_of_lateness_sum_to_it_and_none_is_negative(
    due_ns: int,
    gaps: list[int],
    waited: bool,  # noqa: FBT001 - hypothesis passes by position
    rerun: bool,  # noqa: FBT001 - as above
) -> None:
    lead = 3 * 10**8
    found = due_ns + gaps[6] if rerun else 0
    visited = max(found, due_ns - lead) + gaps[0]
    handed = visited + gaps[7]
    taken = handed + gaps[1]
    claimed = taken + gaps[2]
    woke = due_ns + gaps[3] if waited and claimed < due_ns else claimed
    begun = woke if waited and claimed < due_ns else max(due_ns, claimed) + gaps[4]
    started = begun + gaps[5]
    late = Timings(due_ns, handed, visited, found, taken, claimed, woke, begun, started).lateness()
    parts = (late.timer_ns, late.pool_ns, late.lock_ns, late.start_ns)
    assert sum(parts) == late.total_ns == started - due_ns
    assert min(parts) >= 0


def test_a_run_that_waits_for_the_one_before_it_waits_for_the_pool() -> None:
    behind = Timings(100, 50, 50, taken_ns=60, claimed_ns=70, woke_ns=70, begun_ns=130, started_ns=135)
    assert (behind.lateness().pool_ns, behind.lateness().timer_ns, behind.lateness().start_ns) == (30, 0, 5)
    first = Timings(100, 50, 50, taken_ns=60, claimed_ns=70, woke_ns=103, begun_ns=103, started_ns=105)
    assert (first.lateness().pool_ns, first.lateness().timer_ns, first.lateness().start_ns) == (0, 3, 2)


def test_what_is_kept_back_waits_for_the_pool_and_only_the_way_to_the_first_visit_is_the_timers() -> None:
    kept = Timings(100, 900, 103, taken_ns=910, claimed_ns=920, woke_ns=920, begun_ns=920, started_ns=921).lateness()
    assert (kept.timer_ns, kept.pool_ns, kept.lock_ns, kept.start_ns) == (3, 807, 10, 1)


def test_until_a_rerun_is_found_the_dead_instance_has_the_lock() -> None:
    again = Timings(100, 703, 702, 700, taken_ns=704, claimed_ns=710, woke_ns=710, begun_ns=710, started_ns=711)
    late = again.lateness()
    assert (late.timer_ns, late.pool_ns, late.lock_ns, late.start_ns) == (2, 2, 606, 1)
