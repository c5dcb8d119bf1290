from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from measuring.figures import figure
from measuring.plan import RATES, plan
from measuring.rounds import ordered
from measuring.targets import Target, Verdict, all_targets, judge, under_overload
from workloads import __main__ as cells
from workloads.cell import Absent, Cell, Result

if TYPE_CHECKING:
    from measuring.figures import Round

FIGURES = (
    "cpu_us_per_job",
    "cpu_us_per_run",
    "cpu_us_per_skip",
    "due",
    "messages_per_run",
    "missing",
    "pairs_per_s",
    "repeated",
    "rss_bytes",
    "runs_per_s",
    "scrape_ms",
    "server_cpu_us_per_pair",
    "start_cpu_s",
    "started",
    "switches_per_run",
)


def rounds_of(*values: float | None) -> list[Round]:
    return [{"a": Absent("not there") if value is None else Result({"us": value})} for value in values]


def us(*, must: float, at_most: bool = True, stretch: float | None = None, worst: bool = False) -> Target:
    return Target(id="X", what="x", measure=figure("a", "us"), must=must, at_most=at_most, stretch=stretch, worst=worst)


@pytest.mark.parametrize(
    ("values", "at_most", "verdict"),
    [
        ((9.0, 1.0, 2.0), True, Verdict.PASS),  # the median decides, not the mean
        ((9.0, 1.0, 3.0), True, Verdict.FAIL),
        ((2.0,), True, Verdict.PASS),  # the limit itself is within
        ((9.0, 1.0, 2.0), False, Verdict.PASS),
        ((9.0, 1.0, 1.9), False, Verdict.FAIL),
        ((None, 1.0), True, Verdict.PASS),
        ((None, None), True, Verdict.UNMEASURED),
        ((), True, Verdict.UNMEASURED),
    ],
)
def test_a_verdict_goes_by_the_median_of_the_rounds(
    values: tuple[float | None, ...],
    at_most: bool,  # noqa: FBT001 - a column of the table
    verdict: Verdict,
) -> None:
    assert judge(us(must=2.0, at_most=at_most), rounds_of(*values)).verdict is verdict


def test_what_must_never_happen_is_judged_by_the_worst_round() -> None:
    finding = judge(us(must=0.0, worst=True), rounds_of(0.0, 0.0, 1.0))
    assert (finding.verdict, finding.value) == (Verdict.FAIL, 1.0)


def test_a_cell_that_did_not_end_misses_its_target() -> None:
    finding = judge(us(must=1.0), [{"a": Absent("took more than 60 s", too_slow=True)}])
    assert finding.verdict is Verdict.FAIL
    assert "took more than 60 s" in finding.reason


def test_a_target_whose_cell_nobody_asked_for_is_not_planned() -> None:
    assert not judge(us(must=1.0), [{}]).planned
    assert judge(us(must=1.0), rounds_of(None)).planned


def test_the_stretch_is_told_from_the_must() -> None:
    assert judge(us(must=2.0, stretch=1.0), rounds_of(1.0)).beyond
    assert not judge(us(must=2.0, stretch=1.0), rounds_of(1.5)).beyond
    assert not judge(us(must=2.0), rounds_of(1.0)).beyond


@pytest.mark.parametrize(
    ("runs_per_s", "share"),
    [
        ((1_500, 1_800, 900), 1.0),  # five times 1,800 is below 10,000
        ((1_500, 600, 900), 0.4),
        ((2_000, 6_000, 3_000), 0.5),  # 10,000 is not five times 6,000; 50,000 is
        ((2_000, 10_000, 12_000), 1.0),  # no rate is five times that: the highest counts
    ],
)
def test_overload_is_five_times_the_best_throughput(runs_per_s: tuple[float, ...], share: float) -> None:
    results = {
        f"rate {rate}/memory": Result({"runs_per_s": runs}) for rate, runs in zip(RATES, runs_per_s, strict=True)
    }
    assert under_overload("memory")(results) == pytest.approx(share)


def test_the_plan_measures_every_target() -> None:
    def result(number: int) -> Result:
        return Result(dict.fromkeys(FIGURES, 2.0 + number), [1.0, 2.0])

    planned = [cell for group in plan(1.0) for cell in group.cells]
    results = {cell.name: result(number) for number, cell in enumerate(planned)}
    unmeasured = [t.what for t in all_targets() if judge(t, [results]).verdict is Verdict.UNMEASURED]
    assert unmeasured == []
    assert {target.id for target in all_targets()} == {f"T{number}" for number in range(1, 22)}


def test_the_names_of_cells_are_unique_and_each_has_a_module() -> None:
    planned = [cell for group in plan(1.0) for cell in group.cells]
    assert len({cell.name for cell in planned}) == len(planned)
    modules = {cells.MODULES[cell.workload, cell.subject] for cell in planned}
    assert modules == set(cells.MODULES.values()), "no module is left over"
    folder = Path(cells.__file__).parent
    assert [module for module in modules if not (folder / f"{module}.py").exists()] == []


def test_quick_cells_belong_to_their_group() -> None:
    for group in plan(1.0):
        assert [cell.name for cell in group.quickly().cells] == list(group.quick)


def test_every_second_round_goes_backwards() -> None:
    group = plan(1.0)[0]
    assert [list(ordered(group, number)) for number in range(3)] == [
        list(group.cells),
        list(reversed(group.cells)),
        list(group.cells),
    ]


def test_a_cell_survives_the_command_line() -> None:
    for cell in (cell for group in plan(1.0) for cell in group.cells):
        assert Cell.from_json(cell.to_json()) == cell
