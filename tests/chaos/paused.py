"""Take a lock, be paused, and try to write all the same: `python -m chaos.paused URL HOME TTL`.

Says the fence; told to go on, says whether the lease is trusted, whether `check`
lets it through, whether the witness takes a write that was decided before, and
what the metrics say of all that.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from chaos.observer import Witness

from tickglass import LeaseLost, Lock
from tickglass.sched.clock import SystemClock
from tickglass.telemetry.metrics import MetricSink

METRICS: Final = {
    "distributed_lock_releases_total": {"reason": "expired"},
    "distributed_lock_fencing_rejections_total": {},
}


def say(word: object) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def main(url: str, home: str, ttl: str) -> None:
    """Do it; nothing is renewed, so that the pause cannot fall into a write to the store."""
    witness = Witness(Path(home) / "witness.sock", "paused")
    metrics = MetricSink(SystemClock())
    with Lock(url, "ledger", ttl=ttl, renew=False, owner="paused", sinks={"metrics": metrics}) as lease:
        say(lease.fence)
        sys.stdin.readline()
        say(lease.trusted)
        try:
            lease.check()
            say("goes on")
        except LeaseLost:
            say("lease lost")
        verdict = witness.write("ledger", lease.fence)
        say(verdict.accepted)
        lease.report_stale_fence(verdict.newest)
    for name, labels in METRICS.items():
        say(metrics.registry.get_sample_value(name, {"resource": "ledger", **labels}))


if __name__ == "__main__":
    main(*sys.argv[1:])
