"""What a scheduler reports: the events, the values that their fields have, and the interface of a sink.

A sink of your own is an object with a method `record(event)`; `Scheduler(sinks={"mine": sink})` calls it for every
event. What each event means is said at its class. Public: docs/api.md.
"""

from tickglass.sched.events import (
    ClaimCacheHit,
    ClaimOrphaned,
    ClockStepped,
    Event,
    EventLoopAsked,
    EventLoopTurned,
    FencingRejected,
    InstantsElsewhere,
    InstantsMissed,
    InterpreterPaused,
    JobContested,
    JobRegistered,
    Lateness,
    LockMoved,
    OccurrenceMoved,
    PoolMoved,
    ReadinessMoved,
    SchedulerMoved,
    SinkFailed,
    SkewMeasured,
    SpoolMove,
    SpoolMoved,
    StoreCalled,
    Streak,
    TelemetryDropped,
    TimelineTicked,
    TriggerFailed,
)
from tickglass.sched.lease import LockEvent, LockReason, LockState
from tickglass.sched.lifecycle import SchedulerEvent, SchedulerState
from tickglass.sched.occurrence import OccurrenceEvent, OccurrenceState, Outcome, SkipReason
from tickglass.sched.ports import EventSink

__all__ = [
    "ClaimCacheHit",
    "ClaimOrphaned",
    "ClockStepped",
    "Event",
    "EventLoopAsked",
    "EventLoopTurned",
    "EventSink",
    "FencingRejected",
    "InstantsElsewhere",
    "InstantsMissed",
    "InterpreterPaused",
    "JobContested",
    "JobRegistered",
    "Lateness",
    "LockEvent",
    "LockMoved",
    "LockReason",
    "LockState",
    "OccurrenceEvent",
    "OccurrenceMoved",
    "OccurrenceState",
    "Outcome",
    "PoolMoved",
    "ReadinessMoved",
    "SchedulerEvent",
    "SchedulerMoved",
    "SchedulerState",
    "SinkFailed",
    "SkewMeasured",
    "SkipReason",
    "SpoolMove",
    "SpoolMoved",
    "StoreCalled",
    "Streak",
    "TelemetryDropped",
    "TimelineTicked",
    "TriggerFailed",
]
