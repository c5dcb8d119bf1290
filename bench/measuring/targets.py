"""Say what must be reached, and whether it was. Pure.

Targets compare figures of one round, because two cells a minute apart have met another machine. The
verdict goes by the median over all rounds; what must never happen, by the worst of them.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from measuring.figures import NotMeasured, NotPlanned, TooSlow, difference, figure, ratio, read
from measuring.plan import RATES, STORES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from measuring.figures import Measure, Round

__all__ = ["OVERLOAD", "Finding", "Target", "Verdict", "all_targets", "judge"]

OVERLOAD: Final = 5.0  # times the best throughput that was seen


class Verdict(StrEnum):
    """Whether a target was reached."""

    PASS = "PASS"
    FAIL = "FAIL"
    UNMEASURED = "not measured"


@dataclass(frozen=True, kw_only=True)
class Target:
    """One figure that must be reached.

    Args:
        id: by which pages name it; several stores share one.
        what: which figure, in words.
        measure: reads it off one round.
        at_most: whether smaller is better.
        must: the limit.
        stretch: the limit that would be better still; None: there is none.
        unit: behind the figure; "x" for a ratio.
        worst: whether the worst round decides, not the median.
    """

    id: str
    what: str
    measure: Measure
    must: float
    stretch: float | None = None
    at_most: bool = True
    unit: str = "x"
    worst: bool = False

    def reached(self, value: float, limit: float) -> bool:
        """Whether a value is within a limit."""
        return value <= limit if self.at_most else value >= limit


@dataclass(frozen=True)
class Finding:
    """A target and what the rounds said.

    Args:
        values: one for each round that measured it.
        value: what decides; None if no round measured it.
        reason: why not, then.
        planned: whether all its cells were asked for.
    """

    target: Target
    values: tuple[float, ...]
    value: float | None
    verdict: Verdict
    reason: str = ""
    planned: bool = True

    @property
    def beyond(self) -> bool:
        """Whether the stretch was reached as well."""
        stretch = self.target.stretch
        return self.value is not None and stretch is not None and self.target.reached(self.value, stretch)


def judge(target: Target, rounds: Sequence[Round]) -> Finding:
    """Return the verdict on a target."""
    values: list[float] = []
    missing: NotMeasured | None = None
    for results in rounds:
        try:
            values.append(target.measure(results))
        except NotMeasured as why:
            missing = why
    if not values:
        planned = not isinstance(missing, NotPlanned)
        verdict = Verdict.FAIL if isinstance(missing, TooSlow) else Verdict.UNMEASURED
        return Finding(target, (), None, verdict, reason=str(missing or "no round"), planned=planned)
    worst = max(values) if target.at_most else min(values)
    value = worst if target.worst else statistics.median(values)
    verdict = Verdict.PASS if target.reached(value, target.must) else Verdict.FAIL
    return Finding(target, tuple(values), value, verdict)


def under_overload(store: str) -> Measure:
    """Return what divides the runs per second under overload by the best of all rates.

    Overload is the lowest rate of due instants that is five times the best, or else the highest rate of all.
    """

    def measure(results: Round) -> float:
        runs = {rate: read(results, f"rate {rate}/{store}", "runs_per_s") for rate in RATES}
        best = max(runs.values())
        overloaded = next((rate for rate in sorted(RATES) if rate >= OVERLOAD * best), max(RATES))
        return runs[overloaded] / best

    return measure


def all_targets() -> tuple[Target, ...]:
    """Return every target, in the order of their names."""
    return (*_punctuality(), *_throughput(), *_locks(), *_scale(), *_together())


def _by_store(
    name: str,
    what: str,
    measures: Mapping[str, Measure],
    must: Mapping[str, float],
    stretch: Mapping[str, float],
    *,
    at_most: bool = True,
) -> list[Target]:
    return [
        Target(
            id=name,
            what=f"{what}, {store}",
            measure=measure,
            must=must[store],
            stretch=stretch.get(store),
            at_most=at_most,
        )
        for store, measure in measures.items()
    ]


def _alike(limit: float) -> dict[str, float]:
    return dict.fromkeys(STORES, limit)


def _against(name: str, figure_name: str, peer: str, stores: Sequence[str] = STORES) -> dict[str, Measure]:
    """Return, by store, the ratio of a figure to that of a peer in the same group."""
    below = figure(f"{name}/{peer}", figure_name)
    return {store: ratio(figure(f"{name}/{store}", figure_name), below) for store in stores}


def _punctuality() -> list[Target]:
    alone = figure("alone/memory before", "p50_us")
    return [
        *_by_store(
            "T1",
            "50 jobs at one instant, p50 / asyncio's",
            _against("burst", "p50_us", "asyncio"),
            {"memory": 1.0, "sqlite": 1.0, "redis": 1.2},
            _alike(0.6),
        ),
        *_by_store(
            "T2",
            "50 jobs at one instant, p90 / APScheduler's",
            _against("burst", "p90_us", "APScheduler"),
            _alike(0.7),
            _alike(0.35),
        ),
        Target(
            id="T3",
            what="one job alone, p50 / before",
            measure=ratio(figure("alone/memory", "p50_us"), alone),
            must=0.6,
        ),
        Target(
            id="T3",
            what="one job alone, spinning, p50 / before",
            measure=ratio(figure("alone/memory spin", "p50_us"), alone),
            must=0.1,
            stretch=0.05,
        ),
        Target(
            id="T4",
            what="50 jobs of 5 ms on 10 threads, p50 / APScheduler's",
            measure=ratio(figure("work/memory", "p50_us"), figure("work/APScheduler", "p50_us")),
            must=0.95,
            stretch=0.85,
        ),
    ]


def _throughput() -> list[Target]:
    rates = {
        store: ratio(figure(f"rate 10000/{store}", "runs_per_s"), figure(f"rate 10000/{store} before", "runs_per_s"))
        for store in STORES
    }
    skips = {
        store: ratio(figure(f"skips/{store}", "cpu_us_per_skip"), figure(f"burst/{store}", "cpu_us_per_run"))
        for store in STORES
    }
    return [
        *_by_store(
            "T5",
            "CPU per run / APScheduler's",
            _against("burst", "cpu_us_per_run", "APScheduler"),
            {"memory": 2.0, "sqlite": 3.0, "redis": 2.2},
            {"memory": 1.2, "sqlite": 2.0, "redis": 1.3},
        ),
        *_by_store(
            "T6",
            "runs/s of 10,000 due / before",
            rates,
            {"memory": 3.0, "sqlite": 6.0, "redis": 8.0},
            {"memory": 4.3, "sqlite": 10.0, "redis": 12.0},
            at_most=False,
        ),
        *_by_store(
            "T7",
            "runs/s at 5 times the capacity / best runs/s",
            {store: under_overload(store) for store in STORES},
            _alike(0.75),
            _alike(0.95),
            at_most=False,
        ),
        *_by_store("T8", "CPU of a skip / of a run", skips, _alike(0.02), _alike(0.005)),
        Target(
            id="T9",
            what="voluntary switches per run, 50 jobs at one instant, redis",
            measure=figure("burst/redis", "switches_per_run"),
            must=0.5,
            stretch=0.2,
            unit="",
        ),
    ]


def _locks() -> list[Target]:
    def pairs(threads: int, subject: str) -> Measure:
        return figure(f"locks {threads}/{subject}", "pairs_per_s")

    server = "server_cpu_us_per_pair"
    return [
        Target(
            id="T10",
            what="lock pairs/s / redis-py's Lock, 1 thread",
            measure=ratio(pairs(1, "tickglass"), pairs(1, "redis-py")),
            must=1.2,
            stretch=1.8,
            at_most=False,
        ),
        Target(
            id="T11",
            what="lock pairs/s / redis-py's Lock, 8 threads",
            measure=ratio(pairs(8, "tickglass"), pairs(8, "redis-py")),
            must=1.5,
            stretch=2.2,
            at_most=False,
        ),
        Target(
            id="T12",
            what="`with Lock` / `scheduler.lock`, pairs/s",
            measure=ratio(pairs(1, "tickglass Lock"), pairs(1, "tickglass")),
            must=0.8,
            stretch=0.95,
            at_most=False,
        ),
        Target(
            id="T13",
            what="Redis's CPU per pair / that of two small scripts",
            measure=ratio(figure("locks 1/tickglass", server), figure("locks 1/two scripts", server)),
            must=1.9,
            stretch=1.1,
        ),
        Target(
            id="T14",
            what="messages heard per own run, redis",
            measure=figure("messages/redis", "messages_per_run"),
            must=0.0,
            unit="",
            worst=True,
        ),
    ]


def _scale() -> list[Target]:
    many, few = "scale 100000/sqlite", "scale 10000/sqlite"
    per_job = ratio(difference(figure(many, "rss_bytes"), figure(few, "rss_bytes")), lambda _: 90_000.0)
    return [
        Target(
            id="T15",
            what="CPU of starting 100,000 jobs / 10,000 jobs, sqlite",
            measure=ratio(figure(many, "start_cpu_s"), figure(few, "start_cpu_s")),
            must=11.0,
        ),
        Target(
            id="T15",
            what="CPU of starting per job, 100,000 jobs, sqlite",
            measure=figure(many, "cpu_us_per_job"),
            must=60.0,
            stretch=35.0,
            unit="us",
        ),
        Target(
            id="T16",
            what="memory per waiting job, from 10,000 to 100,000 jobs",
            measure=per_job,
            must=1_024.0,
            stretch=768.0,
            unit="bytes",
        ),
        Target(
            id="T17",
            what="CPU of a scrape of 1,000 jobs / before",
            measure=ratio(figure("scrape/memory", "scrape_ms"), figure("scrape/memory before", "scrape_ms")),
            must=0.3,
            stretch=0.1,
        ),
    ]


def _together() -> list[Target]:
    fleets = [
        target
        for id_, store in (("T18", "redis"), ("T19", "sqlite"))
        for target in (
            Target(
                id=id_,
                what=f"8 processes, instants that ran twice or never, {store}",
                measure=_wrong(f"fleet/{store}"),
                must=0.0,
                unit="",
                worst=True,
            ),
            Target(
                id=id_,
                what=f"8 processes, 100 jobs on the second, p90 / asyncio's, {store}",
                measure=ratio(figure(f"fleet/{store}", "p90_us"), figure("fleet/asyncio", "p90_us")),
                must=6.0,
            ),
        )
    ]
    return [
        *fleets,
        *_by_store(
            "T20",
            "two computing threads, 10 jobs each 10 ms, p50 / asyncio's",
            _against("busy", "p50_us", "asyncio"),
            _alike(1.0),
            {},
        ),
        *_by_store(
            "T21",
            "200 coroutine jobs at one instant, p50 / asyncio's",
            _against("coroutines", "p50_us", "asyncio"),
            _alike(1.2),
            {},
        ),
    ]


def _wrong(cell: str) -> Measure:
    repeated, missing = figure(cell, "repeated"), figure(cell, "missing")
    return lambda results: repeated(results) + missing(results)
