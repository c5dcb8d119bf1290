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
    from collections.abc import Iterator, Sequence

    from tickglass.sched.engine.context import EngineContext
    from tickglass.sched.engine.planning.enrolment import Enrolment
    from tickglass.sched.engine.planning.planner import Planner
    from tickglass.sched.engine.planning.upcoming import Upcoming
    from tickglass.sched.job import Job
    from tickglass.sched.registration import Registered

__all__ = ["AT_ONCE", "Registrar"]

_log: Final = logging.getLogger(__name__)

AT_ONCE: Final = 500  # jobs of one call: some 5 ms of a SQLite file, for which others wait; larger calls save nothing
_NAMED_MOST: Final = 5  # in a line of the log


class Registrar:
    """Registers jobs and has each enrolled, once."""

    def __init__(self, context: EngineContext, planner: Planner, enrolment: Enrolment) -> None:
        self._context = context
        self._planner = planner
        self._enrolment = enrolment
        self._waiting: dict[str, tuple[Job, int]] = {}  # with the instant after which it is planned
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
        """Register these jobs and plan them; plan alone those for which the store cannot be reached.

        Raises:
            StoreUnavailable: the store answered with an error, so waiting does not help. Nothing of this call, and of
                the `AT_ONCE` jobs in it, was planned; the ones before were.
        """
        for first in range(0, max(1, len(jobs)), AT_ONCE):  # once without jobs, too: an error of the store shows
            try:
                self._add_some(jobs[first : first + AT_ONCE])
            except StoreUnavailable as error:
                if error.kind != "unavailable":
                    raise
                left = jobs[first:]  # they would wait for the same store
                _log.warning("%s; registered when it can be reached: %s", error, _names(left))
                self._plan_without(left)
                return

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

    def again(self, jobs: Sequence[Job]) -> list[str]:
        """Register jobs once more, because the store has lost their records; what is planned stays as it is.

        Returns:
            Their names. A job that still waits for its first registration is left to `catch_up`, and is not among them.

        Raises:
            StoreUnavailable: the store does not take them.
        """
        with self._mutex:
            known = [job for job in jobs if job.name not in self._waiting]
        for first in range(0, len(known), AT_ONCE):
            for _ in self._registered(known[first : first + AT_ONCE]):
                pass
        return [job.name for job in known]

    def _registered(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Registered, Upcoming]]:
        """Register jobs in one call; return what that did, and the next instants that it announced."""
        upcoming = [self._enrolment.upcoming(job) for job in jobs]
        records = [self._enrolment.record_of(job, its) for job, its in zip(jobs, upcoming, strict=True)]
        return zip(jobs, self._context.store.register(records), upcoming, strict=True)

    def _add_some(self, jobs: Sequence[Job]) -> None:
        done = list(self._registered(jobs))
        streaks = streaks_of((registered.job for _, registered, _ in done), self._context.store)
        for job, registered, upcoming in done:
            self._enrolment.add(job, registered, streaks.get(job.name, Streak()), upcoming)

    def _plan_without(self, jobs: Sequence[Job]) -> None:
        planned = {job.name: (job, self._planner.now_ns(job)) for job in jobs}
        with self._mutex:
            self._waiting.update(planned)
        for job, now_ns in planned.values():  # from now on no claim can overtake its registration
            self._enrolment.begin(job, now_ns)

    def _try(self, waiting: Sequence[tuple[Job, int]]) -> None:
        """Register these; those before a call that fails are registered, and no longer wait."""
        self._tries += 1
        self._failure = None
        for first in range(0, len(waiting), AT_ONCE):
            planned = {job.name: planned_ns for job, planned_ns in waiting[first : first + AT_ONCE]}
            try:
                done = list(self._registered([job for job, _ in waiting[first : first + AT_ONCE]]))
            except StoreUnavailable as error:
                self._failure = error
                raise
            streaks = streaks_of((registered.job for _, registered, _ in done), self._context.store)
            for job, registered, _ in done:
                self._enrolment.make_up(job, registered, streaks.get(job.name, Streak()), planned[job.name])
                del self._waiting[job.name]


def _names(jobs: Sequence[Job]) -> str:
    some = ", ".join(job.name for job in jobs[:_NAMED_MOST])
    return some if len(jobs) <= _NAMED_MOST else f"{some} and {len(jobs) - _NAMED_MOST} more"
