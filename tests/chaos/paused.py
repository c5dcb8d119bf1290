"""Take a lock, be paused, and try to write all the same: `python -m chaos.paused URL HOME TTL`.

Says the fence; told to go on, says whether the lease is trusted, whether `check`
lets it through, and whether the witness takes a write that was decided before.
"""

from __future__ import annotations

import sys
from pathlib import Path

from chaos.witness import Witness

from tickglass import LeaseLost, Lock


def say(word: object) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def main(url: str, home: str, ttl: str) -> None:
    """Do it; nothing is renewed, so that the pause cannot fall into a write to the store."""
    witness = Witness(Path(home) / "witness.sock", "paused")
    with Lock(url, "ledger", ttl=ttl, renew=False, owner="paused") as lease:
        say(lease.fence)
        sys.stdin.readline()
        say(lease.trusted)
        try:
            lease.check()
            say("goes on")
        except LeaseLost:
            say("lease lost")
        say(witness.write("ledger", lease.fence).accepted)


if __name__ == "__main__":
    main(*sys.argv[1:])
