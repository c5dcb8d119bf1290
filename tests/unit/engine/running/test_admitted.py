"""How late an admitted occurrence may start, and how long it may leave the claim to others."""

from __future__ import annotations

import pytest

from tickglass.sched.engine.running.admitted import Admitted
from tickglass.sched.job import declare
from tickglass.sched.occurrence import OccurrenceMachine
from tickglass.sched.triggers import every
from tickglass.testing import FakeClock, ListSink

WALL_NS = 1_000_000


def admitted(*, until_ns: int = 100, next_due_ns: int | None = None, rerun: bool = False) -> Admitted:
    job = declare(lambda: None, every("1s"), service="svc", name="job")
    occurrence = OccurrenceMachine(
        "job", WALL_NS, owner="a", service="svc", run_id="0" * 32, clock=FakeClock(), sink=ListSink()
    )
    return Admitted(job, occurrence, 10, until_ns, next_due_ns, visited_ns=5, found_ns=90 if rerun else None)


@pytest.mark.parametrize(("now_ns", "rerun", "too_late"), [(100, False, False), (101, False, True), (101, True, False)])
def test_a_first_attempt_is_too_late_after_its_grace_and_a_rerun_never(
    now_ns: int, *, rerun: bool, too_late: bool
) -> None:
    assert admitted(rerun=rerun).too_late(now_ns) is too_late


@pytest.mark.parametrize(
    ("until_ns", "next_due_ns", "expected_ns"),
    [(100, None, 100), (100, WALL_NS + 60, 40), (30, WALL_NS + 60, 30)],
)
def test_the_claim_is_left_to_others_for_half_the_way_to_the_next_instant_at_most(
    until_ns: int, next_due_ns: int | None, expected_ns: int
) -> None:
    assert admitted(until_ns=until_ns, next_due_ns=next_due_ns).hold_back_until_ns == expected_ns
