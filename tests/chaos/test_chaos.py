"""Some ten seconds of faults for each store, and every kind of them; `make chaos` is the long version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from chaos.cluster import PROCESSES, record
from chaos.environments import GROUNDS

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.xdist_group("busy")  # not beside each other: they need the processor, and in time

SHORT: Final = {  # seed and seconds: with another seed, not every kind of fault may come in so short a time
    "sqlite": (7024, 10.0),
    "redis": (3754, 10.0),
    "redlock": (1987, 11.0),
    "etcd": (5157, 10.0),
}
CARELESS: Final = (2078, 4.0)  # with this seed, eight times somebody is frozen


@pytest.mark.chaos
@pytest.mark.parametrize("store", GROUNDS)
def test_no_promise_is_broken_under_faults(store: str, tmp_path: Path) -> None:
    seed, seconds = SHORT[store]
    with GROUNDS[store](tmp_path, PROCESSES) as ground:
        summary = record(ground, tmp_path, seed=seed, seconds=seconds)
    assert summary.violations == []
    assert summary.complaints == []
    assert set(summary.faults) == {*ground.of_workers, *ground.of_servers}
    assert summary.grants > 0
    assert summary.went_on > 0
    assert summary.unready > 0
    assert summary.measured["distributed_lock_renewals_total confirmed"] > 0


@pytest.mark.chaos
def test_holders_that_do_not_ask_are_found_out(tmp_path: Path) -> None:
    seed, seconds = CARELESS
    found: set[str] = set()
    refused = 0
    for again in range(3):  # on a busy machine few steps fit into the seconds
        home = tmp_path / str(again)
        home.mkdir()
        with GROUNDS["sqlite"](home, PROCESSES) as ground:
            summary = record(ground, home, seed=seed, seconds=seconds, careless=True)
        found |= {violation.rule for violation in summary.violations}
        refused += summary.stale_writes_refused
        if found >= {"two holders", "acted without trust"} and refused:
            break
    assert found >= {"two holders", "acted without trust"}
    assert "stale write accepted" not in found
    assert refused > 0
