"""Answer a batch with single requests, where the technology has none for several items.

Pure but for the requests that it is given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from tickglass.sched.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["one_by_one"]

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def one_by_one(ask: Callable[[Item], Answer], items: Sequence[Item]) -> list[Answer | StoreUnavailable]:
    """Ask for each item in turn; return its answer, or the error it met.

    When the store cannot be reached, the rest is not asked for, because each item would cost a time-out: it gets the
    same error.

    Raises:
        StoreUnavailable: no item was answered.
    """
    answers: list[Answer | StoreUnavailable] = []
    answered = False
    for item in items:
        try:
            answers.append(ask(item))
            answered = True
        except StoreUnavailable as error:
            answers.append(error)
            if error.kind == "unavailable":
                answers += [error] * (len(items) - len(answers))
                break
    if items and not answered:
        raise next(answer for answer in answers if isinstance(answer, StoreUnavailable))
    return answers
