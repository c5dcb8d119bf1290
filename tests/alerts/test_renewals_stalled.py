"""The store stops answering renewals, recorded from a real engine: a lease of the usual TTL, scraped as usual.

It is given up before it can have been seen stalled for half a minute; the alert must fire all the same.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

import pytest
from kit import promtool
from kit.manual_locks import LockHost
from kit.recording import SCRAPE_S, Recording
from kit.rig import Rig

from tickglass.sched.durations import MS, SECOND
from tickglass.sched.engine.locking.manual_lock import ManualLock
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.job import TTL_DEFAULT
from tickglass.sched.lock_terms import lock_terms
from tickglass.telemetry.endpoint.exposition import encode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ALERT: Final = "DistributedLockRenewalsStalled"
PERIOD: Final = 10 * SECOND
TRUST: Final = 29_698 * MS  # 30 s less 1 % and 2 ms
END: Final = 300 * SECOND


def moves(taken_ns: int) -> Iterator[tuple[int, str]]:
    """Yield when what happens to a lock that is taken then: five renewals, and from then on none that is answered."""
    for number in range(1, 6):
        yield taken_ns + number * PERIOD, "renewed"
    renewed_ns = taken_ns + 5 * PERIOD
    failed_ns = renewed_ns + PERIOD
    for pause in itertools.chain((100 * MS, 300 * MS), itertools.repeat(800 * MS)):
        yield failed_ns, "renewal_failed"
        failed_ns += pause
        if failed_ns >= renewed_ns + TRUST:
            break
    yield renewed_ns + TRUST, "expired"


def recorded(taken_ns: int) -> Recording:
    rig = Rig()
    began_ns = rig.clock.monotonic_ns()
    recording = Recording(rig.clock.wall_ns() / SECOND)
    lock = ManualLock(lock_terms("printer", ttl=TTL_DEFAULT), LockHost(rig))
    scrapes = ((at_ns, "") for at_ns in range(0, END + 1, SCRAPE_S * SECOND))
    counts: dict[str, int] = {}
    for at_ns, move in sorted([*scrapes, (taken_ns, "granted"), *moves(taken_ns)]):
        if move == "renewal_failed" and not rig.store.broken:
            rig.store.broken["renew"] = StoreUnavailable("memory", "renew", "no answer")
        rig.clock.advance(began_ns + at_ns - rig.clock.monotonic_ns())
        if move == "granted":
            lock.acquire()
        if not move:
            recording.scrape(encode(rig.metrics.registry, "")[1].decode())
            continue
        counts[move] = counts.get(move, 0) + 1
        rig.lock_event(move, counts[move])
        rig.clock.wait_for_sleepers(1)
    lock.release()
    rig.close()
    return recording


@pytest.mark.parametrize(
    ("taken_ns", "seen_s"), [(7_000 * MS, 75), (10_200 * MS, 90)], ids=["seen", "not seen stalled"]
)
def test_a_lease_of_the_usual_ttl_that_is_not_renewed_is_told_of(tmp_path: Path, taken_ns: int, seen_s: int) -> None:
    def told(at_s: int, *, firing: bool) -> promtool.Document:
        sample = {"labels": '{resource="printer"}', "value": 1}
        return {
            "expr": f'count by (resource) (ALERTS{{alertname="{ALERT}",alertstate="firing"}})',
            "eval_time": f"{at_s}s",
            "exp_samples": [sample] if firing else [],
        }

    test = {
        "name": "a store that does not answer renewals",
        "interval": f"{SCRAPE_S}s",
        "input_series": recorded(taken_ns).input_series(),
        "promql_expr_test": [
            told(seen_s + SCRAPE_S, firing=False),
            told(seen_s + 2 * SCRAPE_S, firing=True),
            told(END // SECOND, firing=False),
        ],
    }
    assert promtool.verdict(tmp_path, [([promtool.rule_documents()[ALERT]], [test])]) == ""
