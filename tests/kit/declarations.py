"""Jobs as a program declares them and as a store knows them, without either."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from tickglass import Trigger, cron
from tickglass.sched.control.roster import Roster
from tickglass.sched.job import Job, declare
from tickglass.sched.ports import InstanceRecord, JobRecord
from tickglass.sched.triggers.base import to_ns

__all__ = ["NOBODY", "NOW", "job", "living", "record"]

NOW: Final = to_ns(datetime(2026, 3, 2, tzinfo=UTC), what="a test")  # a Monday
NOBODY: Final = Roster((), {})
NIGHTLY: Final = cron("30 2 * * *")


def job(trigger: Trigger = NIGHTLY, **policies: Any) -> Job:  # noqa: ANN401 - those of `declare`
    """Return a job of the service billing, named nightly unless a name is given."""
    return declare(lambda: None, trigger, service="billing", name=policies.pop("name", "nightly"), **policies)


def record(of: Job, *, service: str = "billing") -> JobRecord:
    """Return what a scheduler registers a job with; see `Enrolment.record_of`."""
    first_ns = of.trigger.next_after_ns(NOW)
    second_ns = None if first_ns is None else of.trigger.next_after_ns(first_ns)
    return JobRecord(
        name=of.name,
        trigger=str(of.trigger),
        resource=of.resource,
        owner="web-1/billing/0",
        service=service,
        ttl_ns=of.ttl_ns,
        grace_ns=of.grace_at(first_ns, second_ns),
        timeout_ns=of.timeout_ns,
        next_due_ns=first_ns,
    )


def living(*names: str, service: str = "billing") -> Roster:
    """Return what is known if one instance lives, and has jobs of these names."""
    instance = InstanceRecord(service, f"web-1/{service}/0", "a", "1.0", "print", "running")
    return Roster((instance,), {"print": frozenset(names)})
