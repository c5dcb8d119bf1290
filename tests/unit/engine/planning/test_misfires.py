"""Instants that passed are accounted for once: elsewhere up to the latest claim, missed after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tickglass.sched.durations import MS, SECOND
from tickglass.sched.engine.planning.misfires import Misfires
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.events import InstantsElsewhere, InstantsMissed, StoreCalled, TriggerFailed
from tickglass.sched.job import declare
from tickglass.sched.lease import Lease
from tickglass.sched.occurrence import OccurrenceEvent, OccurrenceMachine
from tickglass.sched.ports import ClaimAsk, Claimed, JobRecord, LeaseAsk, Settlement
from tickglass.sched.triggers import Trigger, every

if TYPE_CHECKING:
    from kit.rig import Rig

    from tickglass.sched.job import Job

DOWN = StoreUnavailable("memory", "runs", "gone fishing")
T0 = 1_767_225_600 * SECOND  # an instant of the trigger; the others are counted from it


def nothing() -> None: ...


JOB = declare(nothing, every("1s"), service="svc")


def due(number: int) -> int:
    return T0 + number * SECOND


def take(rig: Rig, *numbers: int) -> None:
    """Claim and settle instants for somebody else."""
    for number in numbers:
        run_id = f"{number:032x}"
        ask = LeaseAsk(JOB.resource, "b", "svc", f"token-{number}", 30 * SECOND, JOB.name, run_id)
        claimed = rig.store.claim(ClaimAsk(ask, due(number)))
        assert isinstance(claimed, Claimed)
        lease = Lease(ask.resource, ask.owner, ask.token, claimed.fence, ask.ttl_ns, 0)
        rig.store.settle(Settlement(lease, "svc", JOB.name, due(number), run_id, "success"))


def pass_by(misfires: Misfires, first: int, before: int, job: Job = JOB) -> None:
    counted = JOB.trigger.count_between(due(first), due(before), 10_000)
    misfires.span_passed(job, due(first), due(before), counted)


def tell(rig: Rig, misfires: Misfires) -> list[tuple[str, int, int, int]]:
    """Let it tell of everything it was given; return of what spans of instants it told, and of how many in each."""
    misfires.start()
    misfires.stop()
    return [
        (type(event).__name__, (event.first_due_ns - T0) // SECOND, (event.before_ns - T0) // SECOND, event.count)
        for event in rig.sink.events
        if isinstance(event, InstantsElsewhere | InstantsMissed)
    ]


@pytest.mark.parametrize(
    ("taken", "told"),
    [
        ((), [("InstantsMissed", 3, 9, 6)]),
        ((1, 2), [("InstantsMissed", 3, 9, 6)]),
        ((3, 4, 6), [("InstantsElsewhere", 3, 7, 4), ("InstantsMissed", 7, 9, 2)]),
        ((8,), [("InstantsElsewhere", 3, 9, 6)]),
        ((9, 10, 11), [("InstantsMissed", 3, 9, 6)]),  # those came when it was back: they may be its own
        ((2, 5, 9), [("InstantsElsewhere", 3, 6, 3), ("InstantsMissed", 6, 9, 3)]),
    ],
)
def test_instants_up_to_the_latest_claim_before_it_was_back_are_elsewhere_and_those_after_it_missed(
    rig: Rig, taken: tuple[int, ...], told: list[tuple[str, int, int, int]]
) -> None:
    take(rig, *taken)
    misfires = Misfires(rig.context)
    pass_by(misfires, 3, 9)
    assert tell(rig, misfires) == told


@pytest.mark.parametrize(("taken", "outcome"), [(3, "elsewhere"), (2, "missed"), (4, "missed")])
def test_an_occurrence_past_its_grace_is_missed_unless_another_instance_took_it(
    rig: Rig, taken: int, outcome: str
) -> None:
    take(rig, taken)
    occurrence = OccurrenceMachine(
        JOB.name, due(3), owner="a", service="svc", run_id="r", clock=rig.clock, sink=rig.sink
    )
    occurrence.fire(OccurrenceEvent.FELL_DUE)
    misfires = Misfires(rig.context)
    misfires.too_late(occurrence)
    tell(rig, misfires)
    (end,) = rig.moves(JOB.name, "ended")
    assert end.outcome == outcome


def test_without_an_answer_all_that_wait_count_as_missed_and_the_store_is_asked_once(rig: Rig) -> None:
    take(rig, 8)
    rig.store.broken["runs"] = DOWN
    misfires = Misfires(rig.context)
    pass_by(misfires, 3, 5)
    pass_by(misfires, 6, 9)
    assert tell(rig, misfires) == [("InstantsMissed", 3, 5, 2), ("InstantsMissed", 6, 9, 3)]
    assert [call.error for call in rig.sink.of(StoreCalled) if call.operation == "runs"] == ["unavailable"]


def registered(rig: Rig, trigger: str, next_due_ns: int | None, grace_ns: int = SECOND) -> None:
    """Have somebody else register the job with a trigger."""
    rig.store.register(
        [JobRecord(JOB.name, trigger, JOB.resource, "b", "svc", 30 * SECOND, grace_ns, None, next_due_ns)]
    )


NEW, OLD = 'cron("0 * * * *")', str(JOB.trigger)
MISSED = [("InstantsElsewhere", 3, 5, 2), ("InstantsMissed", 5, 9, 4)]
NOT_MISSED = [("InstantsElsewhere", 3, 5, 2), ("InstantsElsewhere", 5, 9, 4)]


@pytest.mark.parametrize(
    ("trigger", "next_due", "told"),
    [
        (NEW, 60, NOT_MISSED),
        (NEW, 9, NOT_MISSED),  # within its grace
        (NEW, 8, MISSED),  # those who have it are not there either
        (NEW, None, MISSED),
        (OLD, 60, MISSED),
    ],
)
def test_what_passed_under_a_trigger_that_others_have_replaced_is_not_missed_while_they_keep_to_theirs(
    rig: Rig, trigger: str, next_due: int | None, told: list[tuple[str, int, int, int]]
) -> None:
    rig.clock.step(due(9) + SECOND // 2 - rig.clock.wall_ns())
    take(rig, 4)
    registered(rig, trigger, None if next_due is None else due(next_due))
    misfires = Misfires(rig.context)
    pass_by(misfires, 3, 9)
    assert tell(rig, misfires) == told


@pytest.mark.parametrize(("trigger", "outcome"), [(NEW, "elsewhere"), (OLD, "missed")])
def test_an_occurrence_past_its_grace_is_not_missed_either_then(rig: Rig, trigger: str, outcome: str) -> None:
    rig.clock.step(T0 - rig.clock.wall_ns())
    rig.timeline.tick()
    rig.add(nothing, every("1s"), misfire_grace="100ms")
    registered(rig, trigger, due(60))
    rig.advance(1_500 * MS)
    (end,) = rig.ended(JOB.name)
    assert end.outcome == outcome


def test_of_triggers_that_were_replaced_the_store_is_asked_once_and_without_an_answer_all_are_missed(rig: Rig) -> None:
    def gone() -> list[JobRecord]:
        asked.append(1)
        raise DOWN

    asked: list[int] = []
    registered(rig, NEW, due(10**6))
    rig.store.jobs = gone  # type: ignore[method-assign]
    misfires = Misfires(rig.context)
    pass_by(misfires, 3, 5)
    pass_by(misfires, 6, 9)
    assert tell(rig, misfires) == [("InstantsMissed", 3, 5, 2), ("InstantsMissed", 6, 9, 3)]
    assert asked == [1]


class Broken(Trigger):
    def next_after_ns(self, after_ns: int) -> int | None:
        raise ZeroDivisionError(after_ns)


def test_a_trigger_that_raises_loses_no_instant(rig: Rig) -> None:
    take(rig, 4)
    misfires = Misfires(rig.context)
    pass_by(misfires, 3, 9, declare(nothing, Broken(), service="svc"))
    assert tell(rig, misfires) == [("InstantsMissed", 3, 9, 6)]
    (failure,) = rig.sink.of(TriggerFailed)
    assert "ZeroDivisionError" in failure.error


def test_an_instance_that_was_frozen_does_not_call_missed_what_others_ran(rig: Rig) -> None:
    rig.clock.step(T0 - rig.clock.wall_ns())
    rig.timeline.tick()
    rig.add(nothing, every("1s"), misfire_grace="1s")
    take(rig, 1, 2, 3, 4, 5, 6, 7)
    rig.advance(9_500 * MS)
    (end,) = rig.ended(JOB.name)
    missed = rig.missed(JOB.name)
    (elsewhere,) = rig.sink.of(InstantsElsewhere)
    assert (end.outcome, end.due_ns, elsewhere.count, missed.count) == ("success", due(9), 7, 1)
    rig.stop()
    shown = {
        (sample.name, sample.labels.get("outcome")): sample.value
        for family in rig.metrics.registry.collect()
        for sample in family.samples
    }
    rig.start()
    assert shown["tickglass_job_due_total", None] == 9
    assert shown["tickglass_job_outcomes_total", "elsewhere"] == 7
    assert shown["tickglass_job_outcomes_total", "missed"] == 1


def test_however_much_of_a_job_has_passed_the_store_is_asked_once_for_it(rig: Rig) -> None:
    misfires = Misfires(rig.context)
    take(rig, 2, 5, 9)
    for first in (1, 3, 6, 10):
        pass_by(misfires, first, first + 2)
    told = tell(rig, misfires)
    assert told == [
        ("InstantsElsewhere", 1, 3, 2),
        ("InstantsMissed", 3, 5, 2),
        ("InstantsMissed", 6, 8, 2),
        ("InstantsMissed", 10, 12, 2),
    ]
    assert [call.operation for call in rig.sink.of(StoreCalled)].count("runs") == 1


def test_where_more_claims_lie_between_than_were_read_the_store_is_asked_again(rig: Rig) -> None:
    misfires = Misfires(rig.context)
    take(rig, *range(1, 20))
    pass_by(misfires, 1, 3)
    pass_by(misfires, 20, 22)
    assert tell(rig, misfires) == [("InstantsElsewhere", 1, 3, 2), ("InstantsMissed", 20, 22, 2)]


def test_it_asks_for_a_tenth_of_the_time_at_most_and_meanwhile_questions_about_a_job_become_one(rig: Rig) -> None:
    asked = 100 * MS
    rig.store.slow["runs"] = asked
    misfires = rig.misfires
    pass_by(misfires, 0, 1)
    rig.sink.wait_for(lambda event: isinstance(event, InstantsMissed))
    for number in range(1, 6):
        pass_by(misfires, number, number + 1)
    rig.clock.wait_for_sleepers(2)  # the timers, and the misfires until they may ask again
    assert len(rig.sink.of(InstantsMissed)) == 1
    rig.clock.advance(9 * asked)
    rig.sink.wait_for(lambda event: isinstance(event, InstantsMissed), count=6)
    assert [call.operation for call in rig.sink.of(StoreCalled)].count("runs") == 2
