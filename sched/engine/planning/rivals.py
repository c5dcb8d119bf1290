"""Look for other programs that claim the instants of the jobs of this instance, and report each that stays.

It costs one request a minute for the time, and one for each of at most ten jobs; more jobs than that take turns. The
attempts that it reads are few, so a rival that claims far less often than this program may be missed here. Then the
rival finds this program's claims.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tickglass.sched.durations import SECOND
from tickglass.sched.events import JobContested
from tickglass.sched.policies.rivalry import Claim, rivalry_in

if TYPE_CHECKING:
    from tickglass.sched.engine.context import EngineContext
    from tickglass.sched.engine.job_table import JobTable
    from tickglass.sched.job import Job
    from tickglass.sched.policies.rivalry import Rivalry

__all__ = ["LOOK_EVERY_NS", "Rivals"]

LOOK_EVERY_NS: Final = 60 * SECOND
_JOBS_AT_ONCE: Final = 10
_ATTEMPTS_READ: Final = 8  # of each job


class Rivals:
    """A chore of the sweeper.

    Args:
        jobs: those of this instance.
    """

    def __init__(self, context: EngineContext, jobs: JobTable) -> None:
        self._context = context
        self._jobs = jobs
        self._next_ns = context.clock.monotonic_ns() + LOOK_EVERY_NS
        self._began_ns: int | None = None  # by the store's clock
        self._turn = 0  # the number of the job to go on with
        self._found: dict[str, Rivalry] = {}
        self._told: set[str] = set()

    def look(self) -> None:
        """Look at some of the jobs, if the last time was a minute ago.

        Raises:
            StoreUnavailable: the store does not answer; the next look follows in a minute.
        """
        now_ns = self._context.clock.monotonic_ns()
        if now_ns < self._next_ns:
            return
        self._next_ns = now_ns + LOOK_EVERY_NS
        store_ns = self._context.store.time_ns()
        if self._began_ns is None:
            self._began_ns = store_ns
            return
        for job in self._in_turn():
            runs = self._context.store.runs(self._context.job_id(job.name), _ATTEMPTS_READ)
            claims = [Claim(run.owner, run.claimed_wall_ns, run.declaration) for run in runs]
            self._judge(job.name, rivalry_in(claims, job.declaration, self._began_ns), store_ns)

    def _in_turn(self) -> list[Job]:
        first = self._turn if self._turn < len(self._jobs) else 0
        self._turn = first + _JOBS_AT_ONCE
        return self._jobs.first(_JOBS_AT_ONCE, after=first)

    def _judge(self, name: str, seen: Rivalry | None, store_ns: int) -> None:
        before = self._found.get(name)
        if seen is not None and not seen.is_over(store_ns):
            found = self._found[name] = seen.since(before)
            if found.lasts and name not in self._told:
                self._told.add(name)
                self._report(name, found.claimant, found.first_ns)
        elif before is not None and before.is_over(store_ns):
            del self._found[name]
            if name in self._told:
                self._told.remove(name)
                self._report(name, before.claimant, None)

    def _report(self, name: str, claimant: str, since_ns: int | None) -> None:
        self._context.sink.record(
            JobContested(
                job=name,
                owner=self._context.owner,
                service=self._context.service,
                claimant=claimant,
                since_wall_ns=since_ns,
                wall_ns=self._context.clock.wall_ns(),
            )
        )
