"""Name what is written down while faults are made: one JSON object a line, in files that only grow.

Instants are nanoseconds of CLOCK_BOOTTIME, which all processes of a host share.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from tickglass.sched.ports import RunRecord

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = [
    "WRITING",
    "Acknowledged",
    "Began",
    "Blocked",
    "Claimed",
    "Clocked",
    "Crowded",
    "Declared",
    "Ended",
    "Entry",
    "FellDue",
    "Finished",
    "Granted",
    "History",
    "Kept",
    "Measured",
    "Opened",
    "Pen",
    "Reached",
    "RenewalWaited",
    "Returned",
    "Sampled",
    "Setting",
    "Stepped",
    "Stopping",
    "Unanswered",
    "Unblocked",
    "Violation",
    "Won",
    "Written",
    "Wrote",
    "read_entries",
    "read_ledger",
]


# Calls that may have to write.
WRITING: Final = frozenset({"acquire", "renew", "release", "claim", "claim_many", "settle", "settle_many"})


class Entry(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """The root of what a worker or the witness notes."""

    at_ns: int


class Granted(Entry, frozen=True, kw_only=True):
    """The holder's code has a lease in hand: from now on it may believe that it is alone."""

    resource: str
    fence: int
    until_ns: int  # the end of trust, as known now
    job: str = ""  # "" for a lock by hand
    took_from: str = ""  # whose lease had ended without a release


class Kept(Entry, frozen=True, kw_only=True):
    """The lease was renewed."""

    resource: str
    fence: int
    until_ns: int


class Stepped(Entry, frozen=True, kw_only=True):
    """The holder asked whether it may act, was told yes, and acts; `at_ns` was read before it asked."""

    resource: str
    fence: int
    until_ns: int


class Ended(Entry, frozen=True, kw_only=True):
    """The holder acts no more: it was `done`, or heard that the lease was `lost` or had `expired`."""

    resource: str
    fence: int
    how: str


class Claimed(Entry, frozen=True, kw_only=True):
    """The store gave this process an occurrence."""

    job: str
    due_ns: int
    attempt: int
    run_id: str
    fence: int


class Finished(Entry, frozen=True, kw_only=True):
    """A claimed run came to its end, as this process sees it."""

    job: str
    due_ns: int
    attempt: int
    run_id: str
    outcome: str


class Acknowledged(Entry, frozen=True, kw_only=True):
    """The store said that the end of a run is written, and that its lease was given back in time."""

    run_id: str


class Began(Entry, frozen=True, kw_only=True):
    """The job's own code begins: the first thing that it does."""

    job: str
    due_ns: int
    attempt: int
    run_id: str
    resource: str
    fence: int
    grace_ns: int


class Wrote(Entry, frozen=True, kw_only=True):
    """A job that does not look at its run asked the guard to write; `at_ns` was read before it asked the run.

    What its run said of itself is noted at that instant, and not heeded.
    """

    run_id: str
    cancelled: bool
    remaining_ns: int
    accepted: bool


class Returned(Entry, frozen=True, kw_only=True):
    """The job's own code ends: the last thing that it does."""

    run_id: str


class Opened(Entry, frozen=True, kw_only=True):
    """The scheduler of this process has started."""


class Stopping(Entry, frozen=True, kw_only=True):
    """This process was told to come to its end."""


class Declared(Entry, frozen=True, kw_only=True):
    """This process has a job that all processes have, and that waits for nobody but itself.

    `lasts_ns` is how long its code takes at most, be its event loop blocked or not.
    """

    job: str
    interval_ns: int
    lasts_ns: int


class FellDue(Entry, frozen=True, kw_only=True):
    """An instant of a job came up in this process, whatever became of it."""

    job: str
    due_ns: int


class Reached(Entry, frozen=True, kw_only=True):
    """The store answered this process something for which it may have to write; noted some twenty times a second."""


class Won(Entry, frozen=True, kw_only=True):
    """The store gave the scheduler of this process a lease: whatever it writes for that, it can write."""


class Unanswered(Entry, frozen=True, kw_only=True):
    """The store answered this process nothing, or with an error."""

    operation: str


class RenewalWaited(Entry, frozen=True, kw_only=True):
    """A renewal that was asked for at `since_ns` has come to its end only now, with an answer or without."""

    since_ns: int


class Sampled(Entry, frozen=True, kw_only=True):
    """What the scheduler says of its readiness: nothing when it is ready. Also a sign that this process runs."""

    unready: list[str]


class Clocked(Entry, frozen=True, kw_only=True):
    """The wall clock of this process is wrong by so much from now on."""

    offset_ns: int


class Blocked(Entry, frozen=True, kw_only=True):
    """A coroutine keeps the event loop from turning from now on."""


class Unblocked(Entry, frozen=True, kw_only=True):
    """The coroutine that kept the event loop from turning lets it turn."""


class Crowded(Entry, frozen=True, kw_only=True):
    """This process has more long jobs than workers, about until then."""

    until_ns: int


class Measured(Entry, frozen=True, kw_only=True):
    """The process comes to its end: what it counted of its faults, and where its metrics say otherwise."""

    counts: dict[str, int]
    differences: list[str]


class Written(Entry, frozen=True, kw_only=True):
    """The witness was asked to write: `newest` is the highest fence that it had seen before."""

    writer: str
    resource: str
    fence: int
    newest: int
    accepted: bool


_ENTRY: Final = msgspec.json.Decoder(
    Granted
    | Kept
    | Stepped
    | Ended
    | Claimed
    | Finished
    | Acknowledged
    | Began
    | Wrote
    | Returned
    | Opened
    | Stopping
    | Declared
    | FellDue
    | Reached
    | Won
    | Unanswered
    | RenewalWaited
    | Sampled
    | Clocked
    | Blocked
    | Unblocked
    | Crowded
    | Measured
    | Written
)
_RUN: Final = msgspec.json.Decoder(RunRecord)


@dataclass(frozen=True)
class Violation:
    """Something that must never happen, and did."""

    rule: str
    what: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.what}"


@dataclass(frozen=True)
class Setting:
    """What is known of all processes before they start.

    Args:
        ttl_ns: of all leases.
        anchor_ns: the host's wall clock minus the clock of the histories. Nobody
            sets the host's clock: the wrong ones are those of processes.
        keeps_time: whether the store has a clock of its own, and knows a claim in the future.
    """

    ttl_ns: int = 700_000_000
    anchor_ns: int = 0
    keeps_time: bool = True


@dataclass(frozen=True)
class History:
    """All that is known of one run of faults.

    Args:
        processes: what each process noted, by a name that no restart shares.
        witness: what was written where all of them write, in its order.
        ledger: all attempts, as the store had them at the end.
        votes: whether the ledger is that of several servers which vote. It may
            show what a minority has: orphaned attempts that were never granted,
            and ends that were not acknowledged.
        setting: how long leases last, and whose clock is right.
    """

    processes: Mapping[str, Sequence[Entry]]
    witness: Sequence[Written] = ()
    ledger: Sequence[RunRecord] = ()
    votes: bool = False
    setting: Setting = Setting()


class Pen:
    """Appends entries to a file, each in one call: a kill cuts none in two, and none that counted is lost."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def note(self, entry: Entry | RunRecord) -> None:
        """Append one entry."""
        os.write(self._file, msgspec.json.encode(entry) + b"\n")

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def read_entries(path: Path) -> list[Entry]:
    """Return the entries of a file, in order."""
    return [_ENTRY.decode(line) for line in path.read_bytes().splitlines()]


def read_ledger(path: Path) -> list[RunRecord]:
    """Return the attempts in a file."""
    return [_RUN.decode(line) for line in path.read_bytes().splitlines()]
