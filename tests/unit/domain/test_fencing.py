"""Fences that bite: what a stale holder writes is refused, and counted."""

from __future__ import annotations

import asyncio
import doctest
import random
import sqlite3
from typing import TYPE_CHECKING, Any, cast

import pytest
from kit.metrics_stage import Stage

from tickglass.sched import fencing
from tickglass.sched.errors import ConfigError, StaleFence
from tickglass.sched.fencing import EtcdGuard, RedisGuard, SqlGuard, demand_fence, refuse, wrote
from tickglass.sched.lease import LockEvent
from tickglass.sched.run import Run
from tickglass.sched.stop_signal import StopSignal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GUARD = SqlGuard()
SET = "UPDATE stock SET n = ?, fence = ? WHERE id = 'apple' AND fence <= ?"
NEWEST = "SELECT fence FROM stock WHERE id = ?"


class Shop(Stage):
    """A stock in a database, and runs that are granted the right to write to it one after the other."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.database = self.connect()
        self.cursor = self.database.cursor()
        self.cursor.execute(GUARD.create)
        self.cursor.execute("CREATE TABLE stock (id TEXT PRIMARY KEY, n INTEGER, fence INTEGER NOT NULL)")
        self.cursor.execute("INSERT INTO stock VALUES ('apple', 1, 0)")
        self.database.commit()

    def connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=0)

    def granted(self, resource: str = "stock") -> Run:
        lock = self.lock(resource, run_id="ab" * 16)
        self.hold(lock)
        lock.fire(LockEvent.EXPIRED)  # so that the next one can have it
        return Run(lock, StopSignal(), due_ns=0, attempt=1, clock=self.clock)

    def unclaimed(self) -> Run:
        return Run(self.lock("stock", run_id="cd" * 16), StopSignal(), due_ns=0, attempt=1, clock=self.clock)

    def sell(self, run: Run, left: int) -> None:
        with self.database:
            GUARD.advance(self.cursor, run)
            self.cursor.execute("UPDATE stock SET n = ? WHERE id = 'apple'", (left,))

    @property
    def left(self) -> int:
        return int(self.cursor.execute("SELECT n FROM stock").fetchone()[0])

    def refused(self, resource: str = "stock") -> float | None:
        return self.value("distributed_lock_fencing_rejections_total", resource=resource)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path / "shop.db")
    yield made
    made.database.close()


def test_a_paused_holder_does_not_write(shop: Shop) -> None:
    paused, present = shop.granted(), shop.granted()
    shop.sell(present, left=5)
    with pytest.raises(StaleFence) as caught:
        shop.sell(paused, left=99)
    error = caught.value
    assert (error.resource, error.fence, error.newest) == ("stock", paused.fence, present.fence)
    assert (shop.left, shop.refused()) == (5, 1)


def test_one_holder_writes_as_often_as_he_likes(shop: Shop) -> None:
    holder = shop.granted()
    for left in (3, 2):
        shop.sell(holder, left)
    assert (shop.left, shop.refused()) == (2, 0)


def test_a_new_holder_shuts_the_old_one_out_before_he_writes(shop: Shop) -> None:
    paused, present = shop.granted(), shop.granted()
    with shop.database:
        GUARD.advance(shop.cursor, present)
    with pytest.raises(StaleFence):
        shop.sell(paused, left=99)
    assert shop.left == 1


def test_each_resource_has_its_own_newest_fence(shop: Shop) -> None:
    stock, orders = shop.granted("stock"), shop.granted("orders")
    shop.sell(orders, left=7)
    shop.sell(stock, left=6)
    assert shop.left == 6


def test_a_transaction_that_is_rolled_back_shuts_nobody_out(shop: Shop) -> None:
    first, second = shop.granted(), shop.granted()
    GUARD.advance(shop.cursor, second)
    shop.database.rollback()
    shop.sell(first, left=4)
    assert shop.left == 4


def test_nobody_comes_between_the_check_and_the_write(shop: Shop) -> None:
    paused, present = shop.granted(), shop.granted()
    GUARD.advance(shop.cursor, present)  # not committed
    other = shop.connect()
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        GUARD.advance(other.cursor(), paused)
    shop.database.commit()
    with pytest.raises(StaleFence):
        GUARD.advance(other.cursor(), paused)
    other.close()


@pytest.mark.parametrize("seed", range(20))
def test_in_whatever_order_they_come_the_fences_that_pass_never_fall(shop: Shop, seed: int) -> None:
    rng = random.Random(seed)
    runs = [shop.granted() for _ in range(6)]
    passed = [0]
    for run in rng.choices(runs, k=40):
        if run.fence < passed[-1]:
            with pytest.raises(StaleFence, match=f"{passed[-1]} has been seen"):
                shop.sell(run, left=99)
        else:
            shop.sell(run, left=run.fence)
            passed.append(run.fence)
        assert shop.left in (passed[-1], 1)
    assert shop.refused() == 40 - len(passed[1:])


def test_a_row_may_carry_its_own_fence(shop: Shop) -> None:
    paused, present = shop.granted(), shop.granted()
    shop.cursor.execute(SET, (5, present.fence, present.fence))
    assert wrote(shop.cursor, present, NEWEST, ("apple",)) is True
    shop.cursor.execute(SET, (99, paused.fence, paused.fence))
    with pytest.raises(StaleFence, match=f"fence {paused.fence} is stale, {present.fence} has been seen"):
        wrote(shop.cursor, paused, NEWEST, ("apple",))
    assert (shop.left, shop.refused()) == (5, 1)


def test_a_row_that_is_not_there_is_no_stale_fence(shop: Shop) -> None:
    run = shop.granted()
    shop.cursor.execute("DELETE FROM stock")
    shop.cursor.execute(SET, (5, run.fence, run.fence))
    assert wrote(shop.cursor, run, NEWEST, ("apple",)) is False
    assert shop.refused() == 0


def test_a_guard_of_your_own_refuses_and_counts_alike(shop: Shop) -> None:
    run = shop.granted()
    with pytest.raises(StaleFence):
        refuse(run, 77)
    assert shop.refused() == 1


def test_a_run_without_a_claim_passes_no_guard_even_where_no_fence_has_been_seen(shop: Shop) -> None:
    run = shop.unclaimed()
    with pytest.raises(StaleFence, match="fence 0 is that of a run without a claim") as caught:
        shop.sell(run, left=99)
    assert (caught.value.fence, caught.value.newest) == (0, 0)
    shop.cursor.execute(SET, (99, run.fence, run.fence))
    with pytest.raises(StaleFence):
        wrote(shop.cursor, run, NEWEST, ("apple",))
    shop.database.rollback()
    with pytest.raises(StaleFence):
        demand_fence(run)
    assert (shop.left, shop.refused()) == (1, 3)


def test_without_a_claim_nothing_is_asked_of_redis_or_etcd(shop: Shop) -> None:
    run = shop.unclaimed()
    nowhere = cast("Any", None)
    with pytest.raises(StaleFence):
        RedisGuard(nowhere).advance(run)
    with pytest.raises(StaleFence):
        RedisGuard(nowhere).execute(run, "SET", "apple", 5)
    with pytest.raises(StaleFence):
        asyncio.run(EtcdGuard(nowhere).execute(run))
    assert shop.refused() == 3


def test_a_placeholder_that_no_driver_knows_is_refused() -> None:
    with pytest.raises(ConfigError, match="placeholder"):
        SqlGuard(":1")


def test_the_example_of_the_module_is_true() -> None:
    result = doctest.testmod(fencing)
    assert (result.failed, result.attempted > 5) == (0, True)
