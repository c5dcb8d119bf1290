"""Say what is kept of each act: who did what to what, when, why, and until when.

Pure: values only.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol
from uuid import uuid4

import msgspec

from tickglass.sched.clock import instant_of
from tickglass.sched.control.orders import ALL

if TYPE_CHECKING:
    from tickglass.sched.ports import AuditRow

__all__ = ["Act", "ActEntry", "ActKind", "Acted", "act_text", "jobs_text", "read_act"]


class ActKind(StrEnum):
    """What an operator can do; the metrics carry these names."""

    PAUSE = "pause"
    RESUME = "resume"
    SKIP = "skip"
    TRIGGER = "trigger"
    CANCEL = "cancel"
    UNLOCK = "unlock"
    DRAIN = "drain"
    UNDRAIN = "undrain"


class ActEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One act, as its operator asked for it.

    Args:
        act: a value of `ActKind`, or a later version's.
        service: a name or a pattern; so is `job`. "" where the act is not about jobs.
        target: what the act is about: a run's id, a resource, an owner; "" for a job as a whole.
        due_ns: of the occurrence that it is about (wall clock); None: of none.
        until_ns: until when it stands, or may still be done (wall clock); None: until it is taken back.
        fence: of the lease that was taken from its holder; 0: none was.
        key: unique to this act, so that a repeated request is known as one.
    """

    act: str
    by: str
    reason: str
    service: str = ""
    job: str = ""
    target: str = ""
    due_ns: int | None = None
    until_ns: int | None = None
    fence: int = 0
    key: str = msgspec.field(default_factory=lambda: uuid4().hex)


@dataclass(frozen=True, slots=True)
class Act:
    """One act that was done.

    Args:
        version: of the record of what stands that it made; acts are numbered by it.
        at_ns: when, by the store's wall clock.
        changed: False: what was asked for stood already, by an earlier act, which this is.
    """

    version: int
    at_ns: int
    entry: ActEntry
    changed: bool = True


class Acted(Protocol):
    """What an entry and an event of it have in common."""

    @property
    def act(self) -> str: ...  # noqa: D102 - see `ActEntry`, for all of these
    @property
    def by(self) -> str: ...  # noqa: D102
    @property
    def service(self) -> str: ...  # noqa: D102
    @property
    def job(self) -> str: ...  # noqa: D102
    @property
    def target(self) -> str: ...  # noqa: D102
    @property
    def due_ns(self) -> int | None: ...  # noqa: D102
    @property
    def until_ns(self) -> int | None: ...  # noqa: D102
    @property
    def fence(self) -> int: ...  # noqa: D102


def act_text(act: Acted) -> str:
    """Return who did what, in a few words, without the reason: `anna paused nightly of billing until 12:00:00Z`."""
    job = jobs_text(act.service, act.job)
    until = "" if act.until_ns is None else f" until {_instant(act.until_ns)}"
    due = "" if act.due_ns is None else f" due {_instant(act.due_ns)}"
    words: dict[str, str] = {
        ActKind.PAUSE: f"paused {job}{until}",
        ActKind.RESUME: f"resumed {job}",
        ActKind.SKIP: f"had {job}{due} skipped",
        ActKind.TRIGGER: f"had {job} run",
        ActKind.CANCEL: f"cancelled the run {act.target} of {job}",
        ActKind.UNLOCK: f"unlocked {act.target}, held under fence {act.fence}",
        ActKind.DRAIN: f"drained {act.target} of {act.service}{until}",
        ActKind.UNDRAIN: f"ended the drain of {act.target} of {act.service}",
    }
    return f"{act.by} {words.get(act.act, act.act)}"


def jobs_text(service: str, job: str) -> str:
    """Return which jobs are meant: "nightly of billing", "report-*", "all jobs of billing"."""
    if job == ALL:
        return "all jobs" if service == ALL else f"all jobs of {service}"
    return job if service == ALL else f"{job} of {service}"


def _instant(wall_ns: int) -> str:
    return instant_of(wall_ns).replace(tzinfo=None).isoformat(sep=" ", timespec="seconds") + "Z"


def read_act(row: AuditRow) -> Act:
    """Read a row of the log.

    Raises:
        msgspec.DecodeError: its text is no act.
    """
    return Act(row.version, row.wall_ns, msgspec.json.decode(row.text, type=ActEntry))
