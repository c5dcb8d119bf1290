"""Account for due instants that no execution here starts: `elsewhere` if another instance ran them, else `missed`.

The ledger knows. One thread asks it, so that neither the timeline nor a worker waits for the answer. Instants up to
the latest claim count as run by that claimant, as they do at a start. If other instances have registered the job with
another trigger meanwhile, and keep to that trigger, all of the instants are `elsewhere`: the job was not missed.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec.structs import replace

from tickglass.sched.durations import SECOND
from tickglass.sched.engine.planning.past_runs import claims_before
from tickglass.sched.engine.planning.trigger_calls import COUNTED_MAX
from tickglass.sched.errors import failure_text
from tickglass.sched.events import InstantsElsewhere, InstantsMissed, TriggerFailed
from tickglass.sched.occurrence import OccurrenceEvent, Outcome
from tickglass.sched.ports import SCHEDULED
from tickglass.sched.threads.loop import Loop

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tickglass.sched.engine.context import EngineContext
    from tickglass.sched.identity import JobId
    from tickglass.sched.job import Job
    from tickglass.sched.occurrence import OccurrenceMachine
    from tickglass.sched.ports import JobRecord
    from tickglass.sched.triggers.base import InstantCount

__all__ = ["Misfires"]

_log: Final = logging.getLogger(__name__)
_CLAIMS_MAX: Final = 32  # read at once of one job
_PAUSES_PER_ROUND: Final = 9
_PAUSE_MAX_NS: Final = SECOND

_Replaced = Callable[[str, str], bool]  # (job, trigger): whether others have registered it with another trigger


class _Question(NamedTuple):
    """Which was the latest claim of a job before an instant? Of scheduled ones, or of manual ones too."""

    job: str
    before_ns: int
    manual: bool
    report: Callable[[int | None, _Replaced], None]  # None: there is none, or it is not known


class Misfires:
    """One thread that reports each instant that it is given, once; as missed if the store does not answer."""

    def __init__(self, context: EngineContext) -> None:
        self._context = context
        self._questions: list[_Question] = []
        self._mutex = threading.Lock()
        self._again_ns = 0  # when the next questions may be answered
        self._loop = Loop("misfires", context.clock, self._step, last=self._answer_all, lazy=True)

    def start(self) -> None:
        """Start the thread, with the first occurrence or span that is given."""
        self._loop.start()

    def stop(self) -> None:
        """End the thread when everything is reported; a store that does not answer is waited for once."""
        self._loop.stop()

    def span_passed(
        self, job: Job, first_due_ns: int, before_ns: int, counted: InstantCount, *, reason: str = ""
    ) -> None:
        """Account for the instants in [first_due_ns, before_ns), as they were counted.

        Args:
            reason: why, if they are missed: see `InstantsMissed`.
        """

        def report(claimed_ns: int | None, is_replaced: _Replaced) -> None:
            for event in self._split(job, first_due_ns, before_ns, counted, claimed_ns):
                if isinstance(event, InstantsElsewhere):
                    self._context.sink.record(event)
                elif is_replaced(job.name, str(job.trigger)):
                    self._context.sink.record(_as_elsewhere(event))
                else:
                    self._context.sink.record(replace(event, reason=reason))

        self._ask(_Question(job.name, before_ns, manual=False, report=report))

    def too_late(self, occurrence: OccurrenceMachine, *, reason: str = "", trigger: str = "") -> None:
        """End an occurrence that came too late to be run here.

        Args:
            reason: why, if it is missed; a bounded word.
            trigger: the trigger under which it fell due, as text; "" if no other can have replaced it.
        """

        def report(claimed_ns: int | None, is_replaced: _Replaced) -> None:
            taken = claimed_ns == occurrence.due_ns or (trigger != "" and is_replaced(occurrence.job, trigger))
            if taken:
                occurrence.fire(OccurrenceEvent.ENDED, outcome=Outcome.ELSEWHERE)
            else:
                occurrence.fire(OccurrenceEvent.ENDED, outcome=Outcome.MISSED, reason=reason)

        manual = occurrence.kind != SCHEDULED
        self._ask(_Question(occurrence.job, occurrence.due_ns + 1, manual=manual, report=report))

    def _ask(self, question: _Question) -> None:
        with self._mutex:
            first = not self._questions
            self._questions.append(question)
        if first:  # otherwise the thread has not taken those before it, and will find this one
            self._loop.wake()

    def _taken(self) -> Sequence[_Question]:
        with self._mutex:
            questions, self._questions = self._questions, []
        return questions

    def _split(
        self, job: Job, first_due_ns: int, before_ns: int, counted: InstantCount, claimed_ns: int | None
    ) -> list[InstantsElsewhere | InstantsMissed]:
        """Return the events: instants up to the latest claim are the claimant's, those after it were missed."""
        wall_ns = self._context.clock.wall_ns()

        def span(
            kind: type[InstantsElsewhere | InstantsMissed], begin_ns: int, end_ns: int, instants: InstantCount
        ) -> InstantsElsewhere | InstantsMissed:
            return kind(
                job=job.name,
                count=instants.count,
                exact=instants.exact,
                first_due_ns=begin_ns,
                before_ns=end_ns,
                wall_ns=wall_ns,
            )

        if claimed_ns is None or claimed_ns < first_due_ns:
            return [span(InstantsMissed, first_due_ns, before_ns, counted)]
        try:
            rest_ns = job.trigger.next_after_ns(claimed_ns)
            if rest_ns is None or rest_ns >= before_ns:
                return [span(InstantsElsewhere, first_due_ns, before_ns, counted)]
            taken = job.trigger.count_between(first_due_ns - 1, rest_ns - 1, COUNTED_MAX)
            rest = job.trigger.count_between(rest_ns - 1, before_ns - 1, COUNTED_MAX)
        except BaseException as error:  # noqa: BLE001 - a trigger may be foreign code
            self._context.sink.record(TriggerFailed(job=job.name, error=failure_text(error), wall_ns=wall_ns))
            return [span(InstantsMissed, first_due_ns, before_ns, counted)]
        return [
            span(InstantsElsewhere, first_due_ns, rest_ns, taken),
            span(InstantsMissed, rest_ns, before_ns, rest),
        ]

    def _step(self) -> int | None:
        """Answer what has been asked, in at most a tenth of the time: the more waits, the more is answered together."""
        clock = self._context.clock
        began_ns = clock.monotonic_ns()
        if began_ns < self._again_ns:
            return self._again_ns
        self._answer(self._taken())
        ended_ns = clock.monotonic_ns()
        self._again_ns = ended_ns + min(_PAUSE_MAX_NS, _PAUSES_PER_ROUND * (ended_ns - began_ns))
        return self._again_ns if self._questions else None

    def _answer_all(self) -> None:
        while questions := self._taken():
            self._answer(questions)

    def _answer(self, questions: Sequence[_Question]) -> None:
        """Answer each question; once the store has not answered one, it is not asked for the rest of these."""
        answering = True
        is_replaced = self._replaced()
        latest_claims = _LatestClaims(self._context, questions)
        for question in questions:
            claimed_ns = None
            try:
                claimed_ns = latest_claims.before(question) if answering else None
            except Exception as error:  # noqa: BLE001 - reported; the instants must be accounted for
                _log.warning("due instants that passed count as missed: %s", error)
                answering = False
            try:
                question.report(claimed_ns, is_replaced if answering else _not_replaced)
            except Exception:  # noqa: BLE001 - reported; so must the others
                _log.exception("due instants of %s that passed were not reported", question.job)

    def _replaced(self) -> _Replaced:
        """Return a test of the triggers that are registered now; it asks the store once, when it is first called."""
        records: dict[JobId, JobRecord] | None = None

        def is_replaced(job: str, trigger: str) -> bool:
            nonlocal records
            if records is None:
                try:
                    records = {record.job_id: record for record in self._context.store.jobs()}
                except Exception as error:  # noqa: BLE001 - as above
                    _log.warning("whether other instances have changed triggers is not known: %s", error)
                    records = {}
            record = records.get(self._context.job_id(job))
            if record is None or record.trigger == trigger or record.next_due_ns is None:
                return False
            # Past that, the instances that registered the other trigger have gone as well.
            return self._context.clock.wall_ns() < record.next_due_ns + record.grace_ns

        return is_replaced


class _LatestClaims:
    """Asks the store once for each job, however many questions there are about it; rarely twice."""

    def __init__(self, context: EngineContext, questions: Sequence[_Question]) -> None:
        self._context = context
        self._questions = Counter(question.job for question in questions)
        self._latest_ns: dict[str, int] = {}  # the latest instant that is asked about
        for question in questions:
            self._latest_ns[question.job] = max(question.before_ns, self._latest_ns.get(question.job, 0))
        self._known: dict[tuple[str, bool], Sequence[int]] = {}  # due instants of claims, the latest first

    def before(self, question: _Question) -> int | None:
        """Return the latest claimed due instant before that of the question; None: there is none."""
        job, manual = question.job, question.manual
        most = min(2 * self._questions[job] - 1, _CLAIMS_MAX)  # its own runs may lie between two that are asked about
        if (job, manual) not in self._known:
            self._known[job, manual] = self._claims(job, most, self._latest_ns[job], manual=manual)
        known = self._known[job, manual]
        found = next((due_ns for due_ns in known if due_ns < question.before_ns), None)
        if found is None and len(known) == most:  # there are more
            found = next(iter(self._claims(job, 1, question.before_ns, manual=manual)), None)
        return found

    def _claims(self, job: str, most: int, before_ns: int, *, manual: bool) -> Sequence[int]:
        runs = claims_before(self._context.store, self._context.job_id(job), most, before_ns, manual=manual)
        return [run.due_ns for run in runs]


def _not_replaced(_job: str, _trigger: str) -> bool:
    return False


def _as_elsewhere(event: InstantsMissed) -> InstantsElsewhere:
    return InstantsElsewhere(
        job=event.job,
        count=event.count,
        exact=event.exact,
        first_due_ns=event.first_due_ns,
        before_ns=event.before_ns,
        wall_ns=event.wall_ns,
    )
