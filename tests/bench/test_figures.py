from __future__ import annotations

import math

import pytest
from measuring.figures import (
    NotMeasured,
    NotPlanned,
    TooSlow,
    difference,
    figure,
    median_of,
    pooled,
    ratio,
    read,
    started_part,
)
from workloads.cell import LATE_US_MAX, Absent, Result, thinned


def late(*late_us: float, due: int) -> Result:
    return Result({"due": float(due), "started": float(len(late_us))}, list(late_us))


def test_a_percentile_is_an_order_statistic_of_what_was_due() -> None:
    results = {"a": late(*range(101), due=101)}
    assert [read(results, "a", name) for name in ("p50_us", "p90_us", "p99_us")] == [50, 90, 99]


def test_an_instant_that_was_skipped_is_later_than_every_other() -> None:
    results = {"a": late(*range(50), due=100)}
    assert read(results, "a", "p50_us") == 49
    assert read(results, "a", "p90_us") == math.inf


def test_where_nothing_started_every_percentile_is_infinite() -> None:
    assert read({"a": late(due=10)}, "a", "p50_us") == math.inf


def test_one_start_of_one_instant_is_every_percentile() -> None:
    assert read({"a": late(7.0, due=1)}, "a", "p99_us") == 7.0


def test_thinned_values_give_the_same_percentiles() -> None:
    late_us = thinned([number * 1_000 for number in range(10 * LATE_US_MAX)])
    assert len(late_us) == LATE_US_MAX
    result = Result({"due": 10.0 * LATE_US_MAX, "started": 10.0 * LATE_US_MAX}, late_us)
    assert read({"a": result}, "a", "p90_us") == pytest.approx(9 * LATE_US_MAX, rel=0.001)


def test_thinning_sorts_and_keeps_few_values_as_they_are() -> None:
    assert thinned([3_000, 1_000, 2_000]) == [1.0, 2.0, 3.0]


def test_a_cell_without_a_result_says_why() -> None:
    results = {"gone": Absent("no server"), "slow": Absent("took too long", too_slow=True)}
    with pytest.raises(NotMeasured, match="gone: no server"):
        read(results, "gone", "pairs")
    with pytest.raises(TooSlow, match="took too long"):
        read(results, "slow", "pairs")
    with pytest.raises(NotPlanned):
        read(results, "other", "pairs")


def test_ratios_and_differences_compare_figures_of_one_round() -> None:
    results = {"a": Result({"us": 30.0}), "b": Result({"us": 20.0})}
    assert ratio(figure("a", "us"), figure("b", "us"))(results) == 1.5
    assert difference(figure("a", "us"), figure("b", "us"))(results) == 10.0


@pytest.mark.parametrize(("above", "below"), [(1.0, 0.0), (math.inf, math.inf)])
def test_there_is_no_ratio_to_nothing(above: float, below: float) -> None:
    with pytest.raises(NotMeasured):
        ratio(lambda _: above, lambda _: below)({})


def test_a_median_leaves_out_rounds_without_a_result() -> None:
    rounds = [{"a": Result({"us": value})} for value in (5.0, 1.0, 3.0)]
    assert median_of([*rounds, {"a": Absent("no")}, {}], "a", "us") == 3.0
    assert median_of(rounds, "a", "pairs") is None


def test_pooled_lateness_is_that_of_all_rounds_in_order() -> None:
    assert pooled([{"a": late(3, 9, due=2)}, {"a": Absent("no")}, {"a": late(1, due=1)}], "a") == [1, 3, 9]


def test_the_part_that_started_is_that_of_all_rounds() -> None:
    assert started_part([{"a": late(1, 2, due=2)}, {"a": late(1, due=2)}, {"a": Absent("no")}], "a") == 0.75
