"""A quarter of a minute of faults for each store; `make chaos` is the long version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from chaos.arena import PROCESSES, record
from chaos.grounds import GROUNDS

if TYPE_CHECKING:
    from pathlib import Path

SEED: Final = 7
SECONDS: Final = 7.0
CARELESS_SECONDS: Final = 4.0


@pytest.mark.chaos
@pytest.mark.parametrize("store", GROUNDS)
def test_no_promise_is_broken_under_faults(store: str, tmp_path: Path) -> None:
    with GROUNDS[store](tmp_path, PROCESSES) as ground:
        summary = record(ground, tmp_path, seed=SEED, seconds=SECONDS)
    assert summary.violations == []
    assert summary.complaints == []
    assert summary.faults.total() > 0
    assert summary.grants > 0
    assert summary.measured["distributed_lock_renewals_total confirmed"] > 0


@pytest.mark.chaos
def test_holders_that_do_not_ask_are_found_out(tmp_path: Path) -> None:
    with GROUNDS["sqlite"](tmp_path, PROCESSES) as ground:
        summary = record(ground, tmp_path, seed=SEED, seconds=CARELESS_SECONDS, careless=True)
    assert {"two holders", "acted without trust"} <= {violation.rule for violation in summary.violations}
    assert "stale write accepted" not in {violation.rule for violation in summary.violations}
    assert summary.stale_writes_refused > 0
