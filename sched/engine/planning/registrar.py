"""Register jobs with the store: at once, or as soon as it can be reached.

A store that cannot be reached does not keep a scheduler from starting. A job that could not be registered is planned
without it: what falls due is treated as in any outage. Before the first claim of such a job, and once a second, the
registration is tried again. So the store says from when on due instants are owed before it gets a claim, and what
passed before the start is accounted for then, once.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Final

from tickglass.sched.engine.planning.past_runs import streaks_of
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.events import Streak

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tickglass.sched.engine.context import EngineContext
    from tickglass.sched.engine.planning.planner import Planner
    from tickglass.sched.job import Job

__all__ = ["Registrar"]

_log: Final = logging.getLogger(__name__)


class Registrar:
    """Registers jobs and passes each to the planner, once."""

    def __init__(self, context: EngineContext, planner: Planner) -> None:
        self._context = context
        self._planner = planner
        self._waiting: dict[str, tuple[Job, int]] = {}  # with the instant after which it is planned; replaced
        self._mutex = threading.Lock()
        self._tries = 0
        self._failure: StoreUnavailable | None = None  # of the last try

    @property
    def waits(self) -> bool:
        """Whether some job is not registered yet."""
        return bool(self._waiting)

    def reason(self) -> str | None:
        """Return a sentence while some job is not registered."""
        count = len(self._waiting)
        if not count:
            return None
        jobs = "1 job is" if count == 1 else f"{count} jobs are"
        return f"{jobs} not registered with the {self._context.store.name} store yet"

    def add(self, jobs: Sequence[Job]) -> None:
        """Register these jobs and plan them; plan them alone if the store cannot be reached.

        Raises:
            StoreUnavailable: the store answered with an error, so waiting does not help; nothing was planned.
        """
        try:
            answers = self._context.store.register([self._planner.record_of(job) for job in jobs])
        except StoreUnavailable as error:
            if error.kind != "unavailable":
                raise
            _log.warning("%s; registered when it can be reached: %s", error, ", ".join(job.name for job in jobs))
            self._plan_without(jobs)
            return
        streaks = streaks_of((registered.job for registered in answers), self._context.store)
        for job, registered in zip(jobs, answers, strict=True):
            self._planner.add(job, registered, streaks.get(job.name, Streak()))

    def catch_up(self) -> None:
        """Register the jobs that wait for it; a caller that comes while another one tries gets the same answer.

        Raises:
            StoreUnavailable: the store still cannot be reached, or answered with an error.
        """
        if not self._waiting:
            return
        tries = self._tries
        with self._mutex:
            if self._tries != tries and self._failure is not None:
                failure = self._failure
                raise StoreUnavailable(failure.store, failure.operation, failure.detail, kind=failure.kind)
            waiting = list(self._waiting.values())
            if waiting:
                self._try(waiting)

    def again(self, jobs: Mapping[str, Job]) -> list[str]:
        """Register jobs once more, because the store has lost their records; what is planned stays as it is.

        Returns:
            Their names. A job that still waits for its first registration is left to `catch_up`, and is not among them.

        Raises:
            StoreUnavailable: the store does not take them.
        """
        with self._mutex:
            known = [job for name, job in jobs.items() if name not in self._waiting]
        if known:
            self._context.store.register([self._planner.record_of(job) for job in known])
        return [job.name for job in known]

    def _plan_without(self, jobs: Sequence[Job]) -> None:
        planned = {job.name: (job, self._planner.now_ns(job)) for job in jobs}
        with self._mutex:
            self._waiting = {**self._waiting, **planned}
        for job, now_ns in planned.values():  # from now on no claim can overtake its registration
            self._planner.begin(job, now_ns)

    def _try(self, waiting: Sequence[tuple[Job, int]]) -> None:
        self._tries += 1
        self._failure = None
        try:
            answers = self._context.store.register([self._planner.record_of(job) for job, _ in waiting])
        except StoreUnavailable as error:
            self._failure = error
            raise
        streaks = streaks_of((registered.job for registered in answers), self._context.store)
        for (job, planned_ns), registered in zip(waiting, answers, strict=True):
            self._planner.make_up(job, registered, streaks.get(job.name, Streak()), planned_ns)
        names = {job.name for job, _ in waiting}
        self._waiting = {name: waits for name, waits in self._waiting.items() if name not in names}
