"""An hour without trouble, recorded from a real engine, and the rules laid over it: only the watchdog speaks.

The clock is moved by hand; what was scraped every fifteen seconds becomes promtool's input.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import promql_parser
import promtool
from expressions import EXPRESSIONS, selectors
from prometheus_client.parser import text_string_to_metric_families
from rig import Rig

from tickglass import every
from tickglass.sched.durations import SECOND
from tickglass.sched.events import SchedulerMoved, SkewMeasured
from tickglass.telemetry.exposition import encode

if TYPE_CHECKING:
    from pathlib import Path

SCRAPE_S: Final = 15  # all jobs are due at multiples of it
HOUR_S: Final = 3600
READ: Final = {selector.name for expr in EXPRESSIONS.values() for selector in selectors(promql_parser.parse(expr))}


class Recording:
    """What a Prometheus would have scraped of one instance, every fifteen seconds."""

    def __init__(self, began_s: float) -> None:
        self._began_s = began_s
        self._scrapes = 0
        self._series: dict[str, list[str]] = {}

    def scrape(self, text: str) -> None:
        seen = {"up": ({"job": "tickglass"}, 1.0)}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name in READ:
                    # promtool's time begins at zero
                    began_s = self._began_s if sample.name.endswith("_timestamp_seconds") else 0.0
                    labels = {**sample.labels, "job": "tickglass"}
                    seen[sample.name + str(labels)] = (labels | {"__name__": sample.name}, sample.value - began_s)
        for labels, value in seen.values():
            name = labels.pop("__name__", "up")
            written = ",".join(f'{label}="{text}"' for label, text in {**labels, "instance": "i1"}.items())
            self._series.setdefault(f"{name}{{{written}}}", ["_"] * self._scrapes).append(repr(value))
        self._scrapes += 1
        for values in self._series.values():
            if len(values) < self._scrapes:
                values.append("_" if values[-1] in ("_", "stale") else "stale")

    def input_series(self) -> list[promtool.Document]:
        return [{"series": name, "values": " ".join(values)} for name, values in sorted(self._series.items())]


def recorded() -> Recording:
    """Let three jobs run for an hour, two of them under one lock."""
    rig = Rig()
    recording = Recording(rig.clock.wall_ns() / SECOND)
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
