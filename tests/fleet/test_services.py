"""Two services with a job of one name on one store each run all of their instants; also on a store of layout 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from kit.old_layouts import redis_of_layout_1, sqlite_of_layout_1
from kit.processes import Fleet, Instance, running_fleet, wait_until

from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import MS
from tickglass.sched.events import InstantsElsewhere, InstantsMissed, InstantsSkipped
from tickglass.sched.identity import JobId
from tickglass.sched.stores import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from kit.servers import RedisServer

    from tickglass.sched.ports import Store

SERVICES = ("billing", "mail")
PERIOD_NS = 250 * MS  # as in the app
ENOUGH = 16  # instants of each service
MOST_OF_THEM = 0.8  # a busy machine may come too late for some


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    (tmp_path / "fleet").mkdir()
    with running_fleet(tmp_path / "fleet") as fleet:
        yield fleet


@pytest.fixture(params=["sqlite", "redis"])
def places(
    request: pytest.FixtureRequest, tmp_path: Path, redis_servers: Callable[[int], list[RedisServer]]
) -> tuple[str, Callable[[], None]]:
    """Return the URL of an empty store, and what fills it as the version before did."""
    if request.param == "sqlite":
        path = tmp_path / "shared.db"
        return f"sqlite:///{path}", lambda: sqlite_of_layout_1(path)
    (server,) = redis_servers(1)
    return f"redis://127.0.0.1:{server.port}/0", lambda: redis_of_layout_1(server)


def beats(instance: Instance) -> dict[int, str | None]:
    """Return what became of each due instant; a busy machine may have jumped over some."""
    ended = {event.due_ns: event.outcome for event in instance.occurrences("ended") if event.job == "beat"}
    for event in instance.told.events:
        if isinstance(event, InstantsMissed | InstantsElsewhere) and event.job == "beat":
            what = "missed" if isinstance(event, InstantsMissed) else "elsewhere"
            ended |= dict.fromkeys(range(event.first_due_ns, event.before_ns, PERIOD_NS), what)
        elif isinstance(event, InstantsSkipped) and event.job == "beat":
            ended |= dict.fromkeys(range(event.first_due_ns, event.latest_due_ns + 1, PERIOD_NS), "skipped")
    return ended


def run_both(fleet: Fleet, url: str) -> dict[str, Instance]:
    """Run an instance of each service until each has come to enough instants, and stop them."""
    services = {service: fleet.start("beat", more={"FLEET_SERVICE": service, "FLEET_URL": url}) for service in SERVICES}
    for instance in services.values():
        instance.running()
    wait_until(lambda: all(len(beats(one)) >= ENOUGH for one in services.values()), "one service is starved")
    assert [instance.stopped() for instance in services.values()] == [0, 0]
    return services


def assert_each_ran_its_own(services: dict[str, Instance], store: Store) -> None:
    for service, instance in services.items():
        ended = beats(instance)
        assert sorted(ended) == list(range(min(ended), max(ended) + 1, PERIOD_NS)), "each instant, once"
        ran = [due_ns for due_ns, outcome in ended.items() if outcome == "success"]
        assert set(ended.values()) <= {"success", "skipped", "missed"}, "none of them was another service's"
        assert len(ran) >= MOST_OF_THEM * len(ended)
        runs = store.runs(JobId(service, "beat"), 1_000)
        assert {run.owner for run in runs} == {instance.owner}
        assert {run.due_ns for run in runs if run.outcome == "success"} == set(ran)


def test_two_services_with_one_job_name_run_all_of_their_instants_on_one_store(
    fleet: Fleet, places: tuple[str, Callable[[], None]]
) -> None:
    url, _ = places
    services = run_both(fleet, url)
    store = open_store(url, SystemClock())
    try:
        assert_each_ran_its_own(services, store)
        both = [set(beats(instance)) for instance in services.values()]
        assert len(both[0] & both[1]) > ENOUGH // 2, "they had most of their instants in common"
    finally:
        store.close()


def test_a_store_of_the_old_layout_is_migrated_under_a_fleet_and_its_fences_grow(
    fleet: Fleet, places: tuple[str, Callable[[], None]]
) -> None:
    url, fill = places
    fill()
    services = run_both(fleet, url)
    store = open_store(url, SystemClock())
    try:
        assert_each_ran_its_own(services, store)
        before = [run for run in store.runs(None, 1_000) if run.job not in ("beat", "chime")]
        assert len(before) >= 8, "nothing of it was lost"
        new = [run.fence for service in SERVICES for run in store.runs(JobId(service, "beat"), 1_000)]
        assert min(new) > max(run.fence for run in before)
        assert len(set(new)) == len(new)
    finally:
        store.close()
