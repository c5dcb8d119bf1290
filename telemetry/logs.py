"""Turn the core's events into log lines, and add the run to every line that is written inside one.

Identity is allowed here: run id, owner, fence, error text.
"""

from __future__ import annotations

import json
import logging
import math
import re
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace

from tickglass.sched.clock import instant_of
from tickglass.sched.control.audit import ActKind, act_text
from tickglass.sched.durations import US
from tickglass.sched.errors import ConfigError
from tickglass.sched.escaping import shown
from tickglass.sched.events import (
    ActSeen,
    ClaimOrphaned,
    ClockStepped,
    FencingRejected,
    InstantsElsewhere,
    InstantsMissed,
    InstantsSkipped,
    JobContested,
    JobRegistered,
    LockMoved,
    OccurrenceMoved,
    ReadinessMoved,
    SchedulerMoved,
    SinkFailed,
    SpoolMoved,
    StoreCalled,
    StoreForgot,
    StoreRecordMissing,
    TriggerFailed,
)
from tickglass.sched.lease import LockEvent
from tickglass.sched.occurrence import OccurrenceEvent, Outcome
from tickglass.sched.ports.missing import MissingKind, MissingRecord, sentence_of
from tickglass.sched.run import current_run
from tickglass.sched.state_machine import MoveSink
from tickglass.telemetry.log_pace import Pace
from tickglass.telemetry.tracing.run_ids import root_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tickglass.sched.events import Event
    from tickglass.sched.state_machine import LockMove, OccurrenceMove

__all__ = ["ConsoleFormatter", "JsonFormatter", "LogSink", "RunFilter", "configure_logging"]

_LOCK_LEVELS: Final[Mapping[str, int]] = {
    LockEvent.RENEWAL_FAILED: logging.WARNING,
    LockEvent.EXPIRED: logging.WARNING,
    LockEvent.LOST: logging.WARNING,
    LockEvent.FAILED: logging.INFO,
}
_OUTCOME_LEVELS: Final[Mapping[str, int]] = {
    Outcome.SUCCESS: logging.INFO,
    Outcome.FAILURE: logging.WARNING,
    Outcome.TIMEOUT: logging.WARNING,
    Outcome.CANCELLED: logging.INFO,
    Outcome.LOST: logging.WARNING,
    Outcome.ORPHANED: logging.WARNING,
    Outcome.ELSEWHERE: logging.DEBUG,
    Outcome.MISSED: logging.WARNING,
    Outcome.SKIPPED: logging.INFO,
}
_RUN_ID: Final = re.compile(r"[0-9a-f]{32}")
_EDGE_LEVELS: Final[Mapping[str, int]] = {
    OccurrenceEvent.STARTED: logging.INFO,
    OccurrenceEvent.STOP_ASKED: logging.INFO,
}
# What a healthy job does at each instant: told at INFO once in a while, and at DEBUG each time.
_ROUTINE: Final = frozenset({OccurrenceEvent.STARTED, Outcome.SUCCESS, Outcome.SKIPPED})


class LogSink(MoveSink):
    """An event sink for people: problems at WARNING, starts and ends at INFO, the rest at DEBUG.

    Of each job, one start and one end a minute are at INFO; those between them are at DEBUG, and counted in the next.

    Args:
        logger: where to; default: `tickglass.events`.
    """

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self._logger = logging.getLogger("tickglass.events") if logger is None else logger
        self._resources: dict[str, str] = {}  # by job
        self._pace = Pace()
        self._tellers: dict[type[Event], Callable[[Any], None]] = {
            LockMoved: self._tell_lock,
            FencingRejected: self._fencing_rejected,
            OccurrenceMoved: self._tell_occurrence,
            SchedulerMoved: lambda e: self._say(logging.INFO, "scheduler %s", e.after, owner=e.owner),
            ReadinessMoved: self._readiness_moved,
            JobRegistered: self._job_registered,
            InstantsMissed: self._instants_missed,
            InstantsSkipped: self._instants_skipped,
            InstantsElsewhere: lambda e: self._say(
                logging.DEBUG,
                "job %s: others were there for %s%d due instants",
                e.job,
                "" if e.exact else "at least ",
                e.count,
                job=e.job,
            ),
            ClaimOrphaned: lambda e: self._say(
                logging.WARNING,
                "job %s: %s died before it settled its claim",
                e.job,
                e.claimant,
                job=e.job,
                run_id=e.run_id,
            ),
            JobContested: self._job_contested,
            TriggerFailed: lambda e: self._say(
                logging.ERROR, "job %s: its trigger raised: %s", e.job, e.error, job=e.job
            ),
            SpoolMoved: self._spool_moved,
            ClockStepped: lambda e: self._say(logging.WARNING, "the wall clock was set by %+.3f s", e.step_ns / 1e9),
            SinkFailed: lambda e: self._say(logging.DEBUG, "telemetry sink %s raised: %s", e.sink, e.error),
            StoreCalled: self._store_called,
            StoreRecordMissing: self._record_missing,
            ActSeen: self._act_seen,
            StoreForgot: lambda e: self._say(
                logging.WARNING,
                "the %s store had lost what it held; %d jobs registered again; leases and ledger before now are gone",
                e.store,
                e.jobs,
            ),
        }

    def takes(self, kind: type[Event]) -> bool:
        """See `MoveSink`; which of them make a line depends on the level, which may change at any time."""
        return kind in self._tellers

    def record(self, event: Event) -> None:
        """See `tickglass.sched.ports.EventSink`."""
        tell = self._tellers.get(type(event))
        if tell is not None:
            tell(event)

    def _record_missing(self, event: StoreRecordMissing) -> None:
        record = MissingRecord(MissingKind(event.kind), event.name)
        self._say(logging.WARNING, "the %s store: %s", event.store, sentence_of(record))

    def _readiness_moved(self, event: ReadinessMoved) -> None:
        if event.error:
            why = event.error.replace("\n", "; ")
            self._say(logging.WARNING, "scheduler not ready: %s", why, owner=event.owner)
        else:
            self._say(logging.INFO, "scheduler ready", owner=event.owner)

    def _spool_moved(self, event: SpoolMoved) -> None:
        level = logging.INFO if event.move == "written" else logging.WARNING
        about = {"job": event.job, "run_id": event.run_id}
        self._say(level, "outcome of %s %s, %d in the spool", event.job, event.move, event.depth, **about)

    def _act_seen(self, event: ActSeen) -> None:
        self._say(
            logging.INFO,
            "act %d: %s: %s",
            event.number,
            act_text(event),
            event.reason,
            job=event.job or None,
            resource=event.target if event.act == ActKind.UNLOCK else None,
        )

    def _job_registered(self, event: JobRegistered) -> None:
        self._resources[event.job] = event.resource
        facts = {"job": event.job, "resource": event.resource}
        self._say(logging.INFO, "job %s registered: %s", event.job, event.trigger, **facts)

    def _job_contested(self, event: JobContested) -> None:
        if event.since_wall_ns is None:
            self._say(logging.INFO, "job %s: only one program has it again", event.job, job=event.job)
            return
        self._say(
            logging.WARNING,
            "job %s of service %s is in two programs: %s claims its instants with another trigger or function, since "
            "%s; give one of the two another name or service",
            event.job,
            event.service,
            event.claimant,
            instant_of(event.since_wall_ns).isoformat(timespec="seconds"),
            job=event.job,
        )

    def _tell_lock(self, move: LockMove | LockMoved) -> None:
        level = _LOCK_LEVELS.get(move.event, logging.DEBUG)
        if not self._logger.isEnabledFor(level):
            return
        why = f": {move.reason}" if move.reason else ""
        other = f" ({move.other_owner})" if move.other_owner else ""
        told = {"resource": move.resource, "fence": move.fence or None, "job": move.job or None}
        self._say(level, "lock %s %s%s%s", move.resource, move.event, why, other, run_id=move.run_id or None, **told)

    def _fencing_rejected(self, event: FencingRejected) -> None:
        why = f"{event.newest} has been seen" if event.fence else "it ran without a claim"
        self._say(
            logging.WARNING,
            "a write to %s under fence %d was refused: %s",
            event.resource,
            event.fence,
            why,
            resource=event.resource,
            fence=event.fence,
            job=event.job or None,
            run_id=event.run_id or None,
        )

    def _tell_occurrence(self, move: OccurrenceMove | OccurrenceMoved) -> None:
        if move.outcome is not None:
            level = _OUTCOME_LEVELS.get(move.outcome, logging.WARNING)
        else:
            level = _EDGE_LEVELS.get(move.event, logging.DEBUG)
        if not self._logger.isEnabledFor(level):
            return
        what, more = str(move.outcome or move.event), 0
        if what in _ROUTINE:
            passed = self._pace.passed_over((move.job, what), move.at_ns)
            level, more = (logging.DEBUG, 0) if passed is None else (level, passed)
            if not self._logger.isEnabledFor(level):
                return
        why = ": ".join(filter(None, (what, move.reason, move.error)))
        self._say(
            level,
            "job %s due %s %s%s",
            move.job,
            instant_of(move.due_ns).isoformat(timespec="milliseconds"),
            why,
            f", as {more} more since it was last told" if more else "",
            job=move.job,
            run_id=move.run_id,
            resource=self._resources.get(move.job),
            fence=move.fence or None,
            outcome=move.outcome,
            lateness_s=move.lateness and move.lateness.total_ns / 1e9,
            ran_s=None if move.ran_ns is None else move.ran_ns / 1e9,
        )

    def _instants_missed(self, event: InstantsMissed) -> None:
        """Warn once a minute of each job: while the pool is full, it is told each second."""
        more = self._pace.passed_over((event.job, Outcome.MISSED.value), event.wall_ns)
        level = logging.DEBUG if more is None else logging.WARNING
        if not self._logger.isEnabledFor(level):
            return
        self._say(
            level,
            "job %s due %s%s missed: %s%s",
            event.job,
            "" if event.count == 1 else f"{'' if event.exact else 'at least '}{event.count} times since ",
            instant_of(event.first_due_ns).isoformat(timespec="milliseconds"),
            "no worker was free in time" if event.reason == "pool" else "no instance was there to take it up",
            f", as {more} more since it was last told" if more else "",
            job=event.job,
            resource=self._resources.get(event.job),
            outcome=Outcome.MISSED.value,
        )

    def _instants_skipped(self, event: InstantsSkipped) -> None:
        """Tell it as the end of an occurrence is told; those of a second count as one that was passed over."""
        more = self._pace.passed_over((event.job, Outcome.SKIPPED.value), event.wall_ns)
        level = logging.DEBUG if more is None else logging.INFO
        if not self._logger.isEnabledFor(level):
            return
        times = "" if event.count == 1 else f"{'' if event.exact else 'at least '}{event.count} times since "
        self._say(
            level,
            "job %s due %s%s skipped: %s%s",
            event.job,
            times,
            instant_of(event.first_due_ns).isoformat(timespec="milliseconds"),
            ": ".join(filter(None, (event.reason, event.error))),
            f", as {more} more since it was last told" if more else "",
            job=event.job,
            resource=self._resources.get(event.job),
            outcome=Outcome.SKIPPED.value,
        )

    # See `MoveSink`; the machine has the attributes of the event.
    lock_moved = _tell_lock
    occurrence_moved = _tell_occurrence

    def _store_called(self, event: StoreCalled) -> None:
        if event.error:
            self._say(logging.WARNING, "%s store: %s failed: %s", event.store, event.operation, event.error)

    def _say(self, level: int, text: str, *facts: object, **told: object) -> None:
        if self._logger.isEnabledFor(level):
            extra = {name: fact for name, fact in told.items() if fact is not None}
            if isinstance(run_id := extra.get("run_id"), str):
                extra |= _root(run_id)
            self._logger.log(level, text, *facts, extra=extra)


class RunFilter(logging.Filter):
    """Adds run_id, trace_id, span_id, job, resource and fence to a record made inside a run; passes all."""

    def filter(self, record: logging.LogRecord) -> bool:
        """See `logging.Filter`."""
        found: dict[str, object] = {}
        run = current_run()
        if run is not None:
            found = {"run_id": run.run_id, "job": run.job, "resource": run.resource, "fence": run.fence}
        if run_id := getattr(record, "run_id", found.get("run_id")):
            found |= _root(str(run_id))
        context = trace.get_current_span().get_span_context()
        if context.is_valid:
            found |= {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}
        for name, value in found.items():
            record.__dict__.setdefault(name, value)  # fields of the line itself win
        return True


def _root(run_id: str) -> dict[str, object]:
    """Return the ids by which a trace backend finds the run, exported or not; nothing for other ids."""
    if not _RUN_ID.fullmatch(run_id):
        return {}
    root = root_of(run_id)
    return {"trace_id": f"{root.trace_id:032x}", "span_id": f"{root.span_id:016x}"}


_STANDARD: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


def _facts(record: logging.LogRecord) -> dict[str, object]:
    """Return the extra fields of a record, as JSON values."""
    return {name: _plain(value) for name, value in record.__dict__.items() if name not in _STANDARD}


def _message(record: logging.LogRecord) -> str:
    """Return the message; if its arguments do not fit, they are shown beside it."""
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError):
        return f"{record.msg} {record.args!r}"


def _plain(value: object) -> object:
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    return str(value)


def _instant(record: logging.LogRecord) -> str:
    text = instant_of(round(record.created * 1e6) * US).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


class ConsoleFormatter(logging.Formatter):
    """For people: time, level, logger, message, and the run's fields at the end.

    A record is one line, whatever a name or an error holds. The lines of a traceback are set in, so that none of them
    can be taken for a record: the text of an exception may look like one.
    """

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        facts = " ".join(f"{name}={value}" for name, value in _facts(record).items())
        line = f"{_instant(record)} {record.levelname:<7} {record.name}: {_message(record)}"
        trouble = _trouble(self, record)
        below = "".join(f"\n    {shown(it)}" for it in trouble.split("\n")) if trouble else ""
        return shown(line + (f"  [{facts}]" if facts else "")) + below


class JsonFormatter(logging.Formatter):
    """For programs: one JSON object per line, valid whatever the message contains."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        told: dict[str, object] = {
            "time": _instant(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
        }
        trouble = _trouble(self, record)
        if trouble:
            told["exception"] = trouble
        for name, value in _facts(record).items():
            told.setdefault(name, value)
        line = json.dumps(told, allow_nan=False)  # ASCII only, so no line break of any alphabet is left in it
        return line.replace("\x7f", "\\u007f")  # the one control character that JSON leaves as it is


def _trouble(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    """Return traceback and stack as text, "" if there are none."""
    parts = [formatter.formatException(record.exc_info)] if record.exc_info else []
    if record.stack_info:
        parts.append(formatter.formatStack(record.stack_info))
    return "\n".join(parts)


class _OurHandler(logging.StreamHandler[Any]):
    """A type of its own, so that a second configuration replaces it and lines are not doubled."""


def configure_logging(format: str = "console", level: str = "INFO") -> None:  # noqa: A002 - its name on the command line
    """Send the log of the whole process to standard error, once, in this format.

    Args:
        format: "console" for people, "json" for machines.
        level: of the root logger, as `logging` names it; any case.

    Raises:
        ConfigError: no such format or level; nothing changed.
    """
    formatters = {"console": ConsoleFormatter, "json": JsonFormatter}
    if format not in formatters:
        raise ConfigError("no such log format", given=repr(format), instead=tuple(formatters))
    levels = logging.getLevelNamesMapping()
    if level.upper() not in levels:
        raise ConfigError("no such log level", given=repr(level), instead=("debug", "info", "warning", "error"))
    handler = _OurHandler()
    handler.addFilter(RunFilter())
    handler.setFormatter(formatters[format]())
    root = logging.getLogger()
    for present in list(root.handlers):
        if isinstance(present, _OurHandler):
            root.removeHandler(present)
    root.addHandler(handler)
    root.setLevel(levels[level.upper()])
