"""An hour without trouble, recorded from a real engine, and the rules laid over it: only the watchdog speaks.

The clock is moved by hand; what was scraped every fifteen seconds becomes promtool's input.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import promtool
from recording import SCRAPE_S, Recording
from rig import Rig

from tickglass import every
from tickglass.sched.durations import SECOND
from tickglass.sched.events import SchedulerMoved, SkewMeasured
from tickglass.telemetry.exposition import encode

if TYPE_CHECKING:
    from pathlib import Path

HOUR_S: Final = 3600


def recorded() -> Recording:
    """Let three jobs run for an hour, two of them under one lock."""
    rig = Rig()
    recording = Recording(rig.clock.wall_ns() / SECOND)
    # all of them are due when it is scraped
    jobs = {"often": "15s", "now and then": "1m", "rarely": "20m"}
    for name, interval in jobs.items():
        resource = "shared" if name != "often" else None
        rig.add(lambda: None, every(interval), name=name, resource=resource, timeout="10s")
    running = SchedulerMoved(
        owner="a", service="svc", before="starting", event="started", after="running", wall_ns=rig.clock.wall_ns()
    )
    rig.metrics.record(running)
    for second in range(0, HOUR_S + 1, SCRAPE_S):
        rig.advance(SCRAPE_S * SECOND if second else 0)
        rig.metrics.record(SkewMeasured(skew_ns=20_000_000, bound_ns=1_000_000, wall_ns=rig.clock.wall_ns()))
        for name in jobs:
            rig.free(name)
        recording.scrape(encode(rig.metrics.registry, "")[1].decode())
    rig.close()
    return recording


def test_in_a_healthy_hour_only_the_watchdog_speaks(tmp_path: Path) -> None:
    series = recorded().input_series()
    assert len(series) > 100
    assert any('outcome="success"' in one["series"] and one["values"].endswith(" 240.0") for one in series)
    test = {
        "name": "a healthy hour",
        "interval": f"{SCRAPE_S}s",
        "input_series": series,
        "promql_expr_test": [
            {
                "expr": "count by (alertname, alertstate) (count_over_time(ALERTS[1h]))",
                "eval_time": "1h",
                "exp_samples": [{"labels": '{alertname="TickglassWatchdog",alertstate="firing"}', "value": 1}],
            }
        ],
    }
    assert promtool.verdict(tmp_path, [(list(promtool.rule_documents().values()), [test])]) == ""
