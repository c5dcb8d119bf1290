"""Real schedulers and a real sidecar beside them: frozen, killed, restarted, and what is told of it meanwhile."""

from __future__ import annotations

import html
import os
import signal
import subprocess
from typing import TYPE_CHECKING, Final, NamedTuple

import httpx
import pytest
from kit.processes import PATIENCE_S, TICKGLASS, Answer, Scrape, running_fleet, wait_until

from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import SECOND
from tickglass.sched.events import InstantsSkipped, OccurrenceMoved

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Self

    from kit.processes import Fleet, Instance

    from tickglass.sched.events import Event

_CLOCK: Final = SystemClock()
CONNECTED: Final = "tickglass_sidecar_scheduler_connected"
HELD: Final = "distributed_lock_held_seconds"
DUE: Final = "tickglass_job_due_total"
UNRENEWED: Final = "distributed_lock_unrenewed_seconds"
SLACK_S: Final = 0.5  # an age in a store is by that store's clock, and the sidecar's own since the look
DROPPED: Final = "tickglass_telemetry_dropped_total"


class Sidecar:
    """One `tickglass sidecar`."""

    def __init__(self, path: Path, *options: str) -> None:
        self.path = path
        command = [TICKGLASS, "sidecar", "--socket", str(path), "--listen", "127.0.0.1:0", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("http://127.0.0.1:"), self.errors()
        self.port = int(line.split("/")[2].rpartition(":")[2])

    def scrape(self) -> Scrape:
        return Scrape(self.port)

    def get(self, path: str) -> Answer:
        return Answer(self.port, path)

    def errors(self) -> str:
        assert self.process.stderr is not None
        return self.process.stderr.read()

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    monkeypatch.setenv("TICKGLASS_SIDECAR", f"unix://{tmp_path / 's.sock'}")
    with running_fleet(tmp_path) as found:
        yield found


@pytest.fixture
def sidecar(tmp_path: Path) -> Iterator[Callable[..., Sidecar]]:
    started: list[Sidecar] = []

    def start(*options: str) -> Sidecar:
        started.append(Sidecar(tmp_path / "s.sock", *options))
        return started[-1]

    yield start
    for one in started:
        one.end()


def connected(watch: Sidecar, instance: Instance) -> Scrape:
    """Wait until the sidecar is told by that scheduler."""
    wait_until(lambda: watch.scrape().total(CONNECTED, owner=instance.owner) == 1, "it connects")
    return watch.scrape()


class Ages(NamedTuple):
    """How old the lock of `hold` was, some time between two instants (monotonic): as told, as seen in the store."""

    told: float
    seen: float
    unrenewed: float
    from_ns: int
    until_ns: int

    @classmethod
    def of(cls, watch: Sidecar, store: str) -> Self:
        from_ns, shown = _CLOCK.monotonic_ns(), watch.scrape()
        seen = shown.total(HELD, resource="fleet/hold", source=store)
        unrenewed = shown.total(UNRENEWED, resource="fleet/hold") - shown.total(
            UNRENEWED, resource="fleet/hold", source=store
        )
        return cls(shown.total(HELD, resource="fleet/hold") - seen, seen, unrenewed, from_ns, _CLOCK.monotonic_ns())


def test_a_frozen_scheduler_is_told_of_and_its_lock_gets_older(fleet: Fleet, sidecar: Callable[..., Sidecar]) -> None:
    store = f"sqlite:///{fleet.home / 'jobs.db'}"
    watch, instance = sidecar("--store", store, "--probe-every", "200ms"), fleet.start("hold race").running()
    instance.occurrence("hold", "started")
    connected(watch, instance)
    wait_until(lambda: watch.scrape().has(HELD, resource="fleet/hold", source=store), "the lock is seen in the store")
    wait_until(lambda: watch.scrape().has(UNRENEWED, resource="fleet/hold"), "and told of")
    wait_until(lambda: watch.get("/readyz").status == 200, "it is ready")
    fleet.freeze(instance)
    earlier = Ages.of(watch, store)
    wait_until(lambda: watch.get("/readyz").status == 503, "it is not ready")
    assert f"scheduler fleet/{instance.owner} is silent for" in watch.get("/readyz").text
    later = Ages.of(watch, store)
    least_s, most_s = (later.from_ns - earlier.until_ns) / SECOND, (later.until_ns - earlier.from_ns) / SECOND
    for what in ("told", "seen", "unrenewed"):  # the last says that renewals have stalled
        grown_s = getattr(later, what) - getattr(earlier, what)
        assert max(least_s - SLACK_S, 0) < grown_s < most_s + SLACK_S, what
    assert watch.scrape().total(CONNECTED) == 1  # the kernel holds the connection: only silence tells
    instance.signal(signal.SIGCONT)
    wait_until(lambda: watch.get("/readyz").status == 200, "it is ready again")


def test_a_killed_scheduler_is_gone_within_a_second_and_its_counters_stay(
    fleet: Fleet, sidecar: Callable[..., Sidecar]
) -> None:
    watch = sidecar("--store", f"sqlite:///{fleet.home / 'jobs.db'}", "--probe-every", "200ms")
    instance = fleet.start("hold race", ttl="2s").running()
    instance.occurrence("hold", "started")
    connected(watch, instance)
    wait_until(lambda: watch.scrape().total(DUE, job_name="tick") > 50, "there is something to count")
    owner = instance.owner
    took_ns: list[int] = []

    def gone() -> bool:
        began_ns = _CLOCK.monotonic_ns()
        found = watch.scrape().total(CONNECTED, owner=owner) == 0
        took_ns.append(_CLOCK.monotonic_ns() - began_ns)
        return found

    before = watch.scrape()
    instance.signal(signal.SIGKILL)
    instance.exit_code()
    killed_ns = _CLOCK.monotonic_ns()
    wait_until(gone, "it is known to be gone")
    assert _CLOCK.monotonic_ns() - killed_ns < SECOND + 2 * max(took_ns)
    after = watch.scrape()
    assert after.total(DUE, job_name="tick") >= before.total(DUE, job_name="tick") > 50
    own = [line for line in after.text.splitlines() if "source=" not in line]
    assert not any(line.startswith((HELD, "tickglass_job_pending{", "tickglass_scheduler_state{")) for line in own)
    # What it cannot tell any more, the store does: the lease that it left, how it ended, and the claim without an end.
    wait_until(
        lambda: watch.scrape().has("distributed_lock_lease_expired_seconds", resource="fleet/hold"), "it expires"
    )
    wait_until(lambda: watch.scrape().total("tickglass_job_abandoned_claims", job_name="hold") == 1, "it is abandoned")
    again = fleet.start("hold race", ttl="2s").running()  # another process of that name, and its counters go on
    assert again.owner == owner
    wait_until(lambda: watch.scrape().total(CONNECTED, owner=owner) == 1, "it is back")
    wait_until(
        lambda: watch.scrape().total(DUE, job_name="tick") > after.total(DUE, job_name="tick"), "the counters go on"
    )


def test_a_sidecar_that_is_killed_under_load_and_restarted_misses_nothing_that_the_ring_could_hold(
    fleet: Fleet, sidecar: Callable[..., Sidecar]
) -> None:
    first, instance = sidecar(), fleet.start("race").running()
    connected(first, instance)
    wait_until(lambda: first.scrape().total(DUE, job_name="tick") > 20, "it is under load")
    first.process.kill()
    first.process.wait()
    killed = instance.scrape()
    wait_until(
        lambda: instance.scrape().total(DUE, job_name="tick") > killed.total(DUE, job_name="tick") + 20, "it goes on"
    )
    # The ring holds some eight seconds of this race; it ends before the next sidecar comes, which may take longer.
    last_ns = fleet.end_the_race()
    second = sidecar()
    connected(second, instance)
    wait_until(lambda: _CLOCK.wall_ns() > last_ns + SECOND, "the race ends")
    wait_until(lambda: instance.scrape().total("tickglass_job_pending") == 0, "all have ended")
    here = instance.scrape()
    wait_until(
        lambda: (
            second.scrape().total("distributed_lock_transitions_total")
            >= here.total("distributed_lock_transitions_total") - killed.total("distributed_lock_transitions_total")
        ),
        "all is heard that waited",
    )
    there = second.scrape()
    there.assert_the_account_agrees()
    assert instance.scrape().total(DROPPED, signal="events") == there.total(DROPPED, signal="events") == 0
    assert there.total("tickglass_sidecar_events_missed_total") == 0
    for job in ("tick", "tock"):
        since = here.total(DUE, job_name=job) - killed.total(DUE, job_name=job)
        assert 0 < since <= there.total(DUE, job_name=job)
    assert instance.stopped() == 0
    wait_until(lambda: second.scrape().total(CONNECTED) == 0, "it says goodbye")


def test_several_schedulers_share_a_sidecar_and_it_ends_as_asked(fleet: Fleet, sidecar: Callable[..., Sidecar]) -> None:
    watch = sidecar()
    instances = [fleet.start("race"), fleet.start("race")]
    for instance in instances:
        connected(watch, instance)
    owners = {instance.owner for instance in instances}
    assert len(owners) == 2
    wait_until(lambda: all(watch.scrape().total(DUE, owner=owner) > 0 for owner in owners), "both are counted")
    taken = subprocess.run(
        [TICKGLASS, "sidecar", "--socket", str(watch.path), "--listen", "127.0.0.1:0"],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert taken.returncode == 2
    assert "another sidecar listens there" in taken.stderr
    watch.process.send_signal(signal.SIGTERM)
    assert watch.process.wait(PATIENCE_S) == 0
    assert not os.path.lexists(watch.path)
    for instance in instances:  # and nobody misses it
        ended = len(instance.told.events)
        wait_until(lambda instance=instance, ended=ended: len(instance.told.events) > ended, "it goes on")  # type: ignore[misc]
        assert instance.stopped() == 0


def test_an_operator_acts_through_a_sidecar_and_the_scheduler_obeys(
    fleet: Fleet, sidecar: Callable[..., Sidecar]
) -> None:
    """The stores are probed once an hour here, so what is seen of an act is seen because the sidecar knows of it."""
    store = f"sqlite:///{fleet.home / 'jobs.db'}"
    instance = fleet.start("race").running()
    instance.occurrence("tick", "ended")
    options = ("--store", store, "--probe-every", "1h", "--allow-control", "--operator-token", "op")
    watch = sidecar(*options, "--token", "view", "--run-link", "Trace=https://tempo.example/{run_id}")
    with httpx.Client(base_url=f"http://127.0.0.1:{watch.port}", timeout=PATIENCE_S) as web:
        pause = {"act": "pause", "job": "tick", "reason": "the disk is full", "by": "anna"}
        for token, status in (("", 401), ("Bearer view", 403), ("Bearer op", 200)):
            answer = web.post("/api/v1/acts", json=pause, headers={"Authorization": token})
            assert answer.status_code == status, answer.text
        instance.told.wait_for(lambda event: _is_paused(event, "tick"), patience_s=PATIENCE_S)
        web.headers["Authorization"] = "Bearer view"
        wait_until(lambda: [it["kind"] for it in web.get("/view.json").json()["orders"]] == ["pause"], "it is seen")
        assert "anna (operator via sidecar) paused tick of fleet" in web.get("/audit").text
        page = web.get("/history?job=tick").text
        address = html.unescape(page.partition('href="/run?')[2].partition('"')[0])
        assert 'href="https://tempo.example/' in web.get(f"/run?{address}").text


def _is_paused(event: Event, job: str) -> bool:
    if isinstance(event, OccurrenceMoved) and event.outcome != "skipped":
        return False
    return isinstance(event, OccurrenceMoved | InstantsSkipped) and (event.job, event.reason) == (job, "paused")
