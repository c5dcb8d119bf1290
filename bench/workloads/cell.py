"""Name one measurement and its answer, for the process that asks and the one that measures.

Standard library alone: the processes of peers import this.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Final

__all__ = ["LATE_US_MAX", "Absent", "Cell", "Place", "Result", "Unsupported", "thinned"]

LATE_US_MAX: Final = 2_000  # order statistics sent of one cell; more would not change a percentile or a plot


class Unsupported(Exception):  # noqa: N818 - no error: the subject has no such feature
    """The subject cannot do what the cell asks for."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One measurement.

    Args:
        name: unique in a plan; targets and tables refer to it.
        workload: which module of this package runs it; see `workloads.__main__`.
        subject: what is measured: "tickglass", or a peer's name.
        store: "memory", "sqlite" or "redis"; "" for a peer that has none.
        before: whether the older checkout is measured, not this one.
        jobs: how many jobs are due at each instant.
        period_ms: how far two instants are apart; they lie on the grid of the Unix epoch.
        window_s: for how long it is measured.
        work_ms: for how long each run sleeps.
        workers: threads that run jobs; None: the subject's default.
        coroutine: whether jobs are coroutines.
        spin: whether the subject spins before an instant.
        busy_threads: threads of the process that compute meanwhile.
        beside: what disturbs: "cores", a process that computes on each; "collector", full collections of garbage.
        threads: threads that take locks.
        processes: schedulers with the same jobs on one store.
        sidecar: "" without one, "told" with one, "killed": from the instant when it is killed.
    """

    name: str
    workload: str
    subject: str
    store: str = ""
    before: bool = False
    jobs: int = 1
    period_ms: int = 100
    window_s: float = 2.0
    work_ms: int = 0
    workers: int | None = None
    coroutine: bool = False
    spin: bool = False
    busy_threads: int = 0
    beside: str = ""
    threads: int = 1
    processes: int = 1
    sidecar: str = ""

    @property
    def period_ns(self) -> int:
        """The period in nanoseconds."""
        return self.period_ms * 1_000_000

    @property
    def window_ns(self) -> int:
        """The window in nanoseconds: whole periods, at least one."""
        return max(1, round(self.window_s * 1e9 / self.period_ns)) * self.period_ns

    def to_json(self) -> str:
        """Return it as one argument of a command."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Cell:
        """Read what `to_json` wrote."""
        return cls(**json.loads(text))


@dataclass(frozen=True)
class Place:
    """Where a cell may keep files, and the Redis server it may use; port 0: there is none."""

    home: str
    redis_port: int

    def url(self, store: str) -> str:
        """Return the URL of an empty store of this kind."""
        if store == "redis":
            return f"redis://127.0.0.1:{self.redis_port}/0"
        return f"sqlite:///{self.home}/bench.db" if store == "sqlite" else "memory://"

    def to_json(self) -> str:
        """Return it as one argument of a command."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Place:
        """Read what `to_json` wrote."""
        return cls(**json.loads(text))


@dataclass
class Result:
    """What one cell measured.

    Args:
        figures: numbers by name; the unit is the end of the name.
        late_us: lateness of starts in microseconds, ascending, at most `LATE_US_MAX` of them.
        source: the folder that tickglass was imported from; "" if the subject is a peer.
    """

    figures: dict[str, float]
    late_us: list[float] = field(default_factory=list)
    source: str = ""

    def to_json(self) -> str:
        """Return it as one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Result:
        """Read what `to_json` wrote."""
        return cls(**json.loads(text))


@dataclass(frozen=True)
class Absent:
    """Why a cell has no result.

    Args:
        too_slow: whether it was measured and did not end: a target that needs it was missed.
    """

    reason: str
    too_slow: bool = False


def thinned(late_ns: list[int]) -> list[float]:
    """Return lateness in microseconds, ascending; of many values, every so-manieth."""
    ordered = sorted(late_ns)
    if len(ordered) > LATE_US_MAX:
        last = len(ordered) - 1
        ordered = [ordered[round(number * last / (LATE_US_MAX - 1))] for number in range(LATE_US_MAX)]
    return [round(value / 1e3, 1) for value in ordered]
