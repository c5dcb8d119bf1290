"""Decide whether a lock by hand is well asked for, and hold what was asked.

Pure: no I/O, no clock reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tickglass.sched.durations import duration_ns
from tickglass.sched.errors import ConfigError
from tickglass.sched.job import TTL_DEFAULT, TTL_MIN_NS, checked_flag, checked_name
from tickglass.sched.policies.preference import checked_preference

if TYPE_CHECKING:
    from tickglass.sched.durations import Duration
    from tickglass.sched.policies.preference import Preference

__all__ = ["LockTerms", "lock_terms"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LockTerms:
    """What is asked for; made by `lock_terms`.

    Args:
        ttl_ns: how long the lease lasts without a renewal.
        wait_ns: how long to wait for another owner's lease; None: for ever.
        blocking: False: ask once.
        renew: whether the lease is renewed while it is held.
        prefer: the holders that go before others; None: all are equal.
    """

    resource: str
    ttl_ns: int
    wait_ns: int | None = None
    blocking: bool = True
    renew: bool = True
    prefer: Preference | None = None


def lock_terms(
    resource: str,
    *,
    ttl: Duration = TTL_DEFAULT,
    wait: Duration | None = None,
    blocking: bool = True,
    renew: bool = True,
    prefer: str | Preference | None = None,
) -> LockTerms:
    """Check what is asked for and return it.

    Args:
        resource: what the lock protects; shared with the jobs whose resource it is.
        ttl: how long the lease lasts if this process dies.
        wait: how long to wait while another owner has it; None: for ever.
        blocking: False: do not wait at all.
        renew: False: the lease ends after `ttl`, even while it is in use.
        prefer: labels of the holders that should have it, as for jobs: others wait a little longer.

    Raises:
        ConfigError: it names what is wrong.
    """
    if wait is not None and not blocking:
        raise ConfigError(
            "a lock that does not block does not wait",
            given=f"wait={wait!r}, blocking=False",
            instead=(f"wait={wait!r}", "blocking=False"),
        )
    if prefer is not None and not blocking:
        raise ConfigError(
            "a lock that does not block does not hold back for preferred holders",
            given=f"prefer={prefer!r}, blocking=False",
            instead=('prefer="region=a"', "blocking=False"),
        )
    return LockTerms(
        resource=checked_name(resource, "resource"),
        ttl_ns=duration_ns(ttl, what="ttl", min_ns=TTL_MIN_NS),
        wait_ns=None if wait is None else duration_ns(wait, what="wait", min_ns=0),
        blocking=checked_flag(blocking, "blocking"),
        renew=checked_flag(renew, "renew"),
        prefer=checked_preference(prefer),
    )
