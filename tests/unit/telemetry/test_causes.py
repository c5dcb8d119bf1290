"""The metrics that name causes of lateness: how the kernel keeps the clock, and what keeps threads waiting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from tickglass.sched.durations import MS
from tickglass.sched.events import ClockDisciplineRead, FirstRunOnTime, SchedulerMoved, ThreadDelayed

if TYPE_CHECKING:
    from kit.metrics_stage import Stage


def test_what_the_kernel_says_of_its_clock_is_shown_once_it_has_said_it(stage: Stage) -> None:
    gauges = (
        "tickglass_kernel_clock_synchronised",
        "tickglass_kernel_clock_offset_seconds",
        "tickglass_kernel_clock_frequency_correction_ratio",
        "tickglass_kernel_clock_max_error_seconds",
        "tickglass_kernel_clock_estimated_error_seconds",
    )

    def shown() -> list[float | None]:
        return [stage.value(gauge) for gauge in gauges]

    assert shown() == [None] * 5
    read = ClockDisciplineRead(
        synchronised=True,
        offset_ns=-3 * MS,
        frequency_ratio=-2e-6,
        max_error_ns=20 * MS,
        estimated_error_ns=1 * MS,
        wall_ns=0,
    )
    stage.sink.record(read)
    assert shown() == [1, -0.003, -2e-6, 0.02, 0.001]
    stage.sink.record(replace(read, synchronised=False, offset_ns=None))
    assert shown() == [0, None, -2e-6, 0.02, 0.001]
    stage.metrics.restore([], version="1", owner="host-1", service="billing")
    assert shown() == [None] * 5


def test_what_keeps_threads_waiting_is_told_apart(stage: Stage) -> None:
    assert stage.value("tickglass_core_wait_seconds_count") == 0
    stage.sink.record(ThreadDelayed(core_ns=3 * MS, interpreter_ns=90_000))
    assert stage.value("tickglass_core_wait_seconds_sum") == 0.003
    assert stage.value("tickglass_interpreter_wait_seconds_bucket", le="0.0001") == 1
    assert stage.value("tickglass_interpreter_wait_seconds_bucket", le="5e-05") == 0


def test_the_time_to_the_first_run_is_shown_until_the_scheduler_starts_again(stage: Stage) -> None:
    gauge = "tickglass_scheduler_first_run_on_time_seconds"
    assert stage.value(gauge) is None
    stage.sink.record(FirstRunOnTime(job="j", after_ns=2_500 * MS, wall_ns=0))
    assert stage.value(gauge) == 2.5
    stage.sink.record(
        SchedulerMoved(owner="o", service="s", before="stopped", event="start_asked", after="starting", wall_ns=0)
    )
    assert stage.value(gauge) is None
