"""Many jobs are registered a part at a time, so that other instances wait for no store that is busy with them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from kit.own_process import nothing
from kit.rig import BreakableStore, Rig

from tickglass.sched.engine.planning.registrar import AT_ONCE, Registrar
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.events import JobRegistered, StoreCalled
from tickglass.sched.job import Job, declare
from tickglass.sched.triggers import every

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tickglass.sched.clock import Clock
    from tickglass.sched.ports import JobRecord
    from tickglass.sched.registration import Registered

SOME = 2 * AT_ONCE + 1


class Counting(BreakableStore):
    """Counts the jobs of each call, and fails from the call that a test says on."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.sizes: list[int] = []
        self.fails_from: int | None = None
        self.kind = "unavailable"

    def register(self, jobs: Sequence[JobRecord]) -> Sequence[Registered]:
        if self.fails_from is not None and len(self.sizes) >= self.fails_from:
            raise StoreUnavailable("memory", "register", "gone fishing", kind=self.kind)
        self.sizes.append(len(jobs))
        return super().register(jobs)


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig(store=Counting)
    yield rig
    rig.close()


def counting(rig: Rig) -> Counting:
    assert isinstance(rig.store, Counting)
    return rig.store


@pytest.fixture
def registrar(rig: Rig) -> Registrar:
    return Registrar(rig.context, rig.planner, rig.enrolment)


def jobs(count: int = SOME) -> list[Job]:
    return [declare(nothing, every("1s"), service="svc", name=f"job{number}") for number in range(count)]


def tries(rig: Rig) -> int:
    return len([call for call in rig.sink.of(StoreCalled) if call.operation == "register"])


def test_many_jobs_are_registered_in_parts_and_each_is_enrolled_once(rig: Rig, registrar: Registrar) -> None:
    registrar.add(jobs())
    assert counting(rig).sizes == [AT_ONCE, AT_ONCE, 1]
    assert [told.job for told in rig.sink.of(JobRegistered)] == [job.name for job in jobs()]


def test_a_scheduler_without_jobs_asks_the_store_all_the_same(rig: Rig, registrar: Registrar) -> None:
    counting(rig).fails_from, counting(rig).kind = 0, "error"
    with pytest.raises(StoreUnavailable):
        registrar.add([])


def test_after_a_part_without_an_answer_the_others_do_not_wait_for_the_store_too(
    rig: Rig, registrar: Registrar, caplog: pytest.LogCaptureFixture
) -> None:
    counting(rig).fails_from = 1
    with caplog.at_level(logging.WARNING):
        registrar.add(jobs())
    assert tries(rig) == 2
    assert len(rig.sink.of(JobRegistered)) == SOME, "all are planned"
    assert registrar.reason() == f"{AT_ONCE + 1} jobs are not registered with the memory store yet"
    (line,) = caplog.messages
    assert f"job{AT_ONCE}, job{AT_ONCE + 1}" in line
    assert line.endswith(f"and {AT_ONCE - 4} more")


def test_what_waits_is_registered_in_parts_and_a_part_that_was_is_not_registered_again(
    rig: Rig, registrar: Registrar
) -> None:
    store = counting(rig)
    store.fails_from = 0
    registrar.add(jobs())
    store.fails_from = 1
    with pytest.raises(StoreUnavailable):
        registrar.catch_up()
    assert registrar.reason() == f"{AT_ONCE + 1} jobs are not registered with the memory store yet"
    store.fails_from = None
    registrar.catch_up()
    assert store.sizes == [AT_ONCE, AT_ONCE, 1]
    assert not registrar.waits


def test_an_error_in_a_later_part_is_raised(rig: Rig, registrar: Registrar) -> None:
    counting(rig).fails_from, counting(rig).kind = 1, "error"
    with pytest.raises(StoreUnavailable):
        registrar.add(jobs())
    assert not registrar.waits


def test_jobs_that_the_store_lost_are_registered_again_in_parts(rig: Rig, registrar: Registrar) -> None:
    registrar.again(jobs())
    assert counting(rig).sizes == [AT_ONCE, AT_ONCE, 1]
    assert rig.sink.of(JobRegistered) == []
