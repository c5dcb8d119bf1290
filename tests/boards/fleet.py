"""A fleet for the boards: schedulers in processes of their own on one Redis, and what is done to them."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kit.processes import TICKGLASS, Answer, Scrape, wait_until
from kit.servers import find_free_port

from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import SECOND
from tickglass.sched.ports import LeaseAsk
from tickglass.sched.stores import open_store

if TYPE_CHECKING:
    from contextlib import ExitStack

    from kit.servers import RedisServer

SCRAPES: Final = ("themselves", "by a sidecar")  # the ways in which a fleet's series come
TTL_S: Final = 1.5  # of the lock `keep`, in app.py


class Member:
    """One scheduler."""

    def __init__(self, home: Path, *, store: str, service: str, owner: str, detail: str) -> None:
        self.owner = owner
        self.port = find_free_port()
        environment = os.environ | {
            "FLEET_STORE": store,
            "FLEET_SERVICE": service,
            "FLEET_OWNER": owner,
            "FLEET_DETAIL": detail,
            "FLEET_METRICS": f"127.0.0.1:{self.port}",
            "FLEET_SPOOL": str(home / f"{owner}.spool"),
            "TICKGLASS_SIDECAR": f"unix://{home}/sidecar.sock",
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",  # no collector: spans are sampled, and dropped
            "PYTHONSAFEPATH": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self._process = subprocess.Popen(
            [TICKGLASS, "run", "app:scheduler", "--log-level", "error"],
            cwd=Path(__file__).parent,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def ready(self) -> bool:
        assert self._process.poll() is None, f"{self.owner} ended"
        try:
            return Answer(self.port, "/readyz").status == 200
        except OSError:
            return False

    def scrape(self) -> Scrape:
        return Scrape(self.port)

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


class Sidecar:
    """What they tell everything, and what reads their store."""

    def __init__(self, home: Path, store: str) -> None:
        self.port = find_free_port()
        command = [TICKGLASS, "sidecar", "--socket", str(home / "sidecar.sock"), "--store", store]
        command += ["--listen", f"127.0.0.1:{self.port}", "--probe-every", "500ms", "--log-level", "error"]
        environment = os.environ | {"PYTHONSAFEPATH": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        self._process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)

    def hears(self, count: int) -> bool:
        """Whether so many schedulers are connected, and the store has been read."""
        assert self._process.poll() is None, "the sidecar ended"
        try:
            scrape = Scrape(self.port)
        except OSError:
            return False
        looked = scrape.has("tickglass_sidecar_source_last_success_timestamp_seconds")
        return looked and scrape.total("tickglass_sidecar_scheduler_connected") == count

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


class Fleet:
    """Two schedulers of one service, one of another that has nothing to do with them, and a sidecar."""

    def __init__(self, home: Path, redis: RedisServer, running: ExitStack, detail: str) -> None:
        self._redis = redis
        self._detail = detail
        self.sidecar = Sidecar(home, redis.url)
        running.callback(self.sidecar.end)
        self.members = [
            self._start(running, home, redis.url, "billing", "a"),
            self._start(running, home, redis.url, "billing", "b"),
            self._start(running, home, "memory://", "mail", "c"),
        ]
        wait_until(lambda: all(member.ready() for member in self.members), "the fleet does not come up")
        wait_until(lambda: self.sidecar.hears(len(self.members)), "the sidecar does not hear them all")
        _leave_a_lease(redis.url)

    def everything_happens(self) -> None:
        """Return when the rare things have happened: a lease was lost, and the store was out."""
        self._lose_a_lease()
        self._outage()

    def _start(self, running: ExitStack, home: Path, store: str, service: str, owner: str) -> Member:
        member = Member(home, store=store, service=service, owner=owner, detail=self._detail)
        running.callback(member.end)
        return member

    def _holder(self) -> Member:
        """Wait until a member keeps the lock; return the member."""
        found: list[Member] = []

        def kept() -> bool:
            found[:] = [member for member in self.members[:2] if _holds(member)]
            return len(found) == 1

        wait_until(kept, "no member keeps the lock")
        return found[0]

    def _lose_a_lease(self) -> None:
        """Freeze who keeps the lock until another has it; on waking the first finds it gone."""
        holder = self._holder()
        (heir,) = (member for member in self.members[:2] if member is not holder)
        holder.signal(signal.SIGSTOP)
        wait_until(lambda: _holds(heir), "no member takes over")
        holder.signal(signal.SIGCONT)
        wait_until(lambda: _lost(holder) > 0, "it does not notice")

    def _outage(self) -> None:
        """Stop the store until it has been missed, and start it again."""
        self._redis.kill(signal.SIGSTOP)
        wait_until(lambda: _errors(self.members[0]) > 0, "no member sees the outage")
        self._redis.kill(signal.SIGCONT)
        self._holder()


def _leave_a_lease(url: str) -> None:
    """Take a lock, and neither renew nor release it."""
    store = open_store(url, SystemClock())
    store.acquire(LeaseAsk("left", "ghost", "billing", "token", SECOND))
    store.close()


def _holds(member: Member) -> bool:
    return member.scrape().has("distributed_lock_held_seconds", resource="keep")


def _lost(member: Member) -> float:
    scrape = member.scrape()
    return sum(scrape.total("distributed_lock_releases_total", reason=reason) for reason in ("lost", "expired"))


def _errors(member: Member) -> float:
    return member.scrape().total("distributed_lock_store_errors_total")
