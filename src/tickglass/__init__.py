"""A scheduler you can see through.

Runs recurring jobs at the millisecond they are due, on one machine or a fleet,
under leases that can be trusted, and reports every transition and every run.
"""

from tickglass.control import AsyncControl, Control
from tickglass.locks import Lock
from tickglass.sched.engine.locking.held_lease import HeldLease
from tickglass.sched.errors import (
    ConfigError,
    ControlRefused,
    LeaseLost,
    LockInUse,
    LockNotAcquired,
    LockNotHeld,
    StaleFence,
    StoreUnavailable,
    TickglassError,
)
from tickglass.sched.policies.preference import preference
from tickglass.sched.run import Run, current_run
from tickglass.sched.triggers import Trigger, at, cron, every
from tickglass.scheduler import Scheduler

__all__ = [
    "AsyncControl",
    "ConfigError",
    "Control",
    "ControlRefused",
    "HeldLease",
    "LeaseLost",
    "Lock",
    "LockInUse",
    "LockNotAcquired",
    "LockNotHeld",
    "Run",
    "Scheduler",
    "StaleFence",
    "StoreUnavailable",
    "TickglassError",
    "Trigger",
    "at",
    "cron",
    "current_run",
    "every",
    "preference",
]
