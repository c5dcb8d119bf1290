"""What follows from a trigger that the ledger has as text."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from kit.sidecar_views import SidecarRig

from tickglass import at, cron, every
from tickglass.sched.durations import SECOND
from tickglass.sched.ports import RunRecord
from tickglass.sched.triggers.base import to_ns
from tickglass.telemetry.sidecar.stores.overdue import interval_ns, waiting_due_ns

if TYPE_CHECKING:
    from tickglass.sched.triggers import Trigger

FRIDAY = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("trigger", "hour", "minute", "interval_s"),
    [
        (cron("*/5 9-17 * * 1-5"), 12, 0, 300),
        (cron("*/5 9-17 * * 1-5"), 17, 52, 300),
        (cron("*/5 9-17 * * 1-5"), 17, 57, 300),
        (cron("0 2 * * 1-5"), 1, 0, 86_400),
        (at("2026-01-02T18:00:00Z"), 12, 0, None),
    ],
)
def test_a_pause_is_no_interval(trigger: Trigger, hour: int, minute: int, interval_s: int | None) -> None:
    job = SidecarRig().register(trigger=str(trigger))
    now_ns = to_ns(FRIDAY + timedelta(hours=hour, minutes=minute), what="now")
    assert interval_ns(job, now_ns) == (None if interval_s is None else interval_s * SECOND)


@pytest.mark.parametrize(("trigger", "waiting_s"), [(every("1s"), 31), (every("7s"), 35), (cron("0 * * * *"), 3_600)])
def test_what_an_instance_with_the_old_trigger_announced_is_not_waited_for_under_the_new_one(
    trigger: Trigger, waiting_s: int
) -> None:
    rig = SidecarRig()
    start_ns = rig.clock.wall_ns()
    start_ns -= start_ns % (3_600 * 7 * SECOND)
    job = replace(
        rig.register(trigger=str(trigger)),
        next_due_ns=start_ns + 31 * SECOND,  # of a claim of 30 s, under every("1s")
        seen_wall_ns=start_ns + 30 * SECOND,
    )
    claim = RunRecord(
        *(job.name, start_ns + 30 * SECOND, 1, "old", "svc", "r", job.name, 1, start_ns + 30 * SECOND, None),
        *(start_ns + 30 * SECOND + 1, "success", "", None),
    )
    assert waiting_due_ns(job, [claim], running=False) == start_ns + waiting_s * SECOND
