from __future__ import annotations

import math
from dataclasses import replace

import pytest
from measuring.machine import CpuTimes, Machine, Unrest, parsed_cpu_times, unrest_between
from measuring.page import page
from measuring.plan import Group
from measuring.report import Report, number, target_rows, verdicts
from measuring.targets import Finding, Target, Verdict
from workloads.cell import Cell, Result

TARGET = Target(id="T1", what="p50 / asyncio's", measure=lambda _: 0.0, must=1.0, stretch=0.5)
PASSED = Finding(TARGET, (0.4, 0.45, 2.0), 0.45, Verdict.PASS)
MISSED = Finding(replace(TARGET, at_most=False, unit=""), (), None, Verdict.UNMEASURED, "a: no server")
FIRED = Result({"cpu_us_per_run": 67.0, "due": 2.0, "started": 2.0}, [380.0, 400.0])


def report(rounds: int) -> Report:
    cells = (
        Cell(name="burst/memory", workload="fire", subject="tickglass"),
        Cell(name="l", workload="lock", subject="x"),
    )
    return Report(
        date="2026-12-01 00:00 UTC",
        commit="0123456789",
        before="commit abcdef0123",
        window_s=1.2,
        machine=Machine("A processor", 2, "Linux 6", "CPython 3.11", "7.0", ("redis 8",)),
        unrest=Unrest(steal=0.034, busy=0.5, load=0.25),
        groups=(Group("burst", cells),),
        rounds=[{"burst/memory": FIRED, "l": Result({"pairs_per_s": 4_000.0})}] * rounds,
        findings=(PASSED, MISSED),
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (math.inf, "never"),
        (0.0, "0"),
        (0.01234, "0.0123"),
        (1.234, "1.23"),
        (12.34, "12.3"),
        (123.4, "123"),
        (12_345.6, "12,346"),
        (2.0, "2"),
    ],
)
def test_numbers_have_three_digits(value: float | None, text: str) -> None:
    assert number(value) == text


def test_a_row_says_value_range_limits_and_verdict() -> None:
    rows = target_rows((PASSED, MISSED), rounds=5)
    assert rows[0] == ("T1", "p50 / asyncio's", "0.45 x", "0.4 - 2", "<= 1 x", "<= 0.5 x", "PASS, stretch")
    assert rows[1] == ("T1", "p50 / asyncio's", "-", "", ">= 1", ">= 0.5", "not measured")


def test_a_verdict_of_too_few_rounds_is_in_brackets() -> None:
    assert target_rows((PASSED,), rounds=4)[0][-1] == "(PASS, stretch)"


def test_verdicts_are_counted() -> None:
    assert verdicts((PASSED, MISSED, PASSED)) == "2 PASS, 1 not measured"


def test_the_page_says_what_was_measured_and_how_quiet_the_machine_was() -> None:
    text = page(report(rounds=5))
    assert "| T1 | p50 / asyncio's | 0.45 x | 0.4 - 2 | <= 1 x | <= 0.5 x | PASS, stretch |" in text
    assert "| burst/memory | 67 | - | - | 380 | 380 | 380 |" in text
    assert "| l | pairs_per_s 4,000 |" in text
    assert "- T1: a: no server" in text
    assert "3.4% of all processor time went to other machines" in text
    assert "it judges nothing" not in text
    assert "$" not in text, "a place of the template was not filled"


def test_the_page_of_too_few_rounds_says_that_it_judges_nothing() -> None:
    assert "it judges nothing" in page(report(rounds=4))


def test_steal_time_is_a_part_of_all_processor_time() -> None:
    before = parsed_cpu_times("cpu  100 0 50 800 10 0 0 40 7 0")
    assert before == CpuTimes(busy=150, stolen=40, total=1_000)  # guests are in user already
    after = CpuTimes(busy=200, stolen=65, total=1_100)
    assert unrest_between(before, after, load=1.0) == Unrest(steal=0.25, busy=0.5, load=1.0)
    assert unrest_between(before, before, load=1.0) == Unrest(steal=0.0, busy=0.0, load=1.0)
