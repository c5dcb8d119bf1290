"""Hold the jobs of an engine, so that any thread may read them while another one adds.

Pure: no I/O, no clock reads, no logging.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tickglass.sched.job import Job

__all__ = ["JobTable"]


class JobTable(Mapping[str, "Job"]):
    """The jobs by name, in the order in which they were added; no job is ever removed or replaced.

    One thread at a time adds. A reader that goes through them sees the jobs that were there when it began: the list is
    only appended to, so nothing is copied for the reader, and an added job costs the same however many there are.

    Attributes:
        shortest_ttl_ns: of all jobs; None: there is no job.
    """

    __slots__ = ("_by_name", "_in_order", "shortest_ttl_ns")

    def __init__(self, jobs: Iterable[Job] = ()) -> None:
        self._by_name: dict[str, Job] = {}
        self._in_order: list[Job] = []
        self.shortest_ttl_ns: int | None = None
        for job in jobs:
            self.add(job)

    def add(self, job: Job) -> None:
        """Add a job whose name is not there yet."""
        self._by_name[job.name] = job
        self._in_order.append(job)
        if self.shortest_ttl_ns is None or job.ttl_ns < self.shortest_ttl_ns:
            self.shortest_ttl_ns = job.ttl_ns

    def first(self, count: int, *, after: int = 0) -> list[Job]:
        """Return so many jobs, in order, after the first `after` ones; fewer where the jobs end."""
        return self._in_order[after : after + count]

    def __getitem__(self, name: str) -> Job:
        return self._by_name[name]

    def __len__(self) -> int:
        return len(self._in_order)

    def __iter__(self) -> Iterator[str]:
        return (job.name for job in islice(self._in_order, len(self._in_order)))
