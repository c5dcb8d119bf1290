"""A store that does not answer is asked again."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from tickglass.sched.durations import MS
from tickglass.sched.engine.leasing.persist import persist
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.policies.backoff import Backoff
from tickglass.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable

BACKOFF = Backoff(100 * MS, 300 * MS)
DOWN = StoreUnavailable("memory", "release", "gone fishing")


def asked(failures: int) -> Callable[[], str]:
    """Return a question that is answered after so many failures."""
    left = [DOWN] * failures

    def ask() -> str:
        if left:
            raise left.pop()
        return "answer"

    return ask


def test_an_answer_at_once_was_asked_for_once() -> None:
    assert persist(asked(0), BACKOFF, FakeClock()) == ("answer", False)


@pytest.mark.parametrize("failures", [1, 2])
def test_it_is_asked_again_after_each_pause(failures: int) -> None:
    clock, answers = FakeClock(), list[tuple[str, bool]]()
    asking = threading.Thread(target=lambda: answers.append(persist(asked(failures), BACKOFF, clock)))
    asking.start()
    for pause_ns in (100 * MS, 300 * MS)[:failures]:
        clock.wait_for_sleepers(1)
        clock.advance(pause_ns - 1)
        clock.wait_for_sleepers(1)
        clock.advance(1)
    asking.join(10)
    assert answers == [("answer", True)]


def test_after_the_last_pause_it_gives_up() -> None:
    clock, errors = FakeClock(), list[StoreUnavailable]()

    def ask() -> None:
        try:
            persist(asked(3), BACKOFF, clock)
        except StoreUnavailable as error:
            errors.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    for pause_ns in (100 * MS, 300 * MS):
        clock.wait_for_sleepers(1)
        clock.advance(pause_ns)
    asking.join(10)
    assert errors == [DOWN]
