from __future__ import annotations

import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Final

import pytest
from kit.servers import PATIENCE_S

from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.stores.side_by_side import LANES_MAX, side_by_side

if TYPE_CHECKING:
    from collections.abc import Callable

GONE, WRONG = (StoreUnavailable("redlock", "claim", "no", kind=kind) for kind in ("unavailable", "error"))
Item = tuple[str, int]  # a resource and an occurrence


def asking(errors: dict[Item, StoreUnavailable]) -> tuple[list[Item], Callable[[Item], str]]:
    """Return the items that were asked for, and what fails for some of them."""
    asked: list[Item] = []

    def ask(item: Item) -> str:
        asked.append(item)
        if item in errors:
            raise errors[item]
        return "answer to {}{}".format(*item)

    return asked, ask


def alike(item: Item) -> Item:
    return item


def test_each_item_is_answered_at_its_place() -> None:
    asked, ask = asking({("b", 2): WRONG})
    items = [("a", 1), ("b", 2), ("c", 3)]
    assert side_by_side(ask, items, alike) == ["answer to a1", WRONG, "answer to c3"]
    assert sorted(asked) == items
    assert side_by_side(ask, [], alike) == []


def test_items_that_have_nothing_in_common_are_asked_for_at_once() -> None:
    together = threading.Barrier(LANES_MAX)
    items = [(f"r{number}", number) for number in range(LANES_MAX)]
    answers = side_by_side(lambda item: (item, together.wait(PATIENCE_S) >= 0), items, alike)
    assert answers == [(item, True) for item in items]


def test_no_more_than_eight_threads_ask() -> None:
    names = set[str]()
    items = [(f"r{number}", number) for number in range(64)]
    side_by_side(lambda _: names.add(threading.current_thread().name), items, alike)
    assert len(names) <= LANES_MAX


@pytest.mark.parametrize(
    "items",
    [
        [("a", 1), ("a", 2), ("a", 3)],
        [("a", 1), ("b", 1), ("c", 1)],
        [("a", 1), ("b", 2), ("a", 2), ("b", 3)],  # the third brings the first two together
    ],
)
def test_items_that_have_something_in_common_are_asked_for_in_order(items: list[Item]) -> None:
    threads = set[int]()
    asked, ask = asking({})

    def ask_noting_the_thread(item: Item) -> str:
        threads.add(threading.get_ident())
        return ask(item)

    side_by_side(ask_noting_the_thread, items, alike)
    assert asked == items
    assert threads == {threading.get_ident()}


def test_the_rest_is_not_asked_for_when_the_store_cannot_be_reached() -> None:
    items = [("a", number) for number in range(4)]
    asked, ask = asking({("a", 1): GONE})
    assert side_by_side(ask, items, alike) == ["answer to a0", GONE, GONE, GONE]
    assert asked == items[:2]


@pytest.mark.parametrize("error", [GONE, WRONG])
def test_a_batch_of_which_no_item_was_answered_raises(error: StoreUnavailable) -> None:
    items = [("a", 1), ("b", 2)]
    _, ask = asking(dict.fromkeys(items, error))
    with pytest.raises(StoreUnavailable) as raised:
        side_by_side(ask, items, alike)
    assert raised.value is error


def test_what_is_no_failure_of_the_store_is_raised() -> None:
    def ask(item: Item) -> str:
        raise ZeroDivisionError(item)

    with pytest.raises(ZeroDivisionError):
        side_by_side(ask, [("a", 1), ("b", 2), ("c", 3)], alike)


AFTER_MAIN: Final = """
import threading
from tickglass.sched.stores.side_by_side import side_by_side

def application():
    threading.main_thread().join()
    print(side_by_side(str, [1, 2, 3], lambda item: (item,)))

threading.Thread(target=application).start()
"""


def test_a_batch_is_answered_after_the_main_thread_has_ended() -> None:
    done = subprocess.run([sys.executable, "-c", AFTER_MAIN], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("['1', '2', '3']\n", "")


def test_a_process_that_may_have_no_more_threads_asks_on_those_it_has(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    start, more = threading.Thread.start, iter([True])

    def limited(thread: threading.Thread) -> None:
        if not next(more, False):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)
    items = [(f"r{number}", number) for number in range(64)]
    asked, ask = asking({})
    assert side_by_side(ask, items, alike) == [ask(item) for item in items]
    assert len(asked) == 2 * len(items)
    assert "on 2 threads instead of 8" in caplog.text


def test_what_is_no_failure_of_the_store_is_raised_from_any_thread() -> None:
    caller, together = threading.get_ident(), threading.Barrier(2)

    def ask(item: Item) -> int:
        together.wait(PATIENCE_S)
        if threading.get_ident() != caller:
            raise ZeroDivisionError(item)
        return 1

    with pytest.raises(ZeroDivisionError):
        side_by_side(ask, [("a", 1), ("b", 2)], alike)
