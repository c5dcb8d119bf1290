"""Define the values of labels with a fixed set of values, except those that the core defines.

Pure data. The catalogue declares which metric has which label.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = [
    "AttemptStatus",
    "ClockDirection",
    "DropReason",
    "Generation",
    "LatenessPart",
    "RefusedBecause",
    "ReleaseReason",
    "RenewalStatus",
    "Signal",
    "StoreErrorKind",
    "StoreOperation",
]


class AttemptStatus(StrEnum):
    """How an attempt to take a lock ended."""

    ACQUIRED = "acquired"
    CONTENDED = "contended"
    FAILED = "failed"


class ReleaseReason(StrEnum):
    """How a hold ended."""

    RELEASED = "released"
    EXPIRED = "expired"
    LOST = "lost"


class RenewalStatus(StrEnum):
    """How an attempt to renew a lease ended."""

    OK = "ok"
    LATE = "late"
    LOST = "lost"
    ERROR = "error"


class LatenessPart(StrEnum):
    """What made a start late."""

    TIMER = "timer"
    POOL = "pool"
    LOCK = "lock"
    START = "start"


class ClockDirection(StrEnum):
    """Which way the wall clock was set."""

    FORWARD = "forward"
    BACK = "back"


class StoreOperation(StrEnum):
    """What a store is asked: the methods of its ports."""

    ACQUIRE = "acquire"
    RENEW = "renew"
    RELEASE = "release"
    TIME = "time"
    REGISTER = "register"
    CLAIM = "claim"
    CLAIM_MANY = "claim_many"
    SETTLE = "settle"
    SETTLE_MANY = "settle_many"
    ORPHANS = "orphans"
    ABANDON = "abandon"
    FORGET = "forget"
    LEASES = "leases"
    JOBS = "jobs"
    RUNS = "runs"
    ABANDONED = "abandoned"
    JOIN = "join"
    BEAT = "beat"
    INSTANCES = "instances"
    JOB_SET = "job_set"
    UNREGISTERED = "unregistered"
    CONTROL = "control"
    WRITE_CONTROL = "write_control"
    AUDIT = "audit"
    UNLOCK = "unlock"


class StoreErrorKind(StrEnum):
    """Whether a store could not be reached in time, or was reached and failed."""

    UNAVAILABLE = "unavailable"
    ERROR = "error"


class Signal(StrEnum):
    """What kind of telemetry was dropped."""

    SPANS = "spans"
    EVENTS = "events"  # on their way to a sidecar


class DropReason(StrEnum):
    """Why telemetry was dropped."""

    QUEUE_FULL = "queue_full"
    EXPORT_FAILED = "export_failed"


class RefusedBecause(StrEnum):
    """Why a sidecar ended a scheduler's connection."""

    MALFORMED = "malformed"
    OVERSIZED = "oversized"
    VERSION = "version"  # another protocol, or another vocabulary of events
    PEER = "peer"  # a process of another user
    SILENT = "silent"  # connected, and did not introduce itself
    FULL = "full"


class Generation(StrEnum):
    """A generation of the garbage collector."""

    YOUNG = "0"
    MIDDLE = "1"
    OLD = "2"
