"""Estimate how long the next run of each job will hold a worker, from how long the last ones did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tickglass.sched.engine.running.run_queue import AHEAD_NS

if TYPE_CHECKING:
    from tickglass.sched.job import Job

__all__ = ["RunTimes"]

_KEPT: Final = 7 / 8  # of an estimate that was too long; one that was too short is replaced at once


class RunTimes:
    """By job; until a job has run here, its runs count as long, and nothing is claimed to wait behind them."""

    def __init__(self) -> None:
        self._expected_ns: dict[str, int] = {}

    def expected_ns(self, job: Job) -> int:
        """Return for how long a run is expected to hold its worker, in nanoseconds, at most `AHEAD_NS`."""
        return 0 if job.coroutine else self._expected_ns.get(job.name, AHEAD_NS)

    def note(self, job_name: str, ran_ns: int) -> None:
        """Note how long the code of one run took."""
        expected_ns = self._expected_ns.get(job_name, 0)
        self._expected_ns[job_name] = min(AHEAD_NS, max(ran_ns, int(expected_ns * _KEPT)))
