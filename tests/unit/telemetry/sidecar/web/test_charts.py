"""Shapes say what happened, and stay small."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit.view_samples import NOW_NS, runs_of

from tickglass.sched.durations import MS, SECOND
from tickglass.telemetry.sidecar.explain.tones import Tone
from tickglass.telemetry.sidecar.view import LockMark, OccurrenceView
from tickglass.telemetry.sidecar.web.charts import (
    COLUMNS,
    STRIP_MAX,
    WINDOW_NS,
    lane,
    marks,
    share_percent,
    spark,
    strip,
    summary,
)

LANE_BAR = re.compile(r"M(\d+) 10h(\d+)")


def covered(path: str) -> set[int]:
    """Return the columns that a path of a lane covers."""
    return {column for begin, width in LANE_BAR.findall(path) for column in range(int(begin), int(begin) + int(width))}


def at(age_s: float, **other: object) -> OccurrenceView:
    due_ns = NOW_NS - int(age_s * SECOND)
    return OccurrenceView(job="j", due_ns=due_ns, **{"outcome": "success", **other})  # type: ignore[arg-type]


def test_a_strip_has_one_path_per_tone_and_the_newest_at_the_right() -> None:
    drawn = strip([at(3), at(2), at(1, outcome="failure")])
    assert set(drawn) == {Tone.OK, Tone.BAD}
    assert drawn[Tone.BAD] == f"M{(STRIP_MAX - 1) * 5 + 2} 19V1"
    assert drawn[Tone.OK].count("M") == 2


def test_bars_of_different_tones_differ_in_shape_too() -> None:
    outcomes = ("success", "failure", "skipped", "elsewhere", "")
    shapes = {re.sub(r"M\d+", "M", "".join(strip([at(1, outcome=outcome)]).values())) for outcome in outcomes}
    assert len(shapes) == len(outcomes)


def test_a_strip_shows_no_more_than_its_length() -> None:
    assert strip(runs_of("j", SECOND, ran_ns=1, count=300))[Tone.OK].count("M") == STRIP_MAX


def test_words_count_every_due_instant() -> None:
    missed = at(9, outcome="missed", count=1_200)
    assert summary([at(3), missed, at(2), at(1, outcome="")]) == "1,200 missed, 2 success, 1 pending"
    assert summary([]) == "none"


def test_a_spark_line_says_median_and_worst() -> None:
    line = spark([MS, 3 * MS, 2 * MS])
    assert line is not None
    assert (line.median_ns, line.worst_ns, line.count) == (2 * MS, 3 * MS, 3)
    assert line.words == "lateness of the latest 3 starts: median 2.00 ms, worst 3.00 ms"
    assert spark([]) is None


@given(st.lists(st.integers(min_value=-SECOND, max_value=3_600 * SECOND), min_size=1, max_size=90))
def test_a_spark_line_stays_within_its_picture(latenesses: list[int]) -> None:
    line = spark(latenesses)
    assert line is not None
    numbers = [float(number) for number in re.findall(r"[\d.]+", line.line)]
    assert all(0 <= x <= 112 for x in numbers[::2])
    assert all(0 <= y <= 22 for y in numbers[1::2])


def test_a_lane_shows_where_a_run_was() -> None:
    run = at(60, started_wall_ns=NOW_NS - 60 * SECOND, ended_wall_ns=NOW_NS - 50 * SECOND)
    assert covered(lane([run], NOW_NS)[Tone.OK]) == set(range(COLUMNS - 61, COLUMNS - 50))


def test_a_lane_shows_the_worst_of_each_column() -> None:
    runs = [at(30), at(30, outcome="failure"), at(30, outcome="elsewhere")]
    drawn = lane(runs, NOW_NS)
    assert list(drawn) == [Tone.BAD]
    assert COLUMNS - 31 in covered(drawn[Tone.BAD])


def test_what_is_in_hand_reaches_to_the_present() -> None:
    drawn = lane([at(20, outcome="", state="running", started_wall_ns=NOW_NS - 20 * SECOND)], NOW_NS)
    assert max(covered(drawn[Tone.RUN])) == COLUMNS - 1


def test_instants_that_nobody_saw_are_drawn_over_their_whole_span() -> None:
    drawn = lane([at(100, outcome="missed", count=50, until_ns=NOW_NS - 50 * SECOND)], NOW_NS)
    assert len(covered(drawn[Tone.WARN])) >= 50


def test_what_never_ran_is_a_point_however_late_that_was_said() -> None:
    drawn = lane([at(100, outcome="missed", ended_wall_ns=NOW_NS)], NOW_NS)
    assert len(covered(drawn[Tone.WARN])) == 3


def test_a_lane_of_a_busy_job_is_no_heavier_than_another() -> None:
    busy = lane(runs_of("j", 10 * MS, ran_ns=MS, count=30_000), NOW_NS)
    assert len(busy[Tone.OK]) < 20


def test_a_lane_moves_by_whole_columns_only() -> None:
    runs = [at(age) for age in (200, 100, 50)]
    now_ns = NOW_NS // SECOND * SECOND
    assert lane(runs, now_ns) == lane(runs, now_ns + 999 * MS) != lane(runs, now_ns + SECOND)


@given(st.integers(-400, 400), st.integers(-400, 400), st.sampled_from(["", "success", "missed"]))
def test_a_lane_stays_within_its_columns(begin_s: int, end_s: int, outcome: str) -> None:
    run = at(begin_s, outcome=outcome, started_wall_ns=NOW_NS - begin_s * SECOND, ended_wall_ns=NOW_NS - end_s * SECOND)
    for path in lane([run], NOW_NS).values():
        assert covered(path) <= set(range(COLUMNS))


def test_marks_stand_where_they_happened() -> None:
    old, new = (LockMark(resource="r", job="j", at_wall_ns=NOW_NS - age, what="lost") for age in (2 * WINDOW_NS, 0))
    [(place, mark)] = marks([old, new], NOW_NS)
    assert mark is new
    assert 99 < place <= 100


@pytest.mark.parametrize(("part", "whole", "percent"), [(1, 4, 25.0), (9, 4, 100.0), (-1, 4, 0.0), (1, 0, 100.0)])
def test_a_share_is_between_none_and_all(part: int, whole: int, percent: float) -> None:
    assert share_percent(part, whole) == percent
