"""A command line to talk to, and a store file with something in it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple, Protocol

import pytest
from click.testing import CliRunner

from tickglass.cli import main
from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import MS, SECOND
from tickglass.sched.lease import Lease
from tickglass.sched.ports import ClaimAsk, Claimed, Granted, JobRecord, LeaseAsk, Settlement
from tickglass.sched.stores import open_store
from tickglass.telemetry.sidecar.web import SidecarServer, sidecar_app

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from click.testing import Result

    from tickglass.sched.ports import Store
    from tickglass.telemetry.sidecar.view import View

DUE_NS = 1_767_225_600_100 * MS  # 2026-01-01T00:00:00.100Z
TTL_NS = 30 * SECOND


class Tickglass(Protocol):
    def __call__(self, *words: str, **environment: str) -> Result: ...


@pytest.fixture
def root_logger() -> Iterator[None]:
    """Leave the log of this process as it was: commands configure that of theirs."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def tickglass(monkeypatch: pytest.MonkeyPatch, root_logger: None) -> Tickglass:
    """Type a command: unexpected errors come through, and no store is set."""
    monkeypatch.delenv("TICKGLASS_STORE", raising=False)

    def type_in(*words: str, **environment: str) -> Result:
        return CliRunner().invoke(main, words, env=environment, catch_exceptions=False)

    return type_in


class Serve(Protocol):
    def __call__(self, view: Callable[[], View], token: str = "") -> str: ...


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serve views as a sidecar does; return where."""
    servers: list[SidecarServer] = []

    def start(view: Callable[[], View], token: str = "") -> str:
        server = SidecarServer("127.0.0.1:0", sidecar_app(view, lambda _: ("text/plain", b""), list, token=token))
        server.start()
        servers.append(server)
        return f"http://127.0.0.1:{server.port}"

    yield start
    for server in servers:
        server.stop()


class Filled(NamedTuple):
    """A store on disk in which jobs have run."""

    url: str
    store: Store

    def register(
        self,
        name: str,
        *,
        next_due_ns: int | None = None,
        trigger: str = 'every("100ms")',
        service: str = "billing",
    ) -> None:
        owner = f"host/{service}/0"
        record = JobRecord(name, trigger, f"res:{name}", owner, service, TTL_NS, SECOND, None, next_due_ns)
        self.store.register([record])

    def claim(
        self,
        job: str,
        *,
        due_ns: int = DUE_NS,
        run_id: str = "a" * 32,
        ttl_ns: int = TTL_NS,
        service: str = "billing",
    ) -> Lease:
        ask = LeaseAsk(f"res:{job}", f"host/{service}/0", service, f"token-{run_id}", ttl_ns, job, run_id)
        claimed = self.store.claim(ClaimAsk(ask, due_ns, due_ns + 100 * MS))
        assert isinstance(claimed, Claimed)
        return Lease(ask.resource, ask.owner, ask.token, claimed.fence, ttl_ns, trusted_until_ns=0)

    def settle(
        self,
        lease: Lease,
        job: str,
        outcome: str,
        *,
        due_ns: int = DUE_NS,
        run_id: str = "a" * 32,
        detail: str = "",
        started_ahead_ns: int = 0,
        service: str = "billing",
    ) -> None:
        started_ns = SystemClock().wall_ns() + started_ahead_ns
        settlement = Settlement(lease, service, job, due_ns, run_id, outcome, detail, started_ns, lateness_ns=1_250_000)
        assert self.store.settle(settlement).recorded

    def lock(self, resource: str, *, ttl_ns: int = TTL_NS) -> None:
        ask = LeaseAsk(resource, "host/shop/0", "shop", f"token-{resource}", ttl_ns)
        assert isinstance(self.store.acquire(ask), Granted)


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[Filled]:
    url = f"sqlite:///{tmp_path}/jobs.db"
    store = open_store(url, SystemClock())
    yield Filled(url, store)
    store.close()
