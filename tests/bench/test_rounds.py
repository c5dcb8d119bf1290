from __future__ import annotations

from typing import TYPE_CHECKING

from measuring.plan import Group
from measuring.rounds import Runner, run_rounds
from workloads.cell import Absent, Cell, Result

if TYPE_CHECKING:
    from pathlib import Path

NO_CHECKOUT = Absent("no older commit was asked for")
PEER = Cell(name="peer", workload="fire", subject="asyncio", period_ms=10, window_s=0.05)
OURS = Cell(name="ours", workload="fire", subject="tickglass", store="memory", period_ms=10, window_s=0.05)


def test_a_cell_is_measured_in_a_process_of_its_own() -> None:
    runner = Runner(None, NO_CHECKOUT)
    for cell in (PEER, OURS):
        result = runner.measure(cell)
        assert isinstance(result, Result), runner.errors
        assert result.figures["runs"] >= 1


def test_code_that_is_not_the_older_checkout_is_not_taken_for_it(tmp_path: Path) -> None:
    runner = Runner(None, tmp_path)  # nothing is there, so the cell imports what is installed
    before = Cell(name="before", workload="fire", subject="tickglass", store="memory", before=True, window_s=2)
    assert runner.measure(before) == Absent("ended with an error")
    assert f"not {tmp_path.resolve() / 'src/tickglass'}" in runner.errors[0]


def test_a_cell_that_fails_is_reported_once_and_the_others_go_on() -> None:
    runner = Runner(None, NO_CHECKOUT)
    broken = Cell(name="broken", workload="no such workload", subject="asyncio")
    told: list[tuple[int, str]] = []
    rounds = run_rounds(
        runner, [Group("group", (broken, PEER))], 2, tell=lambda number, cell: told.append((number, cell.name))
    )
    assert [type(results["peer"]) for results in rounds] == [Result, Result]
    assert [results["broken"] for results in rounds] == [Absent("ended with an error")] * 2
    assert ["no such workload" in error for error in runner.errors] == [True]
    assert told == [(0, "broken"), (0, "peer"), (1, "peer"), (1, "broken")]


def test_what_is_not_judged_is_measured_in_some_rounds_only() -> None:
    rounds = run_rounds(Runner(None, NO_CHECKOUT), [Group("g", (PEER,), rounds_max=1)], 2, tell=lambda *_: None)
    assert [list(results) for results in rounds] == [["peer"], []]


def test_what_this_machine_lacks_is_left_out_with_a_reason() -> None:
    runner = Runner(None, NO_CHECKOUT)
    on_redis = Cell(name="a", workload="fire", subject="tickglass", store="redis")
    older = Cell(name="b", workload="fire", subject="tickglass", store="memory", before=True)
    assert runner.measure(on_redis) == Absent("redis-server is not installed")
    assert runner.measure(older) == NO_CHECKOUT
    assert runner.errors == []
