"""Locks outside jobs, which users take by hand: under a scheduler, or without one."""

from tickglass.locks.lock import Lock, SchedulerLock, SchedulerLockHost

__all__ = ["Lock", "SchedulerLock", "SchedulerLockHost"]
