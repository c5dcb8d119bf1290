"""From when on a job owes its due instants: what was announced under its trigger, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest

from tickglass.sched.ports import JobRecord
from tickglass.sched.registration import Registered

NOW: Final = 1_000
SOON: Final = 1_010  # the next due instant, as this registration has it
JOB: Final = JobRecord("nightly", "every 10", "nightly", "n1", "billing", 30, 5, None, SOON)


def registered(
    *, claimed: int | None = None, announced: int | None = None, trigger: str = JOB.trigger, known: bool = True
) -> Registered:
    """Return what came of a registration that replaced one with this announcement, under this trigger."""
    before = replace(JOB, trigger=trigger, next_due_ns=announced, last_due_ns=claimed)
    return Registered(replace(JOB, last_due_ns=claimed), before if known else None)


@pytest.mark.parametrize(
    ("claimed", "announced", "settled"),
    [
        (None, SOON, NOW),  # nothing has passed
        (None, 950, 949),  # announced, and nobody was there
        (900, 910, 909),  # the claim announced what follows it
        (990, SOON, NOW),
        (900, 980, 979),  # a registration since the claim has found what lies between, and announced this
        (900, 890, 900),  # a claim does not announce what lies before a later one
        (NOW, SOON, NOW),
        (NOW + 3, SOON, NOW + 3),  # claimed a lead before it is due
        (None, 5_000, NOW),  # by a clock that was ahead
        (900, 5_000, 900),
        (None, None, NOW),
        (900, None, 900),
    ],
)
def test_under_the_same_trigger_what_was_announced_and_not_claimed_is_owed(
    claimed: int | None, announced: int | None, settled: int
) -> None:
    did = registered(claimed=claimed, announced=announced)
    assert did.owes_after_ns(NOW) == settled
    assert did.superseded_due_ns(NOW) is None


@pytest.mark.parametrize(("claimed", "settled"), [(None, NOW), (900, 900)])
def test_a_job_that_was_never_registered_owes_what_came_after_its_latest_claim(
    claimed: int | None, settled: int
) -> None:
    did = registered(claimed=claimed, known=False)
    assert did.owes_after_ns(NOW) == settled
    assert did.superseded_due_ns(NOW) is None


@pytest.mark.parametrize(
    ("claimed", "announced", "superseded"),
    [
        (None, None, None),
        (900, None, None),
        (900, 910, 910),  # that one was due, and nobody was there
        (None, 910, 910),
        (910, 910, None),  # it was taken
        (900, SOON, None),  # nobody owes it any more
        (900, NOW, NOW),
        (NOW + 3, 910, None),
    ],
)
def test_a_trigger_that_was_changed_starts_now_and_of_the_old_one_its_announcement_is_owed(
    claimed: int | None, announced: int | None, superseded: int | None
) -> None:
    did = registered(claimed=claimed, announced=announced, trigger="every 7")
    assert did.owes_after_ns(NOW) == max(NOW, claimed or 0)
    assert did.superseded_due_ns(NOW) == superseded


def test_whatever_else_of_a_job_is_changed_it_goes_on_under_its_trigger() -> None:
    did = registered(claimed=900, announced=910)
    assert did.before is not None
    other = replace(did.before, resource="r", owner="n2", service="s", ttl_ns=1, grace_ns=1, timeout_ns=1)
    assert replace(did, before=other).owes_after_ns(NOW) == 909
