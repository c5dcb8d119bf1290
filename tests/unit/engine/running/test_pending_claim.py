"""Waiting for a claim holds no worker, and nothing that ends the wait is missed."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from tickglass.sched.durations import SECOND
from tickglass.sched.engine.running.claim import ClaimAttempt, NotClaimed, RetryAt
from tickglass.sched.engine.running.pending_claim import PendingClaim
from tickglass.sched.occurrence import Outcome, SkipReason
from tickglass.sched.ports import Ahead

if TYPE_CHECKING:
    from collections.abc import Callable

    from kit.rig import Rig


GAVE_UP = NotClaimed(Outcome.SKIPPED, SkipReason.STOPPING)


class Attempt:
    """An attempt that is always put off, and after a stop given up."""

    def __init__(self, again_ns: int) -> None:
        self.again_ns = again_ns
        self.meanwhile: Callable[[], None] = lambda: None

    def answered(self, _answer: object, _asked_ns: int) -> RetryAt:
        self.meanwhile()
        return RetryAt(self.again_ns)

    def give_up(self) -> NotClaimed:
        return GAVE_UP

    def freed(self) -> None:
        """The resource may be free."""


class Waiting:
    def __init__(self, rig: Rig) -> None:
        self.resumed = 0
        self.attempt = Attempt(rig.clock.monotonic_ns() + 3_600 * SECOND)
        self.pending = PendingClaim(
            cast("ClaimAttempt", self.attempt),
            None,  # it does not hold back
            "printer",
            store=rig.store,
            timers=rig.dispatcher.timers,
        )

    def _resumed(self) -> None:
        self.resumed += 1

    def again(self) -> object:
        return self.pending.begin(self._resumed)

    def refused(self) -> object:
        return self.pending.answered(Ahead(1), 0, self._resumed)


@pytest.fixture
def waiting(rig: Rig) -> Waiting:
    return Waiting(rig)


def test_it_is_parked_until_something_resumes_it_once(waiting: Waiting) -> None:
    assert waiting.refused() is None
    assert (waiting.pending.parked, waiting.resumed) == (True, 0)
    waiting.pending.resume()
    waiting.pending.resume()
    assert (waiting.pending.parked, waiting.resumed) == (False, 1)


def test_a_stop_has_it_given_up(waiting: Waiting) -> None:
    assert waiting.refused() is None
    waiting.pending.stop_claiming()
    assert waiting.resumed == 1
    assert waiting.again() is GAVE_UP


def test_a_stop_that_comes_during_the_request_is_not_missed(waiting: Waiting) -> None:
    waiting.attempt.meanwhile = waiting.pending.stop_claiming
    assert waiting.refused() is None
    assert (waiting.pending.parked, waiting.resumed) == (False, 1)
