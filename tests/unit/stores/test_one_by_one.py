from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.stores.one_by_one import one_by_one

if TYPE_CHECKING:
    from collections.abc import Callable

GONE, WRONG = (StoreUnavailable("redlock", "claim", "no", kind=kind) for kind in ("unavailable", "error"))


def asking(errors: dict[int, StoreUnavailable]) -> tuple[list[int], Callable[[int], str]]:
    """Return the items that were asked for, and what fails for some of them."""
    asked: list[int] = []

    def ask(item: int) -> str:
        asked.append(item)
        if item in errors:
            raise errors[item]
        return f"answer to {item}"

    return asked, ask


def test_each_item_is_asked_for_in_turn_and_answered_at_its_place() -> None:
    asked, ask = asking({2: WRONG})
    assert one_by_one(ask, [1, 2, 3]) == ["answer to 1", WRONG, "answer to 3"]
    assert asked == [1, 2, 3]
    assert one_by_one(ask, []) == []


def test_the_rest_is_not_asked_for_when_the_store_cannot_be_reached() -> None:
    asked, ask = asking({2: GONE})
    assert one_by_one(ask, [1, 2, 3, 4]) == ["answer to 1", GONE, GONE, GONE]
    assert asked == [1, 2]


@pytest.mark.parametrize("error", [GONE, WRONG])
def test_a_batch_of_which_no_item_was_answered_raises(error: StoreUnavailable) -> None:
    _, ask = asking({1: error, 2: error})
    with pytest.raises(StoreUnavailable) as raised:
        one_by_one(ask, [1, 2])
    assert raised.value is error
