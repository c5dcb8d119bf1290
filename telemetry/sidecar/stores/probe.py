"""Read the stores themselves, every few seconds: for what schedulers cannot tell, or do not live to tell.

One thread for each store: a store that does not answer delays no other, keeps its last snapshot, and is asked again.
A probe is bounded in leases, jobs and abandoned claims; the snapshot says if there were more.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Protocol, TypedDict

from tickglass.sched.control.audit import Act, read_act
from tickglass.sched.control.order_book import OrderBook
from tickglass.sched.control.roster import Roster, read_roster
from tickglass.sched.durations import SECOND
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.policies.preference import is_presence
from tickglass.sched.ports import ControlReader, JobRecord, LeaseRecord, RunRecord, StoreObserver
from tickglass.sched.ports.missing import MissingKind, MissingOnce, sentence_of
from tickglass.sched.threads.loop import Loop
from tickglass.telemetry import catalogue
from tickglass.telemetry.series import Histogram
from tickglass.telemetry.sidecar.stores.ledger_cache import LedgerCache

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tickglass.sched.clock import Clock, Reading
    from tickglass.sched.control.orders import Pause, Skip
    from tickglass.sched.identity import JobId
    from tickglass.telemetry.series import Distribution

__all__ = ["EVERY_NS", "LEASES_MAX", "Observed", "Probe", "StoreSnapshot", "probe_once"]

EVERY_NS: Final = 5 * SECOND
LEASES_MAX: Final = 10_000
JOBS_MAX: Final = 1_000
ABANDONED_MAX: Final = 1_000
ACTS_MAX: Final = 100
_FRESH_FOR_PROBES: Final = 3  # a snapshot is fresh for this many periods
_FRESH_FOR_MIN_NS: Final = 15 * SECOND
_STOP_S: Final = 2.0  # a thread whose store hangs is not waited for longer

_log: Final = logging.getLogger(__name__)


class Observed(StoreObserver, ControlReader, Protocol):
    """A store, as far as the probe needs one."""

    def time_ns(self) -> int:
        """Return the store's wall clock; see `LockStore`."""
        ...


@dataclass(frozen=True, slots=True)
class StoreSnapshot:
    """One store, as of the latest probe that succeeded.

    Args:
        source: its URL without password.
        fresh_for_ns: for how long after `taken` it is fresh.
        taken: when the leases were queried; None before the first success.
        runs: of each job the latest attempts, oldest first, as far as they have been read.
        abandoned: claims without an end whose leases have ended, oldest first.
        roster: its instances, and the names of their jobs.
        orders: what operators have asked for, and still stands.
        acts: the latest acts of operators, newest first.
        skew_ns: our wall clock minus the store's, within plus or minus `skew_bound_ns`.
        truncated: there was more than one probe may read.
        took_ns: how long it took.
        error: of the very latest probe, "" if it succeeded; `error_kind` as in `StoreUnavailable`.
        errors: how many probes failed, by kind.
        missing: how many records were found missing, by kind.
        durations: of all probes, failed ones too.
    """

    source: str
    fresh_for_ns: int = _FRESH_FOR_MIN_NS
    taken: Reading | None = None
    leases: tuple[LeaseRecord, ...] = ()
    jobs: tuple[JobRecord, ...] = ()
    runs: Mapping[JobId, list[RunRecord]] = field(default_factory=dict)
    abandoned: tuple[RunRecord, ...] = ()
    roster: Roster = field(default_factory=lambda: Roster((), {}))
    orders: OrderBook = field(default_factory=OrderBook)
    acts: tuple[Act, ...] = ()
    skew_ns: int | None = None
    skew_bound_ns: int | None = None
    truncated: bool = False
    took_ns: int | None = None
    error: str = ""
    error_kind: str = ""
    errors: Mapping[str, int] = field(default_factory=dict)
    missing: Mapping[str, int] = field(default_factory=dict)
    durations: Distribution | None = None

    def pause_of(self, job: JobId, due_ns: int) -> Pause | Skip | None:
        """Return the order by which a due instant is not to be run."""
        return self.orders.pause_of(job, due_ns) or self.orders.skip_of(job, due_ns)

    def age_ns(self, now: Reading) -> int | None:
        """Return how old the snapshot is; None before the first."""
        return None if self.taken is None else max(0, now.monotonic_ns - self.taken.monotonic_ns)

    def is_fresh(self, now: Reading) -> bool:
        """Return whether the snapshot is recent enough to be used."""
        age_ns = self.age_ns(now)
        return age_ns is not None and age_ns <= self.fresh_for_ns


class _Control(TypedDict):
    orders: OrderBook
    acts: tuple[Act, ...]


class _StoreProbe:
    """Probes one store, and keeps its latest snapshot."""

    def __init__(self, source: str, store: Observed, clock: Clock, every_ns: int) -> None:
        self._store = store
        self._clock = clock
        self._every_ns = every_ns
        self._ledger = LedgerCache()
        self._durations = Histogram(catalogue.SIDECAR_PROBE_DURATION.buckets)
        self._errors: dict[str, int] = {}
        self._missing: dict[str, int] = dict.fromkeys(MissingKind, 0)
        self._missing_once = MissingOnce()
        self.snapshot = StoreSnapshot(source, fresh_for_ns=max(_FRESH_FOR_MIN_NS, _FRESH_FOR_PROBES * every_ns))

    def probe(self) -> int:
        """Read the store once, noting a failure in the snapshot; return the monotonic instant of the next probe."""
        began_ns = self._clock.monotonic_ns()
        error, kind = "", ""
        snapshot = self.snapshot
        try:
            snapshot = self._read()
        except StoreUnavailable as failure:
            error, kind = str(failure), failure.kind
        except Exception as failure:  # noqa: BLE001 - reported; the next look must come
            _log.exception("the probe of %s failed", self.snapshot.source)
            error, kind = f"{type(failure).__name__}: {failure}", "error"
        took_ns = self._clock.monotonic_ns() - began_ns
        self._durations.observe(took_ns / 1e9)
        self._tell_missing()
        if kind:
            self._errors[kind] = self._errors.get(kind, 0) + 1
        self.snapshot = replace(  # one assignment: readers see the old snapshot or the new one
            snapshot,
            took_ns=took_ns,
            error=error,
            error_kind=kind,
            errors=dict(self._errors),
            missing=dict(self._missing),
            durations=self._durations.snapshot(),
        )
        return self._clock.monotonic_ns() + self._every_ns

    def _tell_missing(self) -> None:
        for record in self._missing_once.fresh(self._store.missing(), self._clock.monotonic_ns()):
            self._missing[record.kind] += 1
            _log.warning("%s: %s", self.snapshot.source, sentence_of(record))

    def _read(self) -> StoreSnapshot:
        asked = self._clock.reading()
        store_ns = self._store.time_ns()
        bound_ns = (self._clock.monotonic_ns() - asked.monotonic_ns) // 2
        jobs = self._store.jobs()
        abandoned = self._store.abandoned(ABANDONED_MAX + 1)
        self._ledger.read(self._store, jobs[:JOBS_MAX])
        roster = read_roster(self._store)
        taken = self._clock.reading()
        leases = self._store.leases(LEASES_MAX + 1)
        return replace(
            self.snapshot,
            taken=taken,
            leases=tuple(lease for lease in leases[:LEASES_MAX] if not is_presence(lease.resource)),
            jobs=tuple(jobs[:JOBS_MAX]),
            runs=self._ledger.by_job(),
            abandoned=tuple(abandoned[:ABANDONED_MAX]),
            roster=roster,
            **self._read_control(),
            skew_ns=asked.wall_ns + bound_ns - store_ns,
            skew_bound_ns=bound_ns,
            truncated=len(leases) > LEASES_MAX or len(jobs) > JOBS_MAX or len(abandoned) > ABANDONED_MAX,
        )

    def _read_control(self) -> _Control:
        """Return what stands, and the acts that led to it; they are read again only after another act."""
        known = self.snapshot
        record = self._store.control(known.orders.version if known.taken is not None else -1)
        if record is None:
            return {"orders": known.orders, "acts": known.acts}
        acts = tuple(read_act(row) for row in self._store.audit(ACTS_MAX))
        return {"orders": OrderBook.read(record), "acts": acts}


class Probe:
    """Reads stores periodically.

    Args:
        observers: the stores by their URL without password; they are not closed here.
        every_ns: from the end of one probe to the next.
    """

    def __init__(self, observers: Mapping[str, Observed], *, clock: Clock, every_ns: int = EVERY_NS) -> None:
        self._probes = [_StoreProbe(source, store, clock, every_ns) for source, store in observers.items()]
        self._loops = [Loop(f"probe-{number}", clock, one.probe) for number, one in enumerate(self._probes)]

    def start(self) -> None:
        """Start a thread for each store; returns at once."""
        for loop in self._loops:
            loop.start()

    def stop(self) -> None:
        """End the threads; a thread that waits for its store ends later by itself."""
        for loop in self._loops:
            loop.stop(_STOP_S)

    def snapshots(self) -> list[StoreSnapshot]:
        """Return the latest snapshot of every store, without I/O."""
        return [one.snapshot for one in self._probes]


def probe_once(source: str, store: Observed, clock: Clock) -> StoreSnapshot:
    """Read a store once and return the snapshot; see `StoreSnapshot.error` for a failure."""
    one = _StoreProbe(source, store, clock, EVERY_NS)
    one.probe()
    return one.snapshot
