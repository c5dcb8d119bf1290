"""What fell due under a pause while nobody was there, or came too late, is skipped and not missed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from kit.own_process import nothing

from tickglass.sched.control.order_book import OrderBook
from tickglass.sched.control.orders import Pause, Skip
from tickglass.sched.durations import SECOND
from tickglass.sched.events import InstantsMissed, InstantsSkipped
from tickglass.sched.triggers import every

if TYPE_CHECKING:
    from kit.rig import Rig

ORDER = {"number": 1, "by": "anna", "reason": "the disk is full"}
PAUSED = "anna paused it: the disk is full (act 1)"


def away(rig: Rig, lasts_s: int, *orders: Pause | Skip) -> int:
    """Have nobody there for so long, and return the wall clock of the beginning."""
    rig.add(nothing, every("10s"), name="job", misfire_grace="2s")
    rig.stop()
    left_ns = rig.clock.wall_ns()
    rig.clock.advance(lasts_s * SECOND)
    rig.start("b")
    rig.orders.book = OrderBook(1, orders)
    rig.add(nothing, every("10s"), name="job", misfire_grace="2s")
    rig.timeline.tick()
    return left_ns


def pause(since_ns: int, until_ns: int | None = None) -> Pause:
    return Pause(**ORDER, since_ns=since_ns, until_ns=until_ns)  # type: ignore[arg-type] # mypy takes all as of one type


def test_what_fell_due_under_a_pause_while_nobody_was_there_is_skipped_with_who_and_why(rig: Rig) -> None:
    left_ns = away(rig, 55, pause(0))
    (skipped,) = rig.sink.of(InstantsSkipped)
    assert (skipped.reason, skipped.count, skipped.error) == ("paused", 4, PAUSED)
    assert (skipped.first_due_ns, skipped.latest_due_ns) == (left_ns + 10 * SECOND, left_ns + 40 * SECOND)
    assert skipped.next_due_ns == left_ns + 50 * SECOND
    (latest,) = rig.ended("job")
    assert (latest.outcome, latest.reason, latest.error) == ("skipped", "paused", PAUSED), "it is past its grace"
    assert rig.sink.of(InstantsMissed) == []


@pytest.mark.parametrize(
    ("since_s", "until_s", "skipped", "missed", "latest"),
    [
        (25, None, [(30, 2)], [(10, 2)], "skipped"),
        (0, 25, [(10, 2)], [(30, 2)], "missed"),
        (15, 35, [(20, 2)], [(10, 1), (40, 1)], "missed"),
        (41, 49, [], [(10, 4)], "missed"),
        (50, None, [], [(10, 4)], "skipped"),
        (51, None, [], [(10, 4)], "missed"),
    ],
)
def test_what_fell_due_before_or_after_the_pause_is_missed(
    rig: Rig,
    since_s: int,
    until_s: int | None,
    skipped: list[tuple[int, int]],
    missed: list[tuple[int, int]],
    latest: str,
) -> None:
    now_ns = rig.clock.wall_ns()
    left_ns = away(rig, 55, pause(now_ns + since_s * SECOND, None if until_s is None else now_ns + until_s * SECOND))
    assert left_ns == now_ns
    assert [end.outcome for end in rig.ended("job")] == [latest]
    rig.stop()
    assert [((it.first_due_ns - left_ns) // SECOND, it.count) for it in rig.sink.of(InstantsSkipped)] == skipped
    assert [((it.first_due_ns - left_ns) // SECOND, it.count) for it in rig.sink.of(InstantsMissed)] == missed


def test_one_instant_that_an_operator_had_skipped_is_not_missed(rig: Rig) -> None:
    due_ns = rig.clock.wall_ns() + 50 * SECOND
    away(rig, 55, Skip(**ORDER, since_ns=0, service="svc", job="job", due_ns=due_ns))  # type: ignore[arg-type] # as above
    (latest,) = rig.ended("job")
    assert (latest.due_ns, latest.outcome, latest.reason) == (due_ns, "skipped", "paused")
