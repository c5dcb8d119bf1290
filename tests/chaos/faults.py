"""Decide what goes wrong, when, for how long, and for whom: all of it from a seed, before it begins.

Pure. Each worker, and the place where the servers are, has one fault at a time;
those of different ones overlap as they like.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from tickglass.sched.durations import MS

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["SERVERS", "Fault", "Kind", "plan"]

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
}


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
            until_ns = at_ns + int(rng.uniform(*_IN_TTLS[kind]) * ttl_ns)
            if until_ns > span_ns:
                break
            found.append(Fault(at_ns, until_ns, kind, target, rng.random()))
            at_ns = until_ns + max(MS, int(rng.uniform(*rest_ttls) * ttl_ns))
    return sorted(found, key=lambda fault: (fault.from_ns, fault.target))
