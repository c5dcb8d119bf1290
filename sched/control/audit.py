"""Say what is kept of each act: who did what to what, when, why, and until when.

Pure: values only.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING
from uuid import uuid4

import msgspec

if TYPE_CHECKING:
    from tickglass.sched.ports import AuditRow

__all__ = ["Act", "ActEntry", "ActKind", "read_act"]


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


def read_act(row: AuditRow) -> Act:
    """Read a row of the log.

    Raises:
        msgspec.DecodeError: its text is no act.
    """
    return Act(row.version, row.wall_ns, msgspec.json.decode(row.text, type=ActEntry))
