"""Two regions on real stores: the preferred one has the occurrences, and when it stops the other starts on time."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Final

import pytest
from rig import wait_until

from tickglass import Lock, Scheduler, every
from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import MS, SECOND
from tickglass.sched.events import OccurrenceMoved
from tickglass.sched.prefer import presence_resource
from tickglass.sched.stores import open_store
from tickglass.testing import ListSink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from servers import EtcdServer, RedisServer

    from tickglass.sched.events import Event

PERIOD_NS: Final = 500 * MS
ENOUGH: Final = 6
HELD_BACK_NS: Final = 200 * MS  # and those who are not punctually there are late by this
PUNCTUAL_NS: Final = 100 * MS  # far less, on a machine that is busy with other things


class Region:
    """A scheduler of one region, with one job that region a shall run."""

    def __init__(self, name: str, store: str, home: Path) -> None:
        self.told = ListSink()
        self.scheduler = Scheduler(
            store,
            owner=name,
            service="live",
            labels={"region": name},
            sinks={"told": self.told},
            spool=home / f"{name}.spool",
        )
        self.scheduler.add(lambda: None, every("500ms"), name="tick", prefer="region=a, region=b")

    def ended(self, count: int, outcome: str, after_ns: int = 0) -> list[OccurrenceMoved]:
        """Wait until so many occurrences that were due after an instant have ended like that; return them."""

        def fits(event: Event) -> bool:
            return (
                isinstance(event, OccurrenceMoved)
                and (event.event, event.outcome) == ("ended", outcome)
                and event.due_ns > after_ns
            )

        self.told.wait_for(fits, count=count, patience_s=30)
        return [event for event in self.told.of(OccurrenceMoved) if fits(event)]


@pytest.fixture
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/jobs.db"
    if request.param != "etcd":
        some: Callable[[int], list[RedisServer]] = request.getfixturevalue("redis_servers")
        servers = some(3 if request.param == "redlock" else 1)
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in servers)
        return f"{request.param}://{hosts}/0"
    etcd: EtcdServer = request.getfixturevalue("etcd")
    return etcd.url(f"/preferred-{tmp_path.name}")


@pytest.fixture
def regions(store: str, tmp_path: Path) -> Iterator[tuple[Region, Region]]:
    a, b = Region("a", store, tmp_path), Region("b", store, tmp_path)
    with a.scheduler, b.scheduler:
        yield a, b


def lateness_ns(ends: list[OccurrenceMoved]) -> float:
    return statistics.median(end.lateness.total_ns for end in ends if end.lateness is not None)


@pytest.mark.parametrize("store", ["redis", "etcd"], indirect=True)
def test_the_preferred_region_has_the_occurrences_until_it_stops(regions: tuple[Region, Region], store: str) -> None:
    a, b = regions
    ours = a.ended(ENOUGH, "success")
    assert lateness_ns(ours) < PUNCTUAL_NS
    theirs = b.ended(ENOUGH - 2, "elsewhere")
    assert {end.reason for end in theirs} == {""}
    assert len([move for move in b.told.of(OccurrenceMoved) if move.event == "started"]) <= 1, "nearly all are a's"

    a.scheduler.stop()
    looking = open_store(store, SystemClock())
    shown = {lease.resource: lease.owner for lease in looking.leases() if lease.resource.startswith("tickglass:")}
    looking.close()
    assert shown == {presence_resource("region=b"): "b"}
    stopped_ns = SystemClock().wall_ns()
    heirs = b.ended(ENOUGH, "success", stopped_ns)
    assert lateness_ns(heirs) < PUNCTUAL_NS
    dues = [end.due_ns for end in heirs]
    assert dues[0] - stopped_ns <= PERIOD_NS, "not one is left out"
    assert [due - dues[0] for due in dues] == [n * PERIOD_NS for n in range(len(dues))]
    last = [end.lateness for end in heirs][-1]
    assert last is not None
    assert last.lock_ns < HELD_BACK_NS


@pytest.mark.parametrize("store", ["sqlite", "redis", "redlock", "etcd"], indirect=True)
def test_locks_without_schedulers_have_preferences_too(store: str) -> None:
    clock = SystemClock()

    def taken_ns(lock: Lock) -> int:
        began_ns = clock.monotonic_ns()
        with lock:
            return clock.monotonic_ns() - began_ns

    def of(region: str, resource: str = "printer") -> Lock:
        return Lock(store, resource, prefer="region=a", labels={"region": region}, owner=region)

    assert taken_ns(of("b")) < 800 * MS, "nobody better is there"
    with of("a", "something else"):
        wait_until_shown(store, "a")
        assert 800 * MS <= taken_ns(of("b")) < 800 * MS + SECOND
        assert taken_ns(of("a")) < 800 * MS
    assert taken_ns(of("b")) < 800 * MS, "it has gone"


def wait_until_shown(store: str, region: str) -> None:
    looking = open_store(store, SystemClock())
    wait_until(lambda: any(it.resource == presence_resource(f"region={region}") for it in looking.leases()))
    looking.close()
