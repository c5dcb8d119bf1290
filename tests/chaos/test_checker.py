"""The checker can fail: each rule finds its own violation in a history made by hand, and nothing in good ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from chaos.checker import check, holds_of
from chaos.history import (
    Acknowledged,
    Claimed,
    Ended,
    Finished,
    Granted,
    History,
    Kept,
    Measured,
    Pen,
    Stepped,
    Written,
    read_entries,
)

from tickglass.sched.ports import RunRecord

if TYPE_CHECKING:
    from pathlib import Path

    from chaos.history import Entry


def granted(at: int, until: int, fence: int = 1, resource: str = "r") -> Granted:
    return Granted(at_ns=at, resource=resource, fence=fence, until_ns=until)


def kept(at: int, until: int, fence: int = 1) -> Kept:
    return Kept(at_ns=at, resource="r", fence=fence, until_ns=until)


def stepped(at: int, until: int, fence: int = 1) -> Stepped:
    return Stepped(at_ns=at, resource="r", fence=fence, until_ns=until)


def ended(at: int, fence: int = 1, how: str = "done") -> Ended:
    return Ended(at_ns=at, resource="r", fence=fence, how=how)


def written(writer: str, fence: int, newest: int, *, accepted: bool, at: int = 0) -> Written:
    return Written(at_ns=at, writer=writer, resource="r", fence=fence, newest=newest, accepted=accepted)


def claimed(run_id: str = "x", *, due: int = 1, attempt: int = 1, fence: int = 1) -> Claimed:
    return Claimed(at_ns=0, job="j", due_ns=due, attempt=attempt, run_id=run_id, fence=fence)


def finished(run_id: str = "x") -> Finished:
    return Finished(at_ns=0, job="j", due_ns=1, attempt=1, run_id=run_id, outcome="success")


def acknowledged(run_id: str = "x") -> Acknowledged:
    return Acknowledged(at_ns=0, run_id=run_id)


def row(run_id: str = "x", outcome: str | None = "success", *, attempt: int = 1, fence: int = 1) -> RunRecord:
    return RunRecord("j", 1, attempt, "w", "s", run_id, "r", fence, 0, 0, 0, outcome, "", 0)


A_THEN_B: dict[str, list[Entry]] = {"a": [granted(0, 10)], "b": [granted(10, 20, 2)]}

GOOD = {
    "nothing": History({}),
    "one after the other": History(A_THEN_B),
    "at once, on two resources": History({"a": [granted(0, 10)], "b": [granted(5, 20, 2, "other")]}),
    "done before its trust ended": History({"a": [granted(0, 10), ended(4)], "b": [granted(5, 20, 2)]}),
    "renewed, then lost before the other began": History(
        {"a": [granted(0, 10), kept(5, 20), ended(12, how="lost")], "b": [granted(13, 20, 2)]}
    ),
    "a grant heard of when its trust was over": History(
        {"a": [granted(30, 10)], "b": [granted(12, 40, 2), ended(35, 2)], "c": [granted(36, 50, 3)]}
    ),
    "acts while trusted": History({"a": [granted(0, 10), stepped(9, 10), kept(9, 20), stepped(12, 20), ended(13)]}),
    "a stale write refused": History(
        A_THEN_B,
        [
            written("a", 1, 0, accepted=True),
            written("b", 2, 1, accepted=True),
            written("a", 1, 2, accepted=False),
            written("b", 2, 2, accepted=True),
        ],
    ),
    "a late write that nobody has overtaken": History(A_THEN_B, [written("a", 1, 0, accepted=True, at=15)]),
    "an occurrence run again": History(
        {"a": [claimed("x")], "b": [claimed("y", attempt=2, fence=2), finished("y")]},
        ledger=[row("x", "orphaned"), row("y", attempt=2, fence=2)],
    ),
    "a claim whose claimant never heard of it": History({}, ledger=[row("x", None)]),
    "a run that claims again when a claim of its own, of which it never heard, has run out": History(
        {"a": [claimed("x", attempt=2, fence=2), finished("x"), acknowledged("x")]},
        ledger=[row("x", attempt=2, fence=2), row("x", "orphaned")],
    ),
    "orphaned votes that nobody was told of, where servers vote": History(
        {"b": [claimed("y", attempt=2, fence=2)]},
        ledger=[row("x", "orphaned", fence=9), row("z", "orphaned"), row("y", attempt=2, fence=2)],
        votes=True,
    ),
    "an end that was not acknowledged, where servers vote": History(
        {"a": [claimed("x"), finished("x")]}, ledger=[row("x"), row("y", attempt=2, fence=2)], votes=True
    ),
    "a claim, and a vote for another that nobody was told of, where servers vote": History(
        {"a": [claimed("x")]}, ledger=[row("x"), row("y", "orphaned")], votes=True
    ),
    "an end that was acknowledged": History({"a": [claimed(), finished(), acknowledged()]}, ledger=[row()]),
}

BAD = {
    "two holders": [
        History({"a": [granted(0, 10)], "b": [granted(9, 20, 2)]}),
        History({"a": [granted(0, 10), kept(5, 30)], "b": [granted(12, 20, 2)]}),
        History({"a": [granted(0, 10), ended(8, how="lost")], "b": [granted(7, 20, 2)]}),
        History({"a": [granted(0, 100)], "b": [granted(10, 20, 2)], "c": [granted(30, 40, 3)]}),
        History({"a": [granted(0, 10), stepped(15, 10)], "b": [granted(12, 20, 2)]}),
    ],
    "acted without trust": [
        History({"a": [granted(0, 10), stepped(10, 10)]}),
        History({"a": [granted(0, 10), ended(5, how="lost"), stepped(6, 10)]}),
        History({"a": [granted(5, 10), stepped(4, 10)]}),
        History({"a": [stepped(4, 10)]}),
    ],
    "fence given twice": [
        History({"a": [granted(0, 10)], "b": [granted(10, 20)]}),
        History({"a": [granted(0, 10)], "b": [granted(40, 20)]}),
    ],
    "fence went back": [
        History({"a": [granted(0, 10, 2)], "b": [granted(10, 20, 1)]}),
        History({}, ledger=[row("x", "orphaned", fence=2), row("y", attempt=2, fence=2)]),
    ],
    "stale write accepted": [
        History(A_THEN_B, [written("b", 2, 0, accepted=True), written("a", 1, 2, accepted=True)]),
    ],
    "good write refused": [History(A_THEN_B, [written("a", 1, 0, accepted=False)])],
    "write under no grant": [
        History(A_THEN_B, [written("a", 2, 0, accepted=True)]),
        History(A_THEN_B, [written("c", 3, 0, accepted=True)]),
    ],
    "claimed twice": [History({"a": [claimed("x")], "b": [claimed("y")]}, ledger=[row("x")])],
    "claim not in the ledger": [
        History({"a": [claimed("x")]}),
        History({"a": [claimed("x")]}, ledger=[row("y")]),
        History({"a": [claimed("x")]}, ledger=[row("x", fence=7)]),
    ],
    "ended twice": [History({"a": [claimed("x"), finished("x"), finished("x")]}, ledger=[row("x")])],
    "attempts out of order": [
        History({}, ledger=[row("y", attempt=2, fence=2)]),
        History({}, ledger=[row("x", "orphaned"), row("y", attempt=3, fence=2)]),
        History({}, ledger=[row("x", "orphaned"), row("y", "orphaned", fence=2)]),
        History({"a": [claimed("x")]}, ledger=[row("x", "orphaned"), row("y", fence=2)], votes=True),
    ],
    "attempt after an end": [
        History({}, ledger=[row("x", "failure"), row("y", attempt=2, fence=2)]),
        History({}, ledger=[row("x", None), row("y", attempt=2, fence=2)]),
    ],
    "end not in the ledger": [
        History({"a": [claimed(), finished(), acknowledged()]}, ledger=[row("x", "orphaned")]),
        History({"a": [finished(), acknowledged()]}, ledger=[]),
    ],
    "wrong metric": [History({"a": [Measured(at_ns=1, counts={}, differences=["one thing, another counted"])]})],
    "two successes": [
        History({}, ledger=[row("x"), row("y", attempt=2, fence=2)]),
        History({"a": [acknowledged("x")]}, ledger=[row("x"), row("y", attempt=2, fence=2)], votes=True),
    ],
}


@pytest.mark.parametrize("history", GOOD.values(), ids=GOOD)
def test_nothing_is_found_in_a_good_history(history: History) -> None:
    assert check(history) == []


@pytest.mark.parametrize(
    ("rule", "history"),
    [pytest.param(rule, history, id=f"{rule} {n}") for rule, found in BAD.items() for n, history in enumerate(found)],
)
def test_each_violation_is_found(rule: str, history: History) -> None:
    found = check(history)
    assert rule in {violation.rule for violation in found}
    assert all(str(violation).startswith(violation.rule) for violation in found)


def test_a_hold_lasts_as_long_as_its_holder_could_have_acted() -> None:
    processes: dict[str, list[Entry]] = {"a": [granted(0, 10), kept(5, 20)], "b": [granted(20, 30, 2), ended(22, 2)]}
    assert [(hold.begins_ns, hold.ends_ns) for hold in holds_of(processes)] == [(0, 20), (20, 22)]


def test_what_is_noted_is_read(tmp_path: Path) -> None:
    entries = [granted(0, 10), kept(1, 2), stepped(3, 4), ended(5), claimed(), finished(), acknowledged()]
    pen = Pen(tmp_path / "history")
    for entry in entries:
        pen.note(entry)
    pen.close()
    assert read_entries(tmp_path / "history") == entries
