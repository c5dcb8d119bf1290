"""Two regions on real stores: the preferred one has the occurrences, and when it stops the other holds back no more.

However slow the machine is: what counts is who was held back, not for how long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from kit.rig import wait_until

from tickglass import Lock, Scheduler, every, preference
from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import MS, SECOND
from tickglass.sched.events import Event, InstantsMissed, OccurrenceMoved, PoolMoved
from tickglass.sched.policies.preference import presence_resource
from tickglass.sched.stores import open_store
from tickglass.testing import ListSink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from kit.servers import EtcdServer, RedisServer


PERIOD_NS: Final = 500 * MS
ENOUGH: Final = 6
HELD_BACK_NS: Final = 200 * MS  # the second best starts no sooner after the due instant
PATIENCE_NS: Final = 30 * SECOND


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

    def was_put_off(self, run: OccurrenceMoved) -> bool:
        """Whether its claim was put off: then it gave its worker back, and was handed to one again."""
        claiming = False
        for event in self.told.of(Event):
            if isinstance(event, OccurrenceMoved) and event.run_id == run.run_id:
                claiming = event.event == "taken"
            elif isinstance(event, PoolMoved) and event.waited_ns is not None and claiming:
                return True  # it is the only job here
        return False


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
    with a.scheduler:
        wait_until_shown(store, "a")
        with b.scheduler:
            yield a, b


@pytest.mark.parametrize("store", ["redis", "etcd"], indirect=True)
def test_the_preferred_region_has_the_occurrences_until_it_stops(regions: tuple[Region, Region], store: str) -> None:
    a, b = regions
    ours = a.ended(ENOUGH, "success")
    assert not all(a.was_put_off(end) for end in ours), "nobody is better"
    theirs = b.ended(ENOUGH - 2, "elsewhere")
    assert {end.reason for end in theirs} == {""}
    assert any(b.was_put_off(end) for end in theirs)
    for end in b.told.of(OccurrenceMoved):
        assert end.lateness is None or end.lateness.total_ns >= HELD_BACK_NS, "it took what a was too slow for"

    a.scheduler.stop()
    looking = open_store(store, SystemClock())
    shown = {lease.resource: lease.owner for lease in looking.leases() if lease.resource.startswith("tickglass:")}
    looking.close()
    assert shown == {presence_resource("region=b"): "b"}
    stopped_ns = SystemClock().wall_ns()
    last = b.ended(ENOUGH, "success", stopped_ns)[ENOUGH - 1]
    assert not b.was_put_off(last), "nobody better is there"
    ends = [it for it in b.told.of(OccurrenceMoved) if it.event == "ended" and stopped_ns < it.due_ns <= last.due_ns]
    missed = sum(it.count for it in b.told.of(InstantsMissed) if it.first_due_ns > stopped_ns)
    assert "elsewhere" not in {end.outcome for end in ends}
    assert len(ends) + missed == -((stopped_ns - last.due_ns) // PERIOD_NS), "not one is left out"


@pytest.mark.parametrize("store", ["sqlite", "redis", "redlock", "etcd"], indirect=True)
def test_locks_without_schedulers_have_preferences_too(store: str) -> None:
    clock = SystemClock()

    def taken_ns(lock: Lock) -> int:
        began_ns = clock.monotonic_ns()
        with lock:
            return clock.monotonic_ns() - began_ns

    def of(region: str, resource: str = "printer", *, far: str = "1h") -> Lock:
        return Lock(store, resource, prefer=preference("region=a", far=far), labels={"region": region}, owner=region)

    assert taken_ns(of("b")) < PATIENCE_NS, "nobody better is there"
    with of("a", "something else"):
        wait_until_shown(store, "a")
        assert taken_ns(of("b", far="800ms")) >= 800 * MS
        assert taken_ns(of("a")) < PATIENCE_NS
    assert taken_ns(of("b")) < PATIENCE_NS, "it has gone"


def wait_until_shown(store: str, region: str) -> None:
    looking = open_store(store, SystemClock())
    wait_until(lambda: any(it.resource == presence_resource(f"region={region}") for it in looking.leases()))
    looking.close()
