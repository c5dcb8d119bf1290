"""Say what an operator can ask for over HTTP, and do it on a store.

Each ask is the body of a request, and one act of `Operator`. Unknown fields are refused.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta

from tickglass.sched.control.operator import Operator
from tickglass.sched.control.orders import ALL
from tickglass.sched.durations import duration_ns
from tickglass.sched.errors import ConfigError
from tickglass.sched.triggers.base import to_ns

if TYPE_CHECKING:
    from tickglass.sched.control.audit import Act
    from tickglass.sched.ports import Store

__all__ = [
    "NAME_MAX",
    "REASON_MAX",
    "AnyAsk",
    "CancelAsk",
    "DrainAsk",
    "PauseAsk",
    "ResumeAsk",
    "SkipAsk",
    "TriggerAsk",
    "UndrainAsk",
    "UnlockAsk",
]

NAME_MAX: Final = 1_000
REASON_MAX: Final = 2_000
_WALL_NS_MAX: Final = (1 << 63) - 1  # what stores can hold: until the year 2262

Name = Annotated[str, Meta(min_length=1, max_length=NAME_MAX)]
Reason = Annotated[str, Meta(pattern=r"\S", max_length=REASON_MAX, description="Why, for the audit log.")]
Lasting = Annotated[
    str,
    Meta(
        pattern=r"^([0-9]{1,6}(\.[0-9]{1,9})?(d|h|ms|m|s|us|ns))+$",
        max_length=60,
        description='A duration, such as "2h" or "1h30m".',
    ),
]
Instant = Annotated[datetime, Meta(tz=True)]
Fence = Annotated[int, Meta(ge=1, le=(1 << 63) - 1)]


class _ActAsk(msgspec.Struct, frozen=True, kw_only=True, tag_field="act", forbid_unknown_fields=True):
    """What all acts say.

    Args:
        store: its name, as /api/v1/stores has it; "" where the sidecar reads only one.
        by: the name of the person, where only a token says who acts.
    """

    reason: Reason
    store: Annotated[str, Meta(max_length=NAME_MAX)] = ""
    by: Annotated[str, Meta(max_length=200)] = ""


class PauseAsk(_ActAsk, frozen=True, kw_only=True, tag="pause"):
    """Have due instants of a job skipped; `job` and `service` may be patterns, such as "report-*"."""

    job: Name
    service: Name = ALL
    for_: Lasting | None = msgspec.field(default=None, name="for")
    until: Instant | None = None

    def do(self, store: Store, by: str) -> Act:
        """Do it in the name of a person; see `Operator` for what it raises."""
        return Operator(store, by).pause(self.job, self.service, self.reason, _end_ns(store, self.for_, self.until))


class ResumeAsk(_ActAsk, frozen=True, kw_only=True, tag="resume"):
    """End the pauses that these jobs have of their own, and take back skips of instants to come."""

    job: Name
    service: Name = ALL

    def do(self, store: Store, by: str) -> Act:
        """Do it in the name of a person; see `Operator` for what it raises."""
        return Operator(store, by).resume(self.job, self.service, self.reason)


class SkipAsk(_ActAsk, frozen=True, kw_only=True, tag="skip"):
    """Have one due instant of a job skipped: the one that is named, or the next one."""

    job: Name
    service: Name | None = None
    at: Instant | None = None

    def do(self, store: Store, by: str) -> Act:
        """Do it in the name of a person; see `Operator` for what it raises."""
        return Operator(store, by).skip(self.job, self.service, self.reason, _instant_ns(self.at, "at"))


class TriggerAsk(_ActAsk, frozen=True, kw_only=True, tag="trigger"):
    """Have a job run once, now; `within` says how long it may wait for its lock and for a worker."""

    job: Name
    service: Name | None = None
    within: Lasting = "60s"

    def do(self, store: Store, by: str) -> Act:
        """Do it in the name of a person; see `Operator` for what it raises."""
        within_ns = duration_ns(self.within, what="within")
        return Operator(store, by).trigger(self.job, self.service, self.reason, within_ns)


class CancelAsk(_ActAsk, frozen=True, kw_only=True, tag="cancel"):
    """Ask a run to stop; `run_id` is needed if several runs of the job are in progress."""

    job: Name
    service: Name | None = None
    run_id: Name | None = None

    def do(self, store: Store, by: str) -> Act:
        """Do it in the name of a person; see `Operator` for what it raises."""
        return Operator(store, by).cancel(self.job, self.service, self.reason, self.run_id)


class UnlockAsk(_ActAsk, frozen=True, kw_only=True, tag="unlock"):
    """Take a lease from its holder; `fence` is that of the lease as it was seen."""

    resource: Name
    fence: Fence

    def do(self, store: Store, by: str) -> Act:
        """Do it in the name of a person; see `Operator` for what it raises."""
        return Operator(store, by).unlock(self.resource, self.fence, self.reason)


class DrainAsk(_ActAsk, frozen=True, kw_only=True, tag="drain"):
    """Have one instance start nothing more; its runs go on to their end."""

    owner: Name
    service: Name | None = None
    for_: Lasting | None = msgspec.field(default=None, name="for")
    until: Instant | None = None

    def do(self, store: Store, by: str) -> Act:
        """Do it in the name of a person; see `Operator` for what it raises."""
        return Operator(store, by).drain(self.owner, self.service, self.reason, _end_ns(store, self.for_, self.until))


class UndrainAsk(_ActAsk, frozen=True, kw_only=True, tag="undrain"):
    """Let a drained instance start runs again."""

    owner: Name
    service: Name | None = None

    def do(self, store: Store, by: str) -> Act:
        """Do it in the name of a person; see `Operator` for what it raises."""
        return Operator(store, by).undrain(self.owner, self.service, self.reason)


AnyAsk: TypeAlias = PauseAsk | ResumeAsk | SkipAsk | TriggerAsk | CancelAsk | UnlockAsk | DrainAsk | UndrainAsk


def _end_ns(store: Store, lasting: str | None, until: datetime | None) -> int | None:
    if lasting is not None and until is not None:
        raise ConfigError("say until when either as `for` or as `until`, not as both")
    if lasting is None:
        return _instant_ns(until, "until")
    return _storable(store.time_ns() + duration_ns(lasting, what="for"), "for")


def _instant_ns(instant: datetime | None, what: str) -> int | None:
    return None if instant is None else _storable(to_ns(instant, what=what), what)


def _storable(wall_ns: int, what: str) -> int:
    if not 0 <= wall_ns <= _WALL_NS_MAX:
        raise ConfigError(f"{what} lies beyond what stores can hold: from 1970 to 2262")
    return wall_ns
