"""Calls that do not start in time, and the one timer for all of them."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING

from tickglass.sched.executors.start_watch import StartWatch

if TYPE_CHECKING:
    from collections.abc import Callable


class Stage:
    """A watch, whose timers a test lets come."""

    def __init__(self) -> None:
        self.timers: list[tuple[int, Callable[[], None]]] = []
        self.set_for: list[int] = []
        self.given_up: list[str] = []
        self.watch = StartWatch(self._set)

    def _set(self, at_ns: int, call: Callable[[], None]) -> None:
        self.timers.append((at_ns, call))
        self.set_for.append(at_ns)

    def expect(self, call: str, by_ns: int) -> None:
        self.watch.expect(call, by_ns, lambda: self.given_up.append(call))

    def pass_until(self, now_ns: int) -> list[str]:
        """Let the timers come, in order, and return what is given up by then."""
        self.timers.sort(key=itemgetter(0))
        while self.timers and self.timers[0][0] <= now_ns:
            _, call = self.timers.pop(0)
            call()
            self.timers.sort(key=itemgetter(0))
        return self.given_up


def test_calls_of_a_group_have_one_timer_and_it_is_not_set_again_for_nothing() -> None:
    stage = Stage()
    for number in range(200):
        stage.expect(str(number), 100)
    assert (stage.set_for, stage.watch.idle) == ([100], False)
    for number in range(200):
        stage.watch.started(str(number))
    assert stage.watch.idle
    assert stage.pass_until(1_000) == []
    assert stage.set_for == [100]


def test_the_next_group_finds_the_timer_of_the_last_one() -> None:
    stage = Stage()
    for group in range(5):
        stage.expect("job", 100 + group)
        stage.watch.started("job")
    assert stage.set_for == [100]


def test_what_has_not_started_is_given_up_at_its_own_instant() -> None:
    stage = Stage()
    for call, by_ns in (("a", 300), ("b", 100), ("c", 200), ("d", 100)):
        stage.expect(call, by_ns)
    stage.watch.started("b")
    assert stage.pass_until(100) == ["d"]
    assert stage.pass_until(200) == ["d", "c"]
    assert stage.pass_until(299) == ["d", "c"]
    assert stage.pass_until(300) == ["d", "c", "a"]
    assert stage.watch.idle
    assert stage.set_for == [300, 100, 200, 300], "one for each instant at which something may be given up, and no more"


def test_a_call_that_comes_after_all_were_given_up_is_watched_again() -> None:
    stage = Stage()
    stage.expect("a", 100)
    stage.pass_until(100)
    stage.expect("b", 150)
    assert stage.pass_until(150) == ["a", "b"]


def test_a_call_that_starts_after_it_was_given_up_changes_nothing() -> None:
    stage = Stage()
    stage.expect("a", 100)
    stage.pass_until(100)
    stage.watch.started("a")
    stage.watch.started("never expected")
    assert (stage.pass_until(1_000), stage.watch.idle) == (["a"], True)
