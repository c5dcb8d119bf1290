"""What the domain needs from outside, by subject, and the values that come back."""

from tickglass.sched.ports.claim_feed import ClaimFeed, ClaimWatch
from tickglass.sched.ports.control import AUDIT_KEPT, AuditRow, ControlReader, ControlRecord, ControlStore
from tickglass.sched.ports.events import EventSink
from tickglass.sched.ports.executor import CallResult, Executor, JobCall, PreparedCall
from tickglass.sched.ports.ledger import (
    BATCH_MAX,
    MANUAL,
    SCHEDULED,
    Ahead,
    AlreadyClaimed,
    ClaimAnswer,
    ClaimAsk,
    Claimed,
    Ledger,
    Orphan,
    Settled,
    Settlement,
)
from tickglass.sched.ports.locks import Gone, Granted, Holder, LeaseAsk, LockStore, Refused, Released, Renewed
from tickglass.sched.ports.membership import SILENT_AFTER_NS, Beat, InstanceRecord, InstanceState, Membership
from tickglass.sched.ports.observers import LeaseRecord, RunRecord, Store, StoreObserver
from tickglass.sched.ports.spool import Spool, SpooledOutcome
from tickglass.sched.ports.tracing import RunTracer, TracedRun
from tickglass.sched.registration import JobRecord

__all__ = [
    "AUDIT_KEPT",
    "BATCH_MAX",
    "MANUAL",
    "SCHEDULED",
    "SILENT_AFTER_NS",
    "Ahead",
    "AlreadyClaimed",
    "AuditRow",
    "Beat",
    "CallResult",
    "ClaimAnswer",
    "ClaimAsk",
    "ClaimFeed",
    "ClaimWatch",
    "Claimed",
    "ControlReader",
    "ControlRecord",
    "ControlStore",
    "EventSink",
    "Executor",
    "Gone",
    "Granted",
    "Holder",
    "InstanceRecord",
    "InstanceState",
    "JobCall",
    "JobRecord",
    "LeaseAsk",
    "LeaseRecord",
    "Ledger",
    "LockStore",
    "Membership",
    "Orphan",
    "PreparedCall",
    "Refused",
    "Released",
    "Renewed",
    "RunRecord",
    "RunTracer",
    "Settled",
    "Settlement",
    "Spool",
    "SpooledOutcome",
    "Store",
    "StoreObserver",
    "TracedRun",
]
