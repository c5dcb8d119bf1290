"""An hour without trouble, recorded from two real engines on one store, and the rules laid over it: only the watchdog
speaks, whether schedulers are scraped themselves or a sidecar is.

In the middle of it one of the two restarts. The clock is moved by hand; what was scraped every fifteen seconds becomes
promtool's input.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

import pytest
from kit import promtool
from kit.recording import SCRAPE_S, Recording
from kit.rig import Rig, wait_until

from tickglass import every
from tickglass.sched.durations import SECOND
from tickglass.sched.events import SchedulerMoved, SkewMeasured
from tickglass.telemetry.endpoint.exposition import encode

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kit.recording import Labels

pytestmark = pytest.mark.xdist_group("healthy hour")

HOUR_S: Final = 3600
RESTART_S: Final = range(1800, 1830)  # one of them is not there
# All are due when it is scraped.
JOBS: Final = {"often": "15s", "now and then": "1m", "rarely": "20m"}
SCRAPES: Final[dict[str, Callable[[str], Labels]]] = {
    "themselves": lambda owner: {"job": "tickglass", "instance": owner},
    "by a sidecar": lambda owner: {"job": "tickglass-sidecar", "instance": "s", "owner": owner, "service": "svc"},
}


class Replica:
    """One of the schedulers of a rig."""

    def __init__(self, rig: Rig, owner: str) -> None:
        rig.start(owner)
        self._metrics, self._timeline, self._crew, clock = rig.metrics, rig.timeline, rig.dispatcher, rig.clock
        for name, interval in JOBS.items():
            resource = "shared" if name != "often" else None
            rig.add(lambda: None, every(interval), name=name, resource=resource, timeout="10s")
        running = SchedulerMoved(
            owner=owner, service="svc", before="starting", event="started", after="running", wall_ns=clock.wall_ns()
        )
        self._metrics.record(running)

    def turn(self, wall_ns: int) -> None:
        """Do what is due, to its end."""
        self._timeline.tick()
        wait_until(lambda: not any(self._crew.busy(name) for name in JOBS))
        self._metrics.record(SkewMeasured(skew_ns=20_000_000, bound_ns=1_000_000, wall_ns=wall_ns))

    def text(self) -> str:
        return encode(self._metrics.registry, "")[1].decode()


@cache
def recorded() -> dict[str, Recording]:
    """Let three jobs run for an hour in turns on two schedulers, two of the jobs under one lock."""
    rig = Rig()
    recordings = {owner: Recording(rig.clock.wall_ns() / SECOND) for owner in ("a", "b")}
    replicas = {owner: Replica(rig, owner) for owner in recordings}
    for second in range(0, HOUR_S + 1, SCRAPE_S):
        rig.clock.advance(SCRAPE_S * SECOND if second else 0)
        if second in RESTART_S:
            replicas.pop("b", None)
        elif "b" not in replicas:
            replicas["b"] = Replica(rig, "b")
        for owner in sorted(replicas, reverse=second // SCRAPE_S % 2 == 1):
            replicas[owner].turn(rig.clock.wall_ns())
        for owner, recording in recordings.items():
            recording.scrape(replicas[owner].text() if owner in replicas else "")
    rig.close()
    return recordings


@pytest.mark.parametrize("how", SCRAPES)
def test_in_a_healthy_hour_only_the_watchdog_speaks(how: str, tmp_path: Path) -> None:
    found = [one for owner, recording in recorded().items() for one in recording.input_series(SCRAPES[how](owner))]
    series = list({one["series"]: one for one in found}.values())  # they share the sidecar's own
    assert len(series) > 200
    done = [one for one in series if 'job_name="often"' in one["series"] and 'outcome="success"' in one["series"]]
    assert all(float(one["values"].split()[-1]) > 50 for one in done)
    assert len(done) == len(recorded())
    test = {
        "name": "a healthy hour",
        "interval": f"{SCRAPE_S}s",
        "input_series": series,
        "promql_expr_test": [
            {
                "expr": 'count by (alertname, alertstate) (count_over_time(ALERTS{alertstate="firing"}[1h]))',
                "eval_time": "1h",
                "exp_samples": [{"labels": '{alertname="TickglassWatchdog",alertstate="firing"}', "value": 1}],
            }
        ],
    }
    assert promtool.verdict(tmp_path, [(list(promtool.rule_documents().values()), [test])]) == ""
