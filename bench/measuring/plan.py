"""Decide which cells are measured, and which of them are neighbours. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from workloads.cell import Cell

__all__ = ["CURVE_JOBS", "RATES", "STORES", "Group", "plan"]

STORES: Final = ("memory", "sqlite", "redis")
# Due instants per second, and the jobs and milliseconds that make them: from idle enough to hopeless.
RATES: Final = {2_000: (200, 100), 10_000: (200, 20), 50_000: (1_000, 20)}
CURVE_JOBS: Final = (1, 10, 50, 200)
TIMERS: Final = ("asyncio", "APScheduler")


@dataclass(frozen=True)
class Group:
    """Cells that are compared with each other, so they are measured one after the other.

    Args:
        name: by which it is chosen, `--only NAME`.
        cells: in the order of the first round; the next round goes backwards, and so on.
        quick: the cells that the quick run measures as well.
        rounds_max: for what is shown and not judged: that many rounds are enough.
    """

    name: str
    cells: tuple[Cell, ...]
    quick: tuple[str, ...] = ()
    rounds_max: int | None = None

    def quickly(self) -> Group:
        """Return the group with the cells of the quick run alone."""
        return replace(self, cells=tuple(cell for cell in self.cells if cell.name in self.quick))


def plan(window_s: float) -> tuple[Group, ...]:
    """Return all groups.

    Args:
        window_s: for how long each cell is measured; those of whole seconds take twice that, at least 3 s.
    """
    groups = (
        _burst(),
        _skips(),  # compared with the group before
        _alone(),
        _work(),
        *(_rates(store) for store in STORES),
        _locks(),
        Group("messages", (_ours("messages/redis", "redis", workload="messages", jobs=10),)),
        _scale(),
        Group("scrape", _with_before(_ours("scrape/memory", "memory", workload="scrape", jobs=1_000))),
        _fleet(),
        _beside("busy", jobs=10, period_ms=10, busy_threads=2),
        _beside("coroutines", jobs=200, period_ms=500, coroutine=True),
        _curve(),
        _sidecar(),
        _timer(),
    )
    return tuple(replace(group, cells=tuple(_timed(cell, window_s) for cell in group.cells)) for group in groups)


def _timed(cell: Cell, window_s: float) -> Cell:
    return replace(cell, window_s=window_s if cell.period_ms < 1_000 else max(3.0, 2 * window_s))


def _ours(name: str, store: str, *, workload: str = "fire", **options: Any) -> Cell:  # noqa: ANN401 - fields of Cell
    return Cell(name=name, workload=workload, subject="tickglass", store=store, **options)


def _peer(name: str, subject: str, *, workload: str = "fire", **options: Any) -> Cell:  # noqa: ANN401 - fields of Cell
    return Cell(name=name, workload=workload, subject=subject, **options)


def _with_before(*cells: Cell) -> tuple[Cell, ...]:
    """Return each cell, and the same of the older checkout behind it."""
    return tuple(each for cell in cells for each in (cell, replace(cell, name=f"{cell.name} before", before=True)))


def _burst() -> Group:
    peers = tuple(_peer(f"burst/{peer}", peer, jobs=50) for peer in (*TIMERS, "schedule"))
    cells = (*peers, *(_ours(f"burst/{store}", store, jobs=50) for store in STORES))
    return Group("burst", cells, quick=tuple(cell.name for cell in cells))


def _alone() -> Group:
    alone = _ours("alone/memory", "memory", period_ms=20)
    spinning = replace(alone, name="alone/memory spin", spin=True)
    return Group("alone", (_peer("alone/asyncio", "asyncio", period_ms=20), *_with_before(alone), spinning))


def _work() -> Group:
    peer = _peer("work/APScheduler", "APScheduler", jobs=50, work_ms=5)
    ours = _ours("work/memory", "memory", jobs=50, work_ms=5, workers=10)
    return Group("work", (peer, ours), quick=(peer.name, ours.name))


def _rates(store: str) -> Group:
    cells = {
        rate: _ours(f"rate {rate}/{store}", store, jobs=jobs, period_ms=period_ms)
        for rate, (jobs, period_ms) in RATES.items()
    }
    return Group(f"rates-{store}", (cells[2_000], *_with_before(cells[10_000]), cells[50_000]))


def _skips() -> Group:
    skip: dict[str, Any] = {"workload": "skip", "jobs": 50, "workers": 50, "period_ms": 10}
    return Group("skips", tuple(_ours(f"skips/{store}", store, **skip) for store in STORES))


def _locks() -> Group:
    lock: dict[str, Any] = {"workload": "lock", "store": "redis"}
    subjects = ("two scripts", "redis-py", "python-redis-lock", "tickglass")
    cells = [
        _peer(f"locks {threads}/{subject}", subject, threads=threads, **lock)
        for threads in (1, 8)
        for subject in subjects
    ]
    cells.insert(4, _peer("locks 1/tickglass Lock", "tickglass Lock", **lock))
    return Group("locks", tuple(cells), quick=tuple(cell.name for cell in cells if "python" not in cell.name))


def _scale() -> Group:
    ours = tuple(_ours(f"scale {jobs}/sqlite", "sqlite", workload="scale", jobs=jobs) for jobs in (10_000, 100_000))
    peers = tuple(
        _peer(f"scale {jobs}/APScheduler", "APScheduler", workload="scale", jobs=jobs) for jobs in (2_000, 10_000)
    )
    return Group("scale", (*ours, *peers))


def _fleet() -> Group:
    second: dict[str, Any] = {"jobs": 100, "period_ms": 1_000}
    ours = tuple(
        _ours(f"fleet/{store}", store, workload="fleet", processes=8, **second) for store in ("sqlite", "redis")
    )
    return Group("fleet", (_peer("fleet/asyncio", "asyncio", **second), *ours))


def _beside(name: str, **options: Any) -> Group:  # noqa: ANN401 - fields of Cell
    """Return every store beside a bare asyncio timer."""
    ours = tuple(_ours(f"{name}/{store}", store, **options) for store in STORES)
    return Group(name, (_peer(f"{name}/asyncio", "asyncio", **options), *ours))


def _curve() -> Group:
    cells = []
    for jobs in CURVE_JOBS:
        cells += [_peer(f"curve {jobs}/{peer}", peer, jobs=jobs) for peer in TIMERS]
        cells += [_ours(f"curve {jobs}/{store}", store, jobs=jobs) for store in STORES]
    return Group("curve", tuple(cells), rounds_max=1)


def _sidecar() -> Group:
    kinds = {"without": "", "told": "told", "killed": "killed"}
    cells = tuple(_ours(f"sidecar/{name}", "sqlite", period_ms=10, sidecar=kind) for name, kind in kinds.items())
    return Group("sidecar", cells, rounds_max=2)


def _timer() -> Group:
    cells = []
    for name, beside in (("idle", ""), ("saturated cores", "cores"), ("collecting", "collector")):
        cells.append(_peer(f"timer {name}/asyncio", "asyncio", period_ms=10, beside=beside))
        cells.append(_ours(f"timer {name}/memory", "memory", period_ms=10, beside=beside))
    return Group("timer", tuple(cells), rounds_max=2)
