"""Decide when a job is due: cron, every and at, each with jitter if wanted.

Pure: no I/O, no clock reads, no logging. Reference: docs/triggers.md.
"""

from tickglass.sched.triggers.at import at
from tickglass.sched.triggers.base import LATEST_NS, InstantCount, Trigger
from tickglass.sched.triggers.cron import cron
from tickglass.sched.triggers.every import every

__all__ = ["LATEST_NS", "InstantCount", "Trigger", "at", "cron", "every"]
