"""Decide what goes wrong, when, for how long, and for whom: all of it from a seed, before it begins.

Pure. Each worker, and the place where the servers are, has one fault at a time;
those of different ones overlap as they like.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from tickglass.sched.durations import MS, SECOND

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["LONGEST_BLOCK_NS", "SERVERS", "Fault", "Kind", "plan"]

SERVERS: Final = -1  # the target of a fault that hits servers, not a worker


class Kind(StrEnum):
    """What can go wrong."""

    KILL = "kill -9 of a worker"
    FREEZE = "worker frozen for longer than a lease"
    RESET = "connections of a worker reset"
    PARTITION = "worker cut off"
    DEAF = "answers to a worker held back"
    DELAY = "worker's network slow"
    RESTART = "kill -9 of a server"
    STALL = "server frozen"
    RESET_ALL = "all connections reset"
    MAJORITY = "kill -9 of most servers"
    HOG = "write lock kept by an outsider"
    FAST = "worker restarted with a clock ahead"
    SLOW = "worker restarted with a clock behind"
    FORWARD = "worker's clock set forward"
    BACK = "worker's clock set back"
    CROWD = "more long jobs than a worker has threads"
    BLOCK = "event loop of a worker blocked"
    FULL = "store takes no writes"


_IN_TTLS: Final = {  # how long it lasts, in lease times
    Kind.KILL: (0.05, 0.8),
    Kind.FREEZE: (1.1, 1.9),
    Kind.RESET: (0.0, 0.0),
    Kind.PARTITION: (0.4, 1.8),
    Kind.DEAF: (0.4, 1.8),
    Kind.DELAY: (0.5, 2.0),
    Kind.RESTART: (0.05, 1.2),
    Kind.STALL: (0.2, 1.5),
    Kind.RESET_ALL: (0.0, 0.0),
    Kind.MAJORITY: (0.2, 1.2),
    Kind.HOG: (0.2, 1.5),
    Kind.FAST: (2.0, 3.5),  # a process takes some time to start; after it the clock is set right
    Kind.SLOW: (2.0, 3.5),
    Kind.FORWARD: (1.0, 2.5),
    Kind.BACK: (1.0, 2.5),
    Kind.CROWD: (1.5, 2.5),
}
LONGEST_BLOCK_NS: Final = 4_800 * MS
_IN_NS: Final = {  # of what is said by the readiness: it has a time of its own in which to notice
    Kind.BLOCK: (4_100 * MS, LONGEST_BLOCK_NS),
    Kind.FULL: (5_000 * MS, 6_500 * MS),
}
_OFFSETS_NS: Final = (400 * MS, 20 * SECOND, 3_600 * SECOND)  # the first is allowed, the last outlives any patience


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    Args:
        from_ns: since the beginning of all.
        target: a worker's number, or `SERVERS`.
        luck: between 0 and 1, for whatever else has to be chosen.
    """

    from_ns: int
    until_ns: int
    kind: Kind
    target: int
    luck: float

    @property
    def offset_ns(self) -> int:
        """By how much the clock of its worker is wrong."""
        offset_ns = _OFFSETS_NS[int(self.luck * len(_OFFSETS_NS))]
        return -offset_ns if self.kind in (Kind.SLOW, Kind.BACK) else offset_ns


def plan(
    seed: object, *, workers: int, of_workers: Sequence[Kind], of_servers: Sequence[Kind], span_ns: int, ttl_ns: int
) -> list[Fault]:
    """Return the faults of one run, in the order of their beginnings.

    Args:
        seed: the same one, with the rest the same, gives the same faults.
        of_workers, of_servers: what can go wrong; named twice, it goes wrong twice as often.
        span_ns: when the last one has ended.
    """
    found = []
    targets = [*range(workers), *([SERVERS] if of_servers else [])]
    for target in targets:
        rng = random.Random(f"{seed} {target}")
        kinds, rest_ttls = (of_servers, (1.5, 4.0)) if target == SERVERS else (of_workers, (0.5, 2.5))
        at_ns = int(rng.uniform(0.2, rest_ttls[1]) * ttl_ns)
        while True:
            kind = rng.choice(kinds)
            until_ns = at_ns + _lasts_ns(kind, rng, ttl_ns)
            if until_ns > span_ns:
                break
            found.append(Fault(at_ns, until_ns, kind, target, rng.random()))
            at_ns = until_ns + max(MS, int(rng.uniform(*rest_ttls) * ttl_ns))
    return sorted(found, key=lambda fault: (fault.from_ns, fault.target))


def _lasts_ns(kind: Kind, rng: random.Random, ttl_ns: int) -> int:
    return rng.randint(*_IN_NS[kind]) if kind in _IN_NS else int(rng.uniform(*_IN_TTLS[kind]) * ttl_ns)
