"""Find in a recorded history whatever must never happen.

Pure: it knows nothing of stores, keepers or schedulers, only what was written
down. Each rule has a test in which it finds something.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from chaos.beside import runs_beside
from chaos.history import Acknowledged, Claimed, Ended, Finished, Granted, Kept, Measured, Stepped, Violation
from chaos.readiness import untrue_readiness
from chaos.spells import Conduct
from chaos.timely import out_of_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from chaos.history import Entry, History, Written

    from tickglass.sched.ports import RunRecord

__all__ = ["Hold", "check", "holds_of"]


@dataclass(frozen=True)
class Hold:
    """One lease in one pair of manual_locks.

    Args:
        begins_ns: when the holder's code had it.
        ends_ns: until when that code would have acted: the last end of trust
            that it knew of, or when it was done or heard of the loss, whichever
            came first. A holder that was killed or stopped is thus believed to
            have held on for as long as it could have.
        steps_ns: when it acted.
    """

    process: str
    resource: str
    fence: int
    begins_ns: int
    ends_ns: int
    steps_ns: tuple[int, ...] = ()

    @property
    def trusted(self) -> bool:
        """Whether it ever could act."""
        return self.begins_ns < self.ends_ns

    def __str__(self) -> str:
        return f"{self.process} held {self.resource} under {self.fence} from {self.begins_ns} to {self.ends_ns}"


def check(history: History) -> list[Violation]:
    """Return all violations."""
    holds = holds_of(history.processes)
    conducts = [Conduct(name, entries) for name, entries in history.processes.items()]
    return [
        *_two_holders(holds),
        *_acts_without_trust(history.processes, holds),
        *_fences(holds),
        *_stale_writes(history.witness, holds),
        *_claims(history.processes, history.ledger),
        *_attempts(history),
        *_ends(history.processes, history.ledger),
        *_measured(history.processes),
        *runs_beside(history, conducts),
        *out_of_time(history, conducts),
        *(violation for conduct in conducts for violation in untrue_readiness(history, conduct)),
    ]


def holds_of(processes: Mapping[str, Sequence[Entry]]) -> list[Hold]:
    """Return all holds, in the order of their beginnings."""
    holds = [hold for process, entries in processes.items() for hold in _holds_of_one(process, entries)]
    return sorted(holds, key=lambda hold: hold.begins_ns)


def _holds_of_one(process: str, entries: Sequence[Entry]) -> Iterator[Hold]:
    grants = [entry for entry in entries if isinstance(entry, Granted)]
    until_ns: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
    ends_ns: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
    steps_ns: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
    for entry in entries:
        match entry:
            case Granted() | Kept():
                until_ns[entry.resource, entry.fence].append(entry.until_ns)
            case Stepped():  # acting is believing, whatever the end of trust was
                until_ns[entry.resource, entry.fence] += [entry.until_ns, entry.at_ns + 1]
                steps_ns[entry.resource, entry.fence].append(entry.at_ns)
            case Ended():
                ends_ns[entry.resource, entry.fence].append(entry.at_ns)
            case _:
                pass
    for grant in grants:
        key = (grant.resource, grant.fence)
        end_ns = min(max(until_ns[key]), *ends_ns[key]) if ends_ns[key] else max(until_ns[key])
        yield Hold(process, *key, grant.at_ns, end_ns, tuple(steps_ns[key]))


def _by_resource(holds: Iterable[Hold]) -> Iterable[list[Hold]]:
    groups: defaultdict[str, list[Hold]] = defaultdict(list)
    for hold in holds:
        groups[hold.resource].append(hold)
    return groups.values()


def _two_holders(holds: Sequence[Hold]) -> Iterator[Violation]:
    """Never two who believe at one instant that they hold one resource."""
    for group in _by_resource(hold for hold in holds if hold.trusted):
        longest = group[0]
        for hold in group[1:]:
            if hold.begins_ns < longest.ends_ns:
                yield Violation("two holders", f"{longest}; {hold}")
            longest = max(longest, hold, key=lambda it: it.ends_ns)


def _acts_without_trust(processes: Mapping[str, Sequence[Entry]], holds: Sequence[Hold]) -> Iterator[Violation]:
    """Never an act after the end of trust, after the loss was heard, or without a grant."""
    for hold in holds:
        for step_ns in hold.steps_ns:
            if not hold.begins_ns <= step_ns < hold.ends_ns:
                yield Violation("acted without trust", f"{hold}, acted at {step_ns}")
    granted = {(hold.process, hold.resource, hold.fence) for hold in holds}
    for process, entries in processes.items():
        for entry in entries:
            if not isinstance(entry, Stepped):
                continue
            if entry.at_ns >= entry.until_ns:
                yield Violation("acted without trust", f"{process} at {entry.at_ns}, trusted until {entry.until_ns}")
            if (process, entry.resource, entry.fence) not in granted:
                yield Violation("acted without trust", f"{process} never had {entry.resource} under {entry.fence}")


def _fences(holds: Sequence[Hold]) -> Iterator[Violation]:
    """Never a fence that is given twice, or that is no greater than one before it."""
    for group in _by_resource(holds):
        seen: dict[int, Hold] = {}
        for hold in group:
            if hold.fence in seen:
                yield Violation("fence given twice", f"{seen[hold.fence]}; {hold}")
            seen[hold.fence] = hold
        for before, after in pairwise(hold for hold in group if hold.trusted):
            if after.fence < before.fence:
                yield Violation("fence went back", f"{before}; {after}")


def _stale_writes(witness: Sequence[Written], holds: Sequence[Hold]) -> Iterator[Violation]:
    """Never a write under a smaller fence than one before it, nor under one that the writer was not given."""
    given = {(hold.process, hold.resource, hold.fence) for hold in holds}
    newest: defaultdict[str, int] = defaultdict(int)
    for write in witness:
        who = f"{write.writer} to {write.resource} under {write.fence}, newest {newest[write.resource]}"
        stale = write.fence < newest[write.resource]
        if write.accepted and stale:
            yield Violation("stale write accepted", who)
        if not write.accepted and not stale:
            yield Violation("good write refused", who)
        if (write.writer, write.resource, write.fence) not in given:
            yield Violation("write under no grant", who)
        newest[write.resource] = max(newest[write.resource], write.fence)


def _claims(processes: Mapping[str, Sequence[Entry]], ledger: Sequence[RunRecord]) -> Iterator[Violation]:
    """Never two claimants of one attempt, a run that ends twice, or a claim that the ledger does not have."""
    rows = _last_attempts(ledger)
    claims: dict[tuple[str, int, int], tuple[str, Claimed]] = {}
    finished: set[str] = set()
    for process, entries in processes.items():
        for entry in entries:
            match entry:
                case Claimed():
                    key = (entry.job, entry.due_ns, entry.attempt)
                    if key in claims:
                        yield Violation("claimed twice", f"{key} by {claims[key][0]} and {process}")
                    claims[key] = process, entry
                    row = rows.get(entry.run_id)
                    if row is None or (row.job, row.due_ns, row.attempt, row.fence) != (*key, entry.fence):
                        yield Violation("claim not in the ledger", f"{key} by {process}, the ledger has {row}")
                case Finished():
                    if entry.run_id in finished:
                        yield Violation("ended twice", f"{entry.job} {entry.due_ns} run {entry.run_id}")
                    finished.add(entry.run_id)
                case _:
                    pass


def _last_attempts(ledger: Sequence[RunRecord]) -> dict[str, RunRecord]:
    """Return each run's last attempt: one whose claim was granted unheard, and ran out, claims as the next attempt."""
    return {run.run_id: run for run in sorted(ledger, key=lambda run: run.attempt)}


def _attempts(history: History) -> Iterator[Violation]:
    """Never an attempt after one that was not orphaned, never two successes, never a number left out or given twice."""
    entries = [entry for ours in history.processes.values() for entry in ours]
    told = {entry.run_id for entry in entries if isinstance(entry, Claimed)}
    acknowledged = {entry.run_id for entry in entries if isinstance(entry, Acknowledged)}
    occurrences: defaultdict[tuple[str, int], list[RunRecord]] = defaultdict(list)
    for run in history.ledger:
        if not history.votes or run.outcome != "orphaned" or run.run_id in told:
            occurrences[run.job, run.due_ns].append(run)
    for key, runs in occurrences.items():
        runs.sort(key=lambda run: run.attempt)
        numbers = [run.attempt for run in runs]
        if numbers != (sorted(set(numbers)) if history.votes else list(range(1, len(runs) + 1))):
            yield Violation("attempts out of order", f"{key}: {numbers}")
        if any(after.fence <= before.fence for before, after in pairwise(runs)):
            yield Violation("fence went back", f"{key}: {[run.fence for run in runs]}")
        ended = [run for run in runs if not history.votes or run.run_id in acknowledged or run is runs[-1]]
        outcomes = [run.outcome for run in ended]
        if any(outcome != "orphaned" for outcome in outcomes[:-1]):
            yield Violation("attempt after an end", f"{key}: {outcomes}")
        if outcomes.count("success") > 1:
            yield Violation("two successes", f"{key}: {outcomes}")


def _ends(processes: Mapping[str, Sequence[Entry]], ledger: Sequence[RunRecord]) -> Iterator[Violation]:
    """Never an end that was acknowledged, and that the ledger does not have."""
    outcomes = {run_id: run.outcome for run_id, run in _last_attempts(ledger).items()}
    entries = [entry for ours in processes.values() for entry in ours]
    finished = {entry.run_id: entry.outcome for entry in entries if isinstance(entry, Finished)}
    for entry in entries:
        if isinstance(entry, Acknowledged):
            told, has = finished.get(entry.run_id), outcomes.get(entry.run_id)
            if told != has:
                yield Violation("end not in the ledger", f"run {entry.run_id} ended as {told}, the ledger has {has}")


def _measured(processes: Mapping[str, Sequence[Entry]]) -> Iterator[Violation]:
    """Never metrics that say something else than what happened."""
    for process, entries in processes.items():
        for entry in entries:
            if isinstance(entry, Measured):
                for difference in entry.differences:
                    yield Violation("wrong metric", f"{process}: {difference}")
