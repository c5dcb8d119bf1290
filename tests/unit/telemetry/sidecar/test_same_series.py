"""What a sidecar shows of a scheduler is what the scheduler would show itself, series by series."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from kit.sidecar_events import OWNER, SERVICE, InProcessSidecar, Life, listening, streaming

from tickglass.sched.lease import LockEvent
from tickglass.telemetry.locks import IDLE_NS
from tickglass.telemetry.metric import Detail
from tickglass.telemetry.sidecar.collector import SidecarCollector
from tickglass.testing import ListSink

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from prometheus_client.metrics_core import Metric as Family

Series = dict[tuple[str, frozenset[tuple[str, str]]], tuple[float, object]]

# InstantCount where it happened, and of no use to an heir: they start anew with the sidecar.
PAST = ("_total", "_bucket", "_count", "_sum", "_consecutive_failures", "_lateness_seconds")
# Known from the past only, and told again with the next run.
LAST = ("_last_", "_unsuccessful_", "distributed_lock_fencing_token", "_lease_ttl_seconds")


def series_of(families: Iterable[Family], extra: dict[str, str]) -> Series:
    return {
        (sample.name, frozenset((sample.labels | extra).items())): (sample.value, sample.exemplar)
        for family in families
        for sample in family.samples
        if not family.name.startswith(("tickglass_sidecar_", "tickglass_gc_"))
    }


def both(life: Life, sidecar: InProcessSidecar) -> tuple[Series, Series]:
    collector = SidecarCollector(sidecar.sources, clock=life.stage.clock)
    who = {"owner": OWNER, "service": SERVICE}
    return series_of(life.stage.metrics.collect(), who), series_of(collector.collect(), {})


def live(series: Series) -> Series:
    return {
        key: value
        for key, value in series.items()
        if not key[0].endswith(PAST) and not any(part in key[0] for part in LAST)
    }


@pytest.mark.parametrize("detail", Detail)
@pytest.mark.parametrize("seed", range(8))
def test_the_same_life_gives_the_same_series_either_way(seed: int, detail: Detail, tmp_path: Path) -> None:
    life, path = Life(seed, detail), tmp_path / "s.sock"
    life.stage.metrics.preregister(stores=["sqlite"], sinks=["spans", "mine"])
    with listening(path, life.stage.clock) as sidecar, streaming(path, detail=detail) as stream:
        told = ListSink()
        life.begin(life.stage.metrics, stream, told)
        by_hand = life.stage.lock("order:2")
        life.stage.hold(by_hand)
        by_hand.fire(LockEvent.RELEASED)
        life.go_on(400)
        sidecar.heard(len(told.events))
        here, there = both(life, sidecar)
        assert sidecar.source.missed == 0
        assert any(exemplar for _, exemplar in here.values())
        assert there == here
        life.stage.clock.advance(2 * IDLE_NS)
        later, later_there = both(life, sidecar)
        assert any(("resource", "order:2") in labels for _, labels in here)
        assert not any(("resource", "order:2") in labels for _, labels in later)
        assert later_there == later


@pytest.mark.parametrize("detail", Detail)
@pytest.mark.parametrize("seed", range(8))
def test_a_sidecar_that_comes_late_shows_the_same_gauges_at_once(seed: int, detail: Detail, tmp_path: Path) -> None:
    life, path = Life(seed, detail), tmp_path / "s.sock"
    told = ListSink()
    with streaming(
        path, capacity=0, detail=detail
    ) as stream:  # nothing waits: all that happened before is known by what it led to
        life.begin(life.stage.metrics, stream, told)
        life.go_on(200)
        with listening(path, life.stage.clock) as sidecar:
            sidecar.connected()
            here, there = both(life, sidecar)
    here, there = live(here), live(there)
    # A free lock that was taken by hand is remembered by who has seen it held.
    for key in here.keys() - there.keys():
        assert (key[0], here.pop(key)[0]) == ("distributed_lock_waiters", 0)
    assert there == here
    assert len(here) > 30
