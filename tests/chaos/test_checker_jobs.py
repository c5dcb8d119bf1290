"""The checker can fail, part two, of jobs and instances: each rule finds its violation in a history made by hand."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Final

import pytest
from chaos.checker import check
from chaos.history import (
    Acknowledged,
    Began,
    Blocked,
    Claimed,
    Clocked,
    Crowded,
    Declared,
    FellDue,
    History,
    Opened,
    Reached,
    RenewalWaited,
    Returned,
    Sampled,
    Setting,
    Stopping,
    Unanswered,
    Unblocked,
    Won,
    Wrote,
)
from chaos.spells import Conduct, Spell, outside, spells_of, united

from tickglass.sched.durations import SECOND
from tickglass.sched.ports import RunRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chaos.history import Entry

TTL: Final = SECOND
ANCHOR: Final = 1_000 * SECOND  # the wall clock shows this when the clock of the histories shows nothing
SETTING: Final = Setting(TTL, ANCHOR)
OWN_TIME: Final = Setting(TTL, ANCHOR, keeps_time=False)


def began(
    at_s: float,
    run: str = "x",
    fence: int = 1,
    *,
    due_s: float = 0,
    attempt: int = 1,
    grace_s: float = 60,
    job: str = "j",
) -> Began:
    return Began(
        at_ns=ns(at_s),
        job=job,
        due_ns=ANCHOR + ns(due_s),
        attempt=attempt,
        run_id=run,
        resource=job,
        fence=fence,
        grace_ns=ns(grace_s),
    )


def ns(seconds: float) -> int:
    return int(seconds * SECOND)


def returned(at_s: float, run: str = "x") -> Returned:
    return Returned(at_ns=ns(at_s), run_id=run)


def wrote(at_s: float, run: str = "x", *, cancelled: bool = False, remaining_s: float = 0) -> Wrote:
    return Wrote(at_ns=ns(at_s), run_id=run, cancelled=cancelled, remaining_ns=ns(remaining_s), accepted=True)


def acknowledged(at_s: float, run: str = "x") -> Acknowledged:
    return Acknowledged(at_ns=ns(at_s), run_id=run)


def declared(interval_s: float = 0.5, lasts_s: float = 0.1) -> Declared:
    return Declared(at_ns=0, job="j", interval_ns=ns(interval_s), lasts_ns=ns(lasts_s))


def clocked(at_s: float, offset_s: float) -> Clocked:
    return Clocked(at_ns=ns(at_s), offset_ns=ns(offset_s))


def every(step_s: float, from_s: float, until_s: float) -> list[float]:
    return [from_s + step_s * number for number in range(int((until_s - from_s) / step_s) + 1)]


def reached(from_s: float, until_s: float) -> list[Entry]:
    """The store answers it all that time."""
    return [Reached(at_ns=ns(at_s)) for at_s in every(0.05, from_s, until_s)]


def ready(from_s: float, until_s: float, *, unready: str = "") -> list[Entry]:
    """It runs all that time, and says that it is ready, or why not."""
    said = [unready] if unready else []
    return [Sampled(at_ns=ns(at_s), unready=said) for at_s in every(0.05, from_s, until_s)]


def fails(from_s: float, until_s: float, operation: str = "claim") -> list[Entry]:
    return [Unanswered(at_ns=ns(at_s), operation=operation) for at_s in every(0.5, from_s, until_s)]


def renewal_waited(from_s: float, until_s: float) -> RenewalWaited:
    return RenewalWaited(at_ns=ns(until_s), since_ns=ns(from_s))


def blocked(from_s: float, until_s: float) -> list[Entry]:
    return [Blocked(at_ns=ns(from_s)), Unblocked(at_ns=ns(until_s))]


def opened(at_s: float = 0) -> Opened:
    return Opened(at_ns=ns(at_s))


def beats(from_s: float, until_s: float, step_s: float = 0.5) -> list[Entry]:
    """The job runs at each of its instants."""
    return [
        entry
        for at_s in every(step_s, from_s, until_s)
        for entry in (
            FellDue(at_ns=ns(at_s), job="j", due_ns=ANCHOR + ns(at_s)),
            began(at_s, f"due {at_s}", int(at_s * 100), due_s=at_s),
            returned(at_s + 0.01, f"due {at_s}"),
        )
    ]


def falls_due(from_s: float, until_s: float) -> list[Entry]:
    return [FellDue(at_ns=ns(at_s), job="j", due_ns=0) for at_s in every(0.5, from_s, until_s)]


def story(*parts: Entry | list[Entry]) -> Sequence[Entry]:
    """Entries of one process, in the order of their instants."""
    flat = chain.from_iterable(part if isinstance(part, list) else [part] for part in parts)
    return sorted(flat, key=lambda entry: entry.at_ns)


def history(*stories: Sequence[Entry], setting: Setting = SETTING) -> History:
    """What processes a, b, ... noted; the ledger has their claims."""
    ledger = [
        RunRecord(it.job, it.due_ns, it.attempt, "w", "s", it.run_id, it.job, it.fence, 0, 0, 0, None, "", 0)
        for it in chain.from_iterable(stories)
        if isinstance(it, Claimed)
    ]
    return History(dict(zip("abc", stories, strict=False)), ledger=ledger, setting=setting)


def vote(told: History) -> History:
    return replace(told, votes=True)


def claimed(at_s: float, *, due_s: float) -> Claimed:
    return Claimed(at_ns=ns(at_s), job="j", due_ns=ANCHOR + ns(due_s), attempt=1, run_id="x", fence=1)


DEAF_ALONE = story(reached(0, 9), began(1), wrote(5, cancelled=True, remaining_s=0.6), returned(6))
CUT_OFF = (reached(0, 2), reached(5, 9), began(1), returned(6))
NEXT = story(reached(0, 9), began(3.5, "y", 2, attempt=2), returned(4, "y"))

GOOD = {
    "a deaf run, and the next one when it has returned": history(
        DEAF_ALONE, story(began(6.1, "y", 2, due_s=6), returned(6.2, "y"))
    ),
    "two at once, on two resources": history(DEAF_ALONE, story(began(3, "y", 1, job="k"), returned(4, "y"))),
    "run again beside one that was cut off, and that knew": history(story(*CUT_OFF, wrote(3.6, cancelled=True)), NEXT),
    "run again beside one that was cut off, and may act until then": history(
        story(*CUT_OFF, wrote(1.5, remaining_s=0.5)), NEXT
    ),
    "run again after a kill": history(story(reached(0, 2), began(1)), NEXT),
    "begins last under the older lease, and knows": history(
        story(reached(0, 9), began(4.5, "y", 2), returned(5, "y")),
        story(reached(0, 2), began(4.7, "x", 1), wrote(4.8, cancelled=True), returned(4.9)),
    ),
    "a write after the end that knows": history(
        story(began(1), returned(1.1), acknowledged(1.2), wrote(2, cancelled=True))
    ),
    "a write before the end was told": history(
        story(began(1), returned(1.1), wrote(1.15, remaining_s=1), acknowledged(1.2))
    ),
    "a job that runs": history(story(opened(), declared(), reached(0, 20), beats(0, 20))),
    "a job that does not run while nobody reaches the store": history(
        story(opened(), declared(), reached(0, 3), reached(13, 20), beats(0, 3), beats(13, 20))
    ),
    "a job that does not run while a clock is wrong": history(
        story(opened(), declared(), reached(0, 20), clocked(3, 3600), clocked(13, 0), beats(0, 3), beats(13, 20))
    ),
    "a job that does not run before the start and after the end": history(
        story(opened(5), declared(), reached(0, 20), Stopping(at_ns=ns(9)), beats(5, 9))
    ),
    "a job that does not run while it runs": history(
        story(opened(), declared(lasts_s=9), reached(0, 12), falls_due(0, 12), began(0.1), returned(9))
    ),
    "a job that does not run again while its loop is blocked": history(
        story(
            opened(),
            declared(),
            reached(0, 20),
            falls_due(0, 20),
            beats(0, 3),
            began(3.1),
            returned(12),
            beats(12.5, 20),
        )
    ),
    "started within its grace": history(story(ready(0, 9), began(2.9, due_s=2, grace_s=1))),
    "frozen between the last look and the first line": history(
        story(ready(0, 2.5), ready(6, 9), began(6.1, due_s=2, grace_s=1))
    ),
    "a clock behind by as much": history(story(ready(0, 9), clocked(0, -5), began(7, due_s=2, grace_s=1))),
    "run again after its grace": history(story(ready(0, 9), began(6, due_s=2, grace_s=1, attempt=2))),
    "run again after a minority had heard of it, where servers vote": vote(
        history(story(ready(0, 9), FellDue(at_ns=ns(5), job="j", due_ns=ANCHOR + ns(2)), began(6, due_s=2, grace_s=1)))
    ),
    "claimed ahead by the lead": history(story(claimed(5, due_s=5.05))),
    "claimed in the future, where the store has no clock": history(story(claimed(5, due_s=25)), setting=OWN_TIME),
    "ready, and reaches the store": history(story(opened(), ready(0, 9), reached(0, 9))),
    "says that it reaches no store": history(
        story(opened(), ready(0, 4), reached(0, 2), ready(4.05, 12, unready="no store"))
    ),
    "reached nothing while it was frozen": history(story(opened(), ready(0, 2), ready(9, 9.5), reached(0, 2))),
    "ready, and given a lease between failures": history(
        story(opened(), ready(0, 9), reached(0, 9), fails(1, 8), [Won(at_ns=ns(s)) for s in (3, 5, 7)])
    ),
    "ready for a moment between failures, after a heartbeat": history(
        story(
            opened(),
            ready(0, 2),
            ready(2.05, 6, unready="away"),
            ready(6.05, 6.5),
            ready(6.55, 9, unready="away"),
            reached(0, 9),
            fails(1, 8),
        )
    ),
    "ready when calls fail no more, and before it was given a lease": history(
        story(opened(), ready(0, 2), ready(2.05, 8, unready="full"), ready(8.05, 9), reached(0, 9), fails(1, 8))
    ),
    "says that it can claim nothing": history(
        story(opened(), ready(0, 2), ready(2.05, 9, unready="full"), reached(0, 9), fails(1, 8))
    ),
    "a job that does not run while every claim fails": history(
        story(opened(), declared(), reached(0, 20), beats(0, 3), fails(3, 12), [Won(at_ns=ns(12.5))], beats(12.5, 20))
    ),
    "run again beside one that could not renew": history(
        story(reached(0, 9), began(1), fails(2, 3, "renew"), wrote(4, cancelled=True), returned(6)), NEXT
    ),
    "run again beside one whose renewal was under way": history(
        story(reached(0, 9), began(1), renewal_waited(1.3, 3.6), wrote(4, cancelled=True), returned(6)), NEXT
    ),
    "run again beside one that was killed soon after it": history(story(reached(0, 4.2), began(1)), NEXT),
    "says that its loop is blocked": history(
        story(opened(), ready(0, 3), ready(3.05, 9, unready="loop"), reached(0, 9), blocked(2, 9))
    ),
    "killed while it says that its loop is blocked": history(
        story(opened(), ready(0, 3), ready(3.05, 9, unready="loop"), reached(0, 9), Blocked(at_ns=ns(2)))
    ),
    "says that its clock is wrong": history(
        story(opened(), ready(0, 4), ready(4.05, 9, unready="skew"), reached(0, 9), clocked(3, 20))
    ),
    "ready with a clock as wrong as is allowed": history(story(opened(), ready(0, 9), reached(0, 9), clocked(3, 0.5))),
    "unready with a wrong clock, as nobody can know from outside": history(
        story(opened(), ready(0, 9, unready="?"), reached(0, 9), clocked(0, 0.5))
    ),
    "unready while some calls fail": history(story(opened(), ready(0, 6, unready="?"), reached(0, 6), fails(0, 4))),
}

BAD = {
    "ran beside itself": [
        history(story(reached(0, 9), began(1), wrote(5, cancelled=True), returned(6)), NEXT),
        history(story(reached(0, 9), began(1), renewal_waited(1.3, 1.6), renewal_waited(3.6, 5), returned(6)), NEXT),
        history(story(reached(0, 9), began(1)), NEXT),
        history(DEAF_ALONE, story(began(5.9, "y", 2, due_s=5), returned(7, "y"))),  # another instant, too early
        history(story(reached(0, 9), began(1), began(3, "y", 2))),  # in one process
    ],
    "would act beside another": [
        history(story(*CUT_OFF, wrote(3.6)), NEXT),
        history(story(*CUT_OFF, wrote(3.6, cancelled=True, remaining_s=0.1)), NEXT),
        history(
            story(reached(0, 9), began(4.5, "y", 2), returned(5, "y")),
            story(reached(0, 2), began(4.7, "x", 1), wrote(4.8), returned(4.9)),
        ),
    ],
    "may act after its end": [
        history(story(began(1), returned(1.1), acknowledged(1.2), wrote(2))),
        history(story(began(1), returned(1.1), acknowledged(1.2), wrote(2, cancelled=True, remaining_s=28))),
    ],
    "starved": [
        history(story(opened(), declared(), reached(0, 20), falls_due(0, 20))),
        history(story(opened(), declared(), reached(0, 20), falls_due(0, 20), beats(0, 3), beats(10, 20))),
        history(story(opened(), declared(), reached(0, 20), falls_due(0, 20), beats(0, 20, step_s=2))),
        history(story(opened(), declared(), reached(0, 20), falls_due(0, 20), beats(0, 3), began(3.1), returned(8))),
        history(
            story(opened(), declared(), reached(0, 20), falls_due(0, 20), beats(0, 3)), story(opened(), reached(0, 8))
        ),
    ],
    "silent": [
        history(story(opened(), declared(), reached(0, 9)), story(opened(), declared(), reached(0, 9), beats(0, 9))),
        history(
            story(opened(), declared(), reached(0, 20), clocked(2, 3600), clocked(4, 0)),
            story(opened(), reached(0, 20), beats(0, 20)),
        ),
    ],
    "started after its grace": [
        vote(history(story(ready(0, 9), falls_due(2, 2), began(4, due_s=2, grace_s=1)))),
        history(story(ready(0, 9), FellDue(at_ns=ns(5), job="j", due_ns=ANCHOR + ns(2)), began(6, due_s=2, grace_s=1))),
        history(story(ready(0, 9), began(4, due_s=2, grace_s=1))),
        history(story(ready(0, 9), clocked(0, -0.4), began(4, due_s=2, grace_s=1))),
    ],
    "claimed in the future": [history(story(claimed(5, due_s=25)))],
    "ready, and reaches no store": [
        history(story(opened(), ready(0, 9))),
        history(story(opened(), ready(0, 9), reached(0, 2))),
        history(story(opened(), ready(0, 9), reached(0, 2), fails(3, 8, "time"))),
    ],
    "ready, and claims nothing": [history(story(opened(), ready(0, 9), reached(0, 9), fails(1, 8)))],
    "ready with a blocked loop": [
        history(story(opened(), ready(0, 9), reached(0, 9), blocked(2, 9))),
        history(story(opened(), ready(0, 9), reached(0, 9), Blocked(at_ns=ns(2)))),
    ],
    "ready with a wrong clock": [
        history(story(opened(), ready(0, 9), reached(0, 9), clocked(3, 20))),
        history(story(opened(), ready(0, 9), reached(0, 9), clocked(3, -3600))),
    ],
    "unready in good health": [history(story(opened(), ready(0, 9, unready="?"), reached(0, 9)))],
}


@pytest.mark.parametrize("told", GOOD.values(), ids=GOOD)
def test_nothing_is_found_in_a_good_history(told: History) -> None:
    assert check(told) == []


@pytest.mark.parametrize(
    ("rule", "told"),
    [pytest.param(rule, told, id=f"{rule} {n}") for rule, found in BAD.items() for n, told in enumerate(found)],
)
def test_each_violation_is_found(rule: str, told: History) -> None:
    assert {violation.rule for violation in check(told)} == {rule}


def test_violations_in_a_row_are_one() -> None:
    told = history(
        story(opened(), ready(0, 9), ready(9.05, 10, unready="no store"), ready(10.05, 11)),
        story(began(1), acknowledged(1.2), wrote(2), wrote(3), wrote(4)),
    )
    assert [violation.rule for violation in check(told)] == [
        "may act after its end",
        "ready, and reaches no store",
        "ready, and reaches no store",
    ]


def test_a_spell_ends_where_the_gap_is_too_long() -> None:
    assert spells_of([1, 2, 4, 9, 10], 2) == [Spell(1, 4), Spell(9, 10)]
    assert spells_of([], 2) == []


def test_spells_are_united_and_cut() -> None:
    assert united([Spell(5, 9), Spell(0, 3), Spell(2, 4)]) == [Spell(0, 4), Spell(5, 9)]
    assert outside([Spell(0, 9)], [Spell(2, 3), Spell(5, 12)]) == [Spell(0, 2), Spell(3, 5)]
    assert outside([Spell(0, 9)], []) == [Spell(0, 9)]


def test_a_process_is_healthy_while_nothing_is_wrong_with_it() -> None:
    crowded = Crowded(at_ns=ns(5), until_ns=ns(6))
    conduct = Conduct("a", story(opened(1), reached(0, 9), blocked(2, 3), crowded, clocked(8, 20)))
    assert conduct.healthy == [Spell(ns(1), ns(2)), Spell(ns(3), ns(5)), Spell(ns(6), ns(8))]
